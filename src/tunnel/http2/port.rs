//! h2 without a socket: bytes go in and come out, and nobody waits inside.
//!
//! ```text
//!      h2 ── PortIo ═══ two byte queues ═══ Port ── whoever has the carrier
//!               poll_read  ◀── received ◀── receive
//!               poll_write ──▶ to be sent ──▶ output, handle_sent
//! ```
//!
//! h2 reads and writes by two traits of tokio, and that is all that it asks of tokio: there is no runtime, no thread and no timer
//! below it. Each queue is bounded, so h2 is told to wait when there
//! is no room, and a peer that is not read can make nobody hold more than that.
//!
//! Nothing here wakes anybody. h2 is polled again whenever bytes were put in or taken out ([`Port`]), and whenever it asks for
//! it itself, which [`Attention`] notes: to give a stream something to send is such a case.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, BytesMut};

use super::frames::{Departed, Frames};
use crate::runtime::tokio_io::{AsyncRead, AsyncWrite, ReadBuf};
use crate::stack::{copy_to_slice, extend, keep_spare, move_front};

/// The outer end, for whoever has the carrier.
#[derive(Debug)]
pub(super) struct Port(Arc<Mutex<Queues>>);

/// The end that h2 has as its socket.
#[derive(Debug)]
pub(super) struct PortIo(Arc<Mutex<Queues>>);

#[derive(Debug, Default)]
struct Queues {
    received: BytesMut,
    /// Whether nothing comes behind that.
    ended: bool,
    output: BytesMut,
    written: Frames,
    departed: Vec<Departed>,
    /// Whether h2 has closed its direction behind that.
    shut: bool,
}

/// Both ends of new queues.
pub(super) fn port(written: Frames) -> (Port, PortIo) {
    let queues = Arc::new(Mutex::new(Queues { written, ..Queues::default() }));
    (Port(Arc::clone(&queues)), PortIo(queues))
}

impl Port {
    /// How many bytes [`receive`](Self::receive) takes now.
    pub(super) fn room(&self) -> usize {
        LIMIT.saturating_sub(lock(&self.0).received.len())
    }

    /// Takes as much of it as there is room for, and says how much. h2 is then to be polled.
    pub(super) fn receive(&self, bytes: &mut BytesMut) -> usize {
        let mut queues = lock(&self.0);
        let count = bytes.len().min(LIMIT.saturating_sub(queues.received.len()));
        move_front(bytes, &mut queues.received, count);
        count
    }

    /// Nothing more comes. h2 is then to be polled.
    pub(super) fn end(&self) {
        lock(&self.0).ended = true;
    }

    /// How many bytes h2 has for the peer.
    pub(super) fn output_len(&self) -> usize {
        lock(&self.0).output.len()
    }

    /// What h2 has written of its streams since this was last asked.
    pub(super) fn departed(&self) -> Vec<Departed> {
        std::mem::take(&mut lock(&self.0).departed)
    }

    /// Has what h2 has for the peer sent, in one piece: as much as is sent is taken off its front. h2 is then to be polled: it may
    /// have more.
    pub(super) fn with_output<R>(&self, send: impl FnOnce(&mut BytesMut) -> R) -> R {
        let mut queues = lock(&self.0);
        let sent = send(&mut queues.output);
        release(&mut queues.output);
        sent
    }

    /// Whether h2 has closed its direction: nothing comes behind the output.
    pub(super) fn is_shut(&self) -> bool {
        lock(&self.0).shut
    }
}

impl AsyncRead for PortIo {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut queues = lock(&self.0);
        let count = queues.received.len().min(buffer.remaining());
        if count == 0 && !queues.ended && buffer.remaining() > 0 {
            return Poll::Pending;
        }
        copy_to_slice(buffer.initialize_unfilled_to(count), &queues.received[..count]);
        buffer.advance(count);
        queues.received.advance(count);
        release(&mut queues.received);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PortIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut queues = lock(&self.0);
        let Queues { output, written, departed, .. } = &mut *queues;
        let before = output.len();
        for slice in slices {
            let count = slice.len().min(LIMIT.saturating_sub(output.len()));
            extend(output, &slice[..count]);
            written.look(&slice[..count], |frame| departed.extend(Departed::of(frame)));
        }
        let count = output.len() - before;
        if count == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    /// The head of a frame and what is in it come together.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is in the queue is as good as sent, as far as h2 is concerned.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).shut = true;
        Poll::Ready(Ok(()))
    }
}

