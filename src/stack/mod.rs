//! The sans-I/O heart: a list of layers between a socket and an application.
//!
//! ```text
//!    application      write / consume / stop / splice ...      tail
//!    ─────────────────────────────────────────────────
//!        ▲ inbound        ▼ outbound       boundary (the application's)
//!     [ layer ]                            splice puts the next one HERE, above this
//!        ▲                ▼                boundary
//!     [ layer ]
//!        ▲                ▼                boundary (the wire's)
//!    ─────────────────────────────────────────────────
//!    wire             handle_input / poll_output               head
//! ```
//!
//! The rules that make starting and stopping safe are properties of this picture, not of any layer:
//!
//! - **Every byte has one owner.** It rests in exactly one [`Queue`], and is taken only by who has parsed it.
//! - **A splice moves no byte.** What the application had not consumed is below the new layer from then on, so
//!   plaintext that somebody put behind a STARTTLS goes into TLS and fails there; what it had written is below
//!   too, so it leaves in clear, first.
//! - **A peel joins two boundaries.** What the layer had not taken belongs to the layer below.
//! - **Marks keep order.** The end of a layer's stream and the order to stop one stand *in* the queues
//!   ([`End`], [`Order`]), so no flag can be seen before the bytes in front of it.
//! - **No recursion.** Layers do not call each other. The stack runs a work loop over those that have been given
//!   something.
//!
//! # In the logs
//!
//! A layer that becomes ready, ends, is peeled or fails makes a line at the level `debug`, and so does the loss of the
//! connection, each with the whole stack as it stands after it. The target is `onionskin::stack`:
//!
//! ```text
//! layer #2 is ready; now tcp 127.0.0.1:25 ─ tls1.3 AES_256_GCM client "a" ─ tls1.3 AES_256_GCM client "b"
//! ```
//!
//! At the level `trace` a drawing follows, the one that `{:#}` makes of a [`Stack`]: facts of each layer, and the bytes
//! and marks that wait between them.

mod boundary;
mod drawing;
mod error;
mod event;
mod fate;
mod layer;
mod list;
mod patience;
mod pump;
mod spare;
mod stop;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use self::boundary::Boundary;
use self::drawing::DEFAULT_LABEL;
use self::fate::Fate;
use self::layer::Waiting;
use self::list::{List, NodeState, WIRE};
use self::pump::Unfinished;

pub use self::boundary::{End, Order, Queue};
pub(crate) use self::boundary::{SMALL, SMALL_COPY, copy_to_slice};
pub(crate) use self::drawing::Described;
pub(crate) use self::error::with_chain;
pub use self::error::{CommandError, CommandErrorKind, LayerError, LayerErrorKind, LayerLoss, Reason};
pub use self::event::{Event, Output, Readable};
pub use self::layer::{Ends, Failure, Framing, Layer, Report};
pub use self::list::LayerId;
pub use self::patience::{Overdue, Patience};
pub(crate) use self::stop::Opening;
pub use self::stop::{OnTimeout, PeerAnswer, Stop};

