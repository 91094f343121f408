//! A layer that misbehaves on purpose.
//!
//! ```text
//!    [ tls ]                             [ tls ]
//!       │                                   │
//!    [ corrupt ]   turns a bit over      [ delay ]   what passes here came a second ago
//!       │                                   │
//!     wire                                wire
//! ```
//!
//! Below a layer it is a bad wire, above one a bad neighbour. Where a fault is does not depend on how the stream is cut
//! into reads, so a test finds it at the same byte every time.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::{Cut, Dice};
use crate::stack::{End, Ends, Failure, Layer, LayerError, LayerErrorKind, Opens, Order, Queue};

/// A layer for the list that does one thing wrong, in both directions or in one, and passes everything else on.
///
/// It honours the room of its neighbours and keeps no bytes: what it holds back rests in the boundary. Bytes are counted
/// from 0, in each direction by itself, from the moment when the layer is spliced in. What is random comes of a seed,
/// which shows in [`Layer::describe`], so in logs, drawings and errors.
///
/// TLS fails over a wire that turns one bit over, and says where:
///
/// ```
/// use onionskin::stack::LayerErrorKind;
/// use onionskin::testing::{Cut, Fault, Pair};
/// # use onionskin::tls::{Identity, TlsClient, TlsServer, Verify};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if onionskin::tls::default_provider().is_err() { return Ok(()) }
/// # let issued = rcgen::generate_simple_self_signed(["mail.example".to_owned()])?;
/// # let pem = (issued.cert.pem(), issued.signing_key.serialize_pem());
/// # let identity = Identity::from_pem(pem.0.as_bytes(), pem.1.as_bytes())?;
/// # let (client, server) = (TlsClient::builder(Verify::nothing()).build()?, TlsServer::new(identity)?);
///
/// let mut pair = Pair::new(Cut::Whole);
/// pair.right.splice(Fault::flip(50, 0x01).inbound()); // in the ClientHello, where nothing can tell
/// let layer = pair.left.splice(client.to("mail.example")?);
/// pair.right.splice(server.accept()?);
/// pair.run();
///
/// let reason = pair.left.lost().expect("the two have not seen the same hello");
/// assert_eq!(reason.layers()[0].layer, layer);
/// assert_eq!(reason.layers()[0].error.kind(), LayerErrorKind::Protocol);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    inbound: Option<Way>,
    outbound: Option<Way>,
}

impl Fault {
    /// Everything passes `by` later, in its order, marks too.
    ///
    /// What is on its way waits in the boundary, so that a full one slows its writer down. Time passes with the deadlines
    /// of the stack: [`Pair::advance`](super::Pair::advance), or a [`Clock`](super::Clock).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.left.splice(Fault::delay(Duration::from_secs(3)).outbound());
    /// pair.left.write(b"hello");
    /// pair.advance(Duration::from_secs(2));
    /// assert_eq!(pair.right.read(), b"");
    /// pair.advance(Duration::from_secs(1));
    /// assert_eq!(pair.right.read(), b"hello");
    /// ```
    #[must_use]
    pub fn delay(by: Duration) -> Self {
        Self::new(Kind::Delay(by))
    }

