//! The `handle_*` family: what has happened outside. The driver says it, each time something does.

use std::io;
use std::task::Poll;
use std::time::Instant;

use bytes::BytesMut;

use super::list::WIRE;
use super::{End, Reason, Side, Stack};

impl Stack {
    /// Takes bytes from the wire, as many as there is room for, and returns how many.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.input_room());
        self.wire().inbound.push(&bytes[..count]);
        self.wake_above(WIRE);
        self.settle(now);
        count
    }

    /// As [`handle_input`](Self::handle_input), of bytes for which there is room: their storage, if they are many and nothing waits
    /// before them.
    pub(crate) fn handle_piece(&mut self, now: Instant, mut piece: BytesMut) {
        let count = piece.len().min(self.input_room());
        if count > 0 {
            self.wire().inbound.give_of(&mut piece, count);
            self.wake_above(WIRE);
            self.settle(now);
        }
    }

    /// Has `give` take bytes off the front of what [`poll_output`](Self::poll_output) offers, with their storage, and say how many;
    /// they are sent then.
    pub(crate) fn give_output(
        &mut self,
        now: Instant,
        give: impl FnOnce(&mut BytesMut, usize) -> Option<Poll<io::Result<usize>>>,
    ) -> Option<Poll<io::Result<usize>>> {
        let given = self.wire().outbound.give_front(give);
        if let Some(Poll::Ready(Ok(count))) = given {
            self.have_sent(now, count);
        }
        given
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

    /// The connection that the wire runs over is lost, for this reason: that of a tunnel's carrier, or of a
    /// [`Connection`](crate::Connection) in the place of the socket. What was received before can still be read, and whoever
    /// asks why this connection is lost learns all of it ([`Reason::below`]).
    ///
    /// A loss is never an end. Where only what the peer sends was cut off below ([`Reason::is_inbound_only`]), the same is so
    /// here: our own direction stays open ([`truncated`](Self::truncated)).
    pub fn handle_loss(&mut self, now: Instant, below: Reason) {
        let is_inbound_only = below.is_inbound_only();
        let reason = Reason::over(below);
        if !is_inbound_only {
            self.lose_wire(now, reason);
        } else if self.wire_input == Side::Open {
            self.wire_input = Side::Closed;
            self.fate.truncate(self.reason(reason));
            self.wire().inbound.push_mark(End::Truncated);
            self.wake_above(WIRE);
            self.log_change(format_args!("what the wire runs over is cut off"));
            self.settle(now);
        }
    }

    /// Tells the layers whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<usize> = self.list.outer_to_inner().filter(|&index| self.is_due(index, now)).collect();
        for index in due {
            self.time_out(index, now);
        }
        if self.fate.linger().is_some_and(|linger| linger <= now) {
            self.drop_outbound(WIRE);
            self.wire_output = Side::Closed;
        }
        self.go_on(now);
    }

    /// How many of the bytes that were sent the system still holds, because the peer has not taken them: for layers that
    /// judge a peer by its progress ([`Ends::unsent`](super::Ends::unsent)). A driver that can know it tells it before each
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
        self.wire().outbound.consume(count);
        self.have_sent(now, count);
    }

    fn have_sent(&mut self, now: Instant, count: usize) {
        if self.wire().outbound.take_asked() {
            self.wake_above(WIRE);
        }
        if count > 0 {
            self.wire_has_taken();
            self.fate.linger_on(now);
        }
        self.settle(now);
    }

    /// The write side of the socket is closed, as [`poll_output`](Self::poll_output) asked.
    pub fn handle_shutdown(&mut self) {
        self.wire_output = Side::Closed;
    }
}
