//! What makes two connections the same.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::connection::Addresses;
use crate::endpoint::Endpoint;
use crate::runtime::Address;

/// All that a connection of a pool is: it is given only to who has asked for an equal one.
///
/// The endpoint is compared step by step and key by key: proxies and their users, TLS with its trust, names, pins, certificates, versions
/// and protocols, addresses and options of the socket. Files are compared by their names; what was in them is what was read when the peer was made
/// or the pool was [reloaded](super::Pool::reload), which ends what was opened before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// The whole way.
    pub endpoint: Endpoint,
    /// Whom the proxy of the last step is asked for, if it is not for whom the step says: as
    /// [`Connector::connect_to`](crate::endpoint::Connector::connect_to) has it.
    pub target: Option<Address>,
    /// For whom a PROXY header speaks: as [`Connector::connect_for`](crate::endpoint::Connector::connect_for) has it.
    pub client: Option<Addresses>,
    /// What else keeps connections apart: a tenant, a user who has logged in over it.
    pub group: String,
}

impl Key {
    /// A key of this endpoint, and nothing else.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, target: None, client: None, group: String::new() }
    }

    /// The same to another target, which the proxy of the last step is asked for.
    #[must_use]
    pub fn to(self, target: Address) -> Self {
        Self { target: Some(target), ..self }
    }

    /// The same on behalf of a client with these addresses.
    #[must_use]
    pub fn on_behalf_of(self, client: Addresses) -> Self {
        Self { client: Some(client), ..self }
    }

    /// The same, apart from all other groups.
    #[must_use]
    pub fn in_group(self, group: impl Into<String>) -> Self {
        Self { group: group.into(), ..self }
    }
}

impl From<Endpoint> for Key {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint)
    }
}

/// Only finds it quickly: what has the same hash is compared.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.endpoint.hash(state);
        self.target.hash(state);
        if let Some(client) = &self.client {
            (&client.peer, &client.local).hash(state);
        }
        self.group.hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)?;
        if let Some(target) = &self.target {
            write!(f, " to {target}")?;
        }
        if !self.group.is_empty() {
            write!(f, " in {:?}", self.group)?;
        }
        Ok(())
    }
}