    /// Everything passes in pieces, and the neighbour sees each as it comes: bytes that are not yet a record, and marks
    /// by themselves. Unlike the cut of a [`Pair`](super::Pair) it can stand between any two layers.
    ///
    /// [`Cut::Whole`] and [`Cut::Coalesced`] change nothing: a neighbour has all there is before it is called. A boundary
    /// of more than a megabyte has more bytes than one call of the stack has turns: cut it into larger pieces.
    ///
    /// ```
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::cut(Cut::Random(7)));
    /// assert_eq!(pair.left_to_right(b"not a byte is lost"), b"not a byte is lost");
    /// assert_eq!(pair.right.stack.to_string(), "right ─ cut into random pieces, seed 7");
    /// ```
    #[must_use]
    pub fn cut(cut: Cut) -> Self {
        Self::new(Kind::Cut(cut))
    }

    /// The bits that are set in `bits` are turned over in the byte at `offset`.
    ///
    /// ```
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::flip(1, 0x20).inbound());
    /// assert_eq!(pair.left_to_right(b"hello"), b"hEllo");
    /// assert_eq!(pair.right_to_left(b"hello"), b"hello");
    /// ```
    ///
    /// # Panics
    ///
    /// If no bit is set: that would be no fault.
    #[must_use]
    pub fn flip(offset: u64, bits: u8) -> Self {
        assert_ne!(bits, 0, "a fault turns at least one bit over");
        Self::new(Kind::Flip { offset, bits })
    }

    /// One bit is turned over in one of `one_in` bytes, at random.
    ///
    /// ```
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::flip_at_random(7, 100));
    /// let arrived = pair.left_to_right(&[0; 10_000]);
    /// let damaged: u32 = arrived.iter().map(|byte| byte.count_ones()).sum();
    /// assert!((50..200).contains(&damaged));
    /// ```
    ///
    /// # Panics
    ///
    /// If `one_in` is 0.
    #[must_use]
    pub fn flip_at_random(seed: u64, one_in: usize) -> Self {
        assert_ne!(one_in, 0, "one byte in none is no number of bytes");
        Self::new(Kind::FlipAtRandom { seed, one_in })
    }

    /// The end never comes. Inbound, neither end of file nor the clean end of a layer below passes; outbound, the
    /// [`close`](crate::stack::Stack::close) does not, so the peer sees neither the close_notify of the layers below nor
    /// end of file. A loss still shows.
    ///
    /// ```
    /// use onionskin::stack::Readable;
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::without_end());
    /// pair.left.write(b"bye");
    /// let now = pair.now();
    /// pair.left.stack.close(now);
    /// pair.run();
    /// assert_eq!(pair.right.read(), b"bye");
    /// assert!(matches!(pair.right.stack.readable(), Readable::Nothing), "and not the end of input");
    /// ```
    #[must_use]
    pub fn without_end() -> Self {
        Self::new(Kind::WithoutEnd)
    }

    /// The stream ends after `offset` bytes, as if the other side had closed the socket there; what follows is lost.
    /// Inbound that is end of file, outbound a close of everything below.
    ///
    /// ```
    /// use onionskin::stack::Readable;
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::end_at(4).inbound());
    /// assert_eq!(pair.left_to_right(b"unfinished"), b"unfi");
    /// assert!(matches!(pair.right.stack.readable(), Readable::EndOfInput));
    /// ```
    #[must_use]
    pub fn end_at(offset: u64) -> Self {
        Self::new(Kind::EndAt(offset))
    }

    /// From the byte at `offset` on nothing passes any more, no end either, as if a cable were pulled out: below TLS, a
    /// close_notify that never comes. A loss still shows, and orders to the layers below still reach them.
    ///
    /// ```
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::silence_at(4).inbound());
    /// assert_eq!(pair.left_to_right(b"unfinished"), b"unfi");
    /// ```
    #[must_use]
    pub fn silence_at(offset: u64) -> Self {
        Self::new(Kind::SilenceAt(offset))
    }

    /// The layer fails where the byte at `offset` would pass, and the connection is lost with it. What came before can
    /// still be read.
    ///
    /// ```
    /// use onionskin::stack::LayerErrorKind;
    /// use onionskin::testing::{Cut, Fault, Pair};
    ///
    /// let mut pair = Pair::new(Cut::Whole);
    /// pair.right.splice(Fault::lose_at(4).inbound());
    /// assert_eq!(pair.left_to_right(b"unfinished"), b"unfi");
    /// let reason = pair.right.lost().expect("it is lost");
    /// assert_eq!(reason.layers()[0].error.kind(), LayerErrorKind::Truncated);
    /// assert_eq!(reason.to_string(), "layer #1 (loss at byte 4, inbound): the test asked for a loss at this byte");
    /// ```
    #[must_use]
    pub fn lose_at(offset: u64) -> Self {
        Self::new(Kind::LoseAt(offset))
    }

    /// Only on the way up, from the peer to the application.
    #[must_use]
    pub fn inbound(mut self) -> Self {
        self.outbound = None;
        self
    }

    /// Only on the way down, from the application to the peer.
    #[must_use]
    pub fn outbound(mut self) -> Self {
        self.inbound = None;
        self
    }

    fn new(kind: Kind) -> Self {
        let way = Way { taken: 0, effect: Effect::of(kind) };
        Self { kind, inbound: Some(way.clone()), outbound: Some(way) }
    }
}

