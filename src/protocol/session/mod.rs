//! A protocol on top of a stack: a state machine that turns what happened into callbacks.
//!
//! The stack has three ways to tell something: events, what can be read (bytes, ends, a loss), and how much waits to be
//! sent. A session looks at them in this order, makes one callback of the first that is new, and looks again. So a
//! callback finds the connection as the one before left it, nothing is called from inside a call, and a layer's end is
//! told where it stands among the bytes.
//!
//! ```text
//!             connection_made            close, end of input, error
//!   [ New ] ─────────────────▶ [ Open ] ──────────────▶ [ Flushing ] ─────▶ [ Draining ]
//!                                 │                           │   all has left   │  the peer has closed too
//!                                 │ lost, aborted             │ lost, stuck      │  or is not waited for
//!                                 ▼                           ▼                  ▼
//!                              [ Over ] ◀────────────────────────────────────────┘     connection_ended
//! ```

mod closing;

use std::fmt;
use std::task::Context;
use std::time::Instant;

use self::closing::Progress;
use super::flow::Level;
use super::handle::Command;
use super::transport::State;
use super::{
    Addresses, EndReason, EndReasonKind, Error, ErrorKind, Handle, LayerId, LayerView, Protocol, Result, Streaming,
    Transport,
};
use crate::connection::RECORD;
use crate::stack::{self, Departure, End, Event, Readable, Stack};

/// A [`Protocol`] as the application of a [`Stack`], without any I/O: for drivers of your own.
///
/// The driver moves bytes between its socket and the stack as [`Stack`] tells it to, and calls
/// [`dispatch`](Self::dispatch) whenever something has happened: after each `handle_*`, when
/// [`poll_deadline`](Self::poll_deadline) has passed, and when a [`Handle`] has woken it. What `dispatch` caused is to be
/// sent, and so on until it returns false. When [`is_over`](Self::is_over), the socket is to be dropped.
pub struct Session<P: Protocol> {
    /// Always there, but for the one who takes it out in `into_protocol`.
    protocol: Option<P>,
    state: State,
    phase: Phase,
    /// The layer whose end was told and that is still there.
    announced: Option<LayerId>,
    /// How much input the protocol was shown when it last took nothing.
    refused: Option<usize>,
    input: Input,
    /// While a close waits for the producer: whether the peer still reads.
    producing: Option<Progress>,
}

#[derive(Debug)]
enum Phase {
    New,
    Open,
    /// Closed by us; what was written before is still to leave.
    Flushing {
        failure: Option<Error>,
        progress: Progress,
    },
    /// All has left; the peer is to close too, so that no reset overtakes what we said last.
    Draining {
        failure: Option<Error>,
        until: Instant,
    },
    Over(EndReason),
}

/// How what the peer says came to its end, as the protocol was told.
#[derive(Debug)]
enum Input {
    Open,
    Ended,
    /// It was cut off: whatever else becomes of the connection, it was not closed gracefully.
    Truncated(stack::Reason),
}

