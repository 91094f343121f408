//! The step `proxy-header`: who the client really is, said before everything else.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::arguments::{Arguments, Printer, choice, socket_address};
use super::error::ParseError;
use super::step::{Step, YES};
use crate::connection::Addresses;
use crate::layer::proxy_header::{self, AcceptProxyHeader, Command, HeaderVersion, ProxyHeader};
use crate::runtime::Address;

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
    /// `to`: where that one has connected to; the address of the peer's end of the socket unless set, or as for `from`.
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

    /// What a client cannot mean by this step, if anything.
    pub(super) fn client_mistake(&self) -> Option<&'static str> {
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
    pub(super) fn server_mistake(&self) -> Option<&'static str> {
        if self.version.is_some() || self.from.is_some() || self.to.is_some() || self.local {
            return Some("`version`, `from`, `to` and `local` are for clients: a server takes what is sent");
        }
        None
    }
}

/// What the step does when it is opened.
impl ProxyHeaderStep {
    /// What a client sends that speaks for a connection between these addresses, unless the step says otherwise.
    pub(super) fn header(&self, claimed: &Addresses) -> ProxyHeader {
        let real = |address: &Option<Address>| address.as_ref().and_then(Address::as_tcp).map(canonical);
        let ends = (self.from.or_else(|| real(&claimed.local)), self.to.or_else(|| real(&claimed.peer)));
        match (self.version.unwrap_or(HeaderVersion::V2), ends) {
            // The text form has no word for it: a server then takes the addresses of the socket.
            (HeaderVersion::V1, _) if self.local => ProxyHeader::v1_unknown(),
            (HeaderVersion::V2, _) if self.local => ProxyHeader::v2_local(),
            (HeaderVersion::V1, (Some(from), Some(to))) => ProxyHeader::v1(from, to),
            (HeaderVersion::V2, (Some(from), Some(to))) => ProxyHeader::v2(proxy_header::Addresses::tcp(from, to)),
            (HeaderVersion::V1, _) => ProxyHeader::v1_unknown(),
            (HeaderVersion::V2, _) => ProxyHeader::v2(proxy_header::Addresses::Unspecified),
        }
    }

    /// What a server expects.
    pub(super) fn accept(&self) -> AcceptProxyHeader {
        if self.optional { AcceptProxyHeader::new().optional() } else { AcceptProxyHeader::new() }
    }
}

/// An IPv4 address as such: a socket that listens for both families shows it mapped into IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Who talks to whom behind a proxy, if its header tells: else it is the two ends of the socket, as it is for the proxy's
/// own connections.
pub(super) fn addresses(header: ProxyHeader, mut addresses: Addresses) -> Addresses {
    if header.command() == Command::Proxy {
        match header.addresses() {
            proxy_header::Addresses::Ipv4 { source, destination, .. } => {
                addresses.peer = Some(SocketAddr::from(*source).into());
                addresses.local = Some(SocketAddr::from(*destination).into());
            }
            proxy_header::Addresses::Ipv6 { source, destination, .. } => {
                addresses.peer = Some(SocketAddr::from(*source).into());
                addresses.local = Some(SocketAddr::from(*destination).into());
            }
            proxy_header::Addresses::Unix { source, destination, .. } => {
                (addresses.peer, addresses.local) = (Some(unix(source)), Some(unix(destination)));
            }
            proxy_header::Addresses::Unspecified => {}
        }
    }
    addresses.proxy_header = Some(header);
    addresses
}

/// A Unix address as a header has it: an abstract name begins with a zero, and a client's end has none.
fn unix(path: &[u8]) -> Address {
    match path {
        [] => Address::Unix(None),
        [0, name @ ..] => Address::Abstract(name.to_vec()),
        path => Address::Unix(Some(path_buf(path))),
    }
}

#[cfg(unix)]
fn path_buf(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;

    std::ffi::OsStr::from_bytes(path).into()
}

#[cfg(not(unix))]
fn path_buf(path: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(path).into_owned())
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
