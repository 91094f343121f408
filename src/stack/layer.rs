//! The contract between the stack and what can be put into it.

use std::any::Any;
use std::fmt;
use std::time::Instant;

#[cfg(doc)]
use super::Opens;
use super::{
    Boundary, End, Facts, LayerError, LayerErrorKind, LayerId, Order, Overdue, Patience, PeerAnswer, Queue, Stop,
};

/// One protocol layer of a [`Stack`](super::Stack).
///
/// A layer sits between two boundaries and has four ends: it *takes* from inbound below and from outbound
/// above, it *gives* to inbound above and to outbound below. Every method has a default that passes bytes and
/// marks on unchanged, so an empty `impl` is a working layer.
///
/// # What a layer promises
///
/// - It touches nothing but its [`Ends`]. It never blocks, reads no clock, and keeps no unbounded buffer.
/// - It moves what it can and returns; a call that finds nothing to do changes nothing. A layer that never comes to rest
///   fails.
/// - Where it lacks room, it has asked for it by [`Queue::room`]: that is what has it called when there is some.
/// - What it keeps inside itself it gives in the same call, as far as there is room; it is not called for that alone.
/// - It honours [`Queue::room`] when it gives. A whole unit (a record) may go over the limit by itself if the
///   queue was empty; control bytes may always.
/// - It consumes only what it has parsed. What it leaves is the next owner's when it is peeled.
/// - It takes each mark when it meets it. A mark that is not for this layer is passed on in its place.
/// - It makes up no loss: it passes [`End::Truncated`] and [`End::Lost`] on and puts up none, but by
///   [`truncate_inbound`](Ends::truncate_inbound) or an error. One that does fails.
/// - After it has reported [`Report::Stopped`], or agreed to [`detach`](Self::detach), it is unlinked and never called
///   again; after it has returned an error neither, and everything above it learns that the connection is lost.
///
/// # What the stack promises
///
/// - [`attach`](Self::attach) comes first and once, and before it the layer is told its [`depth`](Self::depth) if it wants to.
///   Calls do not nest: a layer never runs inside another's call.
/// - It is called when it has been given bytes or marks, when there is room that it asked for, and again after a call in which
///   it has changed something and left something at the ends that it takes from.
/// - [`timeout`](Self::timeout) is called when `now` has reached [`deadline`](Self::deadline).
/// - [`overdue`](Self::overdue) is called when the peer has taken all the time that [`awaits`](Self::awaits) gives it.
/// - Reports become [`Event`](super::Event)s with the layer's id, in the order in which they were made.
///
/// # `Send` and `Sync`
///
/// A connection is as `Send` and `Sync` as what is in it, and all of a layer that takes `&self` is facts to look at. A part
/// that is not `Sync` (a callback, a future) goes into a [`Mutex`](std::sync::Mutex): `Mutex::get_mut` takes no lock.
pub trait Layer: Any + Send + Sync + fmt::Debug {
    /// A short word for what this is, as it shows in errors and logs: `tls`, `proxy-header`, `deflate`.
    fn name(&self) -> &'static str {
        "layer"
    }

    /// One phrase for people, as it shows in errors, logs and the one-line form of the stack. By default the name.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }

    /// What is known of this layer now, in facts of a few words each, the most telling first: what a drawing of the
    /// stack shows beside it. By default none, and the drawing shows the description.
    ///
    /// Not secrets: drawings go into logs.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }

    /// What this layer, `layer`, has to say, in the type that [`Opens`] names; `None` as long as it is not ready. By default it
    /// is ready from the start and has nothing to say.
    ///
    /// It is asked when somebody wants to know, and when the layer has reported [`Report::Ready`]. So one that leaves by itself
    /// ([`Report::Stopped`]) reports that it is ready first.
    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        Some(Facts::nothing())
    }

    /// Where it wants to be told how many layers of its [name](Self::name) are between it and the wire, if it does. Where the wire
    /// leads through tunnels, all layers of what carries them count too, so that no two that live in each other have the same number.
    ///
    /// What a layer keeps for a peer beyond this connection, such as the ticket of a session, it keeps for that depth alone.
    fn depth(&mut self) -> Option<&mut usize> {
        None
    }

    /// The layer has been put into the list.
    fn attach(&mut self, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Moves bytes up: from inbound below to inbound above.
    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.pass_inbound();
        Ok(())
    }

    /// Moves bytes down: from outbound above to outbound below.
    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.pass_outbound();
        Ok(())
    }

    /// Whether this layer ends by an exchange with its peer, so that [`stop`](super::Stack::stop) and
    /// [`finish`](super::Stack::finish) make sense. Layers that only look or transform stay. What all that end so have in common
    /// is in [`Ending`](crate::layer::Ending).
    fn can_stop(&self) -> bool {
        false
    }

    /// A stop has been ordered. The [`Order::Stop`] for it follows in outbound above, behind the bytes that
    /// were written before; the layer acts, and reports, when it meets that. An error refuses the stop and changes
    /// nothing.
    fn stop(&mut self, _stop: &Stop, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }

    /// The application takes this layer out of the list ([`remove`](super::Stack::remove)), wherever it stands: the
    /// counterpart of [`attach`](Self::attach).
    ///
    /// After `Ok` it is unlinked and never called again, and its two boundaries are joined. So whatever it keeps inside
    /// itself it gives to its ends first; a limit does not hold for that. An error refuses and changes nothing, and
    /// that is the default: the stack cannot know what a layer keeps. Layers that can be stopped are not asked.
    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Err(LayerError::new(LayerErrorKind::Unsupported, "the layer is not of a kind that can be taken out"))
    }

    /// When the layer next wants [`timeout`](Self::timeout) to be called, if at all. What bounds the peer is told by
    /// [`awaits`](Self::awaits) instead.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed. Afterwards [`deadline`](Self::deadline) must have moved on, or the layer fails.
    fn timeout(&mut self, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether the layer has asked the application something ([`Report::Asked`]) and waits for the answer.
    fn asks(&self) -> bool {
        false
    }

    /// The application does not answer what the layer has asked ([`Stack::decline`](super::Stack::decline)); the layer tells
    /// its peer when it is called next. Whether anything was still to be answered.
    fn decline(&mut self) -> bool {
        false
    }

    /// What the layer waits for from its peer, and how long the peer may take for it: a handshake, the answer to a stop.
    ///
    /// Time that our own output takes to leave is not the peer's. The stack knows what has left, so it keeps the clock: that
    /// runs while nothing waits in the outbound boundaries below this layer, and stands still while something does, or while
    /// work is put off ([`Stack::is_unfinished`](super::Stack::is_unfinished)). It is
    /// asked after [`attach`](Self::attach), after [`stop`](Self::stop), and after each call in which the layer has
    /// reported something; [`Report::Waits`] is for a change that nothing else tells of. `None`, the default, waits for ever.
    fn awaits(&self) -> Option<Patience> {
        None
    }

    /// What it waits for is overdue. Afterwards it must not wait for that any more, or the layer fails.
    fn overdue(&mut self, _overdue: Overdue, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// What this layer does to the size of what passes down through it.
    fn framing(&self) -> Framing {
        Framing::default()
    }
}

/// The four ends of a layer, the time, and the way to report.
#[derive(Debug)]
pub struct Ends<'a> {
    id: LayerId,
    now: Instant,
    unit: usize,
    neighbours: Neighbours,
    waiting: Waiting,
    below: &'a mut Boundary,
    above: &'a mut Boundary,
    reports: &'a mut Vec<Report>,
}

