//! The name of a layer.

use std::fmt;

/// Names one layer of one stack, for as long as the stack lives. Shown as `#7`.
///
/// After the layer is peeled the id is stale: using it is an error, it never names another layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerId {
    pub(super) index: usize,
    pub(super) serial: u64,
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.serial)
    }
}
