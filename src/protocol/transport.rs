//! The connection as the callbacks see it.

use std::fmt;
use std::time::{Duration, Instant};

use super::flow::Flow;
use super::{Addresses, Error, ErrorKind, Handle, LayerId, Layers, Producer, ProducerError, Result, Stop, Streaming};
use crate::layer::proxy_header::ProxyHeader;
use crate::runtime::Address;
use crate::stack::{CommandError, CommandErrorKind, Layer, Opens, Readable, Stack};
use crate::tls::{TlsFacts, TlsLayer};

/// What a [`Protocol`](super::Protocol) does to its connection. All of it may be called in every callback.
///
/// Commands act on the stack at once, and never call the protocol back before it has returned.
#[derive(Debug)]
pub struct Transport<'a> {
    stack: &'a mut Stack,
    state: &'a mut State,
    now: Instant,
}

/// What a session knows beside the stack.
#[derive(Debug)]
pub(super) struct State {
    pub(super) addresses: Addresses,
    pub(super) reading: Reading,
    pub(super) reads_while_full: bool,
    pub(super) input_limit: usize,
    pub(super) position: Position,
    pub(super) write_limit: usize,
    pub(super) flow: Flow,
    /// Whether the protocol has closed its side.
    pub(super) half_closed: bool,
    pub(super) closing: Closing,
    pub(super) timeout: Option<Instant>,
    pub(super) handle: Handle,
}

/// A place in what the protocol reads: what is known of the bytes at one place says nothing of those at another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// How many layers were started or have ended before this place.
    pub(super) changes: u64,
    /// How many bytes the protocol has taken.
    pub(super) taken: u64,
}

/// Whether the protocol wants to hear of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Flowing,
    Paused,
}

/// Whether the protocol closes the connection, and how.
#[derive(Clone, Debug)]
pub(super) enum Closing {
    No,
    /// Gracefully: after what was written; because of an error, if there is one.
    Graceful(Option<Error>),
    /// At once; because of an error, if there is one.
    Abort(Option<Error>),
}

/// What is known.
impl<'a> Transport<'a> {
    pub(super) fn new(stack: &'a mut Stack, state: &'a mut State, now: Instant) -> Self {
        Self { stack, state, now }
    }

    /// The time at which the callback was called.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Where the peer is, if that is known; behind a PROXY header, what that says.
    #[must_use]
    pub fn peer_address(&self) -> Option<&Address> {
        self.state.addresses.peer.as_ref()
    }

    /// The address of this end, if it is known; behind a PROXY header, what that says.
    #[must_use]
    pub fn local_address(&self) -> Option<&Address> {
        self.state.addresses.local.as_ref()
    }

    /// What a proxy in front said of this connection in its PROXY header, if there is one.
    #[must_use]
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.state.addresses.proxy_header.as_ref()
    }

    /// The layers as they stand.
    #[must_use]
    pub fn layers(&self) -> Layers {
        Layers::of(self.stack)
    }

    /// The number of layers, of any kind: whether there is TLS, [`Layers::tls`] tells.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.stack.depth()
    }

    /// What is known of a TLS layer, if it is still there.
    #[must_use]
    pub fn tls_facts(&self, layer: LayerId) -> Option<TlsFacts> {
        self.stack.layer_as::<TlsLayer>(layer).map(|tls| tls.facts(layer))
    }

    /// The stack itself, to look at.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        self.stack
    }

    /// A way to this connection from other tasks and threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.state.handle.clone()
    }

    /// Whether the layer has ended and answers that by itself.
    pub(super) fn answers_by_itself(&self, layer: LayerId) -> bool {
        self.stack.ended_by_itself() == Some(layer)
    }
}

