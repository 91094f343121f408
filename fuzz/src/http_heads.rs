//! What a peer says to either side of CONNECT of HTTP/1.1.

use libfuzzer_sys::arbitrary::Unstructured;

use crate::length;
use crate::outcome::{Side, outcome};

/// What comes of it does not depend on how it is cut. Nothing that the application wrote leaves before the tunnel is there, and nothing
/// that the peer says before reaches the application; what is kept has a bound, and every error fits on a line.
pub fn http_heads(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let side = Side { is_client: input.arbitrary().unwrap_or(false), asks: input.arbitrary().unwrap_or(false) };
    let ends = input.arbitrary().unwrap_or(false);
    let piece = length(&mut input, 64).max(1);
    let said = input.take_rest();
    let said = &said[..said.len().min(60_000)];
    let (whole, cut) = (outcome(side, said, said.len(), ends), outcome(side, said, piece, ends));
    if side.is_sure() {
        assert_eq!(whole, cut, "in pieces of {piece}");
    }
}
