//! How a layer ends that tells its peer so: what TLS, deflate, and a layer of your own with an end have in common.
//!
//! Each side says once that nothing more comes through the layer: a close_notify, a final block. So there are two halves that
//! close independently (half-close), and a stop, which closes ours, waits for the peer's, and has the layer peeled:
//!
//! ```text
//!   read        Open ──► Ended                the peer's end has come
//!                ├─────► Missing              the peer left it out, and that was allowed
//!                └─────► Truncated            the stream below ended before it; our own direction goes on
//!
//!   write       Open ──► EndWaits ──► EndSent      Finish, Stop or Close came down
//!                └───────────▲ (at once, unless the peer is let go first)
//!
//!   stop        not asked ──► ordered ──► met ──► (peeled)
//! ```
//!
//! [`Halves`] is that state machine, and [`Ending`] does with it what does not depend on what an end looks like. There is no
//! combined state: RFC 8446 section 6.1 closes each direction by itself, and TLS 1.2 peers do as well.

use std::time::Duration;

use crate::stack::{
    Ends, Failure, GoesFirst, Layer, LayerError, LayerErrorKind, OnTimeout, Order, Overdue, Patience, PeerAnswer,
    Report, Stop,
};

/// A layer that ends by an exchange with its peer.
///
/// Whoever implements it keeps a [`Halves`], says how an end is written, and calls the methods that are provided:
///
/// | where | what to call |
/// |---|---|
/// | [`Layer::can_stop`] | nothing: answer `true` |
/// | [`Layer::stop`] | [`Halves::order`], unless the stop asks for what the layer cannot do |
/// | [`Layer::awaits`] | [`Halves::awaits`] |
/// | [`Layer::overdue`] | [`stop_overdue`](Self::stop_overdue) |
/// | [`Layer::outbound`] | while [`Halves::write`] is open, [`obey`](Self::obey) for each order; then [`obey_behind_end`](Self::obey_behind_end) |
/// | [`Layer::inbound`] | while [`Halves::read`] is open; for an end [`peer_ended`](Self::peer_ended) and its like, and then nothing more is taken |
///
/// `tests/layers/outside.rs` has a small one, whole.
pub trait Ending: Layer {
    /// What an end is called in errors: `close_notify`, `final block`.
    const END: &'static str;

    /// Where both halves are.
    fn halves(&mut self) -> &mut Halves;

    /// Gives our end to outbound below: the last that this layer says. Called once.
    fn send_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure>;

    /// How the layer fails. By default the connection is lost.
    fn fail(&mut self, error: LayerError) -> Failure {
        Failure::lose(error)
    }

    /// Does what an order says that was taken from the front of outbound above, or passes it on. To be called while our half
    /// is open.
    fn obey(&mut self, order: Order, ends: &mut Ends<'_>) -> Result<(), Failure> {
        match order {
            Order::Finish(layer) if layer == ends.id() => self.end_ours(ends),
            Order::Stop(layer) if layer == ends.id() => meet_stop(self, ends),
            Order::Close => {
                self.end_ours(ends)?;
                ends.outbound_below().push_mark(Order::Close);
                Ok(())
            }
            other => {
                ends.outbound_below().push_mark(other);
                Ok(())
            }
        }
    }

