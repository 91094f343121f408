//! What a proxy is asked.

use std::fmt;
use std::sync::Arc;
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
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    pub(crate) runtime: &'static dyn Runtime,
    pub(crate) idle: Option<Duration>,
    /// Who hears of a proxy that goes away.
    pub(crate) departures: Option<Departures>,
}

/// Called once for each connection whose proxy takes no more tunnels (GOAWAY).
#[cfg_attr(not(feature = "http2"), allow(dead_code))]
#[derive(Clone)]
pub(crate) struct Departures(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departures")
    }
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

    /// Over a connection that others use too, if that is how it is looked after.
    pub(crate) fn shared(mut self, sharing: Option<Sharing>) -> Self {
        self.sharing = sharing;
        self
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }
}
