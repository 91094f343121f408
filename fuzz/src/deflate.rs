//! Compressed streams.

use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::layer::Deflate;
use onionskin::testing::{Cut, Pair};

use crate::{assert_bounded, give_in_pieces, length};

/// A stream that makes no sense fails, one that unpacks without end is held up at the boundary, and what is packed unpacks.
pub fn deflate(input: &[u8]) {
    let mut input = Unstructured::new(input);
    if input.arbitrary().unwrap_or(false) {
        pack(&mut input);
    } else {
        unpack(&mut input);
    }
}

fn unpack(input: &mut Unstructured<'_>) {
    let mut peer = Pair::new(Cut::Whole).left;
    peer.splice(Deflate::new());
    let mut reads = 0;
    while !input.is_empty() {
        let count = length(input, 4096).min(input.len());
        let bytes = input.bytes(count).expect("there are as many");
        let piece = length(input, bytes.len().max(1));
        give_in_pieces(&mut peer, bytes, if piece == 0 { bytes.len() } else { piece });
        assert_bounded(&peer);
        // Whoever unpacks a bomb reads a boundary at a time.
        while reads < READS && !peer.read_some(usize::MAX).is_empty() {
            assert_bounded(&peer);
            reads += 1;
        }
    }
}

fn pack(input: &mut Unstructured<'_>) {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(Deflate::new());
    pair.right.splice(Deflate::new());
    while !input.is_empty() {
        let repeats = length(input, 64);
        let count = length(input, 256).min(input.len());
        let word = input.bytes(count).expect("there are as many").repeat(repeats);
        assert!(pair.left_to_right(&word) == word, "what was packed is not what is unpacked");
    }
}

/// How much of a bomb is looked at.
const READS: usize = 100;
