//! The step `proxy`: who the client really is, said before everything else.

use std::fmt;
use std::net::SocketAddr;

use super::arguments::{Arguments, Printer, choice, socket_address};
use super::error::ParseError;
use super::step::{Step, YES};

/// A header of the PROXY protocol: a client sends one, a server expects one.
///
/// Client and server share the step. That a key makes sense for one of them is checked when the endpoint is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProxyStep {
    /// `version`: what a client sends; the binary form (2) unless set. A server takes either.
    pub version: Option<ProxyVersion>,
    /// `from`: whom a client speaks for; the address of its own end of the socket unless set.
    pub from: Option<SocketAddr>,
    /// `to`: where that one has connected to; the address of the peer's end of the socket unless set.
    pub to: Option<SocketAddr>,
    /// `local=yes`: a client speaks for itself, as for a health check, and names no addresses.
    pub local: bool,
    /// `optional=yes`: a server also takes clients that send no header.
    ///
    /// Whoever can connect can then claim to be anybody: only where no one but the proxy can.
    pub optional: bool,
}

impl ProxyStep {
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            version: arguments.key("version", |word| word.choice(&VERSIONS))?,
            from: arguments.socket_address("from")?,
            to: arguments.socket_address("to")?,
            local: arguments.key("local", |word| word.choice(&YES))?.is_some(),
            optional: arguments.key("optional", |word| word.choice(&YES))?.is_some(),
        })
    }

    /// What a client cannot mean by this step, if anything.
    pub(super) fn client_mistake(&self) -> Option<&'static str> {
        if self.optional {
            return Some("`optional` is for servers: a client sends a header or has no `proxy` step");
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
    pub(super) fn server_mistake(&self) -> Option<&'static str> {
        if self.version.is_some() || self.from.is_some() || self.to.is_some() || self.local {
            return Some("`version`, `from`, `to` and `local` are for clients: a server takes what is sent");
        }
        None
    }
}

impl fmt::Display for ProxyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::new("proxy", f)
            .key("version", self.version.as_ref().map(|version| choice(version, &VERSIONS)))
            .key("from", self.from.map(socket_address))
            .key("to", self.to.map(socket_address))
            .key("local", self.local.then_some("yes"))
            .key("optional", self.optional.then_some("yes"))
            .finish()
    }
}

impl From<ProxyStep> for Step {
    fn from(step: ProxyStep) -> Self {
        Self::Proxy(step)
    }
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyVersion {
    /// `1`: a line of text.
    V1,
    /// `2`: binary.
    V2,
}

const VERSIONS: [(&str, ProxyVersion); 2] = [("1", ProxyVersion::V1), ("2", ProxyVersion::V2)];
