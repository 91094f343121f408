//! Two connections joined: what is read from one is written to the other, both ways.
//!
//! ```text
//!                        there ──▶
//!    LISTEN side   [ stack ]    [ stack ]   CONNECT side
//!                        ◀── back
//! ```
//!
//! One task polls both ways. Nothing is copied into a buffer between them: the bytes that one stack shows are written to the
//! other, and only as many are taken as that one took. So a receiver that does not read fills its own stack, then the sender's,
//! then the sender's socket (backpressure), and the memory of a connection is that of its two stacks. The callback side of the
//! library would do as well (`examples/relay.rs`), but in two tasks that write through a queue to each other; here, who waits
//! for whom is in one place.
//!
//! The rules of an end:
//!
//! - The end of one direction (a close_notify, or an end of file where there is no TLS) is passed on behind the last
//!   byte, as the same. The other direction goes on for as long as it likes.
//! - So is the end of a side that leaves out its close_notify, as most TLS clients do behind their request: it is the end
//!   of its direction, and the answer is on its way in the other. But it is never passed on as a close_notify, because
//!   nothing proves that it was all ([`PassOn`]).
//! - A loss is never passed on as an end. What was received before it still leaves on the other side, and
//!   then that one is [broken off](break_off). An end in the middle of a record is a loss: something is missing.
//! - A side that can no longer be written to may have said something before: that is still read and passed on.

mod class;
mod end;
mod hold;
mod tally;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use futures::future::{join, poll_fn, select};
use futures::io::{AsyncBufRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::{OuterPeel, ZeroCopy};
use onionskin::runtime::{Socket, Timer};
use onionskin::stack::{self, LayerErrorKind, Reason};

pub(crate) use self::class::{Cause, Own};
pub(crate) use self::end::End;
use self::hold::Hold;
pub(crate) use self::tally::{Class, Outcome, Tally};
use self::watch::{Seen, Watch};
use crate::failure::Failure;
use crate::leave::leave;
use crate::waiting::{Limit, Quiet};

/// A connection to each side, and how far both ways between them are.
pub(crate) struct ConnectionPair {
    timer: &'static dyn Timer,
    near: Unfinished,
    far: Unfinished,
    there: Way,
    back: Way,
    tally: Arc<Tally>,
    /// Where the end of what comes from the LISTEN side is kept back.
    hold: Option<Hold>,
    half_close: HalfClose,
    /// Where silence has a limit.
    watch: Option<Watch>,
    /// Where TLS of a side is taken off once there is TLS inside.
    peel: Option<Peel>,
    /// Why both ways are over, if they are not merely at their ends.
    broken: Option<(Outcome, Loss)>,
    /// Whether we have broken them, and both sides may still be there.
    is_given_up: bool,
    /// While nothing is left but to send the last bytes.
    last: Option<Progress>,
}

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Listen,
    Connect,
}

/// How the end of a side that has left out its close_notify is passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PassOn {
    /// As an end of file of the socket, without a close_notify: what it was. The other direction goes on.
    #[default]
    Fin,
    /// By breaking off the other side too, which ends both directions.
    Reset,
}

/// What the end of one direction is for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HalfClose {
    /// Nothing: it goes on.
    #[default]
    Kept,
    /// Its end too, as RFC 9110, section 9.3.6, has it: what is not delivered by then is thrown away.
    EndsBoth,
}

/// A side that is lost, and why.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub(crate) side: Side,
    pub(crate) class: Class,
    pub(crate) cause: String,
}

impl ConnectionPair {
    /// What passes is counted in `tally`.
    pub(crate) fn new(
        timer: &'static dyn Timer,
        near: Unfinished,
        far: Unfinished,
        truncated: PassOn,
        tally: Arc<Tally>,
    ) -> Self {
        let (there, back) = (Way::from(Side::Listen, truncated), Way::from(Side::Connect, truncated));
        Self {
            timer,
            near,
            far,
            there,
            back,
            tally,
            hold: None,
            half_close: HalfClose::Kept,
            peel: None,
            watch: None,
            broken: None,
            is_given_up: false,
            last: None,
        }
    }