/// A list of protocol layers over one connection, without any I/O.
///
/// # Order of calls
///
/// The driver owns the socket and the clock. It calls, in any order:
///
/// - `handle_*` when something happened: bytes came in ([`handle_input`](Self::handle_input)), the peer closed
///   ([`handle_eof`](Self::handle_eof)), the socket failed ([`handle_error`](Self::handle_error)), a deadline
///   passed ([`handle_timeout`](Self::handle_timeout)), bytes were sent ([`handle_sent`](Self::handle_sent));
/// - commands of the application: [`splice`](Self::splice), [`stop`](Self::stop), [`finish`](Self::finish),
///   [`remove`](Self::remove), [`write`](Self::write), [`consume`](Self::consume), [`pass_end`](Self::pass_end),
///   [`close`](Self::close), [`abort`](Self::abort).
///
/// After every such call it drains, in this order: [`poll_event`](Self::poll_event), [`readable`](Self::readable),
/// [`poll_output`](Self::poll_output), and asks [`poll_deadline`](Self::poll_deadline) when to come back. That may be at
/// once: what a call brings about is not always done when it returns ([`is_unfinished`](Self::is_unfinished)).
///
/// # For the eyes
///
/// `{}` shows the layers in one line, `{:#}` draws them with their facts:
///
/// ```
/// use onionskin::stack::{Limits, Stack};
///
/// let mut stack = Stack::new(Limits::default());
/// stack.name_wire("tcp 127.0.0.1:25");
/// assert_eq!(stack.to_string(), "tcp 127.0.0.1:25");
/// assert_eq!(format!("{stack:#}"), "application\n    │\nwire          tcp 127.0.0.1:25");
/// ```
#[derive(Debug)]
pub struct Stack {
    list: List,
    /// Whom the layer that was called last has given something.
    given: Option<usize>,
    label: String,
    limits: Limits,
    write_limit: usize,
    events: VecDeque<Event>,
    /// Layers that were peeled before anybody asked for the event that says they are ready.
    left_unseen: Vec<(LayerId, Box<dyn Layer>)>,
    /// Layers that ended by themselves and that the application has not yet gone on below. While there is
    /// one, writes are refused: they would leave in clear of a layer that the writer believes in.
    unacknowledged: Vec<LayerId>,
    fate: Fate,
    lost_after_close: bool,
    /// Whether a loss has dropped bytes that were written, or orders.
    lost_unsent: bool,
    application: Side,
    wire_input: Side,
    wire_output: Side,
    /// After a loss, until when some of what is left to send, an alert, has to leave.
    linger: Option<Instant>,
    /// Whether any layer waits for its peer.
    has_clocks: bool,
    /// While one does: since when the wire has taken nothing of what there is for it.
    untaken_since: Option<Instant>,
    /// Work that was put off.
    unfinished: Option<Unfinished>,
    /// What the system still holds of what was sent, as far as the driver has told.
    backlog: usize,
    /// For the layer that is called because its deadline has passed.
    waiting: Waiting,
    /// Up to where the application has looked at what it can read, and left it because it waits for more.
    looked_at: u64,
}

/// Limits of a [`Stack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that one direction of one boundary holds. 128 KiB unless set, and never less than 40 KiB,
    /// so that two TLS records fit.
    pub buffer: usize,
    /// The most layers. 16 unless set.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { buffer: 128 * 1024, depth: 16 }
    }
}

/// One direction of one end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Open,
    /// To be closed when all that stands before has gone.
    Closing,
    Closed,
}