impl Opens for Fault {
    type Facts = ();
}

impl Layer for Fault {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Delay(_) => "delay",
            Kind::Cut(_) => "cut",
            Kind::Flip { .. } | Kind::FlipAtRandom { .. } => "corrupt",
            Kind::WithoutEnd | Kind::EndAt(_) => "end",
            Kind::SilenceAt(_) => "silence",
            Kind::LoseAt(_) => "loss",
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Delay(by) => write!(f, "delay of {by:?}")?,
            Kind::Cut(Cut::Bytes) => f.write_str("cut into bytes")?,
            Kind::Cut(Cut::Pieces(size)) => write!(f, "cut into pieces of {size}")?,
            Kind::Cut(Cut::Random(seed)) => write!(f, "cut into random pieces, seed {seed}")?,
            Kind::Cut(Cut::Whole | Cut::Coalesced) => f.write_str("cut nowhere")?,
            Kind::Flip { offset, bits } => write!(f, "corrupt byte {offset} by {bits:#04x}")?,
            Kind::FlipAtRandom { seed, one_in } => write!(f, "corrupt one byte in {one_in}, seed {seed}")?,
            Kind::WithoutEnd => f.write_str("end swallowed")?,
            Kind::EndAt(offset) => write!(f, "end at byte {offset}")?,
            Kind::SilenceAt(offset) => write!(f, "silence from byte {offset}")?,
            Kind::LoseAt(offset) => write!(f, "loss at byte {offset}")?,
        }
        match (&self.inbound, &self.outbound) {
            (Some(_), None) => f.write_str(", inbound"),
            (None, Some(_)) => f.write_str(", outbound"),
            _ => Ok(()),
        }
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Some(way) = &mut self.inbound else {
            ends.pass_inbound();
            return Ok(());
        };
        let now = ends.now();
        let inbound = ends.all().inbound;
        way.pass(now, inbound.from, inbound.to)
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Some(way) = &mut self.outbound else {
            ends.pass_outbound();
            return Ok(());
        };
        let now = ends.now();
        let outbound = ends.all().outbound;
        way.pass(now, outbound.from, outbound.to)
    }

    fn deadline(&self) -> Option<Instant> {
        [&self.inbound, &self.outbound].into_iter().flatten().filter_map(Way::deadline).min()
    }

    fn timeout(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        Layer::inbound(self, ends)?;
        Layer::outbound(self, ends)
    }
}

/// Which fault, with all that it takes to repeat it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Delay(Duration),
    Cut(Cut),
    Flip { offset: u64, bits: u8 },
    FlipAtRandom { seed: u64, one_in: usize },
    WithoutEnd,
    EndAt(u64),
    SilenceAt(u64),
    LoseAt(u64),
}

/// One direction with a fault.
#[derive(Clone, Debug)]
struct Way {
    /// The number of bytes that have passed or been dropped.
    taken: u64,
    effect: Effect,
}

/// What a fault does next.
#[derive(Clone, Debug)]
enum Effect {
    Delay(Delayed),
    Cut(Cut, Dice),
    Flip { offset: u64, bits: u8 },
    FlipAtRandom { dice: Dice, one_in: usize },
    WithoutEnd,
    EndAt(u64),
    SilenceAt(u64),
    LoseAt(u64),
}

impl Effect {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Delay(by) => Self::Delay(Delayed::new(by)),
            Kind::Cut(cut) => Self::Cut(cut, cut.dice()),
            Kind::Flip { offset, bits } => Self::Flip { offset, bits },
            Kind::FlipAtRandom { seed, one_in } => Self::FlipAtRandom { dice: Dice::new(seed), one_in },
            Kind::WithoutEnd => Self::WithoutEnd,
            Kind::EndAt(offset) => Self::EndAt(offset),
            Kind::SilenceAt(offset) => Self::SilenceAt(offset),
            Kind::LoseAt(offset) => Self::LoseAt(offset),
        }
    }
}

