//! The onion line protocol against a peer in Python's standard library, as server and as client.

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
