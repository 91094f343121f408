//! What is left when a stack is taken apart.

use std::fmt;

use super::Stack;
use super::list::WIRE;

impl Stack {
    /// Takes the stack apart: for each boundary from the application to the wire, the bytes that were not read
    /// and those that were not sent.
    #[must_use]
    pub fn into_remains(mut self) -> Vec<Remains> {
        let order: Vec<usize> = self.list.inner_to_outer().chain([WIRE]).collect();
        let mut remains = |index| {
            let boundary = &mut self.list.node_mut(index).above;
            Remains { inbound: boundary.inbound.drain_all(), outbound: boundary.outbound.drain_all() }
        };
        order.into_iter().map(&mut remains).collect()
    }
}

/// The bytes that one boundary held when its stack was taken apart.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remains {
    /// Received and not consumed.
    pub inbound: Vec<u8>,
    /// Written and not sent.
    pub outbound: Vec<u8>,
}

impl fmt::Debug for Remains {
    /// Counts only: the bytes may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").field("inbound", &self.inbound.len()).field("outbound", &self.outbound.len()).finish()
    }
}