/// Reading.
impl Transport<'_> {
    /// What was received and not yet taken, up to the next end of a layer.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        match self.stack.readable() {
            Readable::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// Takes `count` bytes of the [`input`](Self::input) and drops them.
    ///
    /// # Panics
    ///
    /// If `count` is more than there is.
    pub fn consume(&mut self, count: usize) {
        if count > 0 {
            self.stack.consume(self.now, count);
            self.state.position.taken += count as u64;
        }
    }

    /// Takes `count` bytes of the [`input`](Self::input).
    ///
    /// # Panics
    ///
    /// If `count` is more than there is.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.input()[..count].to_vec();
        self.consume(count);
        taken
    }

    /// Takes all of the [`input`](Self::input): for protocols without messages.
    pub fn take_all(&mut self) -> Vec<u8> {
        self.take(self.input().len())
    }

    /// Makes room for messages of this many bytes: so much input can wait for the rest of a message. 64 KiB unless set;
    /// it never shrinks. A message that does not fit closes the connection with an error.
    pub fn expect_input(&mut self, bytes: usize) {
        self.state.input_limit = self.state.input_limit.max(bytes);
    }

    /// Calls no [`data_received`](super::Protocol::data_received), and tells of no end, until
    /// [`resume_producing`](Self::resume_producing). The peer is held up when the stack is full; handshakes go on. A loss
    /// of both directions is told all the same, if nothing was received before it that is still to be read.
    pub fn pause_producing(&mut self) {
        self.state.reading = Reading::Paused;
    }

    /// Undoes [`pause_producing`](Self::pause_producing). What had arrived comes at once, after the callback.
    pub fn resume_producing(&mut self) {
        self.state.reading = Reading::Flowing;
    }

    /// Whether input is not delivered now: it is paused, the connection is being left, or more than the high water mark
    /// waits to be sent (see [`read_while_full`](Self::read_while_full)).
    ///
    /// To be asked between two messages by a protocol that takes more than one in a call.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        if self.state.reading == Reading::Paused || self.is_closing() {
            return true;
        }
        // While a layer is stopped, what is written waits for the peer's close_notify, which may stand behind input.
        self.is_full() && !self.state.reads_while_full && self.stack.stopping().is_none() && self.stack.lost().is_none()
    }

    /// Whether input is delivered also while more than the high water mark waits to be sent.
    ///
    /// It is not, unless this is set: a peer that asks and does not read the answers is not asked for more questions,
    /// which bounds what it can make us hold. Set it where both sides may write much before they read.
    pub fn read_while_full(&mut self, yes: bool) {
        self.state.reads_while_full = yes;
    }

    pub(super) fn position(&self) -> Position {
        self.state.position
    }
}

/// Writing.
impl Transport<'_> {
    /// Takes all of `bytes`, to be sent through all layers. After the connection was closed or lost, they are dropped; so
    /// they are when the innermost layer has ended by itself and the protocol was not told yet, because its peer takes
    /// nothing more, and below it they must not leave.
    ///
    /// # Errors
    ///
    /// When more than the write limit would wait to be sent: the connection is then aborted, because a part of `bytes`
    /// may have left already. When the innermost layer is finished: nothing was written.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        // A producer that is not done writes on, and the close waits for it.
        if self.is_closing() && !self.state.flow.has_producer() {
            return Ok(());
        }
        match self.stack.write(self.now, bytes) {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(_) => {
                let message = format!("more than {} bytes wait for the peer to read them", self.state.write_limit);
                let error = Error::new(ErrorKind::PeerTooSlow, message);
                self.state.closing = Closing::Abort(Some(error.clone()));
                Err(error)
            }
            Err(error) => match error.kind() {
                CommandErrorKind::Lost(_) | CommandErrorKind::Closed | CommandErrorKind::Ended(_) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// How many bytes wait to be sent, in all boundaries.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.stack.outbound_len()
    }

    /// Whether more waits to be sent than the high water mark.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state.flow.is_full() || self.waiting() > self.state.flow.high
    }

    /// Sets the water marks, in bytes: above `high`, producers are paused, and at `low` they are resumed. 64 KiB and
    /// 16 KiB unless set. A `low` above `high` is taken as `high`.
    pub fn set_water_marks(&mut self, low: usize, high: usize) {
        (self.state.flow.low, self.state.flow.high) = (low.min(high), high);
        self.state.handle.set_limits(self.state.write_limit, high);
    }

    /// Sets how many bytes may wait to be sent before a [`write`](Self::write) fails: 16 MiB unless set, and never less
    /// than a boundary of the stack holds.
    pub fn set_write_limit(&mut self, bytes: usize) {
        self.state.write_limit = bytes;
        self.stack.set_write_limit(bytes);
        self.state.handle.set_limits(bytes, self.state.flow.high);
    }

    /// Registers the producer that writes to this connection. It is resumed after the callback, or paused if there is
    /// no room; [`close`](Self::close) waits until it is unregistered, for as long as that takes. If
    /// nothing can be written any more it is told to stop at once.
    ///
    /// The protocol still gets input and may write between two pieces of the producer. Where that would spoil an answer,
    /// [`pause_producing`](Self::pause_producing) until the producer is done, and ask
    /// [`has_producer`](Self::has_producer) before writing out of turn.
    ///
    /// # Errors
    ///
    /// When there is one already.
    pub fn register_producer(
        &mut self,
        mut producer: impl Producer,
        streaming: Streaming,
    ) -> Result<(), ProducerError> {
        if self.stack.lost().is_some() || matches!(self.state.closing, Closing::Abort(_)) {
            producer.stop_producing();
            return Ok(());
        }
        self.state.flow.register(Box::new(producer), streaming)
    }

    /// Whether a producer is registered.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.state.flow.has_producer()
    }

    /// Forgets the producer, if there is one.
    pub fn unregister_producer(&mut self) {
        self.state.flow.unregister();
    }
}

