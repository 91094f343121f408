//! A wire in memory, for async code.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Cut, Dice};

/// Two ends of a wire in memory. Each direction holds `capacity` bytes; a write beyond that waits for the other end
/// to read. `cut` says how what was sent is handed over.
///
/// Nothing here needs a runtime or knows the time, so with a deterministic executor a test takes the same course each
/// time.
///
/// ```
/// use futures::executor::block_on;
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use onionskin::testing::{Cut, wire};
///
/// let (mut left, mut right) = wire(Cut::Bytes, 16);
/// let mut said = [0; 5];
/// block_on(async {
///     left.write_all(b"hello").await?;
///     right.read_exact(&mut said).await
/// })?;
/// assert_eq!(&said, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn wire(cut: Cut, capacity: usize) -> (WireEnd, WireEnd) {
    let [there, back] = [0, 1].map(|turn| Arc::new(Mutex::new(Way::new(cut, turn, capacity))));
    let left = WireEnd { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) };
    (left, WireEnd { incoming: there, outgoing: back })
}

/// One end of a [`wire`]: a socket of a peer, as far as its owner can tell.
///
/// To close it is a half close, as with the sockets of this crate: the other end reads end of file, and reading here
/// goes on. To drop it ends both directions; the other end can still read what was sent, and then its reads end and its
/// writes fail with `BrokenPipe`.
///
/// [`Cut::Random`] also pends where nothing forces it to, in each of the four methods, and takes a part of a write. With
/// [`Cut::Coalesced`] a read waits until the other end, polled in between, has nothing more to add.
///
/// The methods of its own go past all that and take `&self`, so that they can be reached through
/// [`Connection::get_ref`](crate::Connection::get_ref).
#[derive(Debug)]
pub struct WireEnd {
    incoming: Arc<Mutex<Way>>,
    outgoing: Arc<Mutex<Way>>,
}

impl WireEnd {
    /// While held, nothing arrives at this end, and so the other can send no more than the wire holds.
    pub fn hold(&self, hold: bool) {
        let mut way = lock(&self.incoming);
        way.held = hold;
        way.wake_reader();
    }

    /// Puts bytes on the way to this end that the other did not send, beyond the capacity if need be.
    pub fn inject(&self, bytes: &[u8]) {
        let mut way = lock(&self.incoming);
        way.bytes.extend(bytes);
        way.wake_reader();
    }

    /// Has every later read and write of this end fail with `kind`; what has arrived already can still be read.
    pub fn fail(&self, kind: io::ErrorKind) {
        for way in [&self.incoming, &self.outgoing] {
            let mut way = lock(way);
            way.fault = Some(kind);
            way.wake_reader();
            way.wake_writer();
        }
    }

    /// Ends what this end sends, behind what it has sent so far, as the FIN of a peer that takes no leave above it. Reading
    /// here goes on.
    pub fn end(&self) {
        let mut way = lock(&self.outgoing);
        way.writer_gone = true;
        way.wake_reader();
    }

    /// While stalled, flushing and closing this end waits.
    pub fn stall(&self, stall: bool) {
        let mut way = lock(&self.outgoing);
        way.stalled = stall;
        way.wake_writer();
    }

    /// The number of bytes on the way to this end.
    #[must_use]
    pub fn arriving(&self) -> usize {
        lock(&self.incoming).bytes.len()
    }

    /// The sizes of all writes that this end has made so far.
    #[must_use]
    pub fn writes(&self) -> Vec<usize> {
        lock(&self.outgoing).writes.clone()
    }
}

impl AsyncRead for WireEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.incoming);
        let ready = way.ready_to_read();
        if ready == 0 {
            if way.bytes.is_empty() && !way.held && !buffer.is_empty() {
                match way.fault {
                    Some(kind) => return Poll::Ready(Err(kind.into())),
                    None if way.writer_gone => return Poll::Ready(Ok(0)),
                    None => {}
                }
            }
            way.reader = Some(cx.waker().clone());
            if !way.held && !way.bytes.is_empty() {
                way.wake_reader();
            }
            return Poll::Pending;
        }
        let count = ready.min(buffer.len());
        for (space, byte) in buffer.iter_mut().zip(way.bytes.drain(..count)) {
            *space = byte;
        }
        way.wake_writer();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for WireEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.outgoing);
        if let Some(kind) = way.fault {
            return Poll::Ready(Err(kind.into()));
        }
        if way.reader_gone || way.writer_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let room = way.capacity.saturating_sub(way.bytes.len());
        if room == 0 && offered > 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if way.pends_for_no_reason(cx) {
            return Poll::Pending;
        }
        let count = way.some_of(offered.min(room));
        way.bytes.extend(slices.iter().flat_map(|slice| slice.iter()).take(count));
        way.writes.push(count);
        way.wake_reader();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = lock(&self.outgoing);
        if let Some(kind) = way.fault {
            return Poll::Ready(Err(kind.into()));
        }
        if way.stalled {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if way.pends_for_no_reason(cx) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(cx);
        if flushed.is_ready() {
            let mut way = lock(&self.outgoing);
            way.writer_gone = true;
            way.wake_reader();
        }
        flushed
    }
}

