//! What a proxy is asked.

use crate::runtime::Address;

/// What the last proxy of a route is asked, where that is another thing for each connection:
/// [`Connector::connect_to`](crate::endpoint::Connector::connect_to).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(super) target: Address,
    pub(super) via: Option<String>,
}

impl Asked {
    /// Asks for this target.
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self { target, via: None }
    }

    /// Says through whom the request has come: the field `Via` (RFC 9110, section 7.6.3). SOCKS has no words for it.
    #[must_use]
    pub fn via(mut self, list: impl Into<String>) -> Self {
        self.via = Some(list.into());
        self
    }
}
