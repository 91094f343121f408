//! What a server refuses a tunnel with.

use std::fmt;

use super::ProxyStatus;

/// Why a server opens no tunnel: one reason, which each language says in its own way.
///
/// The status and the error are those of RFC 9209 (Proxy-Status), the reply those of RFC 1928, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The name of the target is not known.
    DnsError,
    /// Nobody has said in time what the name stands for.
    DnsTimeout,
    /// The target has refused the connection.
    ConnectionRefused,
    /// The target has not answered in time.
    ConnectionTimeout,
    /// No way leads to the network of the target.
    Unroutable,
    /// The target cannot be reached.
    Unavailable,
    /// Who asks may not go there, whatever is there: the name, the network or the port is denied.
    Denied,
    /// The address that the name stands for is denied.
    ProhibitedAddress,
    /// The server has as many tunnels as it may have.
    LimitReached,
    /// The certificate of the next proxy was not accepted.
    NextHopCertificate,
    /// The next proxy has refused in a TLS handshake.
    NextHopAlert,
    /// The next proxy does not speak TLS as it should.
    NextHopTls,
    /// The next proxy has refused.
    NextHopRefused,
    /// The target is the server itself, or the way there leads through it again.
    Loop,
    /// The server is set up wrong.
    Configuration,
    /// The server has failed.
    Internal,
}

impl Reason {
    /// The status of HTTP.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::DnsTimeout | Self::ConnectionTimeout => 504,
            Self::Unavailable | Self::LimitReached => 503,
            Self::Denied => 403,
            Self::Configuration | Self::Internal => 500,
            Self::DnsError
            | Self::ConnectionRefused
            | Self::Unroutable
            | Self::ProhibitedAddress
            | Self::NextHopCertificate
            | Self::NextHopAlert
            | Self::NextHopTls
            | Self::NextHopRefused
            | Self::Loop => 502,
        }
    }

    /// The type of error in Proxy-Status (RFC 9209, section 2.3).
    #[must_use]
    pub fn proxy_error(self) -> &'static str {
        match self {
            Self::DnsError => "dns_error",
            Self::DnsTimeout => "dns_timeout",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::Unroutable => "destination_ip_unroutable",
            Self::Unavailable => "destination_unavailable",
            Self::Denied => "http_request_denied",
            Self::ProhibitedAddress => "destination_ip_prohibited",
            Self::LimitReached => "connection_limit_reached",
            Self::NextHopCertificate => "tls_certificate_error",
            Self::NextHopAlert => "tls_alert_received",
            Self::NextHopTls => "tls_protocol_error",
            Self::NextHopRefused => "http_request_error",
            Self::Loop => "proxy_loop_detected",
            Self::Configuration => "proxy_configuration_error",
            Self::Internal => "proxy_internal_error",
        }
    }

    /// The reply of SOCKS5.
    #[must_use]
    pub fn socks_reply(self) -> u8 {
        match self {
            Self::Denied | Self::ProhibitedAddress => 2,
            Self::Unroutable => 3,
            Self::DnsError | Self::DnsTimeout | Self::ConnectionTimeout | Self::Unavailable => 4,
            Self::ConnectionRefused => 5,
            Self::LimitReached
            | Self::NextHopCertificate
            | Self::NextHopAlert
            | Self::NextHopTls
            | Self::NextHopRefused
            | Self::Loop
            | Self::Configuration
            | Self::Internal => 1,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DnsError => "the name of the target is not known",
            Self::DnsTimeout => "the name of the target was not resolved in time",
            Self::ConnectionRefused => "the target refused the connection",
            Self::ConnectionTimeout => "the target did not answer in time",
            Self::Unroutable => "no way leads to the target",
            Self::Unavailable => "the target cannot be reached",
            Self::Denied => "that target is denied",
            Self::ProhibitedAddress => "the address of the target is denied",
            Self::LimitReached => "there are as many tunnels as there may be",
            Self::NextHopCertificate => "the certificate of the next proxy was not accepted",
            Self::NextHopAlert => "the next proxy refused the TLS handshake",
            Self::NextHopTls => "the next proxy does not speak TLS",
            Self::NextHopRefused => "the next proxy refused",
            Self::Loop => "the way leads back to this proxy",
            Self::Configuration => "this proxy is set up wrong",
            Self::Internal => "this proxy has failed",
        })
    }
}

/// What a server refuses a tunnel with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Whom it was to ask next, or the target, where whoever asks may know. HTTP says it in Proxy-Status.
    pub next_hop: Option<String>,
    /// More about it, where whoever asks may know. HTTP says it in Proxy-Status.
    pub details: Option<String>,
    /// What the proxies behind this one have said of it, where whoever asks may know
    /// ([`Error::proxy_status`](super::Error::proxy_status)). HTTP passes it on in Proxy-Status, before what is said here, up to
    /// 4 KiB.
    pub behind: Vec<ProxyStatus>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, next_hop: None, details: None, behind: Vec::new() }
    }
}