    /// Keeps the end of the LISTEN side back until the CONNECT side has ended, or has been silent for so long.
    pub(crate) fn holding_back(mut self, limit: Option<Limit>) -> Self {
        self.hold = limit.map(|limit| Hold::new(self.timer, limit));
        self
    }

    /// Treats the end of one direction like this.
    pub(crate) fn half_closing(self, half_close: HalfClose) -> Self {
        Self { half_close, ..self }
    }

    /// Gives both sides up when nothing has passed for so long: while both may say something, and once one has ended.
    pub(crate) fn limited(mut self, idle: Limit, half_closed: Limit) -> Self {
        self.watch = Some(Watch::new(self.timer, idle, half_closed));
        self
    }

    /// Takes the TLS of a side off once there is TLS inside, if its peer has agreed to that.
    pub(crate) fn peeling(mut self) -> Self {
        let near = || OuterPeel::agreed(&self.near).map(|outer| Peel { side: Side::Listen, outer });
        let far = || OuterPeel::agreed(&self.far).map(|outer| Peel { side: Side::Connect, outer });
        self.peel = near().or_else(far);
        self
    }

    /// Whether that was agreed, and has been done.
    pub(crate) fn peeled(&self) -> Option<bool> {
        self.peel.as_ref().map(|peel| peel.outer.is_peeled())
    }

