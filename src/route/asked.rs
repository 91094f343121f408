//! What a proxy is asked.

use std::time::Duration;

#[cfg(feature = "http2")]
use super::carriers::Turn;
use crate::runtime::{Address, Runtime};

/// What the last proxy of a route is asked, where that is another thing for each connection:
/// [`Connector::connect_to`](crate::endpoint::Connector::connect_to).
#[derive(Clone, Debug)]
pub struct Asked {
    pub(super) target: Address,
    pub(super) via: Option<String>,
    pub(super) sharing: Option<Sharing>,
    /// Held while the way is gone that others will use too.
    #[cfg(feature = "http2")]
    pub(super) turn: Option<Turn>,
}

/// How a connection with many tunnels is looked after.
#[cfg_attr(not(feature = "http2"), allow(dead_code))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) idle: Option<Duration>,
}

impl Asked {
    /// Asks for this target.
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self {
            target,
            via: None,
            sharing: None,
            #[cfg(feature = "http2")]
            turn: None,
        }
    }

    /// Says through whom the request has come: the field `Via` (RFC 9110, section 7.6.3). SOCKS has no words for it.
    #[must_use]
    pub fn via(mut self, list: impl Into<String>) -> Self {
        self.via = Some(list.into());
        self
    }

    /// Where the last proxy speaks HTTP/2, asks it over a connection that was opened for another tunnel, if one has room, and lets
    /// others use the one that is opened for this. A task on `runtime` drives it, and closes it when it has had no tunnel for `idle`,
    /// or for twice as long; with `None` it is kept for as long as the proxy keeps it.
    ///
    /// A route with a PROXY header or a step of a program's own is another one for each client, and is never shared.
    #[must_use]
    pub fn sharing(mut self, runtime: &'static dyn Runtime, idle: Option<Duration>) -> Self {
        self.sharing = Some(Sharing { runtime, idle });
        self
    }

    pub(crate) fn alone(mut self) -> Self {
        self.sharing = None;
        self
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }
}
