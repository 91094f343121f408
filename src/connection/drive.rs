//! Moving bytes between the stack and the socket.
//!
//! Whoever polls the connection, for whatever reason, drives all of it: what the stack has to send is sent, what
//! the socket has is read as far as there is room, deadlines fire. So a reader also sends what TLS wants to send, a
//! writer also reads what a handshake needs, and a future that is dropped leaves nothing half done: everything is
//! in the stack.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::wakers::Task;
use crate::stack::{Event, Output, PeerAnswer};

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    /// Does all that can be done without waiting, but not without end: a peer can send much that comes to nothing.
    /// Afterwards the task is registered for what could not be done.
    pub(super) fn drive(&mut self, task: Task, cx: &Context<'_>) {
        self.wakers.register(task, cx);
        let both = self.wakers.both();
        let mut cx = Context::from_waker(&both);
        for round in 0..MOST_ROUNDS {
            let progress = self.send(&mut cx) | self.receive(&mut cx) | self.fire(&mut cx);
            self.collect_events();
            if !progress {
                if round > 0 {
                    self.wakers.wake_other(task);
                }
                return;
            }
        }
        // Others have their turn, and then both go on.
        both.wake();
    }

    /// Sends until the stack has nothing more or the socket takes nothing more.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            let io = &mut self.io;
            let sent = match self.stack.poll_output() {
                Output::Bytes(bytes) => uninterrupted(|| Pin::new(&mut *io).poll_write(cx, bytes)),
                Output::Shutdown => match uninterrupted(|| Pin::new(&mut *io).poll_close(cx)) {
                    Poll::Pending => return moved,
                    // A peer that is gone already is no less closed.
                    Poll::Ready(_) => {
                        self.stack.handle_shutdown();
                        return true;
                    }
                },
                Output::Nothing => break,
            };
            let now = self.timer.now();
            match sent {
                Poll::Pending => return moved,
                Poll::Ready(Ok(0)) => self.stack.handle_error(now, io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.stack.handle_sent(now, count);
                    self.io_flushed = false;
                }
                Poll::Ready(Err(error)) => self.stack.handle_error(now, error),
            }
            moved = true;
        }
        if !self.io_flushed {
            match uninterrupted(|| Pin::new(&mut self.io).poll_flush(cx)) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.io_flushed = true,
                Poll::Ready(Err(error)) => {
                    self.io_flushed = true;
                    self.stack.handle_error(self.timer.now(), error);
                    moved = true;
                }
            }
        }
        moved
    }

    /// Whether all that the stack has for the socket now is sent. Bytes that wait for a layer do not count.
    pub(super) fn is_sent(&mut self) -> bool {
        self.io_flushed && matches!(self.stack.poll_output(), Output::Nothing)
    }

    /// Reads once, if the stack has room.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stack.input_room() == 0 {
            return false;
        }
        let now = self.timer.now();
        let io = &mut self.io;
        let read = self.stack.handle_input_with(now, READ_SIZE, |space| {
            match uninterrupted(|| Pin::new(&mut *io).poll_read(cx, space)) {
                Poll::Ready(Ok(count)) => (count, Poll::Ready(Ok(count))),
                Poll::Ready(Err(error)) => (0, Poll::Ready(Err(error))),
                Poll::Pending => (0, Poll::Pending),
            }
        });
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.stack.handle_eof(now),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => self.stack.handle_error(now, error),
        }
        true
    }

    /// Fires what is due, and sets the alarm for what is next.
    fn fire(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.stack.poll_deadline() else {
            self.alarm = None;
            return false;
        };
        let now = self.timer.now();
        if deadline <= now {
            self.stack.handle_timeout(now);
            return true;
        }
        if !matches!(self.alarm, Some((set, _)) if set == deadline) {
            self.alarm = Some((deadline, self.timer.sleep_until(deadline)));
        }
        let rung = self.alarm.as_mut().is_some_and(|(_, alarm)| alarm.as_mut().poll(cx).is_ready());
        if rung {
            // A future that is done may not be polled again.
            self.alarm = None;
        }
        rung
    }

    pub(super) fn collect_events(&mut self) {
        while let Some(event) = self.stack.poll_event() {
            match event {
                // `TlsLayer::is_ready` tells it too, for as long as the layer is there.
                // The second kind left no end to be read.
                Event::Ready(_) | Event::Stopped(_, PeerAnswer::NotNeeded) => {}
                Event::Stopped(..) | Event::Failed { .. } => self.ended.push(event),
            }
        }
    }
}

/// Tries again for as long as the socket says that a signal came between.
fn uninterrupted<T>(mut attempt: impl FnMut() -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    loop {
        match attempt() {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The most that one read takes: a full TLS record and what may stand around it.
const READ_SIZE: usize = 32 * 1024;

/// So many reads, of megabytes in all, before the executor gets its thread back.
const MOST_ROUNDS: usize = 128;