impl Drop for WireEnd {
    fn drop(&mut self) {
        let mut outgoing = lock(&self.outgoing);
        outgoing.writer_gone = true;
        outgoing.wake_reader();
        drop(outgoing);
        let mut incoming = lock(&self.incoming);
        incoming.reader_gone = true;
        incoming.wake_writer();
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    bytes: VecDeque<u8>,
    capacity: usize,
    cut: Cut,
    dice: Dice,
    /// With [`Cut::Coalesced`], how many bytes the last read found.
    found: usize,
    held: bool,
    stalled: bool,
    fault: Option<io::ErrorKind>,
    writer_gone: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    writes: Vec<usize>,
}

impl Way {
    fn new(cut: Cut, turn: u64, capacity: usize) -> Self {
        let seed = match cut {
            Cut::Random(seed) => seed,
            _ => 0,
        };
        Self {
            bytes: VecDeque::new(),
            capacity,
            cut,
            dice: Dice::new(seed.wrapping_mul(2).wrapping_add(turn)),
            found: 0,
            held: false,
            stalled: false,
            fault: None,
            writer_gone: false,
            reader_gone: false,
            reader: None,
            writer: None,
            writes: Vec::new(),
        }
    }

    /// How many bytes the next read may have; none if it is to come again later, without cause or for one.
    fn ready_to_read(&mut self) -> usize {
        if self.held || self.bytes.is_empty() {
            return 0;
        }
        match self.cut {
            Cut::Whole => self.bytes.len(),
            Cut::Bytes => 1,
            Cut::Pieces(size) => size.clamp(1, self.bytes.len()),
            Cut::Coalesced => {
                let settled = self.found == self.bytes.len();
                self.found = if settled { 0 } else { self.bytes.len() };
                if settled { self.bytes.len() } else { 0 }
            }
            Cut::Random(_) if self.dice.one_in(ODDLY_PENDING) => 0,
            Cut::Random(_) => self.some_of(self.bytes.len()),
        }
    }

    /// All of `count`, or with a random cut a part of it that is not nothing.
    fn some_of(&mut self, count: usize) -> usize {
        match self.cut {
            Cut::Random(_) if count > 0 => self.dice.piece().min(count),
            _ => count,
        }
    }

    fn pends_for_no_reason(&mut self, cx: &Context<'_>) -> bool {
        let pends = matches!(self.cut, Cut::Random(_)) && self.dice.one_in(ODDLY_PENDING);
        if pends {
            cx.waker().wake_by_ref();
        }
        pends
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().expect("no test panics while it holds the wire")
}

/// A random cut pends for no reason once in so many calls.
const ODDLY_PENDING: usize = 4;

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::poll_fn;
    use futures::io::{AsyncReadExt, AsyncWriteExt};
    use futures::task::noop_waker_ref;

    use super::*;

    fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn every_cut_delivers_every_byte() {
        let sent: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for cut in [Cut::Whole, Cut::Bytes, Cut::Pieces(7), Cut::Coalesced, Cut::Random(5)] {
            let (mut left, mut right) = wire(cut, 100);
            let mut received = Vec::new();
            let write = async {
                left.write_all(&sent).await.unwrap();
                left.close().await.unwrap();
            };
            block_on(futures::future::join(write, async { right.read_to_end(&mut received).await.unwrap() }));
            assert!(received == sent, "{cut:?}");
        }
    }

    #[test]
    fn a_full_wire_makes_the_writer_wait() {
        let (mut left, mut right) = wire(Cut::Whole, 3);
        block_on(left.write_all(b"abc")).unwrap();
        assert!(poll_once(&mut left.write(b"d")).is_pending());
        block_on(right.read_exact(&mut [0])).unwrap();
        assert!(poll_once(&mut left.write(b"d")).is_ready());
        assert_eq!(left.writes(), [3, 1]);
    }

    #[test]
    fn a_dropped_end_is_an_end_of_file_and_a_broken_pipe() {
        let (mut left, mut right) = wire(Cut::Whole, 8);
        block_on(left.write_all(b"last")).unwrap();
        drop(left);
        let mut received = Vec::new();
        block_on(right.read_to_end(&mut received)).unwrap();
        assert_eq!(received, b"last");
        let error = block_on(right.write(b"x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_is_held_arrives_later_and_a_stalled_flush_waits() {
        let (mut left, mut right) = wire(Cut::Whole, 8);
        right.hold(true);
        right.inject(b"ab");
        assert_eq!(right.arriving(), 2);
        assert!(poll_once(&mut right.read(&mut [0; 8])).is_pending());
        right.hold(false);
        assert!(poll_once(&mut right.read(&mut [0; 8])).is_ready());
        left.stall(true);
        assert!(poll_once(&mut left.flush()).is_pending());
        left.stall(false);
        block_on(poll_fn(|cx| Pin::new(&mut left).poll_flush(cx))).unwrap();
    }

    #[test]
    fn end_of_file_is_held_too_and_released_behind_the_bytes() {
        let (mut left, mut right) = wire(Cut::Whole, 8);
        right.hold(true);
        block_on(left.write_all(b"last")).unwrap();
        block_on(left.close()).unwrap();
        let mut received = Vec::new();
        let mut read = right.read_to_end(&mut received);
        assert!(poll_once(&mut read).is_pending());
        drop(read);
        right.hold(false);
        block_on(right.read_to_end(&mut received)).unwrap();
        assert_eq!(received, b"last");
    }

    #[test]
    fn a_fault_shows_behind_what_has_arrived() {
        let (mut left, right) = wire(Cut::Whole, 8);
        left.inject(b"ab");
        left.fail(io::ErrorKind::ConnectionReset);
        let mut received = Vec::new();
        let error = block_on(left.read_to_end(&mut received)).unwrap_err();
        assert_eq!((received, error.kind()), (b"ab".to_vec(), io::ErrorKind::ConnectionReset));
        drop(right);
    }
}