/// Whether h2 asks to be polled.
#[derive(Debug)]
pub(super) struct Attention {
    noted: Arc<Noted>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Noted(AtomicBool);

impl Attention {
    pub(super) fn new() -> Self {
        let noted = Arc::<Noted>::default();
        Self { waker: Waker::from(Arc::clone(&noted)), noted }
    }

    /// What h2 asks by.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether it has asked since this was last called.
    pub(super) fn take(&self) -> bool {
        self.noted.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// A panic inside h2 has left the queues whole: they are bytes.
fn lock(queues: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives storage back that is empty, if it is much: others may need it, and who is idle is to have little.
fn release(queue: &mut BytesMut) {
    if queue.is_empty() && queue.capacity() > KEPT {
        keep_spare(std::mem::take(queue));
    }
}

/// The most that either queue holds: as much as one read of a socket brings, in frames, and what may come between.
const LIMIT: usize = 80 * 1024;

/// An empty queue keeps no more than this.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;

    use bytes::Bytes;

    use super::*;

    /// Moves up to `most` bytes from one to the other.
    fn carry(from: &Port, to: &Port, most: usize) -> bool {
        let moved = from.with_output(|bytes| {
            let mut piece = bytes.split_to(bytes.len().min(most));
            let moved = to.receive(&mut piece);
            piece.unsplit(std::mem::take(bytes));
            *bytes = piece;
            moved
        });
        moved > 0
    }

    #[test]
    fn h2_runs_over_queues_at_any_cut_and_comes_to_rest() {
        for most in [1, 7, 9, 100, LIMIT] {
            let ((left, left_io), (right, right_io)) = (port(Frames::behind_preface()), port(Frames::default()));
            let attention = Attention::new();
            let cx = &mut Context::from_waker(attention.waker());
            let Poll::Ready(Ok((mut requests, mut client))) = pin!(h2::client::handshake(left_io)).poll(cx) else {
                panic!("the preface has room")
            };
            let mut handshake = pin!(h2::server::handshake(right_io));
            let (mut server, mut accepted) = (None, None);
            let request = http::Request::connect("a.example:443").body(()).unwrap();
            let (mut answer, mut sender) = requests.send_request(request, false).unwrap();
            sender.send_data(Bytes::from_static(b"hello"), true).unwrap();
            let (mut heard, mut answered, mut rounds) = (Vec::new(), false, 0);
            while !(answered && heard == b"hello") {
                rounds += 1;
                assert!(rounds < 10_000, "it comes to rest");
                let _ = Pin::new(&mut client).poll(cx);
                match &mut server {
                    None => {
                        if let Poll::Ready(done) = handshake.as_mut().poll(cx) {
                            server = Some(done.unwrap());
                        }
                    }
                    Some(server) => {
                        if let Poll::Ready(Some(Ok((request, mut respond)))) = server.poll_accept(cx) {
                            assert_eq!(request.uri().to_string(), "a.example:443");
                            respond.send_response(http::Response::new(()), true).unwrap();
                            accepted = Some(request.into_body());
                        }
                    }
                }
                if let Some(Poll::Ready(Some(Ok(bytes)))) = accepted.as_mut().map(|body| body.poll_data(cx)) {
                    heard.extend_from_slice(&bytes);
                }
                answered = answered || Pin::new(&mut answer).poll(cx).is_ready();
                while carry(&left, &right, most) | carry(&right, &left, most) && most > 9 {}
            }
        }
    }

    #[test]
    fn a_queue_that_is_full_takes_no_more() {
        let (outer, mut inner) = port(Frames::default());
        let mut bytes = BytesMut::from(&[7; LIMIT + 1][..]);
        assert_eq!(outer.receive(&mut bytes), LIMIT);
        assert_eq!((outer.receive(&mut bytes), bytes.len(), outer.room()), (0, 1, 0));
        let attention = Attention::new();
        let cx = &mut Context::from_waker(attention.waker());
        assert!(matches!(Pin::new(&mut inner).poll_write(cx, &[7; LIMIT + 1]), Poll::Ready(Ok(LIMIT))));
        assert!(Pin::new(&mut inner).poll_write(cx, &[7]).is_pending());
        outer.with_output(|bytes| bytes.advance(1));
        assert!(matches!(Pin::new(&mut inner).poll_write(cx, &[7; 9]), Poll::Ready(Ok(1))));
    }
}