impl Way {
    fn pass<M: Mark>(&mut self, now: Instant, from: &mut Queue<M>, to: &mut Queue<M>) -> Result<(), Failure> {
        let taken = &mut self.taken;
        match &mut self.effect {
            Effect::Delay(delayed) => delayed.pass(taken, now, from, to),
            Effect::Cut(Cut::Whole | Cut::Coalesced, ..) => pass_changed(taken, from, to, |_, _| ()),
            Effect::Cut(cut, dice) => {
                if from.is_empty() || (to.room() == 0 && !from.front().is_empty()) {
                    return Ok(());
                }
                // The work loop calls the neighbour before it calls this layer again.
                let ready = from.front().len().min(to.room());
                if ready > 0 {
                    let piece = cut.piece(dice, ready) as u64;
                    pass_bytes(taken, piece, from, to, |_, _| ());
                } else if let Some(mark) = from.take_mark() {
                    to.push_mark(mark);
                }
            }
            &mut Effect::Flip { offset, bits } => pass_changed(taken, from, to, |at, byte| {
                if at == offset {
                    *byte ^= bits;
                }
            }),
            Effect::FlipAtRandom { dice, one_in } => pass_changed(taken, from, to, |_, byte| {
                if dice.one_in(*one_in) {
                    *byte ^= 1 << dice.below(8);
                }
            }),
            Effect::WithoutEnd => loop {
                pass_bytes(taken, u64::MAX, from, to, |_, _| ());
                match from.take_mark() {
                    Some(mark) if mark.is_end() => {}
                    Some(mark) => to.push_mark(mark),
                    None => break,
                }
            },
            &mut Effect::EndAt(offset) => {
                pass_up_to(offset, taken, from, to);
                if *taken == offset {
                    to.push_mark(M::END);
                    self.effect = Effect::SilenceAt(offset);
                }
            }
            &mut Effect::SilenceAt(offset) => {
                pass_up_to(offset, taken, from, to);
                if *taken >= offset {
                    drop_all(taken, from, to);
                }
            }
            &mut Effect::LoseAt(offset) => {
                pass_up_to(offset, taken, from, to);
                while *taken == offset
                    && let Some(mark) = from.take_mark()
                {
                    to.push_mark(mark);
                }
                if *taken == offset && !from.front().is_empty() {
                    let message = "the test asked for a loss at this byte";
                    return Err(LayerError::new(LayerErrorKind::Truncated, message).into());
                }
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.effect {
            Effect::Delay(delayed) => delayed.deadline(),
            _ => None,
        }
    }
}

/// What is on its way through a delay. The bytes themselves rest in the boundary; here is only when they came.
#[derive(Clone, Debug)]
struct Delayed {
    by: Duration,
    arrivals: VecDeque<Arrival>,
    /// How far everything has arrived.
    arrived: Place,
    /// How far it may pass.
    due: Place,
    passed_marks: u64,
}

/// What arrived up to this place may pass then; never, if that is beyond all time.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    end: Place,
    passes: Option<Instant>,
}

/// A place in a stream: so many bytes and so many marks stand before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    bytes: u64,
    marks: u64,
}

impl Delayed {
    fn new(by: Duration) -> Self {
        Self { by, arrivals: VecDeque::new(), arrived: Place::default(), due: Place::default(), passed_marks: 0 }
    }

    fn pass<M: Mark>(&mut self, taken: &mut u64, now: Instant, from: &mut Queue<M>, to: &mut Queue<M>) {
        let marks = self.passed_marks + from.marks().count() as u64;
        self.note(now, Place { bytes: *taken + from.len() as u64, marks });
        loop {
            pass_bytes(taken, self.due.bytes - *taken, from, to, |_, _| ());
            if self.passed_marks == self.due.marks {
                return;
            }
            let Some(mark) = from.take_mark() else { return };
            to.push_mark(mark);
            self.passed_marks += 1;
        }
    }