/// Facts.
impl Stack {
    /// A stack without layers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { buffer: limits.buffer.max(SMALLEST_BUFFER), ..limits };
        Self {
            list: List::new(limits.buffer),
            given: None,
            label: DEFAULT_LABEL.to_owned(),
            limits,
            write_limit: limits.buffer,
            events: VecDeque::new(),
            left_unseen: Vec::new(),
            unacknowledged: Vec::new(),
            fate: Fate::Whole,
            lost_after_close: false,
            lost_unsent: false,
            application: Side::Open,
            wire_input: Side::Open,
            wire_output: Side::Open,
            linger: None,
            has_clocks: false,
            untaken_since: None,
            unfinished: None,
            backlog: 0,
            waiting: Waiting::default(),
            looked_at: 0,
        }
    }

    /// Names the wire, as it shows in drawings and logs: `tcp 127.0.0.1:25`. It is `wire` unless set.
    pub fn name_wire(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// The layers, from the wire inwards.
    pub fn layers(&self) -> impl Iterator<Item = (LayerId, &dyn Layer)> {
        self.list.outer_to_inner().map(|index| (self.list.id(index), &*self.list.node(index).layer))
    }

    /// The number of layers.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.list.len()
    }

    /// The layer with this id, if it is still there.
    #[must_use]
    pub fn layer(&self, id: LayerId) -> Option<&dyn Layer> {
        let index = self.list.find(id).ok()?;
        Some(&*self.list.node(index).layer)
    }

    /// The layer that the last [`Event::Ready`] told of. It may have been peeled already: a handshake, bytes and the end
    /// can come in one segment.
    pub(crate) fn layer_at_ready(&self, id: LayerId) -> Option<&dyn Layer> {
        let left = || self.left_unseen.iter().find(|(left, _)| *left == id).map(|(_, layer)| &**layer);
        self.layer(id).or_else(left)
    }

    /// The innermost layer that can be stopped.
    #[must_use]
    pub fn innermost_stoppable(&self) -> Option<LayerId> {
        self.stoppable_above(WIRE).map(|index| self.list.id(index))
    }

    /// Why the connection is lost, if it is: nothing more can be sent or received. What was received before the loss may
    /// still be readable.
    #[must_use]
    pub fn lost(&self) -> Option<&Reason> {
        self.fate.lost()
    }

    /// Why nothing more can be received, if what the peer sends was cut off: it ended TCP without a close_notify, or an outer
    /// layer while inner ones live. All layers that miss their end are in the reason. It is read behind all that came before
    /// ([`Readable::Lost`]).
    ///
    /// After such an end our own direction is still open, unless the connection is [`lost`](Self::lost) as well: what is
    /// written leaves, layers can be finished, and the connection can be closed in order (RFC 8446 section 6.1: each
    /// direction is closed by itself).
    #[must_use]
    pub fn truncated(&self) -> Option<&Reason> {
        self.fate.truncated()
    }

    /// Whether the connection was lost only after we had closed it and everything had left.
    #[must_use]
    pub fn is_lost_after_close(&self) -> bool {
        self.lost_after_close
    }

    /// Whether bytes that were written, or orders, were still on their way down when the connection was lost, and never
    /// left. What the socket had taken by then has left.
    #[must_use]
    pub fn is_lost_unsent(&self) -> bool {
        self.lost_unsent
    }

    /// The number of bytes on their way down, in all boundaries.
    #[must_use]
    pub fn outbound_len(&self) -> usize {
        self.list.upwards(WIRE).map(|index| self.list.node(index).above.outbound.len()).sum()
    }

    /// The number of bytes on their way up, in all boundaries.
    #[must_use]
    pub fn inbound_len(&self) -> usize {
        self.list.upwards(WIRE).map(|index| self.list.node(index).above.inbound.len()).sum()
    }

    /// Whether everything written has left through the wire, with all orders that stood between; or never will, because
    /// the wire takes no more.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        if self.wire_output == Side::Closed {
            return true;
        }
        let empty = self.list.upwards(WIRE).all(|index| self.list.node(index).above.outbound.is_empty());
        empty && self.wire_output != Side::Closing
    }

    /// The end that stands next in what the application can read, wherever that is, with bytes before it or not.
    #[must_use]
    pub fn end_ahead(&self) -> Option<&End> {
        self.list.node(self.list.innermost()).above.inbound.next_mark()
    }

    /// Why what the application reads comes to no clean end, if that is what stands next in it.
    pub(crate) fn loss_ahead(&self) -> Option<&Reason> {
        match self.end_ahead()? {
            End::Truncated => self.fate.truncated(),
            End::Lost => self.fate.lost(),
            End::Layer(_) | End::Wire => None,
        }
    }

    /// The peeled layer whose end the application reads next, also if that still waits below a layer that has no room.
    #[must_use]
    pub fn peeled_ahead(&self) -> Option<LayerId> {
        self.layer_end_ahead().filter(|&id| self.layer(id).is_none())
    }

    /// The layer that ended without the application having asked for it, and that it has not yet gone on below.
    #[must_use]
    pub fn ended_by_itself(&self) -> Option<LayerId> {
        self.unacknowledged.first().copied()
    }

    /// The innermost layer that is being stopped.
    #[must_use]
    pub fn stopping(&self) -> Option<LayerId> {
        self.innermost_state().filter(|&(_, state)| state == NodeState::Stopping).map(|(id, _)| id)
    }

    /// The layer whose end comes first, in whatever boundary it waits.
    fn layer_end_ahead(&self) -> Option<LayerId> {
        let boundaries = self.list.inner_to_outer().chain([WIRE]);
        let mut ends = boundaries.flat_map(|index| self.list.node(index).above.inbound.marks());
        ends.find_map(|end| match *end {
            End::Layer(id) => Some(id),
            _ => None,
        })
    }

    fn stoppable_above(&self, index: usize) -> Option<usize> {
        self.list.upwards(index).skip(1).filter(|&index| self.list.node(index).layer.can_stop()).last()
    }
}