    /// How many bytes were taken from the LISTEN side for the CONNECT side, and the other way round.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.there.bytes, self.back.bytes)
    }

    /// Passes on until both sides have ended, or one is lost and what it had said before is sent.
    ///
    /// May be dropped and called again.
    pub(crate) async fn run(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Closes both sides, so that what was sent last arrives, and the one that is not lost such that it can tell.
    pub(crate) async fn leave(self) {
        let Self { timer, near, far, there, back, broken, is_given_up, .. } = self;
        if is_given_up {
            join(break_off(timer, near, back.delivered()), break_off(timer, far, there.delivered())).await;
            return;
        }
        match broken.map(|(_, loss)| loss.side) {
            None => {
                join(leave(near.finished()), leave(far.finished())).await;
            }
            Some(Side::Listen) => {
                join(leave_lost(timer, near, back.delivered()), break_off(timer, far, there.delivered())).await;
            }
            Some(Side::Connect) => {
                join(leave_lost(timer, far, there.delivered()), break_off(timer, near, back.delivered())).await;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.broken.is_none() {
            let ways = (self.poll_way(Side::Listen, cx), self.poll_way(Side::Connect, cx));
            self.poll_held(cx);
            match ways {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(self.verdict()),
                (Poll::Ready(Err(broken)), _) | (_, Poll::Ready(Err(broken))) => self.broken = Some(broken),
                (Poll::Ready(Ok(())), _) | (_, Poll::Ready(Ok(()))) if self.half_close == HalfClose::EndsBoth => {
                    return Poll::Ready(self.verdict());
                }
                _ => {
                    if let Poll::Ready(loss) = self.poll_gone(cx) {
                        self.broken = Some((Outcome::Lost, loss));
                    } else if let Poll::Ready(loss) = self.poll_silent(cx) {
                        (self.broken, self.is_given_up) = (Some((Outcome::Lost, loss.clone())), true);
                        return Poll::Ready(End::of(Outcome::Lost, loss));
                    }
                }
            }
        }
        if let Some((outcome, loss)) = self.broken.clone()
            && self.poll_last_words(loss.side, cx).is_ready()
        {
            return Poll::Ready(End::of(outcome, loss));
        }
        self.poll_stuck(cx)
    }

    /// Passes on what comes from `side`.
    fn poll_way(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<Result<(), (Outcome, Loss)>> {
        match side {
            Side::Listen => {
                self.there.holds = self.hold.is_some();
                self.there.poll(&mut self.near, &mut self.far, &mut self.peel, &self.tally, cx)
            }
            Side::Connect => self.back.poll(&mut self.far, &mut self.near, &mut self.peel, &self.tally, cx),
        }
    }

    /// Passes the end of the LISTEN side on when it is to be kept back no longer.
    fn poll_held(&mut self, cx: &mut Context<'_>) {
        let Some(hold) = &mut self.hold else { return };
        hold.look(self.there.bytes, self.back.bytes);
        if self.there.stage != Stage::Held {
            return;
        }
        let far = &self.far;
        let unsent = || far.stack().outbound_len() + far.get_ref().unsent().unwrap_or(0);
        if self.back.is_at_end() || hold.poll_over(unsent, cx).is_ready() {
            self.there.stage = self.there.ending();
            cx.waker().wake_by_ref();
        }
    }

    /// Whether the side that has ended, while the other goes on, is gone altogether.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Loss> {
        let Some(watch) = &mut self.watch else { return Poll::Pending };
        let (side, conn) = match [self.there.stage, self.back.stage] {
            [Stage::Over, _] => (Side::Listen, &self.near),
            [_, Stage::Over] => (Side::Connect, &self.far),
            _ => return Poll::Pending,
        };
        loop {
            ready!(watch.poll_look(cx));
            if let Ok(Some(error)) = conn.get_ref().take_error() {
                let cause = format_args!("the peer is gone behind its end: {error}");
                return Poll::Ready(Loss::new(side, Own(error.counted_as(), cause)));
            }
        }
    }

    /// Whether nothing has passed for too long, and whose silence that is.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<Loss> {
        let Some(watch) = &mut self.watch else { return Poll::Pending };
        let over = [self.there.stage == Stage::Over, self.back.stage == Stage::Over];
        let seen = Seen { bytes: self.there.bytes + self.back.bytes, is_half_closed: over != [false, false] };
        let (near, far) = (&self.near, &self.far);
        let unsent =
            || [near, far].map(|conn| conn.stack().outbound_len() + conn.get_ref().unsent().unwrap_or(0)).iter().sum();
        let limit = ready!(watch.poll_over(seen, unsent, cx));
        Poll::Ready(match over {
            [false, false] => {
                Loss::new(Side::Listen, Own(Class::Timeout, format_args!("nothing has passed for {limit:?}")))
            }
            [there, _] => {
                let silent = if there { Side::Connect } else { Side::Listen };
                let cause = format_args!("nothing came for {limit:?}, and the other side had ended");
                Loss::new(silent, Own(Class::Timeout, cause))
            }
        })
    }

    /// How it was, when both sides have ended: whether one has left something out, or what was sent last was not answered.
    fn verdict(&mut self) -> End {
        if let Some(limit) = self.hold.as_ref().and_then(Hold::unanswered) {
            let cause = format!(
                "nothing came for what was sent last within {limit:?}, and the peer ended when we did (--wait SECONDS \
                 waits longer; --half-close is for peers that answer nothing)"
            );
            let loss = Loss::new(Side::Connect, Own(Class::Timeout, cause));
            self.broken = Some((Outcome::Lost, loss.clone()));
            return End::of(Outcome::Lost, loss);
        }
        let truncated = self.there.truncated.take().or(self.back.truncated.take());
        truncated.map_or(Outcome::Graceful.into(), |loss| End::of(Outcome::Truncated, loss))
    }

    /// Passes on what the lost side had said before.
    fn poll_last_words(&mut self, lost: Side, cx: &mut Context<'_>) -> Poll<()> {
        // It comes to the loss itself, to an end that was said before it, or the other side is lost as well.
        let _ = ready!(self.poll_way(lost, cx));
        let other = match lost {
            Side::Listen => &mut self.far,
            Side::Connect => &mut self.near,
        };
        Pin::new(&mut **other).poll_flush(cx).map(drop)
    }

    /// Whether nothing is left but last bytes, and their receiver has taken none of them for too long.
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.broken.is_none() && !(self.there.is_at_end() && self.back.is_at_end()) {
            return Poll::Pending;
        }
        let stacks = [self.near.stack(), self.far.stack()];
        let in_stacks: usize = stacks.map(|stack| stack.inbound_len() + stack.outbound_len()).iter().sum();
        let waiting = in_stacks + self.there.zero_copy.held() + self.back.zero_copy.held();
        let last = self.last.get_or_insert_with(|| Progress::new(self.timer, waiting));
        let system = || [&self.near, &self.far].map(|conn| conn.get_ref().unsent().unwrap_or(0)).iter().sum();
        ready!(last.poll_stuck(waiting, system, cx));
        let deaf = if self.there.stage == Stage::Over { Side::Listen } else { Side::Connect };
        let unread = || Loss::new(deaf, Own(Class::Timeout, "the peer did not read what was sent last"));
        let (outcome, loss) = self.broken.get_or_insert_with(|| (Outcome::Lost, unread())).clone();
        Poll::Ready(End::of(outcome, loss))
    }
}