/// Layers.
impl Transport<'_> {
    /// Opens a layer of any kind inside those that are there: puts it in, and has
    /// [`layer_ready`](super::Protocol::layer_ready) called when it is ready, with what it has to say
    /// ([`LayerView::facts`](super::LayerView::facts)); [`Connection::open`](crate::Connection::open) lists it. Input that was not taken goes into the
    /// layer, and what was written leaves before it, outside.
    ///
    /// # Errors
    ///
    /// As [`Stack::splice`].
    pub fn open<L: Opens>(&mut self, layer: L) -> Result<LayerId, CommandError> {
        let id = self.stack.open(self.now, layer)?;
        self.state.position.changes += 1;
        Ok(id)
    }

    /// [Opens](Self::open) TLS: [`layer_ready`](super::Protocol::layer_ready) follows when the handshake is done.
    ///
    /// # Errors
    ///
    /// As [`Stack::splice`].
    pub fn start_tls(&mut self, layer: TlsLayer) -> Result<LayerId, CommandError> {
        self.open(layer)
    }

    /// Puts any layer between the innermost one and the protocol, as [`open`](Self::open) does, for those that need not say
    /// anything: only what the layer itself reports is told.
    ///
    /// # Errors
    ///
    /// As [`Stack::splice`].
    pub fn splice(&mut self, layer: impl Layer) -> Result<LayerId, CommandError> {
        let id = self.stack.splice(self.now, Box::new(layer))?;
        self.state.position.changes += 1;
        Ok(id)
    }

    /// Stops the innermost layer that ends by an exchange with its peer: TLS by a close_notify on each side (RFC 8446 section
    /// 6.1), [`Deflate`](crate::layer::Deflate) by a final block. What was written before leaves through it; what is written
    /// from now on waits, and leaves below it. [`data_received`](super::Protocol::data_received) still gets what was on its
    /// way, and then [`layer_stopped`](super::Protocol::layer_stopped) follows. If the peer has stopped the layer, this
    /// answers.
    ///
    /// # Errors
    ///
    /// When there is no layer to stop, and as [`Stack::stop`].
    pub fn stop(&mut self) -> Result<LayerId, CommandError> {
        self.stop_with(Stop::new())
    }

    /// Another name for [`stop`](Self::stop), for code in which the layer is TLS.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn stop_tls(&mut self) -> Result<LayerId, CommandError> {
        self.stop()
    }

    /// As [`stop`](Self::stop), with options.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop), and when the layer refuses to be stopped like this.
    pub fn stop_with(&mut self, stop: Stop) -> Result<LayerId, CommandError> {
        let id = self.innermost()?;
        self.stack.stop(self.now, id, stop)?;
        Ok(id)
    }

    /// Closes the write half of the innermost layer that can be stopped (a half-close), behind what was written. Reading goes
    /// on, and [`stop`](Self::stop) completes the stop.
    ///
    /// # Errors
    ///
    /// When there is no layer to stop, and as [`Stack::finish`].
    pub fn finish(&mut self) -> Result<LayerId, CommandError> {
        let id = self.innermost()?;
        self.stack.finish(self.now, id)?;
        Ok(id)
    }

    /// Takes a layer out that has no end of its own, wherever it stands: a counter, a traffic log.
    ///
    /// # Errors
    ///
    /// As [`Stack::remove`].
    pub fn remove(&mut self, layer: LayerId) -> Result<(), CommandError> {
        self.stack.remove(self.now, layer)
    }

    /// Changes a layer of a known type.
    ///
    /// # Errors
    ///
    /// When the layer is gone or not of this type.
    pub fn with_layer<L: Layer, R>(
        &mut self,
        layer: LayerId,
        change: impl FnOnce(&mut L) -> R,
    ) -> Result<R, CommandError> {
        self.stack.with_layer(self.now, layer, change)
    }

    /// Answers nothing to what a layer has asked: its peer is told no; see [`Stack::decline`].
    ///
    /// # Errors
    ///
    /// As [`Stack::decline`].
    pub fn decline(&mut self, layer: LayerId) -> Result<(), CommandError> {
        self.stack.decline(self.now, layer)
    }

    fn innermost(&self) -> Result<LayerId, CommandError> {
        self.stack.innermost_stoppable().ok_or_else(|| CommandErrorKind::NothingToStop.into())
    }
}