impl<P: Protocol> Session<P> {
    /// A session that has not begun: the first [`dispatch`](Self::dispatch) makes the connection known to the protocol.
    pub fn new(protocol: P, addresses: Addresses) -> Self {
        Self {
            protocol: Some(protocol),
            state: State::new(addresses),
            phase: Phase::New,
            announced: None,
            refused: None,
            input: Input::Open,
            producing: None,
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> &P {
        self.protocol.as_ref().expect(PRESENT)
    }

    /// The protocol, to be changed.
    pub fn protocol_mut(&mut self) -> &mut P {
        self.protocol.as_mut().expect(PRESENT)
    }

    /// A way to this connection from other tasks and threads.
    pub fn handle(&self) -> Handle {
        self.state.handle.clone()
    }

    /// Why the connection is over, if it is and the protocol was told.
    pub fn reason(&self) -> Option<&EndReason> {
        match &self.phase {
            Phase::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the connection is over, and the protocol was told.
    pub fn is_over(&self) -> bool {
        self.reason().is_some()
    }

    /// The protocol, and why its connection is over, if it is.
    pub fn into_protocol(mut self) -> (P, Option<EndReason>) {
        let reason = self.reason().cloned();
        let protocol = self.protocol.take().expect(PRESENT);
        (protocol, reason)
    }

    /// When [`dispatch`](Self::dispatch) is next due, if nothing else happens. The stack has a deadline of its own.
    pub fn poll_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Flushing { progress, .. } => Some(progress.until),
            Phase::Draining { until, .. } => Some(*until),
            Phase::New | Phase::Open => {
                let stuck = self.producing.as_ref().map(|progress| progress.until);
                [self.state.timeout, stuck].into_iter().flatten().min()
            }
            Phase::Over(_) => None,
        }
    }

    /// Has the task of `cx` woken when a [`Handle`] asks for something.
    pub fn register(&self, cx: &Context<'_>) {
        self.state.handle.register(cx);
    }

    /// Tells the protocol all that has happened; whether there was anything.
    pub fn dispatch(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let mut steps = 0;
        // Not without end: other threads may ask for more and more, and the socket must have its turn.
        while steps < MAX_STEPS && self.step(stack, now) {
            steps += 1;
            if stack.is_unfinished() {
                break;
            }
        }
        if !self.is_over() {
            self.state.handle.set_waiting(stack.outbound_len());
        }
        steps > 0
    }

    /// Does what the protocol's own code would do with the transport, and then tells the protocol what came of it.
    pub fn with_transport<R>(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        act: impl FnOnce(&mut P, &mut Transport<'_>) -> R,
    ) -> R {
        let result = act(self.protocol.as_mut().expect(PRESENT), &mut Transport::new(stack, &mut self.state, now));
        self.something_happened();
        self.dispatch(stack, now);
        result
    }
}

/// One step: at most one callback, and whether anything was done.
impl<P: Protocol> Session<P> {
    fn step(&mut self, stack: &mut Stack, now: Instant) -> bool {
        match self.phase {
            Phase::New => {
                self.phase = Phase::Open;
                stack.set_write_limit(self.state.write_limit);
                self.tell(stack, now, P::connection_made);
                true
            }
            Phase::Open => {
                self.close(stack, now)
                    || self.stop_producer(stack)
                    || self.call_new_producer(stack, now)
                    || self.obey(stack, now)
                    || self.tell_events(stack, now)
                    || self.tell_input(stack, now)
                    || self.tell_level(stack, now)
                    || self.call_producer(stack, now)
                    || self.tell_timeout(stack, now)
            }
            Phase::Flushing { .. } => self.flush(stack, now),
            Phase::Draining { .. } => self.drain(stack, now),
            Phase::Over(_) => false,
        }
    }

    /// Carries out the next command of a handle.
    fn obey(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let Some(command) = self.state.handle.next() else { return false };
        self.tell(stack, now, |protocol, transport| match command {
            Command::Write(bytes) => transport.write(&bytes),
            Command::Call(act) => act(transport),
            Command::StopRequested => protocol.stop_requested(transport),
        });
        true
    }

    fn tell_events(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let Some(event) = stack.poll_event() else { return false };
        match event {
            Event::Ready(id) => {
                if let Some(layer) = stack.layer_at_ready(id).map(|layer| LayerView::of(id, layer)) {
                    self.tell(stack, now, |protocol, transport| protocol.layer_ready(transport, &layer));
                }
            }
            Event::Asked(id) => {
                // It may have been answered already, or have gone.
                if let Some(layer) = stack.layer(id).filter(|layer| layer.asks()).map(|layer| LayerView::of(id, layer))
                {
                    self.tell(stack, now, |protocol, transport| protocol.layer_asked(transport, &layer));
                }
            }
            // It has left no end to be read.
            Event::Stopped(id, answer) if stack.departure(id).is_none() => {
                self.tell(stack, now, |protocol, transport| protocol.layer_stopped(transport, id, answer));
            }
            // Told where its end stands among the bytes.
            Event::Stopped(..) | Event::Failed { .. } => {}
        }
        true
    }

    fn tell_input(&mut self, stack: &mut Stack, now: Instant) -> bool {
        if Transport::new(stack, &mut self.state, now).is_paused() {
            // Nothing stands before the loss, so there is nothing that a pause could keep for later.
            return matches!(stack.readable(), Readable::Lost(_)) && self.tell_loss(stack);
        }
        match stack.readable() {
            Readable::Nothing => false,
            Readable::Bytes(bytes) => {
                let shown = bytes.len();
                self.tell_bytes(stack, now, shown)
            }
            Readable::Ended(id) => self.tell_end(stack, now, id),
            Readable::EndOfInput => self.tell_end_of_input(stack, now),
            Readable::Lost(_) => self.tell_truncation_or_loss(stack, now),
        }
    }

    fn tell_bytes(&mut self, stack: &mut Stack, now: Instant, shown: usize) -> bool {
        if self.refused != Some(shown) && matches!(self.input, Input::Open) {
            let before = self.state.position;
            self.call(stack, now, P::data_received);
            if self.state.position != before {
                self.something_happened();
            } else {
                self.refused = Some(Transport::new(stack, &mut self.state, now).input().len());
            }
            return true;
        }
        // The protocol waits for more of a message.
        match stack.end_ahead() {
            Some(&End::Layer(id)) => {
                let message = format!("layer {id} ended in the middle of a message");
                self.fail(stack, now, Error::new(ErrorKind::Unfinished, message))
            }
            Some(End::Wire) => self.tell_end_of_input(stack, now),
            Some(End::Truncated | End::Lost) => self.tell_truncation_or_loss(stack, now),
            None if shown > self.state.input_limit => {
                let message = format!("a message is longer than {} bytes", self.state.input_limit);
                self.fail(stack, now, Error::new(ErrorKind::TooLong, message))
            }
            None => {
                // One record more than the limit, because a record is not delivered in part.
                stack.await_more(now, self.state.input_limit.saturating_add(RECORD));
                false
            }
        }
    }

    fn tell_end(&mut self, stack: &mut Stack, now: Instant, id: LayerId) -> bool {
        let by_itself = stack.ended_by_itself() == Some(id);
        let is_there = stack.layer(id).is_some();
        let asked_for = stack.stopping() == Some(id) && !by_itself;
        let departure = stack.departure(id).cloned();
        let failed = matches!(departure, Some(Departure::Failed(_)));
        let by_the_peer = if by_itself { !failed } else { is_there && !asked_for };
        if by_the_peer && self.announced != Some(id) {
            self.announced = Some(id);
            self.tell(stack, now, |protocol, transport| protocol.layer_ended(transport, id));
            return true;
        }
        if is_there && stack.lost().is_some() {
            // Nobody will stop it any more, and what stands behind its end was not said to the protocol.
            return self.tell_loss(stack);
        }
        // It is still there, and waits for the protocol or for our close_notify to leave.
        if stack.pass_end(now).is_err() {
            return false;
        }
        self.announced = None;
        self.state.position.changes += 1;
        match departure {
            Some(Departure::Stopped(answer)) => {
                self.tell(stack, now, |protocol, transport| protocol.layer_stopped(transport, id, answer));
            }
            Some(Departure::Failed(error)) => {
                self.tell(stack, now, |protocol, transport| protocol.layer_failed(transport, id, &error));
            }
            // It had ended before the session began.
            None => {}
        }
        true
    }

    fn tell_end_of_input(&mut self, stack: &mut Stack, now: Instant) -> bool {
        if let Input::Open = self.input {
            self.input = Input::Ended;
            self.tell(stack, now, P::end_of_input);
            return true;
        }
        // Only a write can fail now, and no end can be read behind that of the input.
        self.tell_loss(stack)
    }

    /// A loss is the end; after a truncation there may be more to say.
    fn tell_truncation_or_loss(&mut self, stack: &mut Stack, now: Instant) -> bool {
        match (&self.input, stack.truncated().cloned()) {
            (Input::Open, Some(reason)) if stack.lost().is_none() => {
                self.input = Input::Truncated(reason.clone());
                self.tell(stack, now, |protocol, transport| protocol.input_truncated(transport, &reason));
                true
            }
            _ => self.tell_loss(stack),
        }
    }

    /// Tells the loss, if there is one; the alert that tells the peer why is first given its time to leave.
    fn tell_loss(&mut self, stack: &mut Stack) -> bool {
        let Some(reason) = stack.lost().filter(|_| stack.is_flushed()) else { return false };
        self.end(EndReasonKind::Lost(reason.clone()));
        true
    }

    fn tell_level(&mut self, stack: &mut Stack, now: Instant) -> bool {
        if stack.lost().is_some() {
            return false;
        }
        let waiting = stack.outbound_len();
        let Some(level) = self.state.flow.change(waiting) else { return false };
        // First, because a producer that is resumed may write from another thread before this one goes on.
        self.state.handle.set_waiting(waiting);
        self.tell(
            stack,
            now,
            match level {
                Level::Full => P::writing_paused,
                Level::Open => P::writing_resumed,
            },
        );
        true
    }

    /// The first piece stands where the producer was registered, before the answers to later input.
    fn call_new_producer(&mut self, stack: &mut Stack, now: Instant) -> bool {
        self.state.flow.has_new_producer() && self.call_producer(stack, now)
    }

    fn call_producer(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let is_full = self.state.flow.is_full();
        let Some(mut registered) = self.state.flow.lend() else { return false };
        let before = (stack.outbound_len(), self.state.position);
        self.call(stack, now, |_, transport| {
            if is_full {
                registered.pause();
                return Ok(());
            }
            registered.announced = Some(Level::Open);
            registered.producer.resume_producing(transport)
        });
        registered.dry = registered.streaming == Streaming::Pull && stack.outbound_len() == before.0;
        // It saw that there is no room. If there is some again before the level is looked at, it is to be resumed.
        if registered.streaming == Streaming::Push
            && registered.announced == Some(Level::Open)
            && self.state.flow.has_lent()
            && stack.outbound_len() > self.state.flow.high
        {
            registered.pause();
        }
        if self.state.position != before.1 {
            self.refused = None;
        }
        self.state.flow.give_back(registered);
        true
    }

    fn tell_timeout(&mut self, stack: &mut Stack, now: Instant) -> bool {
        if self.state.timeout.is_none_or(|timeout| now < timeout) {
            return false;
        }
        self.state.timeout = None;
        self.tell(stack, now, P::timed_out);
        true
    }

    fn tell(&mut self, stack: &mut Stack, now: Instant, callback: impl FnOnce(&mut P, &mut Transport<'_>) -> Result) {
        self.call(stack, now, callback);
        self.something_happened();
    }

    fn call(&mut self, stack: &mut Stack, now: Instant, callback: impl FnOnce(&mut P, &mut Transport<'_>) -> Result) {
        let protocol = self.protocol.as_mut().expect(PRESENT);
        if let Err(error) = callback(protocol, &mut Transport::new(stack, &mut self.state, now)) {
            self.fail(stack, now, error);
        }
    }

    /// The protocol may understand what it did not take before, and its producer may have something to write.
    fn something_happened(&mut self) {
        self.refused = None;
        self.state.flow.refresh();
    }

    fn fail(&mut self, stack: &mut Stack, now: Instant, error: Error) -> bool {
        Transport::new(stack, &mut self.state, now).fail(error);
        true
    }
}

impl<P: Protocol> Drop for Session<P> {
    /// The protocol hears of the end of its connection, whatever ended it.
    fn drop(&mut self) {
        self.state.handle.disconnect();
        if std::thread::panicking() {
            return;
        }
        self.state.flow.end();
        let is_live = !matches!(self.phase, Phase::New | Phase::Over(_));
        if is_live && self.protocol.is_some() {
            self.end(EndReasonKind::Lost(stack::Reason::aborted()));
        }
    }
}

impl<P: Protocol> fmt::Debug for Session<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("phase", &self.phase).field("state", &self.state).finish_non_exhaustive()
    }
}

const PRESENT: &str = "the protocol is there until `into_protocol` takes it";

const MAX_STEPS: usize = 1 << 10;
