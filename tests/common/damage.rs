//! A wire that damages what is on it.

use onionskin::testing::{Dice, Peer};

/// What is on the wire arrives, damaged once in so many times; whether anything was there.
pub(crate) fn arrive(peer: &mut Peer, dice: &mut Dice, damaged_once_in: usize) -> bool {
    let mut bytes = peer.intercept();
    let any = !bytes.is_empty();
    if any && dice.one_in(damaged_once_in) {
        let at = dice.below(bytes.len());
        match dice.below(4) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = [0, 0x7f, 0x80, 0xff][dice.below(4)],
            2 => bytes.truncate(at),
            _ => bytes.insert(at, dice.below(256) as u8),
        }
    }
    peer.stack.handle_input(peer.now(), &bytes);
    any
}
