//! The socket under a stack, and how bytes move between the two.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use futures::io::{AsyncRead, AsyncWrite};

use super::Alarm;
use crate::runtime::Timer;
use crate::stack::{COPY_THRESHOLD, Output, Reason, Stack};

/// A socket with a clock: all that a [`Stack`] needs to live.
#[derive(Debug)]
pub(crate) struct Wire<IO> {
    pub(crate) io: IO,
    alarm: Alarm,
    flushing: Flushing,
    backlog: fn(&IO) -> Option<usize>,
    pieces: Pieces<IO>,
    /// Has the socket know how the layers are, whenever they change.
    show: fn(&IO, &Stack),
    loss_in: fn(&io::Error) -> Option<Reason>,
}

/// How bytes come and go in storage of their own (zero-copy); each is `None` where the socket has only the usual way.
struct Pieces<IO> {
    read: MovePiece<IO>,
    write: MovePiece<IO>,
}

type MovePiece<IO> = fn(&mut IO, &mut Context<'_>, &mut BytesMut, usize) -> Option<Poll<io::Result<usize>>>;

impl<IO> fmt::Debug for Pieces<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").finish_non_exhaustive()
    }
}

/// What has become of the bytes that the socket keeps itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushing {
    Done,
    Pending,
    Failed,
}

impl<IO> Wire<IO> {
    /// Over a socket whose errors may be those of a connection below: `loss_in` takes out why that is lost.
    pub(crate) fn new(io: IO, timer: Arc<dyn Timer>, loss_in: fn(&io::Error) -> Option<Reason>) -> Self {
        Self {
            io,
            alarm: Alarm::new(timer),
            flushing: Flushing::Done,
            backlog: |_| None,
            pieces: Pieces { read: |_, _, _, _| None, write: |_, _, _, _| None },
            show: |_, _| {},
            loss_in,
        }
    }

    /// How to ask what the system still holds of what was written.
    pub(crate) fn ask_backlog(&mut self, backlog: fn(&IO) -> Option<usize>) {
        self.backlog = backlog;
    }

    /// How the socket is to know of the layers whenever they change.
    #[cfg(feature = "http2")]
    pub(crate) fn show_layers(&mut self, show: fn(&IO, &Stack)) {
        self.show = show;
    }

    /// How the socket moves bytes in storage of their own.
    pub(crate) fn move_pieces(&mut self, read: MovePiece<IO>, write: MovePiece<IO>) {
        self.pieces = Pieces { read, write };
    }

    /// What the system still holds of what was written, if anybody can tell.
    pub(crate) fn backlog(&self) -> Option<usize> {
        (self.backlog)(&self.io)
    }

    /// An alarm for somebody else, on the same clock.
    pub(crate) fn alarm(&self) -> Alarm {
        self.alarm.another()
    }

    pub(crate) fn timer(&self) -> Arc<dyn Timer> {
        self.alarm.timer()
    }

    pub(crate) fn now(&self) -> Instant {
        self.alarm.now()
    }

    pub(crate) fn flushing(&self) -> Flushing {
        self.flushing
    }

