//! Policies of streams.

use crate::rules;

/// Nothing panics; what is read prints back and reads the same; mistakes are in the text; no value of a template adds a line, a level or
/// a segment to where it stands.
pub fn policies(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    rules::hold(input);
}