impl<'a> Ends<'a> {
    pub(crate) fn new(
        id: LayerId,
        now: Instant,
        unit: usize,
        (neighbours, waiting): (Neighbours, Waiting),
        below: &'a mut Boundary,
        above: &'a mut Boundary,
        reports: &'a mut Vec<Report>,
    ) -> Self {
        Self { id, now, unit, neighbours, waiting, below, above, reports }
    }

    /// The id of the layer that is being called.
    #[must_use]
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// The present, for all deadlines.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The largest number of bytes that, given to outbound below at once, still make a single unit in every
    /// layer below.
    #[must_use]
    pub fn unit(&self) -> usize {
        self.unit
    }

    /// Whether there is a layer above, and not the application. It is called at once with what it is given, so a layer
    /// that gives it one unit at a time has that taken before the next, and bytes need not be put together in between.
    #[must_use]
    pub fn layer_above(&self) -> bool {
        self.neighbours.above
    }

    /// Whether there is a layer below, and not the wire; as [`layer_above`](Self::layer_above).
    #[must_use]
    pub fn layer_below(&self) -> bool {
        self.neighbours.below
    }

    /// In [`timeout`](Layer::timeout), and 0 elsewhere: how many bytes below this layer are on their way to the peer, in all
    /// boundaries there, and in the system as far as the driver has told ([`Stack::set_backlog`](super::Stack::set_backlog)).
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.waiting.unsent
    }

    /// In [`timeout`](Layer::timeout), and 0 elsewhere: how many bytes above this layer the application has not looked at, and
    /// how many a layer there keeps back until a time of its own. Not among them is what waits for more of the peer: a part
    /// of a record, or of a message that the application has left there ([`Stack::await_more`](super::Stack::await_more)).
    #[must_use]
    pub fn unread(&self) -> usize {
        self.waiting.unread
    }

    /// Bytes that came from the peer, to be taken.
    pub fn inbound_below(&mut self) -> &mut Queue<End> {
        &mut self.below.inbound
    }

    /// Where bytes for the neighbour above go.
    pub fn inbound_above(&mut self) -> &mut Queue<End> {
        &mut self.above.inbound
    }

    /// Bytes that the neighbour above wrote, to be taken.
    pub fn outbound_above(&mut self) -> &mut Queue<Order> {
        &mut self.above.outbound
    }

    /// Where bytes for the peer go.
    pub fn outbound_below(&mut self) -> &mut Queue<Order> {
        &mut self.below.outbound
    }

    /// All four at once, as the two ways that lead through the layer: for whoever takes from one and gives to another.
    ///
    /// ```
    /// use onionskin::stack::{Ends, Way};
    ///
    /// fn pass_one_byte(ends: &mut Ends<'_>) {
    ///     let Way { from, to } = ends.all().inbound;
    ///     if let Some(&byte) = from.front().first().filter(|_| to.room() > 0) {
    ///         to.push(&[byte]);
    ///         from.consume(1);
    ///     }
    /// }
    /// # let _ = pass_one_byte;
    /// ```
    pub fn all(&mut self) -> Ways<'_> {
        Ways {
            inbound: Way { from: &mut self.below.inbound, to: &mut self.above.inbound },
            outbound: Way { from: &mut self.above.outbound, to: &mut self.below.outbound },
        }
    }

    /// Moves everything inbound up unchanged, as far as there is room.
    pub fn pass_inbound(&mut self) {
        self.above.inbound.take_from(&mut self.below.inbound);
    }

    /// Moves everything outbound down unchanged, as far as there is room.
    pub fn pass_outbound(&mut self) {
        self.below.outbound.take_from(&mut self.above.outbound);
    }

    /// Marks the clean end of this layer's inbound stream: the last thing it gives.
    pub fn end_inbound(&mut self) {
        self.above.inbound.push_mark(End::Layer(self.id));
        self.report(Report::Ended);
    }

    /// Marks that this layer's inbound stream was cut off, because the one below ended before it: the last thing it gives.
    /// What comes down still leaves through the layer, which is called on as before; `error` is told behind all that came.
    ///
    /// Only for an end ([`End::Wire`], [`End::Layer`], [`End::Truncated`]), and only for a layer that needs nothing more from
    /// its peer to send. Behind an [`End::Lost`] nothing can be sent, and a layer [fails](Failure::lose).
    pub fn truncate_inbound(&mut self, error: LayerError) {
        self.above.inbound.push_mark(End::Truncated);
        self.report(Report::Truncated(error));
    }

    /// Reports to the stack.
    pub fn report(&mut self, report: Report) {
        self.reports.push(report);
    }
}

