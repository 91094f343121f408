//! Large buffers between two uses: a buffer pool for each thread.
//!
//! A boundary that is empty keeps no storage, so that a connection on which nothing happens costs little. But one on which
//! much happens is empty every few records, and to give the storage to the allocator each time and to have it back means,
//! for buffers of this size, to have the kernel clear every page of it anew. So what is given back is kept here, for the
//! next boundary of any connection that is served by the same thread.

use std::cell::RefCell;

use bytes::BytesMut;

/// An empty buffer with room for `bytes` at least, and for what is likely to follow them.
pub(crate) fn take(bytes: usize) -> BytesMut {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
    let mut buffer = spare.ok().flatten().unwrap_or_default();
    buffer.reserve(bytes.max(BUFFER_SIZE));
    buffer
}

/// Keeps an empty buffer, if it is worth it.
pub(crate) fn keep(mut buffer: BytesMut) {
    // Only what is reclaimed shows how much it is.
    if !buffer.try_reclaim(BUFFER_SIZE) || buffer.capacity() > MAX_BUFFER_SIZE {
        return;
    }
    // Where the thread is about to end, there is nobody to keep it for.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MAX_BUFFERS {
            spare.push(buffer);
        }
    });
}

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Of this size they are made: what the wire reads at once, behind what may be left of a record, and some more.
const BUFFER_SIZE: usize = 96 * 1024;

/// Larger ones come from limits that somebody has raised.
const MAX_BUFFER_SIZE: usize = 256 * 1024;

/// As many as a connection with busy boundaries has, and a few more.
const MAX_BUFFERS: usize = 8;

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    /// What is left of a buffer of this size when all in it has been consumed.
    fn consumed(size: usize) -> BytesMut {
        let mut buffer = BytesMut::zeroed(size);
        buffer.advance(size);
        buffer
    }

    #[test]
    fn large_buffers_are_kept_and_larger_ones_are_not() {
        keep(consumed(BUFFER_SIZE));
        assert!(take(BUFFER_SIZE).capacity() >= BUFFER_SIZE);
        for size in [BUFFER_SIZE, MAX_BUFFER_SIZE] {
            keep(consumed(size));
            assert_eq!(SPARE.with_borrow(Vec::len), 1, "{size} bytes");
            take(BUFFER_SIZE);
        }
        for size in [BUFFER_SIZE - 1, MAX_BUFFER_SIZE + 1, 4 * MAX_BUFFER_SIZE] {
            keep(consumed(size));
            assert_eq!(SPARE.with_borrow(Vec::len), 0, "{size} bytes");
        }
    }

    #[test]
    fn what_somebody_still_has_a_piece_of_is_not_kept() {
        let mut buffer = BytesMut::zeroed(2 * BUFFER_SIZE);
        let piece = buffer.split_to(BUFFER_SIZE);
        buffer.advance(BUFFER_SIZE);
        keep(buffer);
        assert_eq!(SPARE.with_borrow(Vec::len), 0);
        drop(piece);
    }

    #[test]
    fn no_more_are_kept_than_are_of_use() {
        (0..2 * MAX_BUFFERS).for_each(|_| keep(consumed(BUFFER_SIZE)));
        assert_eq!(SPARE.with_borrow(Vec::len), MAX_BUFFERS);
    }
}