/// What happened outside.
impl Stack {
    /// Takes bytes from the wire, as many as there is room for, and returns how many.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.input_room());
        self.wire().inbound.push(&bytes[..count]);
        self.wake_above(WIRE);
        self.settle(now);
        count
    }

    /// How many bytes the stack takes from the wire now: nothing when its buffers are full, or when no more
    /// can come.
    #[must_use]
    pub fn input_room(&self) -> usize {
        match self.wire_input {
            Side::Open => self.list.node(WIRE).above.inbound.room(),
            Side::Closing | Side::Closed => 0,
        }
    }

    /// Whether no more can come from the wire: it has ended, or the connection is lost.
    #[must_use]
    pub fn is_input_closed(&self) -> bool {
        self.wire_input == Side::Closed
    }

    /// End of file on the wire.
    pub fn handle_eof(&mut self, now: Instant) {
        if self.wire_input == Side::Open {
            self.wire_input = Side::Closed;
            self.wire().inbound.push_mark(End::Wire);
            self.wake_above(WIRE);
            self.settle(now);
        }
    }

    /// The socket failed. What was received before can still be read.
    pub fn handle_error(&mut self, now: Instant, error: io::Error) {
        self.lose_wire(now, Reason::wire(error));
    }

    /// Tells the layers whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<usize> = self.list.outer_to_inner().filter(|&index| self.is_due(index, now)).collect();
        for index in due {
            self.time_out(index, now);
        }
        if self.linger.is_some_and(|linger| linger <= now) {
            self.drop_outbound(WIRE);
            self.wire_output = Side::Closed;
        }
        self.go_on(now);
    }

    /// How many of the bytes that were sent the system still holds, because the peer has not taken them: for layers that
    /// judge a peer by its progress ([`Ends::unsent`]). A driver that can know it tells it before each
    /// [`handle_timeout`](Self::handle_timeout).
    pub fn set_backlog(&mut self, bytes: usize) {
        self.backlog = bytes;
    }

    /// `count` bytes of what [`poll_output`](Self::poll_output) offered have been sent.
    ///
    /// # Panics
    ///
    /// If `count` is more than it would offer now: say what was sent before anything else is called.
    pub fn handle_sent(&mut self, now: Instant, count: usize) {
        let outbound = &mut self.wire().outbound;
        outbound.consume(count);
        if outbound.take_asked() {
            self.wake_above(WIRE);
        }
        if count > 0 {
            self.wire_has_taken();
            // A peer that takes something is not the one that the linger is there for.
            self.linger = self.linger.map(|_| now + LINGER);
        }
        self.settle(now);
    }

    /// The write side of the socket is closed, as [`poll_output`](Self::poll_output) asked.
    pub fn handle_shutdown(&mut self) {
        self.wire_output = Side::Closed;
    }
}

/// Commands of the application.
impl Stack {
    /// Puts a layer between the innermost one and the application.
    ///
    /// No byte moves: what the application has not consumed, and what it has written, is below the new layer from
    /// now on.
    ///
    /// # Errors
    ///
    /// When the stack is too deep, closed or lost; and while a layer is finished, stopping, or has ended without
    /// the application having gone on below it.
    pub fn splice(&mut self, now: Instant, layer: Box<dyn Layer>) -> Result<LayerId, CommandError> {
        self.check_writable()?;
        self.check_depth()?;
        if let Some(id) = self.layer_end_ahead() {
            return Err(CommandErrorKind::Ended(id).into());
        }
        if let Some((id, NodeState::Stopping)) = self.innermost_state() {
            return Err(CommandErrorKind::Stopping(id).into());
        }
        let index = self.list.splice(layer, self.limits.buffer);
        self.looked_at = 0;
        let limit = self.limits.buffer;
        let below = self.list.below(index);
        // Room lent to the application is not the new layer's.
        self.list.node_mut(below).above.inbound.set_limit(limit);
        self.list.node_mut(below).above.outbound.set_limit(limit);
        let write_limit = self.write_limit;
        self.app().outbound.set_limit(write_limit);
        let id = self.list.id(index);
        self.begin(index, now);
        self.settle(now);
        Ok(id)
    }