/// Closing, and time.
impl Transport<'_> {
    /// Closes the connection gracefully: when what was written has left, and the producer is unregistered, every layer sends its
    /// end (a close_notify) from the inside out, and the socket is closed. No more input is delivered, and what is written now is dropped.
    ///
    /// A peer that does not read for 30 seconds, or does not close within 5 seconds after us, is not waited for.
    #[doc(alias = "loseConnection")]
    pub fn close(&mut self) {
        self.close_with(None);
    }

    /// Closes our direction of the connection only, a half-close: behind what was written, every layer sends its end from the
    /// inside out, and the write side of the socket is closed. Reading goes on; when the peer has ended its side too, the connection is
    /// closed, whatever [`end_of_input`](super::Protocol::end_of_input) or
    /// [`layer_ended`](super::Protocol::layer_ended) does.
    ///
    /// The producer is unregistered, and what is written from now on is dropped.
    ///
    /// ```
    /// use onionskin::protocol::{Protocol, Result, Transport};
    /// use onionskin::testing::StringTransport;
    ///
    /// struct Asks(Vec<u8>);
    ///
    /// impl Protocol for Asks {
    ///     fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
    ///         transport.write(b"all that I have to ask")?;
    ///         transport.half_close();
    ///         Ok(())
    ///     }
    ///
    ///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
    ///         self.0.extend(transport.take_all());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut transport = StringTransport::new(Asks(Vec::new()));
    /// assert_eq!(transport.sent(), b"all that I have to ask");
    /// transport.receive(b"all that there is to say");
    /// assert_eq!(transport.protocol().0, b"all that there is to say");
    /// assert!(transport.reason().is_none());
    /// transport.end_of_input();
    /// assert!(transport.reason().is_some_and(|reason| reason.is_closed()));
    /// ```
    #[doc(alias = "loseWriteConnection")]
    pub fn half_close(&mut self) {
        self.state.flow.unregister();
        self.state.half_closed = true;
        self.stack.close(self.now);
    }

    /// As [`close`](Self::close), with an error that becomes the reason of the loss, and without
    /// waiting for the producer, which is told to stop. The same as returning that error from a callback.
    pub fn fail(&mut self, error: impl Into<Error>) {
        self.close_with(Some(error.into()));
    }

    /// Ends the connection at once. Nothing more is sent, not even what waits.
    #[doc(alias = "abortConnection")]
    pub fn abort(&mut self) {
        if !matches!(self.state.closing, Closing::Abort(_)) {
            self.state.closing = Closing::Abort(None);
        }
    }

    /// Calls [`timed_out`](super::Protocol::timed_out) when this time is over, unless this is called again before. `None`
    /// takes it back.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        // A time that no clock will show never comes.
        self.state.timeout = timeout.and_then(|timeout| self.now.checked_add(timeout));
    }

    /// Whether the connection is being closed or aborted.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        !matches!(self.state.closing, Closing::No)
    }

    /// The first error counts, also when the connection was already to be closed without one.
    fn close_with(&mut self, error: Option<Error>) {
        if matches!(self.state.closing, Closing::No | Closing::Graceful(None)) {
            self.state.closing = Closing::Graceful(error);
        }
    }
}

impl State {
    pub(super) fn new(addresses: Addresses) -> Self {
        let flow = Flow::new();
        Self {
            addresses,
            reading: Reading::Flowing,
            reads_while_full: false,
            input_limit: INPUT_LIMIT,
            position: Position::default(),
            write_limit: WRITE_LIMIT,
            handle: Handle::new(WRITE_LIMIT, flow.high),
            flow,
            half_closed: false,
            closing: Closing::No,
            timeout: None,
        }
    }
}

impl fmt::Display for Transport<'_> {
    /// As [`Layers`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layers().fmt(f)
    }
}

const INPUT_LIMIT: usize = 64 * 1024;

/// More than most protocols ever write at once, and little enough that some peers that do not read do no harm.
const WRITE_LIMIT: usize = 16 * 1024 * 1024;