    /// Everything up to `arrived` is there; what came long enough ago is due.
    fn note(&mut self, now: Instant, arrived: Place) {
        if !self.arrived.is_within(arrived) {
            // The stack has dropped what was to be sent; what comes next is not as old as that.
            for end in self.arrivals.iter_mut().map(|arrival| &mut arrival.end).chain([&mut self.due]) {
                *end = end.no_further_than(arrived);
            }
        }
        let is_new = arrived != self.arrived.no_further_than(arrived);
        self.arrived = arrived;
        if is_new {
            let arrival = Arrival { end: arrived, passes: now.checked_add(self.by) };
            match self.arrivals.back_mut() {
                Some(last) if last.passes == arrival.passes => *last = arrival,
                _ => self.arrivals.push_back(arrival),
            }
        }
        while let Some(arrival) = self.arrivals.front()
            && arrival.passes.is_some_and(|at| at <= now)
        {
            self.due = arrival.end;
            self.arrivals.pop_front();
        }
    }

    /// Everything that is due has been noted as such, so this is yet to come.
    fn deadline(&self) -> Option<Instant> {
        self.arrivals.front()?.passes
    }
}

impl Place {
    fn is_within(self, end: Self) -> bool {
        self == self.no_further_than(end)
    }

    fn no_further_than(self, end: Self) -> Self {
        Self { bytes: self.bytes.min(end.bytes), marks: self.marks.min(end.marks) }
    }
}

/// A mark of either direction.
trait Mark {
    /// The end of everything.
    const END: Self;

    fn is_end(&self) -> bool;
}

impl Mark for End {
    const END: Self = Self::Wire;

    /// A loss is no end: the stack itself says it.
    fn is_end(&self) -> bool {
        *self != Self::Lost
    }
}

impl Mark for Order {
    const END: Self = Self::Close;

    /// The other orders are for one layer, which waits for its own.
    fn is_end(&self) -> bool {
        matches!(self, Self::Close | Self::CloseWire)
    }
}

/// Moves at most `most` bytes, those in front of the first mark, each as `change` leaves it.
fn pass_bytes<M>(
    taken: &mut u64,
    most: u64,
    from: &mut Queue<M>,
    to: &mut Queue<M>,
    mut change: impl FnMut(u64, &mut u8),
) {
    let ready = from.front().len().min(to.room());
    let count = usize::try_from(most).map_or(ready, |most| ready.min(most));
    let bytes = &mut from.front_mut()[..count];
    for (at, byte) in (*taken..).zip(bytes.iter_mut()) {
        change(at, byte);
    }
    to.push(bytes);
    from.consume(count);
    *taken += count as u64;
}

/// Moves everything, marks too.
fn pass_changed<M>(taken: &mut u64, from: &mut Queue<M>, to: &mut Queue<M>, mut change: impl FnMut(u64, &mut u8)) {
    loop {
        pass_bytes(taken, u64::MAX, from, to, &mut change);
        let Some(mark) = from.take_mark() else { return };
        to.push_mark(mark);
    }
}

/// Moves the bytes before `offset` and the marks between them; not those behind the last, wherever a read ends.
fn pass_up_to<M>(offset: u64, taken: &mut u64, from: &mut Queue<M>, to: &mut Queue<M>) {
    loop {
        pass_bytes(taken, offset.saturating_sub(*taken), from, to, |_, _| ());
        if *taken >= offset {
            return;
        }
        let Some(mark) = from.take_mark() else { return };
        to.push_mark(mark);
    }
}

/// Drops everything but the marks that are no end.
fn drop_all<M: Mark>(taken: &mut u64, from: &mut Queue<M>, to: &mut Queue<M>) {
    loop {
        let count = from.front().len();
        from.consume(count);
        *taken += count as u64;
        match from.take_mark() {
            Some(mark) if mark.is_end() => {}
            Some(mark) => to.push_mark(mark),
            None => return,
        }
    }
}
