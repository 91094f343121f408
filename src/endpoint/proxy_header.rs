//! The step `proxy-header`: who the client really is, said before everything else.

use std::fmt;
use std::net::SocketAddr;

use super::arguments::{Arguments, Printer, choice, socket_address};
use super::error::ParseError;
use super::step::{Step, YES};
use crate::layer::proxy_header::HeaderVersion;
use crate::route::proxy_header::{DialProxyHeader, TakeProxyHeader};

/// A header of the PROXY protocol: a client sends one, a server expects one.
///
/// Client and server share the step. That a key makes sense for one of them is checked when the endpoint is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProxyHeaderStep {
    /// `version`: what a client sends; the binary form (2) unless set. A server takes either.
    pub version: Option<HeaderVersion>,
    /// `from`: whom a client speaks for; unless set, the address of its own end of the socket, or of the one on whose
    /// behalf it connects ([`Connector::connect_for`](super::Connector::connect_for)).
    pub from: Option<SocketAddr>,
    /// `to`: where that one has connected to; unless set, the address of the peer's end of the socket, behind a
    /// tunnel whom that leads to if it is called by an address, or as for `from`.
    pub to: Option<SocketAddr>,
    /// `local=yes`: a client speaks for itself, as for a health check, and names no addresses.
    pub local: bool,
    /// `optional=yes`: a server also takes clients that send no header.
    ///
    /// Whoever can connect can then claim to be anybody: only where no one but the proxy can.
    pub optional: bool,
}

impl ProxyHeaderStep {
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            version: arguments.key("version", |word| word.choice(&VERSIONS))?,
            from: arguments.socket_address("from")?,
            to: arguments.socket_address("to")?,
            local: arguments.key("local", |word| word.choice(&YES))?.is_some(),
            optional: arguments.key("optional", |word| word.choice(&YES))?.is_some(),
        })
    }

    /// What a client does for this step, or why it cannot be meant.
    pub(super) fn dial(&self) -> Result<DialProxyHeader, &'static str> {
        let Self { version, from, to, local, .. } = *self;
        let version = version.unwrap_or(HeaderVersion::V2);
        self.client_mistake().map_or(Ok(DialProxyHeader { version, from, to, local }), Err)
    }

    /// What a server does for this step, or why it cannot be meant.
    pub(super) fn accept(&self) -> Result<TakeProxyHeader, &'static str> {
        self.server_mistake().map_or(Ok(TakeProxyHeader { optional: self.optional }), Err)
    }

    /// What a client cannot mean by this step, if anything.
    fn client_mistake(&self) -> Option<&'static str> {
        if self.optional {
            return Some("`optional` is for servers: a client sends a header or has no `proxy-header` step");
        }
        if self.local && (self.from.is_some() || self.to.is_some()) {
            return Some("`local` names no addresses: leave out `from` and `to`");
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if from.is_ipv4() != to.is_ipv4() => {
                Some("`from` and `to` must be both IPv4 or both IPv6")
            }
            _ => None,
        }
    }

    /// What a server cannot mean by this step, if anything.
    fn server_mistake(&self) -> Option<&'static str> {
        if self.version.is_some() || self.from.is_some() || self.to.is_some() || self.local {
            return Some("`version`, `from`, `to` and `local` are for clients: a server takes what is sent");
        }
        None
    }
}

impl fmt::Display for ProxyHeaderStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::new("proxy-header", f)
            .key("version", self.version.as_ref().map(|version| choice(version, &VERSIONS)))
            .key("from", self.from.map(socket_address))
            .key("to", self.to.map(socket_address))
            .key("local", self.local.then_some("yes"))
            .key("optional", self.optional.then_some("yes"))
            .finish()
    }
}

impl From<ProxyHeaderStep> for Step {
    fn from(step: ProxyHeaderStep) -> Self {
        Self::ProxyHeader(step)
    }
}

const VERSIONS: [(&str, HeaderVersion); 2] = [("1", HeaderVersion::V1), ("2", HeaderVersion::V2)];
