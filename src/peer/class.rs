//! What a failure is about, and where it was.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustls::AlertDescription;

use crate::printable::Printable;
use crate::stack::{LayerId, Progress};
use crate::tls::CertificateFault;
use crate::{starttls, tunnel};

/// What a failure is about: its kind, and the hop or the layer it is of.
///
/// Every error of this crate that can end the opening of a connection has a method `class`; [`Class::of`] finds the error in
/// an [`io::Error`] or in a chain of sources. Prints as a phrase, `layer #3: certificate: it expired on 2026-10-01: renew it`.
#[derive(Clone, Debug)]
pub struct Class {
    pub(super) kind: ClassKind,
    pub(super) hop: Option<usize>,
    pub(super) layer: Option<LayerId>,
    pub(super) wire: Option<String>,
    pub(super) progress: Option<Progress>,
}

/// The kinds of [`Class`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClassKind {
    /// What was asked for is wrong, or cannot be had here: nobody was reached for it.
    Configuration,
    /// The name of the host has no address.
    Resolve(ResolveFault),
    /// Nobody could be reached at the address.
    #[non_exhaustive]
    Connect {
        /// How that went.
        fault: ConnectFault,
        /// The local end of the attempt, where the system had chosen one: of several attempts, that of the last.
        local: Option<SocketAddr>,
    },
    /// The address cannot be listened at.
    Listen(io::ErrorKind),
    /// A proxy has opened no tunnel.
    Tunnel(tunnel::Error),
    /// An application protocol has not come to TLS.
    StartTls(starttls::Error),
    /// A handshake or a negotiation was not done within its deadline.
    HandshakeTimeout,
    /// The whole was not done within its deadline.
    WholeTimeout,
    /// The peer was silent for too long, or did not answer the end of a layer.
    Silent,
    /// The certificate of the peer was not accepted: its name, its dates, its issuer and so on.
    Certificate(CertificateFault),
    /// The peer has shown no certificate, and one is required.
    NoCertificate,
    /// The peer does not accept the certificate that we have shown as its client, or our having none. TLS 1.3 may say so
    /// only in place of the first bytes that are read ([`Progress::Opened`]).
    #[non_exhaustive]
    ClientCertificateRefused {
        /// In which words.
        alert: AlertDescription,
        /// When.
        at: Option<Progress>,
    },
    /// The peer refused by another alert. [`meaning`](ClassKind::meaning) has it in words.
    #[non_exhaustive]
    Alert {
        /// Which one.
        alert: AlertDescription,
        /// When.
        at: Option<Progress>,
    },
    /// No version of TLS in common.
    NoCommonVersion,
    /// No cipher suite in common; or, where the peer says no more than `handshake_failure`, nothing else: that may be a group, a
    /// signature scheme, or in TLS 1.2 a client certificate.
    NoCommonSuite,
    /// No group for the key exchange in common.
    NoCommonGroup,
    /// No signature scheme in common.
    NoCommonSignature,
    /// No application protocol (ALPN) in common.
    NoCommonProtocol,
    /// Something else in common is missing.
    Incompatible,
    /// The peer does not speak TLS, or whatever the layer speaks.
    #[non_exhaustive]
    NotTls {
        /// The first of what it said, at most 32 bytes, as they came.
        first: Vec<u8>,
    },
    /// The stream ended where it must not: in a handshake, or without a close_notify.
    Truncated,
    /// The connection was reset.
    Reset,
    /// The socket failed in another way.
    Socket(io::ErrorKind),
    /// The peer broke the rules of the protocol.
    Protocol,
    /// A limit would have been passed.
    Limit,
    /// What was asked for cannot be done in this state; nothing was changed.
    Misused,
    /// We have aborted the connection ourselves.
    Aborted,
    /// The application has failed, or refused.
    Application,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResolveFault {
    /// It is not known, or has none.
    NotFound,
    /// Nobody who knows could be asked just now.
    Temporary,
    /// Nobody said in time.
    TimedOut,
}

/// Why nobody was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectFault {
    /// Nobody listens there, or somebody on the way says so. Of a Unix socket: there is none.
    Refused,
    /// No way leads there.
    Unreachable,
    /// Nobody answered in time.
    TimedOut,
    /// The local end that was asked for cannot be had.
    LocalAddress,
    /// Something else.
    Other(io::ErrorKind),
}

