//! Who polls the connection, for whatever reason, drives all of it.
//!
//! What the stack has to send is sent, what the socket has is read as far as there is room, deadlines fire. So a reader
//! also sends what TLS wants to send, a writer also reads what a handshake needs, and a future that is dropped leaves
//! nothing half done: everything is in the stack.

use std::task::Context;

use futures::io::{AsyncRead, AsyncWrite};

use super::wakers::Half;
use super::{Connection, LayerView};
use crate::stack::{Event, PeerAnswer, Readable, Stack};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Does all that can be done without waiting, but not without end: a peer can send much that comes to nothing.
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
        for round in 0..MAX_ROUNDS {
            let progress = self.wire.turn(&mut self.stack, &mut cx);
            self.collect_events();
            if is_enough(&self.stack) {
                // What was received may have to be answered, and may be what the other task waits for.
                self.wire.send_all(&mut self.stack, &mut cx);
                self.wakers.wake_other(half);
                return;
            }
            if !progress {
                if round > 0 {
                    self.wakers.wake_other(half);
                }
                return;
            }
            if self.stack.is_unfinished() {
                break;
            }
        }
        // Others have their turn, and then both go on.
        both.wake();
    }

    pub(super) fn is_sent(&mut self) -> bool {
        self.wire.is_sent(&mut self.stack)
    }

    pub(super) fn collect_events(&mut self) {
        while let Some(event) = self.stack.poll_event() {
            match event {
                // As long as the layer is there, it can be asked itself.
                Event::Ready(id) if self.stack.layer(id).is_some() => {}
                Event::Ready(id) => {
                    self.left.extend(self.stack.layer_at_ready(id).map(|layer| LayerView::of(id, layer)))
                }
                // `Layer::asks` tells the first. The second kind left no end to be read.
                Event::Asked(_) | Event::Stopped(_, PeerAnswer::NotNeeded) => {}
                Event::Stopped(id, _) | Event::Failed { layer: id, .. } => {
                    // It is its end that there is to know.
                    self.take_left(id);
                    self.ended.push(event);
                }
            }
        }
    }
}

/// So many reads, of megabytes in all, before the executor gets its thread back.
pub(crate) const MAX_ROUNDS: usize = 128;
