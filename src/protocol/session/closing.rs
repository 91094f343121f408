//! How a session comes to its end.
//!
//! A close is carried out in two steps. What was written leaves first, as long as the peer takes something of it; then the
//! session waits for the peer to close too, because a socket that is dropped with unread input resets the connection, and
//! the reset may overtake what was said last. Neither wait is for ever.

use std::time::{Duration, Instant};

use super::{Input, Phase, Session};
use crate::protocol::handle::Command;
use crate::protocol::transport::Closing;
use crate::protocol::{EndReason, EndReasonKind, Error, ErrorKind, Protocol};
use crate::stack::Stack;

impl<P: Protocol> Session<P> {
    /// Carries out what the protocol said about closing.
    pub(super) fn close(&mut self, stack: &mut Stack, now: Instant) -> bool {
        match &self.state.closing {
            Closing::No if self.is_ended_both_ways() => {
                self.state.closing = Closing::Graceful(None);
                true
            }
            Closing::No => false,
            Closing::Graceful(None) if self.state.flow.has_producer() && stack.lost().is_none() => {
                self.await_producer(stack, now)
            }
            Closing::Graceful(error) => {
                let failure = error.clone();
                stack.close(now);
                self.state.flow.end();
                self.phase = Phase::Flushing { failure, progress: Progress::new(stack, now) };
                true
            }
            Closing::Abort(error) => {
                let failure = error.clone();
                self.abort(stack, now, failure);
                true
            }
        }
    }

    /// Whether there is nothing left to read or to write.
    fn is_ended_both_ways(&self) -> bool {
        self.state.half_closed && (!matches!(self.input, Input::Open) || self.announced.is_some())
    }

    /// The producer may take its time, but not a peer that reads nothing of what it wrote.
    fn await_producer(&mut self, stack: &mut Stack, now: Instant) -> bool {
        if stack.outbound_len() == 0 {
            self.producing = None;
            return false;
        }
        let is_stuck = self.producing.get_or_insert_with(|| Progress::new(stack, now)).is_stuck(stack, now);
        if is_stuck {
            self.abort(stack, now, Some(unread()));
        }
        is_stuck
    }

    /// What is written to a lost connection leaves room for more: a producer would never come to an end.
    pub(super) fn stop_producer(&mut self, stack: &Stack) -> bool {
        stack.lost().is_some() && self.state.flow.end()
    }

    /// What was written before leaves.
    pub(super) fn flush(&mut self, stack: &mut Stack, now: Instant) -> bool {
        while stack.poll_event().is_some() {}
        if self.obey_last(stack, now) {
            return true;
        }
        if let Closing::Abort(error) = &self.state.closing {
            let error = error.clone();
            self.abort(stack, now, error);
            return true;
        }
        stack.drain(now);
        let Phase::Flushing { failure, progress } = &mut self.phase else { return false };
        // A peer that has gone after it had everything is no loss.
        let loss = stack.lost().filter(|_| !stack.is_lost_after_close());
        if let (true, Some(reason)) = (stack.is_flushed(), loss) {
            let reason = failure.take().map_or_else(|| EndReasonKind::Lost(reason.clone()), EndReasonKind::Failed);
            self.end(reason);
            return true;
        }
        if loss.is_none() && stack.is_flushed() {
            self.phase = Phase::Draining { failure: failure.take(), until: now + LINGER };
            return true;
        }
        if progress.is_stuck(stack, now) {
            let failure = failure.take().unwrap_or_else(unread);
            self.abort(stack, now, Some(failure));
            return true;
        }
        false
    }

    /// The peer closes too.
    pub(super) fn drain(&mut self, stack: &mut Stack, now: Instant) -> bool {
        while stack.poll_event().is_some() {}
        if self.obey_last(stack, now) {
            return true;
        }
        // What the peer does now no longer matters: all that was written has left.
        stack.drain(now);
        let Phase::Draining { failure, until } = &mut self.phase else { return false };
        let is_awaited = !matches!(self.state.closing, Closing::Abort(_)) && now < *until;
        if !stack.is_input_closed() && is_awaited {
            return false;
        }
        let in_order = || match &self.input {
            Input::Truncated(reason) => EndReasonKind::Lost(reason.clone()),
            Input::Open | Input::Ended => EndReasonKind::Closed,
        };
        let reason = failure.take().map_or_else(in_order, EndReasonKind::Failed);
        self.end(reason);
        true
    }

    /// Nothing is written any more, but what a handle was given is run, and may abort what takes too long.
    fn obey_last(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let Some(command) = self.state.handle.next() else { return false };
        if let Command::Call(act) = command {
            self.call(stack, now, |_, transport| act(transport));
        }
        true
    }

    fn abort(&mut self, stack: &mut Stack, now: Instant, failure: Option<Error>) {
        stack.abort(now);
        let lost = || stack.lost().cloned().map_or(EndReasonKind::Closed, EndReasonKind::Lost);
        self.end(failure.map_or_else(lost, EndReasonKind::Failed));
    }

    /// The end: the protocol is told, and whoever holds on to the connection.
    pub(super) fn end(&mut self, reason: EndReasonKind) {
        let reason = EndReason::from(reason);
        log::debug!("{}: {reason}", self.state.addresses);
        self.phase = Phase::Over(reason.clone());
        self.state.handle.disconnect();
        self.state.flow.end();
        self.protocol_mut().connection_ended(&reason);
    }
}

/// How much was still to be sent, and until when it has to become less.
#[derive(Debug)]
pub(super) struct Progress {
    waiting: usize,
    pub(super) until: Instant,
}

impl Progress {
    fn new(stack: &Stack, now: Instant) -> Self {
        Self { waiting: stack.outbound_len(), until: now + STALL_TIMEOUT }
    }

    /// Whether it has not become less for so long that the peer is given up.
    fn is_stuck(&mut self, stack: &Stack, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.waiting, stack.outbound_len());
        if self.waiting < before {
            self.until = now + STALL_TIMEOUT;
        }
        self.until <= now
    }
}

fn unread() -> Error {
    Error::new(ErrorKind::PeerTooSlow, "the peer did not read what was sent last")
}

/// How long a peer may take nothing at all of what was written before a close.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a peer may take to close after us.
const LINGER: Duration = Duration::from_secs(5);
