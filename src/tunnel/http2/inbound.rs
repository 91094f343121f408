//! What has come of a stream and nobody has read, in pieces.
//!
//! A reader that takes many bytes takes the storage that they are in, and keeps it for as long as it has some of them. So no storage may be
//! large: otherwise a few bytes somewhere would hold a whole window, and the next window would come on top of it. A piece is closed
//! when it has enough, and what follows begins another.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use crate::stack::{extend, keep_spare, move_front};

/// A queue of bytes. All pieces but the first and the last hold at least [`ENOUGH`].
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pieces: VecDeque<BytesMut>,
    len: usize,
}

impl Inbound {
    /// The first bytes, and not all of them if they are many; none if there are none.
    pub(super) fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        match self.pieces.back_mut() {
            Some(last) if last.len() < ENOUGH => extend(last, bytes),
            _ if bytes.is_empty() => {}
            _ => {
                let mut piece = BytesMut::new();
                extend(&mut piece, bytes);
                self.pieces.push_back(piece);
            }
        }
    }

    /// Takes so many bytes of the [`front`](Self::front).
    pub(super) fn take(&mut self, count: usize) {
        self.take_by(count, |piece| piece.advance(count));
    }

    /// As [`take`](Self::take), and puts them behind those of `to`: their storage (zero-copy), if they are many and nothing is before
    /// them.
    pub(super) fn take_to(&mut self, to: &mut BytesMut, count: usize) {
        self.take_by(count, |piece| move_front(piece, to, count));
    }

    fn take_by(&mut self, count: usize, take: impl FnOnce(&mut BytesMut)) {
        let Some(piece) = self.pieces.front_mut() else { return };
        take(piece);
        self.len -= count;
        if piece.is_empty()
            && let Some(piece) = self.pieces.pop_front()
        {
            keep_spare(piece);
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }
}

/// A piece that has so much is closed.
const ENOUGH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of it, up to `most` at a time, by turns with and without storage.
    fn read(inbound: &mut Inbound, most: usize) -> Vec<u8> {
        let mut read = Vec::new();
        for turn in 0.. {
            let count = inbound.front().len().min(most);
            if count == 0 {
                break;
            }
            if turn % 2 == 0 {
                read.extend_from_slice(&inbound.front()[..count]);
                inbound.take(count);
            } else {
                let mut piece = BytesMut::new();
                inbound.take_to(&mut piece, count);
                read.extend_from_slice(&piece);
            }
        }
        read
    }

    #[test]
    fn what_was_put_is_read_in_its_order_at_any_size() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        for put in [1, 9, 4_095, 16_384, 65_536, 100_000] {
            for most in [1_000, 5_000, 65_536, 1_000_000] {
                let mut inbound = Inbound::default();
                bytes.chunks(put).for_each(|part| inbound.push(part));
                assert_eq!(inbound.len(), bytes.len());
                assert!(read(&mut inbound, most) == bytes, "{put} at a time, read by {most}");
                assert!(inbound.is_empty() && inbound.pieces.capacity() == 0);
            }
        }
    }

    #[test]
    fn no_storage_is_large_however_much_there_is() {
        for put in [1, 1_000, 16_384, 65_536] {
            let mut inbound = Inbound::default();
            for _ in 0..(1 << 20) / put {
                inbound.push(&vec![7; put]);
            }
            let storage: usize = inbound.pieces.iter().map(BytesMut::capacity).sum();
            assert!(storage <= 2 << 20, "{storage} bytes for a window of {}, {put} at a time", 1 << 20);
            assert!(inbound.pieces.iter().all(|piece| piece.capacity() <= 256 * 1024));
        }
    }

    #[test]
    fn the_front_is_all_there_is_until_it_is_enough() {
        let mut inbound = Inbound::default();
        for _ in 0..ENOUGH / 100 {
            inbound.push(&[7; 100]);
        }
        assert_eq!(inbound.front().len(), inbound.len());
    }
}