/// The two ways that lead through a layer.
#[derive(Debug)]
pub struct Ways<'a> {
    /// From the peer up to the application.
    pub inbound: Way<'a, End>,
    /// From the application down to the peer.
    pub outbound: Way<'a, Order>,
}

/// One way through a layer.
#[derive(Debug)]
pub struct Way<'a, M> {
    /// What a neighbour has given, to be taken.
    pub from: &'a mut Queue<M>,
    /// Where it goes on, at the other neighbour.
    pub to: &'a mut Queue<M>,
}

/// What waits on the other sides of the neighbours, where a layer does not see it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) unsent: usize,
    pub(crate) unread: usize,
}

/// Whether the neighbours of a layer are layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbours {
    pub(crate) above: bool,
    pub(crate) below: bool,
}

/// What a layer tells the stack.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// The layer is ready, and [`Layer::opened`] has what it has to say: a handshake is done, a header is there. One that is ready
    /// from the start reports nothing, and one that leaves by itself reports this first.
    Ready,
    /// The inbound stream has ended. [`Ends::end_inbound`] reports it; the application reads it in its place.
    Ended,
    /// The inbound stream was cut off. [`Ends::truncate_inbound`] reports it; the application reads it in its place.
    Truncated(LayerError),
    /// The peer has ended the layer, and the layer was told to answer that by itself. Reported again on every call
    /// until the stop is ordered: while a stoppable layer stands above, it is not.
    StopWanted,
    /// The application is to answer something before the layer goes on. What that is, and how it is answered, is the layer's
    /// own affair ([`Stack::with_layer`](super::Stack::with_layer)).
    Asked,
    /// What the layer waits for ([`Layer::awaits`]) has changed, and there is nothing else to report.
    Waits,
    /// The layer is done with: peel it. Allowed anywhere in the list.
    Stopped(PeerAnswer),
    /// Put this layer between the reporting one and its neighbour below. What rests below belongs to the new layer from
    /// then on, in both directions. One too many for the limit on depth, and the reporting layer fails.
    Insert(Box<dyn Layer>),
    /// The layer has done its work, and this one takes its place and its id, with all that rests in the two boundaries:
    /// it is attached, and the old one never called again. Not for a layer that can be stopped.
    Become(Box<dyn Layer>),
}

