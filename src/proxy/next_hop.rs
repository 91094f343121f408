//! What to say of a target that another proxy was asked for, and was not reached.

use std::io;

use super::Unreached;
use super::reach::reason;
use crate::connection::Error as ConnectionError;
use crate::endpoint::{OpenError, OpenErrorKind};
use crate::tunnel::{Error, ErrorKind, Reason};

pub(super) fn unreached(error: &OpenError) -> Unreached {
    let (found, behind) = match error.kind() {
        OpenErrorKind::Connect(_, cause) => (reason(cause), Vec::new()),
        OpenErrorKind::Resolve(_, cause) if cause.kind() == io::ErrorKind::TimedOut => (Reason::DnsTimeout, Vec::new()),
        OpenErrorKind::Resolve(..) => (Reason::DnsError, Vec::new()),
        OpenErrorKind::Connection(lost) => (of_connection(lost), Vec::new()),
        OpenErrorKind::Tunnel(hop) => match hop.tunnel_error() {
            Some(error) => (of_tunnel(error), error.proxy_status()),
            None => (hop.connection_error().map_or(Reason::NextHopRefused, of_connection), Vec::new()),
        },
        _ => (Reason::Configuration, Vec::new()),
    };
    Unreached::new(found, error).behind(behind)
}

/// TLS to the proxy, or to one behind it, has failed.
fn of_connection(error: &ConnectionError) -> Reason {
    match error {
        error if error.is_certificate() => Reason::NextHopCertificate,
        error if error.is_refused() => Reason::NextHopAlert,
        error if error.is_timeout() => Reason::ConnectionTimeout,
        error if error.layer_error().is_some() => Reason::NextHopTls,
        error => error.reason().and_then(|lost| lost.io_error()).map_or(Reason::NextHopRefused, reason),
    }
}

/// What has happened to the target is told on, as far as the proxy tells; all else is the proxy's refusal.
fn of_tunnel(error: &Error) -> Reason {
    if error.is_timeout() {
        return Reason::ConnectionTimeout;
    }
    let told = error.proxy_status().iter().find_map(|status| {
        let name = status.error()?;
        OF_TARGETS.iter().copied().find(|reason| reason.proxy_error() == name)
    });
    match error.kind() {
        _ if told.is_some() => told.unwrap_or(Reason::NextHopRefused),
        ErrorKind::Refused { code, .. } if error.is_target() => match code {
            3 => Reason::Unroutable,
            5 => Reason::ConnectionRefused,
            504 => Reason::ConnectionTimeout,
            _ => Reason::Unavailable,
        },
        _ => Reason::NextHopRefused,
    }
}

/// What may have happened to a target.
const OF_TARGETS: &[Reason] = &[
    Reason::DnsError,
    Reason::DnsTimeout,
    Reason::ConnectionRefused,
    Reason::ConnectionTimeout,
    Reason::Unroutable,
    Reason::Unavailable,
    Reason::ProhibitedAddress,
    Reason::Loop,
];
