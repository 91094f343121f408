//! Large buffers between two uses.
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
    buffer.reserve(bytes.max(USUAL));
    buffer
}

/// Keeps an empty buffer, if it is worth it.
pub(crate) fn keep(mut buffer: BytesMut) {
    if buffer.capacity() > LARGEST || !buffer.try_reclaim(SMALLEST) {
        return;
    }
    // Where the thread is about to end, there is nobody to keep it for.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MOST {
            spare.push(buffer);
        }
    });
}

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// What the wire reads at once.
const USUAL: usize = 64 * 1024;

/// Smaller ones the allocator has at hand.
const SMALLEST: usize = 32 * 1024;

/// Larger ones come from limits that somebody has raised.
const LARGEST: usize = 256 * 1024;

/// As many as a connection with busy boundaries has, and a few more.
const MOST: usize = 8;