/// The side whose outer TLS may be taken off.
struct Peel {
    side: Side,
    outer: OuterPeel,
}

/// What a way has to do with it.
enum Part<'a> {
    None,
    /// It reads from that side.
    Reads(&'a mut OuterPeel),
    /// It writes to that side.
    Writes(&'a mut OuterPeel),
}

impl Part<'_> {
    /// Whether the end of the way may be passed on.
    fn poll_may_close(
        &mut self,
        to: &mut Connection<Socket>,
        is_truncated: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::None | Self::Reads(_) => Poll::Ready(Ok(())),
            Self::Writes(outer) => outer.poll_may_close(to, is_truncated, cx).map_err(io::Error::from),
        }
    }
}

/// One direction.
struct Way {
    from: Side,
    stage: Stage,
    bytes: u64,
    pass_on: PassOn,
    /// What the sender left out when it ended.
    truncated: Option<Loss>,
    /// Whether its end is kept back.
    holds: bool,
    /// Where nobody looks at what passes.
    zero_copy: ZeroCopy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// All that came has left.
    Open,
    /// Something has been written that may not have left.
    Unsent,
    /// The sender has ended, and the receiver is not to know that yet.
    Held,
    /// The sender has ended, and its end is on its way to the receiver.
    Ending,
    /// As well, without a close_notify.
    EndingTruncated,
    Over,
}

impl Way {
    fn from(from: Side, pass_on: PassOn) -> Self {
        Self { from, stage: Stage::Open, bytes: 0, pass_on, truncated: None, holds: false, zero_copy: ZeroCopy::new() }
    }

    /// Whether the receiver was sent an end, or else how much it may still be waiting for.
    fn delivered(&self) -> Delivered {
        match self.stage {
            Stage::Ending | Stage::EndingTruncated | Stage::Over => Delivered::End,
            Stage::Open | Stage::Unsent | Stage::Held if self.bytes > 0 => Delivered::Something,
            Stage::Open | Stage::Unsent | Stage::Held => Delivered::Nothing,
        }
    }

    /// What becomes of the end of the sender.
    fn end(&self) -> Stage {
        if self.holds { Stage::Held } else { self.ending() }
    }

    fn ending(&self) -> Stage {
        if self.truncated.is_some() { Stage::EndingTruncated } else { Stage::Ending }
    }

    /// Whether the sender has nothing more to say.
    fn is_at_end(&self) -> bool {
        matches!(self.stage, Stage::Held | Stage::Ending | Stage::EndingTruncated | Stage::Over)
    }