    /// Does with outbound above what is to be done when our half is not open any more: further orders are obeyed, and bytes
    /// wait there for the peel, unless the stop lets them through.
    fn obey_behind_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.halves().write != WriteHalf::EndSent {
            return Ok(());
        }
        if let Some(stop) = self.halves().met() {
            if stop.lets_writes_through() {
                ends.pass_outbound();
            }
            return Ok(());
        }
        // The half was closed by `finish`, or by the close of the whole connection.
        match ends.outbound_above().take_mark() {
            Some(Order::Stop(id)) if id == ends.id() => meet_stop(self, ends),
            Some(order @ (Order::Close | Order::CloseWire)) => {
                ends.outbound_below().push_mark(order);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Closes our half, if it is not closed already (idempotent).
    fn end_ours(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.halves().write != WriteHalf::EndSent {
            self.send_end(ends)?;
            self.halves().write = WriteHalf::EndSent;
        }
        Ok(())
    }

    /// The peer's end has come and been taken. What stands behind it in inbound below is not this layer's.
    fn peer_ended(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        close_read(self, ReadHalf::Ended, ends)
    }

    /// The stream below has ended instead, where this protocol allows that: as good as an end.
    fn peer_left(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        close_read(self, ReadHalf::Missing, ends)
    }

    /// The stream below has ended before the peer's end, at the mark that stands first in inbound below. Our direction is still
    /// open, so what was written leaves, and our end too; `error` is told behind all that came. Not for a loss
    /// ([`End::Lost`](crate::stack::End::Lost)), over which a layer fails.
    fn cut_off(&mut self, error: LayerError, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.inbound_below().take_mark();
        self.halves().read = ReadHalf::Truncated;
        ends.truncate_inbound(error);
        go_on_behind_read(self, ends)
    }

    /// Ends both halves without what is missing of the exchange, and has the layer peeled: the peer has continued below, has not
    /// answered, or is not asked.
    fn end_alone(&mut self, answer: PeerAnswer, ends: &mut Ends<'_>) {
        let halves = self.halves();
        // Nobody is left to read our end if it has not been sent.
        halves.write = WriteHalf::EndSent;
        if halves.read == ReadHalf::Open {
            halves.read = ReadHalf::Missing;
            ends.end_inbound();
        }
        ends.report(Report::Stopped(answer));
    }

    /// The peer has had its time for what [`Halves::awaits`] said: sends our end when it was let go first, and fails or ends
    /// alone, as the stop says, when it has not answered.
    fn stop_overdue(&mut self, overdue: Overdue, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.halves().stopping.end_grace() {
            self.end_ours(ends)?;
            if !self.halves().stopping.is_spent() {
                return Ok(());
            }
        }
        if self.halves().met().is_none_or(|stop| stop.without_answer() != OnTimeout::Peel) {
            let message = match overdue {
                Overdue::Reading => {
                    "the peer takes nothing of what is to be sent before the layer is stopped".to_owned()
                }
                _ => format!("the peer did not answer the {} within the deadline", Self::END),
            };
            return Err(self.fail(LayerError::new(LayerErrorKind::StopTimeout, message)));
        }
        self.end_alone(PeerAnswer::TimedOut, ends);
        Ok(())
    }
}

/// The two halves of an [`Ending`] layer, and its stop.
#[derive(Clone, Copy, Debug)]
pub struct Halves {
    read: ReadHalf,
    write: WriteHalf,
    stopping: Stopping,
}

/// What comes from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadHalf {
    /// More may come.
    Open,
    /// The peer has ended its half.
    Ended,
    /// It has not, and that was allowed.
    Missing,
    /// The stream below ended before it.
    Truncated,
}

/// What goes to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteHalf {
    /// More may go.
    Open,
    /// Nothing more goes; our end waits for the peer's, for as long as that is let go first.
    EndWaits,
    /// Our end has been sent, or nobody is left to read it.
    EndSent,
}

impl Halves {
    /// Both open, and no stop.
    #[must_use]
    pub fn new() -> Self {
        Self { read: ReadHalf::Open, write: WriteHalf::Open, stopping: Stopping::NotAsked }
    }

    /// The half of the peer.
    #[must_use]
    pub fn read(&self) -> ReadHalf {
        self.read
    }

    /// Our half.
    #[must_use]
    pub fn write(&self) -> WriteHalf {
        self.write
    }

    /// A stop has been ordered ([`Layer::stop`]). It is met when its [`Order`] comes down.
    pub fn order(&mut self, stop: Stop) {
        self.stopping = Stopping::Ordered(stop);
    }

    /// The options of the stop, once it is ordered.
    #[must_use]
    pub fn ordered(&self) -> Option<&Stop> {
        match &self.stopping {
            Stopping::NotAsked => None,
            Stopping::Ordered(stop) | Stopping::Met(stop, _) => Some(stop),
        }
    }

    /// The options of the stop, once everything that was written before it has gone through the layer.
    #[must_use]
    pub fn met(&self) -> Option<&Stop> {
        match &self.stopping {
            Stopping::Met(stop, _) => Some(stop),
            _ => None,
        }
    }

    /// How long the peer may take for its part in the stop ([`Layer::awaits`]).
    #[must_use]
    pub fn awaits(&self) -> Option<Patience> {
        self.stopping.awaits()
    }
}