    /// Stops the innermost stoppable layer: what was written before leaves through it, then it takes leave of
    /// its peer, then it is peeled ([`Event::Stopped`]). Stopping a layer twice joins the first stop.
    ///
    /// # Errors
    ///
    /// When the layer is gone, is not of a kind that stops, or has another stoppable one above it.
    pub fn stop(&mut self, now: Instant, id: LayerId, stop: Stop) -> Result<(), CommandError> {
        let index = self.find_innermost(id)?;
        if self.list.node(index).state == NodeState::Stopping {
            return Ok(());
        }
        self.order_stop(index, now, stop)?;
        self.settle(now);
        Ok(())
    }

    /// Closes the write half of the innermost stoppable layer, behind the bytes already written. Reading goes on;
    /// a later [`stop`](Self::stop) completes the peel.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn finish(&mut self, now: Instant, id: LayerId) -> Result<(), CommandError> {
        let index = self.find_innermost(id)?;
        if self.list.node(index).state == NodeState::Live {
            self.list.node_mut(index).state = NodeState::Finished;
            self.app().outbound.push_mark(Order::Finish(id));
            self.wake(self.list.innermost());
            self.settle(now);
        }
        Ok(())
    }

    /// Takes a layer out that has no end of its own, such as a counter, wherever it stands: also below live TLS. What
    /// it had not yet moved belongs to its neighbours, and nothing is lost. It is gone when this returns
    /// ([`Event::Stopped`] with [`PeerAnswer::NotNeeded`]); no end shows in what is read.
    ///
    /// # Errors
    ///
    /// When the layer is gone, is of a kind that is to be stopped, or refuses ([`Layer::leave`]); and when the
    /// connection is lost.
    pub fn remove(&mut self, now: Instant, id: LayerId) -> Result<(), CommandError> {
        let index = self.list.find(id)?;
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.list.node(index).layer.can_stop() {
            return Err(CommandErrorKind::CannotRemove(id).into());
        }
        self.order_leave(index, now)?;
        self.settle(now);
        Ok(())
    }

    /// Takes bytes to be sent through all layers, as many as there is room for, and returns how many. Bytes
    /// written while a layer stops wait below it.
    ///
    /// # Errors
    ///
    /// When the connection is closed or lost, the innermost layer is finished, or a layer ended by itself and the
    /// application has not yet gone on below it.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, CommandError> {
        self.check_writable()?;
        let app = self.app();
        let count = bytes.len().min(app.outbound.room());
        app.outbound.push(&bytes[..count]);
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(count)
    }

    /// As [`write`](Self::write), from several slices in their order, all of them at once: what has room of them becomes
    /// as many units (records) as if it had been one slice.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored(&mut self, now: Instant, slices: &[io::IoSlice<'_>]) -> Result<usize, CommandError> {
        self.check_writable()?;
        let outbound = &mut self.app().outbound;
        let offered = slices.iter().fold(0, |sum: usize, slice| sum.saturating_add(slice.len()));
        let count = offered.min(outbound.room());
        outbound.reserve(count);
        let mut left = count;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            outbound.push(part);
            left -= part.len();
        }
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(count)
    }

    /// Takes `count` bytes off the front of what [`readable`](Self::readable) showed.
    ///
    /// # Panics
    ///
    /// If `count` is more than it would show now.
    pub fn consume(&mut self, now: Instant, count: usize) {
        self.app().inbound.consume(count);
        self.wake(self.list.innermost());
        self.settle(now);
    }

    /// Goes on below the layer whose end [`readable`](Self::readable) showed, once it is peeled or the connection lost.
    ///
    /// # Errors
    ///
    /// When there is no such end to read, or its layer still has to be stopped.
    pub fn pass_end(&mut self, now: Instant) -> Result<LayerId, CommandError> {
        let Some(&End::Layer(id)) = self.app().inbound.mark() else {
            return Err(CommandErrorKind::NothingToStop.into());
        };
        if let Ok(index) = self.list.find(id) {
            if self.fate.lost().is_none() {
                return Err(CommandErrorKind::Ended(id).into());
            }
            // After a loss it will never be stopped, and the loss is behind it. What was written through it must not
            // leave without it.
            self.clear_outbound(index, |order| matches!(order, Order::Close | Order::CloseWire));
            self.peel(index);
        }
        self.app().inbound.take_mark();
        self.unacknowledged.retain(|&ended| ended != id);
        let limit = self.limits.buffer;
        self.app().inbound.set_limit(limit);
        self.wake(self.list.innermost());
        self.settle(now);
        Ok(id)
    }

    /// Sets how many unread bytes may wait for the application, until the next layer change.
    pub fn set_read_limit(&mut self, now: Instant, limit: usize) {
        let limit = limit.max(self.limits.buffer);
        self.app().inbound.set_limit(limit);
        self.wake(self.list.innermost());
        self.settle(now);
    }

    /// As [`set_read_limit`](Self::set_read_limit), for an application that has looked at all that can be read and leaves it
    /// there, because the rest of a message is missing: it is the peer who owes that ([`Ends::unread`]).
    pub fn await_more(&mut self, now: Instant, limit: usize) {
        self.looked_at = self.app().inbound.back();
        self.set_read_limit(now, limit);
    }

    /// Sets how many bytes the application may have written that no layer has taken yet. As [`Limits::buffer`] unless
    /// set, and never less.
    pub fn set_write_limit(&mut self, limit: usize) {
        self.write_limit = limit.max(self.limits.buffer);
        let limit = self.write_limit;
        self.app().outbound.set_limit(limit);
    }

    /// Drops everything that can be read, over all ends, for an application that has closed and only waits until the
    /// peer has closed too ([`is_input_closed`](Self::is_input_closed)). Before [`close`](Self::close) it does nothing.
    pub fn discard(&mut self, now: Instant) {
        if self.application == Side::Open && self.fate.lost().is_none() {
            return;
        }
        let is_last = |end: &End| matches!(end, End::Wire | End::Truncated | End::Lost);
        let inbound = &mut self.app().inbound;
        let marks = inbound.marks().count();
        if inbound.clear(is_last) > 0 || inbound.marks().count() < marks {
            self.wake(self.list.innermost());
            self.settle(now);
        }
    }

    /// Closes every layer from the inside out, then the write side of the wire, behind the bytes already
    /// written. Reading goes on.
    pub fn close(&mut self, now: Instant) {
        self.end_output(now, Order::Close);
    }

    /// Closes the write side of the wire behind the bytes already written, and takes leave on no layer: to the peer, all
    /// of them are truncated. For whoever passes a truncation on and must not make an end of it. Reading goes on.
    pub fn close_wire(&mut self, now: Instant) {
        self.end_output(now, Order::CloseWire);
    }

    /// Ends the connection at once. Nothing more is sent.
    pub fn abort(&mut self, now: Instant) {
        self.lose_wire(now, Reason::aborted());
    }

    /// Changes a layer of a known type, and lets it act on that at once.
    ///
    /// # Errors
    ///
    /// When the layer is gone or not of this type.
    pub fn with_layer<L: Layer, R>(
        &mut self,
        now: Instant,
        id: LayerId,
        change: impl FnOnce(&mut L) -> R,
    ) -> Result<R, CommandError> {
        let index = self.list.find(id)?;
        let layer: &mut dyn std::any::Any = &mut *self.list.node_mut(index).layer;
        let layer = layer.downcast_mut::<L>().ok_or(CommandErrorKind::NoSuchLayer(id))?;
        let result = change(layer);
        self.ask_awaited(index);
        self.wake(index);
        self.settle(now);
        Ok(result)
    }

    fn end_output(&mut self, now: Instant, order: Order) {
        if self.application == Side::Open && self.fate.lost().is_none() {
            self.application = Side::Closed;
            self.app().outbound.push_mark(order);
            self.wake(self.list.innermost());
            self.settle(now);
        }
    }

    fn check_depth(&self) -> Result<(), CommandError> {
        if self.list.len() >= self.limits.depth {
            return Err(CommandErrorKind::TooDeep(self.limits.depth).into());
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), CommandError> {
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.application != Side::Open {
            return Err(CommandErrorKind::Closed.into());
        }
        if let Some(&id) = self.unacknowledged.first() {
            return Err(CommandErrorKind::Ended(id).into());
        }
        match self.innermost_state() {
            Some((id, NodeState::Finished)) => Err(CommandErrorKind::Finished(id).into()),
            _ => Ok(()),
        }
    }

    fn innermost_state(&self) -> Option<(LayerId, NodeState)> {
        let index = self.stoppable_above(WIRE)?;
        Some((self.list.id(index), self.list.node(index).state))
    }

    fn find_innermost(&self, id: LayerId) -> Result<usize, CommandError> {
        let index = self.list.find(id)?;
        if let Some(reason) = self.fate.lost() {
            return Err(CommandErrorKind::Lost(reason.clone()).into());
        }
        if self.application != Side::Open {
            return Err(CommandErrorKind::Closed.into());
        }
        if !self.list.node(index).layer.can_stop() {
            return Err(CommandErrorKind::CannotStop(id).into());
        }
        if self.stoppable_above(index).is_some() {
            return Err(CommandErrorKind::NotInnermost(id).into());
        }
        Ok(index)
    }
}