    fn poll(
        &mut self,
        from: &mut Connection<Socket>,
        to: &mut Connection<Socket>,
        peel: &mut Option<Peel>,
        tally: &Tally,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (Outcome, Loss)>> {
        let (sender, receiver) = (self.from, self.from.other());
        let mut part = match peel {
            None => Part::None,
            Some(peel) if peel.side == sender => Part::Reads(&mut peel.outer),
            Some(peel) => Part::Writes(&mut peel.outer),
        };
        let lost = |error: io::Error| (Outcome::Lost, Loss::new(receiver, error));
        for _ in 0..MAX_WRITES {
            if let (Stage::Open | Stage::Unsent, Part::None) = (self.stage, &part) {
                let passed = ready!(self.zero_copy.poll_pass(from, to, cx));
                let count = passed.map_err(|error| lost(error.into()))?;
                if count > 0 {
                    self.bytes += count as u64;
                    tally.add_bytes(sender, count);
                    self.stage = Stage::Unsent;
                    continue;
                }
            }
            match self.stage {
                Stage::Open | Stage::Unsent => match Pin::new(&mut *from).poll_fill_buf(cx) {
                    Poll::Ready(Ok([])) => {
                        if let Part::Reads(outer) = &mut part {
                            let ended = ready!(outer.poll_end(from, cx));
                            // What waits for one or the other is the way back.
                            cx.waker().wake_by_ref();
                            if !ended.map_err(|error| (Outcome::Lost, Loss::new(sender, io::Error::from(error))))? {
                                continue;
                            }
                        }
                        self.stage = self.end();
                    }
                    Poll::Ready(Ok(bytes)) => {
                        self.zero_copy.has_read(bytes.len());
                        let count = match &mut part {
                            Part::None => ready!(from.poll_pass_on(to, cx)).map_err(|error| lost(error.into()))?,
                            Part::Reads(outer) => {
                                let count = ready!(Pin::new(&mut *to).poll_write(cx, bytes)).map_err(lost)?;
                                outer.read(&bytes[..count]);
                                Pin::new(&mut *from).consume(count);
                                if outer.act(from) {
                                    cx.waker().wake_by_ref();
                                }
                                count
                            }
                            Part::Writes(outer) => {
                                let count = ready!(Pin::new(&mut *to).poll_write(cx, bytes)).map_err(lost)?;
                                outer.written(&bytes[..count]);
                                Pin::new(&mut *from).consume(count);
                                outer.act(to);
                                count
                            }
                        };
                        self.bytes += count as u64;
                        tally.add_bytes(sender, count);
                        self.stage = Stage::Unsent;
                    }
                    Poll::Ready(Err(error)) => {
                        let loss = Loss::new(sender, error);
                        if !is_end_without_close_notify(from) {
                            return Poll::Ready(Err((Outcome::Lost, loss)));
                        }
                        if self.pass_on == PassOn::Reset {
                            return Poll::Ready(Err((Outcome::Truncated, loss)));
                        }
                        if let Part::Reads(outer) = &mut part {
                            outer.read_ended();
                            cx.waker().wake_by_ref();
                        }
                        self.truncated = Some(loss);
                        self.stage = self.end();
                    }
                    Poll::Pending if self.stage == Stage::Open => return Poll::Pending,
                    Poll::Pending => {
                        // Somebody must send what waits, and the sender's socket does not wake us for that.
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(lost)?;
                        self.stage = Stage::Open;
                        return Poll::Pending;
                    }
                },
                Stage::Held => {
                    // What was sent last is to arrive all the same.
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(lost)?;
                    return Poll::Pending;
                }
                Stage::Ending => {
                    ready!(part.poll_may_close(to, false, cx)).map_err(lost)?;
                    ready!(Pin::new(&mut *to).poll_close(cx)).map_err(lost)?;
                    self.stage = Stage::Over;
                }
                Stage::EndingTruncated => {
                    ready!(part.poll_may_close(to, true, cx)).map_err(lost)?;
                    let closed = ready!(pin!(to.close_wire()).poll(cx));
                    closed.map_err(|error| lost(error.into()))?;
                    self.stage = Stage::Over;
                }
                Stage::Over => return Poll::Ready(Ok(())),
            }
        }
        // The other way, and other connections, have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether what was read came to an end that is none for its layers, at a place where it can be one: nothing that came with it
/// is left over, such as a part of a record.
pub(crate) fn is_end_without_close_notify(from: &Connection<Socket>) -> bool {
    let stack = from.stack();
    from.end() == Some(stack::End::Truncated) && stack.lost().is_none() && stack.inbound_len() == 0
}

/// A connection that is reset when it is dropped: whoever aborts does not pretend that everything was said.
pub(crate) struct Unfinished(Option<Connection<Socket>>);

impl Unfinished {
    pub(crate) fn new(conn: Connection<Socket>) -> Self {
        Self(Some(conn))
    }

    /// The connection, to be dropped like any other.
    pub(crate) fn finished(mut self) -> Connection<Socket> {
        self.0.take().expect(TAKEN_LAST)
    }
}

impl Deref for Unfinished {
    type Target = Connection<Socket>;

    fn deref(&self) -> &Connection<Socket> {
        self.0.as_ref().expect(TAKEN_LAST)
    }
}

impl DerefMut for Unfinished {
    fn deref_mut(&mut self) -> &mut Connection<Socket> {
        self.0.as_mut().expect(TAKEN_LAST)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take()
            && let Err(error) = conn.into_inner().io.reset()
        {
            log::debug!("closed without a reset: {error}");
        }
    }
}

/// What a peer has heard of us before it is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    Nothing,
    Something,
    End,
}

/// Ends a connection such that its peer can tell that this is no end of what there was to say.
///
/// Inside TLS, the socket is closed without a close_notify, behind the last bytes. Where there is no TLS, only a reset can
/// tell; but it may overtake bytes that are still on their way, so it waits until the peer's system has taken them. A Unix
/// socket has no reset: without TLS, its peer sees an end of file.
pub(crate) async fn break_off(timer: &dyn Timer, mut conn: Unfinished, delivered: Delivered) {
    let is_inside_tls = conn.layers().tls().next().is_some();
    match delivered {
        Delivered::Nothing | Delivered::Something if is_inside_tls => {
            let mut io = conn.finished().into_inner().io;
            let truncate = async {
                let _ = io.close().await;
                read_to_end(&mut io).await;
            };
            select(Box::pin(truncate), timer.sleep_until(timer.now() + LAST_BYTES)).await;
        }
        Delivered::Nothing => {}
        Delivered::Something | Delivered::End => {
            let until = timer.now() + LAST_BYTES;
            // A peer that has been sent an end may be at its answer, and must have read all before a write of its fails.
            if delivered == Delivered::End || !have_arrived(timer, &conn, until).await {
                // Or the system tells nothing: the peer may have closed when it had all.
                select(Box::pin(read_to_end(&mut *conn)), timer.sleep_until(until)).await;
            }
        }
    }
}

/// Waits until the peer's system has taken all that was sent; whether it has, and that is known.
async fn have_arrived(timer: &dyn Timer, conn: &Connection<Socket>, until: Instant) -> bool {
    let mut pause = Duration::from_millis(1);
    loop {
        match conn.get_ref().unsent() {
            Some(0) => return true,
            Some(_) if timer.now() < until => timer.sleep_until(until.min(timer.now() + pause)).await,
            _ => return false,
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Closes a side that is lost. One that was given up because it was silent, or because of what it left out, may be there
/// all the same, and must not take that for an end either.
async fn leave_lost(timer: &dyn Timer, conn: Unfinished, delivered: Delivered) {
    let (lost, is_truncated) = (conn.stack().lost(), conn.stack().truncated().is_some());
    let is_silent = || lost.and_then(Reason::layer_error).is_some_and(|error| error.kind() == LayerErrorKind::Idle);
    match lost.map_or(is_truncated, |_| is_silent()) {
        true => break_off(timer, conn, delivered).await,
        false => leave(conn.finished()).await,
    }
}

async fn read_to_end(from: &mut (impl futures::io::AsyncRead + Unpin)) {
    let mut ignored = vec![0; 4096];
    while let Ok(1..) = from.read(&mut ignored).await {}
}

/// How many of the last bytes still wait, and until when they have to become fewer.
struct Progress {
    waiting: usize,
    quiet: Quiet,
}

impl Progress {
    fn new(timer: &'static dyn Timer, waiting: usize) -> Self {
        Self { waiting, quiet: Quiet::new(timer, Limit(Some(STALL_TIMEOUT))) }
    }

    /// The system takes much at once from us, and a slow peer little by little from the system: `system` is what it holds.
    fn poll_stuck(&mut self, waiting: usize, system: impl FnOnce() -> usize, cx: &mut Context<'_>) -> Poll<()> {
        if waiting < self.waiting {
            self.waiting = waiting;
            self.quiet.restart();
        }
        self.quiet.poll_over(system, cx)
    }
}

impl Side {
    pub(crate) const ALL: &[Self] = &[Self::Listen, Self::Connect];

    /// What programs call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Connect => "connect",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Listen => Self::Connect,
            Self::Connect => Self::Listen,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listen => "LISTEN side",
            Self::Connect => "CONNECT side",
        })
    }
}

impl Loss {
    /// The cause becomes one line, whatever a peer has put into it.
    pub(crate) fn new(side: Side, cause: impl Cause) -> Self {
        Self { side, class: cause.counted_as(), cause: Failure::new(cause).to_string() }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.side, self.cause)
    }
}

const TAKEN_LAST: &str = "the connection is taken only by who consumes this";

/// After so many writes in one direction without a wait, others have their turn.
const MAX_WRITES: usize = 64;

/// How long a peer may take nothing at all of the last bytes.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long last bytes may be on their way before a reset follows them.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Between two looks at what is on its way.
const MAX_PAUSE: Duration = Duration::from_millis(50);