impl Default for Halves {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    NotAsked,
    /// The command was given; what was written before it is still on its way through this layer.
    Ordered(Stop),
    /// Everything written before has gone through this layer.
    Met(Stop, Grace),
}

/// The time in which the peer may go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    None,
    Running(Duration),
    /// It was so long, and is a part of the time for the answer.
    Over(Duration),
}

impl Stopping {
    fn meet(&mut self) {
        if let Self::Ordered(stop) = *self {
            *self = Self::Met(stop, Grace::None);
        }
    }

    /// Lets the peer go first, no longer than the whole stop may take.
    fn begin_grace(&mut self, grace: Duration) {
        if let Self::Met(stop, state) = self {
            *state = Grace::Running(stop.answer_limit().map_or(grace, |limit| grace.min(limit)));
        }
    }

    /// Whether the grace was running, and is over now.
    fn end_grace(&mut self) -> bool {
        let Self::Met(_, state @ Grace::Running(_)) = self else { return false };
        if let Grace::Running(grace) = *state {
            *state = Grace::Over(grace);
        }
        true
    }

    /// How long the peer may take for its part. The time of the grace is not given twice.
    fn awaits(&self) -> Option<Patience> {
        let answer = |limit| Patience::new("the peer's end of the layer", limit).behind_stop();
        match *self {
            Self::NotAsked => None,
            Self::Ordered(stop) | Self::Met(stop, Grace::None) => stop.answer_limit().map(answer),
            Self::Met(_, Grace::Running(grace)) => Some(Patience::new("the peer to go first", grace)),
            Self::Met(stop, Grace::Over(grace)) => stop.answer_limit().map(|limit| answer(limit.saturating_sub(grace))),
        }
    }

    /// Whether nothing is left of the time for the answer, the grace having taken all of it.
    fn is_spent(&self) -> bool {
        self.awaits().is_some_and(|patience| patience.limit().is_zero())
    }
}

fn meet_stop<E: Ending + ?Sized>(layer: &mut E, ends: &mut Ends<'_>) -> Result<(), Failure> {
    let halves = layer.halves();
    halves.stopping.meet();
    let (is_whole, are_open) =
        (halves.read != ReadHalf::Truncated, halves.read == ReadHalf::Open && halves.write == WriteHalf::Open);
    match halves.met().map(Stop::goes_first) {
        Some(GoesFirst::Nobody) if is_whole => {
            layer.end_alone(PeerAnswer::Abandoned, ends);
            return Ok(());
        }
        Some(GoesFirst::Peer(grace)) if are_open => {
            halves.stopping.begin_grace(grace);
            halves.write = WriteHalf::EndWaits;
            ends.report(Report::Waits);
        }
        _ => layer.end_ours(ends)?,
    }
    check_stopped(layer, ends)
}

fn close_read<E: Ending + ?Sized>(layer: &mut E, half: ReadHalf, ends: &mut Ends<'_>) -> Result<(), Failure> {
    layer.halves().read = half;
    ends.end_inbound();
    go_on_behind_read(layer, ends)
}

/// What the end of the peer's half lets happen: our end leaves if it was waiting, and the stop may be over.
fn go_on_behind_read<E: Ending + ?Sized>(layer: &mut E, ends: &mut Ends<'_>) -> Result<(), Failure> {
    if layer.halves().write == WriteHalf::EndWaits {
        layer.end_ours(ends)?;
    }
    check_stopped(layer, ends)
}

/// Whether there is nothing left of a stop but to report how it went. Without the peer's end it has failed, and what waits for
/// the peel must not leave.
fn check_stopped<E: Ending + ?Sized>(layer: &mut E, ends: &mut Ends<'_>) -> Result<(), Failure> {
    let halves = *layer.halves();
    if halves.met().is_none() || halves.write != WriteHalf::EndSent {
        return Ok(());
    }
    match halves.read {
        ReadHalf::Open => {}
        ReadHalf::Ended => ends.report(Report::Stopped(PeerAnswer::CloseNotify)),
        ReadHalf::Missing => ends.report(Report::Stopped(PeerAnswer::Missing)),
        ReadHalf::Truncated => {
            let message = format!("the stream below ended instead of the peer's {}", E::END);
            return Err(layer.fail(LayerError::new(LayerErrorKind::Truncated, message)));
        }
    }
    Ok(())
}
