//! The leg that says who the client really is.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{AcceptLeg, Arrival, DialLeg, Route, RouteError};
use crate::connection::Addresses;
use crate::layer::proxy_header::{self, AcceptProxyHeader, Command, HeaderVersion, ProxyHeader};
use crate::runtime::Address;

/// As a client.
#[derive(Debug)]
pub(crate) struct DialProxyHeader {
    pub(crate) version: HeaderVersion,
    /// For whom it speaks and to whom, where that is not what the route says.
    pub(crate) from: Option<SocketAddr>,
    pub(crate) to: Option<SocketAddr>,
    /// Speaks for itself, and names no addresses.
    pub(crate) local: bool,
}

impl DialProxyHeader {
    /// What a client sends that speaks for a connection between these addresses, unless this says otherwise.
    fn header(&self, claimed: &Addresses) -> ProxyHeader {
        // Behind a tunnel, the other end of the socket is on the way and not the end of it.
        let far = if claimed.via.is_empty() { &claimed.peer } else { &claimed.target };
        let real = |address: &Option<Address>| address.as_ref().and_then(Address::as_tcp).map(canonical);
        let ends = (self.from.or_else(|| real(&claimed.local)), self.to.or_else(|| real(far)));
        match (self.version, ends) {
            // The text form has no word for it: a server then takes the addresses of the socket.
            (HeaderVersion::V1, _) if self.local => ProxyHeader::v1_unknown(),
            (HeaderVersion::V2, _) if self.local => ProxyHeader::v2_local(),
            (HeaderVersion::V1, (Some(from), Some(to))) => ProxyHeader::v1(from, to),
            (HeaderVersion::V2, (Some(from), Some(to))) => {
                ProxyHeader::v2(proxy_header::HeaderAddresses::tcp(from, to))
            }
            (HeaderVersion::V1, _) => ProxyHeader::v1_unknown(),
            (HeaderVersion::V2, _) => ProxyHeader::v2(proxy_header::HeaderAddresses::Unspecified),
        }
    }
}

impl DialLeg for DialProxyHeader {
    fn dial(&self, mut route: Route) -> BoxFuture<'_, Result<Route, RouteError>> {
        async move {
            let header = self.header(route.claimed());
            route.connection_mut().send_proxy_header(&header).await?;
            Ok(route)
        }
        .boxed()
    }
}

/// As a server.
#[derive(Debug)]
pub(crate) struct TakeProxyHeader {
    pub(crate) optional: bool,
}

impl AcceptLeg for TakeProxyHeader {
    fn accept(&self, mut route: Route) -> BoxFuture<'_, Result<Arrival, RouteError>> {
        async move {
            let accept = AcceptProxyHeader::new();
            let accept = if self.optional { accept.optional() } else { accept };
            let connection = route.connection_mut();
            if let Some(header) = connection.accept_proxy_header(accept).await? {
                let socket = Addresses::from(connection.get_ref());
                connection.set_addresses(addresses(header, socket));
            }
            Ok(Arrival::Here(route))
        }
        .boxed()
    }

    fn tells_peer(&self) -> bool {
        true
    }
}

/// Who talks to whom behind a proxy, if its header tells: else it is the two ends of the socket, as it is for the proxy's
/// own connections.
fn addresses(header: ProxyHeader, mut addresses: Addresses) -> Addresses {
    if header.command() == Command::Proxy {
        match header.addresses() {
            proxy_header::HeaderAddresses::Ipv4 { source, destination, .. } => {
                addresses.peer = Some(SocketAddr::from(*source).into());
                addresses.local = Some(SocketAddr::from(*destination).into());
            }
            proxy_header::HeaderAddresses::Ipv6 { source, destination, .. } => {
                addresses.peer = Some(SocketAddr::from(*source).into());
                addresses.local = Some(SocketAddr::from(*destination).into());
            }
            proxy_header::HeaderAddresses::Unix { source, destination, .. } => {
                (addresses.peer, addresses.local) = (Some(unix(source)), Some(unix(destination)));
            }
            proxy_header::HeaderAddresses::Unspecified => {}
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

/// An IPv4 address as such: a socket that listens for both families shows it mapped into IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}