impl Class {
    pub(super) fn new(kind: ClassKind) -> Self {
        Self { kind, hop: None, layer: None, wire: None, progress: None }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> &ClassKind {
        &self.kind
    }

    /// Which proxy of a route it is about, the outermost being 1.
    #[must_use]
    pub fn hop(&self) -> Option<usize> {
        self.hop
    }

    /// The layer that failed first. It is one of the connection that [`wire`](Self::wire) names, if that names one.
    #[must_use]
    pub fn layer(&self) -> Option<LayerId> {
        self.layer
    }

    /// How the connection is called that failed, where it runs below the one that the error is of.
    #[must_use]
    pub fn wire(&self) -> Option<&str> {
        self.wire.as_deref()
    }

    /// How far it had come. While it was [`Progress::Opening`], nothing of the application's had reached the peer through the layer
    /// that was being opened. What was written below it before, where TLS starts on a live connection, is the caller's to know.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        self.progress
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hop) = self.hop {
            write!(f, "hop {hop}: ")?;
        }
        if let Some(wire) = &self.wire {
            write!(f, "{}: ", Printable::new(wire))?;
        }
        if let Some(layer) = self.layer {
            write!(f, "layer {layer}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl ClassKind {
    /// A name for programs, which stays: `certificate_expired`, `connect_refused`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Resolve(ResolveFault::NotFound) => "resolve_not_found",
            Self::Resolve(ResolveFault::Temporary) => "resolve_temporary",
            Self::Resolve(ResolveFault::TimedOut) => "resolve_timeout",
            Self::Connect { fault, .. } => match fault {
                ConnectFault::Refused => "connect_refused",
                ConnectFault::Unreachable => "connect_unreachable",
                ConnectFault::TimedOut => "connect_timeout",
                ConnectFault::LocalAddress => "connect_local_address",
                ConnectFault::Other(_) => "connect_failed",
            },
            Self::Listen(_) => "listen",
            Self::Tunnel(_) => "tunnel",
            Self::StartTls(_) => "starttls",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::WholeTimeout => "whole_timeout",
            Self::Silent => "silent",
            Self::Certificate(fault) => certificate_name(fault),
            Self::NoCertificate => "certificate_missing",
            Self::ClientCertificateRefused { .. } => "client_certificate_refused",
            Self::Alert { .. } => "alert",
            Self::NoCommonVersion => "no_common_version",
            Self::NoCommonSuite => "no_common_suite",
            Self::NoCommonGroup => "no_common_group",
            Self::NoCommonSignature => "no_common_signature",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::Incompatible => "incompatible",
            Self::NotTls { .. } => "not_tls",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Socket(_) => "socket",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::Misused => "misused",
            Self::Aborted => "aborted",
            Self::Application => "application",
        }
    }

    /// What the alert of the peer means, if it is one.
    #[must_use]
    pub fn meaning(&self) -> Option<String> {
        match self {
            Self::Alert { alert, .. } | Self::ClientCertificateRefused { alert, .. } => {
                Some(crate::tls::alert_meaning(*alert))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ClassKind {
    /// A phrase. The error says more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Configuration => "what was asked for is wrong, or cannot be had here",
            Self::Resolve(ResolveFault::NotFound) => "the name is not known",
            Self::Resolve(ResolveFault::Temporary) => "nobody who knows the name could be asked just now",
            Self::Resolve(ResolveFault::TimedOut) => "the name was not resolved in time",
            Self::Connect { fault, local } => {
                match fault {
                    ConnectFault::Refused => f.write_str("nobody listens there")?,
                    ConnectFault::Unreachable => f.write_str("no way leads there")?,
                    ConnectFault::TimedOut => f.write_str("nobody answered in time")?,
                    ConnectFault::LocalAddress => f.write_str("the local address cannot be had")?,
                    ConnectFault::Other(kind) => write!(f, "not connected: {kind}")?,
                }
                return local.iter().try_for_each(|local| write!(f, " (from {local})"));
            }
            Self::Listen(kind) => return write!(f, "cannot be listened at: {kind}"),
            Self::Tunnel(error) => return write!(f, "no tunnel: {error}"),
            Self::StartTls(error) => return write!(f, "TLS was not started: {error}"),
            Self::HandshakeTimeout => "the handshake was not done in time",
            Self::WholeTimeout => "the whole was not done in time",
            Self::Silent => "the peer was silent for too long",
            Self::Certificate(fault) => return write!(f, "certificate: {fault}"),
            Self::NoCertificate => "the peer has shown no certificate",
            Self::ClientCertificateRefused { .. } | Self::Alert { .. } => {
                return f.write_str(&self.meaning().unwrap_or_default());
            }
            Self::NoCommonVersion => "no version of TLS in common",
            Self::NoCommonSuite => "no cipher suite in common, or the peer does not say what else",
            Self::NoCommonGroup => "no group for the key exchange in common",
            Self::NoCommonSignature => "no signature scheme in common",
            Self::NoCommonProtocol => "no application protocol (ALPN) in common",
            Self::Incompatible => "nothing in common",
            Self::NotTls { first } if first.is_empty() => "not TLS",
            Self::NotTls { first } => {
                return write!(f, "not TLS: it begins with {}", Printable::new(first).quoted());
            }
            Self::Truncated => "the stream ended too early",
            Self::Reset => "the connection was reset",
            Self::Socket(kind) => return write!(f, "the socket failed: {kind}"),
            Self::Protocol => "the peer broke the protocol",
            Self::Limit => "a limit was reached",
            Self::Misused => "this cannot be done now",
            Self::Aborted => "the connection was aborted",
            Self::Application => "the application has failed",
        };
        f.write_str(words)
    }
}

fn certificate_name(fault: &CertificateFault) -> &'static str {
    match fault {
        CertificateFault::UnknownIssuer => "certificate_unknown_issuer",
        CertificateFault::IsAuthority => "certificate_is_authority",
        CertificateFault::WrongName { .. } => "certificate_name",
        CertificateFault::Expired { .. } => "certificate_expired",
        CertificateFault::NotYetValid { .. } => "certificate_not_yet_valid",
        CertificateFault::Revoked => "certificate_revoked",
        CertificateFault::Purpose { .. } => "certificate_purpose",
        CertificateFault::Malformed => "certificate_encoding",
        CertificateFault::BadSignature => "certificate_signature",
        CertificateFault::OtherKey { .. } => "certificate_pin",
        _ => "certificate",
    }
}