    /// Whether all that the stack has for the socket now is sent. Bytes that wait for a layer do not count.
    pub(crate) fn is_sent(&self, stack: &mut Stack) -> bool {
        self.flushing != Flushing::Pending && !stack.is_unfinished() && matches!(stack.poll_output(), Output::Nothing)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    /// Sends, reads once and fires what is due; whether any of it got the stack further. If not, the task of `cx` is
    /// woken when the socket or the clock has something.
    pub(crate) fn turn(&mut self, stack: &mut Stack, cx: &mut Context<'_>) -> bool {
        let moved = self.send(stack, cx) | self.receive(stack, cx) | self.fire(stack, cx);
        if stack.take_change() {
            (self.show)(&self.io, stack);
        }
        moved
    }

    /// Sends what the stack has; whether all that was written has left, and no deadline is set.
    pub(crate) fn send_all(&mut self, stack: &mut Stack, cx: &mut Context<'_>) -> bool {
        self.send(stack, cx);
        stack.is_flushed() && self.flushing == Flushing::Done && stack.poll_deadline().is_none()
    }

    /// Sends until the stack has nothing more or the socket takes nothing more.
    fn send(&mut self, stack: &mut Stack, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            let Self { io, pieces, .. } = self;
            let given = match stack.poll_output() {
                Output::Bytes(bytes) if bytes.len() >= COPY_THRESHOLD => {
                    let now = self.alarm.now();
                    stack.give_output(now, |bytes, most| (pieces.write)(io, cx, bytes, most))
                }
                Output::Bytes(_) | Output::Shutdown | Output::Nothing => None,
            };
            match given {
                Some(Poll::Ready(Ok(1..))) => {
                    self.flushing = Flushing::Pending;
                    moved = true;
                    continue;
                }
                Some(Poll::Pending) => return moved,
                // An error comes again, and is for the usual way.
                Some(Poll::Ready(Ok(0) | Err(_))) | None => {}
            }
            let sent = match stack.poll_output() {
                Output::Bytes(bytes) => uninterrupted(|| Pin::new(&mut *io).poll_write(cx, bytes)),
                Output::Shutdown => match uninterrupted(|| Pin::new(&mut *io).poll_close(cx)) {
                    Poll::Pending => return moved,
                    // A peer that is gone already is no less closed.
                    Poll::Ready(_) => {
                        stack.handle_shutdown();
                        return true;
                    }
                },
                Output::Nothing => break,
            };
            let now = self.now();
            match sent {
                Poll::Pending => return moved,
                Poll::Ready(Ok(0)) => stack.handle_error(now, io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    stack.handle_sent(now, count);
                    self.flushing = Flushing::Pending;
                }
                Poll::Ready(Err(error)) => {
                    self.take_arrived(stack, &error, cx);
                    self.fail(stack, error);
                }
            }
            moved = true;
        }
        if self.flushing == Flushing::Pending {
            match uninterrupted(|| Pin::new(&mut self.io).poll_flush(cx)) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.flushing = Flushing::Done,
                Poll::Ready(Err(error)) => {
                    self.flushing = Flushing::Failed;
                    self.fail(stack, error);
                    moved = true;
                }
            }
        }
        moved
    }

    /// Reads once, if the stack has room.
    fn receive(&mut self, stack: &mut Stack, cx: &mut Context<'_>) -> bool {
        if stack.input_room() == 0 {
            return false;
        }
        match self.read(stack, cx) {
            Poll::Ready(Err(error)) => self.fail(stack, error),
            Poll::Ready(Ok(0)) => stack.handle_eof(self.now()),
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return false,
        }
        true
    }

    /// A socket that can no longer be written to may have been told something before, which its reader is still to have.
    ///
    /// An end of file behind it is one only where the peer has closed: a system tells of a reset once, and whoever has heard
    /// of it from a write reads an end of file from then on.
    fn take_arrived(&mut self, stack: &mut Stack, error: &io::Error, cx: &mut Context<'_>) {
        for _ in 0..MAX_READS {
            if stack.input_room() == 0 {
                return;
            }
            match self.read(stack, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if error.kind() == io::ErrorKind::BrokenPipe => return stack.handle_eof(self.now()),
                // A cut is one too, in a connection below: the reader learns of it, and the writer of the loss.
                Poll::Ready(Err(cut)) => {
                    if let Some(cut) = (self.loss_in)(&cut).filter(Reason::is_inbound_only) {
                        stack.handle_loss(self.now(), cut);
                    }
                    return;
                }
                Poll::Ready(_) | Poll::Pending => return,
            }
        }
    }

    /// The socket has failed; or it is a connection that is lost, for a reason of its own.
    fn fail(&self, stack: &mut Stack, error: io::Error) {
        match (self.loss_in)(&error) {
            Some(below) => stack.handle_loss(self.now(), below),
            None => stack.handle_error(self.now(), error),
        }
    }

    /// Reads once, and hands on what came; an end is for the caller.
    fn read(&mut self, stack: &mut Stack, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let now = self.now();
        let mut piece = BytesMut::new();
        if let Some(read) = (self.pieces.read)(&mut self.io, cx, &mut piece, stack.input_room()) {
            stack.handle_piece(now, piece);
            return read;
        }
        let mut buffer = READ_BUFFERS.try_with(|kept| kept.borrow_mut().pop()).ok().flatten().unwrap_or_default();
        buffer.resize(READ_SIZE, 0);
        let space = &mut buffer[..READ_SIZE.min(stack.input_room())];
        let read = uninterrupted(|| Pin::new(&mut self.io).poll_read(cx, space));
        match &read {
            Poll::Ready(Ok(count @ 1..)) => {
                stack.handle_input(now, &space[..*count]);
                // The next connection is not to find what came over this one.
                space[..*count].fill(0);
            }
            Poll::Ready(Ok(0) | Err(_)) | Poll::Pending => {}
        }
        // Where the thread is about to end, there is nobody to keep it for.
        let _ = READ_BUFFERS.try_with(|kept| kept.borrow_mut().push(buffer));
        read
    }

    /// Fires what is due, and sets the alarm for what is next.
    fn fire(&mut self, stack: &mut Stack, cx: &mut Context<'_>) -> bool {
        let is_due = self.alarm.is_due(stack.poll_deadline(), cx);
        if is_due {
            stack.set_backlog(self.backlog().unwrap_or(0));
            stack.handle_timeout(self.now());
        }
        is_due
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

thread_local! {
    /// Where reads go before anybody knows how much there is to read. It belongs to the thread, so that a connection that
    /// only waits has no buffer. There are as many as connections were read inside each other.
    static READ_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// So many reads take all that the system can have kept; a socket that has more is none.
const MAX_READS: usize = 256;

/// The most that one read takes: four full TLS records.
const READ_SIZE: usize = 64 * 1024;
