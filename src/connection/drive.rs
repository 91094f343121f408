//! Who polls the connection, for whatever reason, drives all of it.
//!
//! What the stack has to send is sent, what the socket has is read as far as there is room, deadlines fire. So a reader
//! also sends what TLS wants to send, a writer also reads what a handshake needs, and a future that is dropped leaves
//! nothing half done: everything is in the stack.

use std::task::Context;

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, LayerView};
use crate::driver::{Half, Rounds, Step};
use crate::stack::{Event, Readable, Stack};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Does all that can be done without waiting, but not without end: a peer can send much that has no effect.
    /// Afterwards the task is registered for what could not be done.
    pub(super) fn drive(&mut self, half: Half, cx: &Context<'_>) {
        self.drive_until(half, cx, |_| false);
    }

    /// As [`drive`](Self::drive), but only until there is something to read: more input would only wait.
    pub(super) fn drive_until_readable(&mut self, cx: &Context<'_>) {
        self.drive_until(Half::Reader, cx, |stack| !matches!(stack.readable(), Readable::Nothing));
    }

    /// As [`drive`](Self::drive), but only until all that was written has left: what the socket has is then the reader's.
    pub(super) fn drive_until_sent(&mut self, half: Half, cx: &Context<'_>) {
        let sent = self.wire.send_all(&mut self.stack, &mut Context::from_waker(&self.wakers.both()));
        // A reader that sleeps had nothing to read. What was written, or could not be sent, may have changed that: a loss.
        if !matches!(self.stack.readable(), Readable::Nothing) {
            self.wakers.wake_other(half);
        }
        if !sent {
            self.drive(half, cx);
        }
    }

    /// As [`drive`](Self::drive), but only until there is enough.
    pub(super) fn drive_until(&mut self, half: Half, cx: &Context<'_>, is_enough: impl Fn(&Stack) -> bool) {
        self.wakers.register(half, cx);
        let both = self.wakers.both();
        let mut cx = Context::from_waker(&both);
        let Self { stack, wire, left, .. } = self;
        let rounds = wire.rounds(stack, &mut cx, |stack, _| {
            take_events(stack, left);
            if is_enough(stack) { Step::Done } else { Step::Idle }
        });
        match rounds {
            Rounds::Done => {
                // What was received may have to be answered, and may be what the other task waits for.
                self.wire.send_all(&mut self.stack, &mut cx);
                self.wakers.wake_other(half);
            }
            Rounds::Idle { moved: true } => self.wakers.wake_other(half),
            Rounds::Idle { moved: false } => {}
            Rounds::Tired => both.wake(),
        }
    }

    pub(super) fn is_sent(&mut self) -> bool {
        self.wire.is_sent(&mut self.stack)
    }
}

/// Takes what the stack has to tell. All of it can be asked for later, but for what a layer had to say that was ready and has
/// left at once.
fn take_events(stack: &mut Stack, left: &mut Vec<LayerView>) {
    while let Some(event) = stack.poll_event() {
        match event {
            Event::Ready(id) if stack.layer(id).is_none() => {
                left.extend(stack.layer_at_ready(id).map(|layer| LayerView::of(id, layer)));
            }
            // It left an end to be read, and that is what there is to know.
            Event::Stopped(id, _) | Event::Failed { layer: id, .. } if stack.departure(id).is_some() => {
                left.retain(|left| left.id != id);
            }
            Event::Ready(_) | Event::Asked(_) | Event::Stopped(..) | Event::Failed { .. } => {}
        }
    }
}