/// How a layer fails.
#[derive(Debug)]
pub struct Failure {
    pub(crate) error: LayerError,
    pub(crate) consequence: Consequence,
}

impl Failure {
    /// The connection is lost with this error. What is in outbound below (an alert) is still sent.
    #[must_use]
    pub fn lose(error: LayerError) -> Self {
        Self { error, consequence: Consequence::Lose }
    }

    /// The connection is lost with this error, and aborted: no close_notify and no end of file is sent, nor anything else that
    /// has not left. For a peer that is given up, and must not take that for the end of what there was
    /// to say. What shows it that in clear is a reset, which is for the owner of the socket.
    #[must_use]
    pub fn abort(error: LayerError) -> Self {
        Self { error, consequence: Consequence::Abort }
    }

    /// The layer alone is lost: it is peeled, if no stoppable layer stands above it. What had been written
    /// through it and not sent is dropped, never sent in clear. What a layer above keeps inside itself is not known to
    /// the stack: it must not let go of that later.
    #[must_use]
    pub fn peel(error: LayerError) -> Self {
        Self { error, consequence: Consequence::Peel }
    }
}

impl From<LayerError> for Failure {
    fn from(error: LayerError) -> Self {
        Self::lose(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    Lose,
    Abort,
    Peel,
}

/// What a layer does to the size of what passes down through it.
///
/// From the framings of the whole list the stack computes [`Ends::unit`], so that one write at the top
/// becomes exactly one unit in every layer and not a full one and a sliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Framing {
    /// Bytes that are added to each unit.
    pub overhead: usize,
    /// The most bytes of payload that one unit can carry; `None` if there is no limit.
    pub largest: Option<usize>,
}

impl Framing {
    /// Units of any size, with so many bytes added to each.
    #[must_use]
    pub fn new(overhead: usize) -> Self {
        Self { overhead, largest: None }
    }

    /// Sets [`largest`](Self::largest).
    #[must_use]
    pub fn with_largest(mut self, payload: usize) -> Self {
        self.largest = Some(payload);
        self
    }
}