/// What the driver is to do.
impl Stack {
    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let events = &self.events;
        let is_to_come = |id: LayerId| events.iter().any(|event| matches!(event, Event::Ready(ready) if *ready == id));
        // The one of the last event is no longer asked for.
        self.left_unseen.retain(|(id, _)| is_to_come(*id));
        self.events.pop_front()
    }

    /// What the application can read, without taking it.
    #[must_use]
    pub fn readable(&self) -> Readable<'_> {
        let inbound = &self.list.node(self.list.innermost()).above.inbound;
        if !inbound.front().is_empty() {
            return Readable::Bytes(inbound.front());
        }
        match inbound.mark() {
            Some(&End::Layer(id)) => Readable::Ended(id),
            Some(End::Wire) => Readable::EndOfInput,
            Some(End::Truncated | End::Lost) => self.loss_ahead().map_or(Readable::Nothing, Readable::Lost),
            None => Readable::Nothing,
        }
    }

    /// What is to be done to the socket.
    pub fn poll_output(&mut self) -> Output<'_> {
        let closing = {
            let outbound = &mut self.wire().outbound;
            let mut closing = false;
            while let Some(order) = outbound.take_mark() {
                // Orders to layers that are gone end here.
                closing |= matches!(order, Order::Close | Order::CloseWire);
            }
            closing
        };
        if closing && self.wire_output == Side::Open {
            self.wire_output = Side::Closing;
        }
        let output = self.list.node(WIRE).above.outbound.front();
        match self.wire_output {
            Side::Closed => Output::Nothing,
            _ if !output.is_empty() => Output::Bytes(output),
            Side::Closing => Output::Shutdown,
            Side::Open => Output::Nothing,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let layers = self.list.outer_to_inner().filter_map(|index| self.deadline(index));
        let unfinished = self.unfinished.map(|unfinished| unfinished.since);
        layers.chain(self.linger.filter(|_| !self.is_flushed())).chain(unfinished).min()
    }

    /// Whether layers still have work that was put off, so that a little input cannot keep a thread for long.
    /// [`poll_deadline`](Self::poll_deadline) is then past, and [`handle_timeout`](Self::handle_timeout) goes on with it; a
    /// driver lets others have their turn in between.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Takes the stack apart: for each boundary from the application to the wire, the bytes that were not read
    /// and those that were not sent.
    #[must_use]
    pub fn into_remains(mut self) -> Vec<Remains> {
        let order: Vec<usize> = self.list.inner_to_outer().chain([WIRE]).collect();
        let mut remains = |index| {
            let boundary = &mut self.list.node_mut(index).above;
            Remains { inbound: boundary.inbound.drain_all(), outbound: boundary.outbound.drain_all() }
        };
        order.into_iter().map(&mut remains).collect()
    }
}

/// The bytes that one boundary held when its stack was taken apart.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remains {
    /// Received and not consumed.
    pub inbound: Vec<u8>,
    /// Written and not sent.
    pub outbound: Vec<u8>,
}

impl fmt::Debug for Remains {
    /// Counts only: the bytes may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").field("inbound", &self.inbound.len()).field("outbound", &self.outbound.len()).finish()
    }
}

/// Two records of the largest size and a little more.
const SMALLEST_BUFFER: usize = 40 * 1024;

/// After a loss, how long the peer may take nothing of what is still to be sent (an alert).
const LINGER: Duration = Duration::from_secs(5);
