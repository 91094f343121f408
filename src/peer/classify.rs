//! From each error to its class.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, PeerIncompatible};

use super::{Class, ClassKind, ConnectFault, ResolveFault};
use crate::connection::{self, ErrorKind as ConnectionErrorKind};
use crate::endpoint::{OpenError, OpenErrorKind, ParseError};
use crate::protocol::{self, EndReason, EndReasonKind};
use crate::route::{HopError, RouteError, RouteErrorKind};
use crate::runtime::ConnectError;
use crate::stack::{CommandError, CommandErrorKind, LayerError, LayerErrorKind, Progress, Reason};
use crate::tls::{CertificateFault, ConfigError};
use crate::{starttls, tunnel};

impl Class {
    /// The class of the first error of this crate in the chain that begins with `error`; `None` if there is none.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(class) = Self::of_one(error) {
                return Some(class);
            }
            // What an `io::Error` was made of is not its source.
            let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = inside.map(|inside| inside as _).or_else(|| error.source());
        }
        None
    }

    fn of_one(error: &(dyn StdError + 'static)) -> Option<Self> {
        macro_rules! first_of {
            ($($of:ty),* $(,)?) => { $(if let Some(error) = error.downcast_ref::<$of>() { return Some(error.class()) })* };
        }
        first_of![
            OpenError,
            RouteError,
            HopError,
            connection::Error,
            tunnel::Error,
            starttls::Error,
            protocol::Error,
            CommandError,
            Reason,
            LayerError,
            ConfigError,
            ParseError,
        ];
        error.downcast_ref::<EndReason>().and_then(EndReason::class)
    }

    /// Of something that was still to be opened, where nobody says otherwise.
    fn opening(mut self) -> Self {
        self.progress = self.progress.or(Some(Progress::Opening));
        self
    }

    fn of_socket(error: &io::Error) -> ClassKind {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                ClassKind::Reset
            }
            io::ErrorKind::UnexpectedEof => ClassKind::Truncated,
            io::ErrorKind::TimedOut => ClassKind::Silent,
            kind => ClassKind::Socket(kind),
        }
    }
}

impl OpenError {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        let class = match self.kind() {
            OpenErrorKind::Parse(error) => error.class(),
            OpenErrorKind::Config(error) => error.class(),
            OpenErrorKind::NoName | OpenErrorKind::Misused(_) | OpenErrorKind::NoRuntime | OpenErrorKind::Carrier => {
                Class::new(ClassKind::Configuration)
            }
            OpenErrorKind::Resolve(_, error) => Class::new(ClassKind::Resolve(resolve_fault(error))),
            OpenErrorKind::Connect(_, error) => Class::new(ClassKind::Connect {
                fault: connect_fault(error),
                local: ConnectError::of(error).and_then(ConnectError::local),
            }),
            OpenErrorKind::OutOfTime { .. } => Class::new(ClassKind::WholeTimeout),
            OpenErrorKind::Listen(_, error) => Class::new(ClassKind::Listen(error.kind())),
            OpenErrorKind::Connection(error) => error.class(),
            OpenErrorKind::Tunnel(error) => error.class(),
        };
        class.opening()
    }
}

impl RouteError {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        let class = match self.kind() {
            RouteErrorKind::NoName => Class::new(ClassKind::Configuration),
            RouteErrorKind::Config(error) => error.class(),
            RouteErrorKind::Connection(error) => error.class(),
            RouteErrorKind::Tunnel(error) => error.class(),
        };
        class.opening()
    }
}

impl HopError {
    /// What the failure is about, with the number of the hop, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        let class = match (self.tunnel_error(), self.connection_error()) {
            // What was lost below the question to the proxy says more than what that meant to the question.
            (_, Some(error)) if error.reason().is_some_and(|reason| reason.io_error().is_some()) => error.class(),
            (Some(error), _) => error.class(),
            (None, Some(error)) => error.class(),
            (None, None) => Class::new(ClassKind::Application),
        };
        Class { hop: Some(self.number()), ..class.opening() }
    }
}

impl tunnel::Error {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.reason() {
            Some(reason) => reason.class().opening(),
            None => Class::new(ClassKind::Tunnel(self.clone())).opening(),
        }
    }
}

impl starttls::Error {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::new(ClassKind::StartTls(self.clone())).opening()
    }
}

impl connection::Error {
    /// What the failure is about, and whether it is safe to try again. Of a read too: a server that does TLS 1.3 refuses the
    /// certificate of its client only there.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind() {
            ConnectionErrorKind::Lost(reason) => reason.class(),
            ConnectionErrorKind::Command(error) => error.class(),
            ConnectionErrorKind::Peeled(layer, error) => Class { layer: Some(*layer), ..error.class() },
            ConnectionErrorKind::OtherFacts(layer, _) => {
                Class { layer: Some(*layer), ..Class::new(ClassKind::Misused) }
            }
            ConnectionErrorKind::TooMuchLate(_) | ConnectionErrorKind::LineTooLong(_) => Class::new(ClassKind::Limit),
            ConnectionErrorKind::UnfinishedLine => Class::new(ClassKind::Truncated),
            ConnectionErrorKind::LineBreak => Class::new(ClassKind::Misused),
            ConnectionErrorKind::Config(error) => error.class(),
        }
    }
}

impl CommandError {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind() {
            CommandErrorKind::Lost(reason) => reason.class(),
            CommandErrorKind::Refused(layer, error) => Class { layer: Some(*layer), ..error.class() },
            CommandErrorKind::TooDeep(_) => Class::new(ClassKind::Limit),
            _ => Class::new(ClassKind::Misused),
        }
    }
}

impl Reason {
    /// What the loss is about, with the layer that failed first, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        let first = self.first();
        let wire = self.below().and(first.wire_name()).map(str::to_owned);
        // A layer that was being opened, in any of the stacks, had let nothing through.
        let losses = || std::iter::successors(Some(self), |reason| reason.below()).flat_map(Reason::layers);
        let is_opening = losses().any(|loss| loss.error.progress() == Some(Progress::Opening));
        let opening = is_opening.then_some(Progress::Opening);
        let class = match (self.layer_error(), self.io_error()) {
            (Some(error), _) => Class { layer: first.layers().first().map(|loss| loss.layer), ..error.class() },
            // The socket of a tunnel fails with what has become of the tunnel.
            (None, Some(error)) => match tunnel::Error::of(error).filter(|tunnel| tunnel.reason().is_none()) {
                Some(tunnel) => Class { progress: None, ..tunnel.class() },
                None => Class::new(Class::of_socket(error)),
            },
            (None, None) => Class::new(ClassKind::Aborted),
        };
        Class { progress: opening.or(class.progress), wire, ..class }
    }
}

impl LayerError {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        if let Some(error) = tunnel::Error::of(self) {
            return error.class();
        }
        if let Some(error) = starttls::Error::of(self) {
            return error.class();
        }
        let tls = self.source().and_then(|source| source.downcast_ref::<rustls::Error>());
        let kind = tls.and_then(|error| of_tls(error, self)).unwrap_or_else(|| of_layer(self));
        Class { progress: self.progress(), ..Class::new(kind) }
    }
}

impl ConfigError {
    /// What the failure is about: what was asked for.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::new(ClassKind::Configuration)
    }
}

impl ParseError {
    /// What the failure is about: what was asked for.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::new(ClassKind::Configuration)
    }
}

impl protocol::Error {
    /// What the failure is about, and whether it is safe to try again.
    #[must_use]
    pub fn class(&self) -> Class {
        if let Some(error) = self.cause::<CommandError>() {
            return error.class();
        }
        if let Some(error) = self.cause::<LayerError>() {
            return error.class();
        }
        if let Some(error) = self.cause::<ConfigError>() {
            return error.class();
        }
        if let Some(class) = self.cause::<io::Error>().and_then(|error| Class::of(error)) {
            return class;
        }
        Class::new(match self.kind() {
            protocol::ErrorKind::TooLong => ClassKind::Limit,
            protocol::ErrorKind::Malformed => ClassKind::Protocol,
            protocol::ErrorKind::Unfinished => ClassKind::Truncated,
            protocol::ErrorKind::TimedOut | protocol::ErrorKind::PeerTooSlow => ClassKind::Silent,
            protocol::ErrorKind::Command => ClassKind::Misused,
            protocol::ErrorKind::Config => ClassKind::Configuration,
            protocol::ErrorKind::Application | protocol::ErrorKind::Layer => ClassKind::Application,
        })
    }
}

impl EndReason {
    /// What the end is about; `None` for a connection that was closed.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self.kind() {
            EndReasonKind::Closed => None,
            EndReasonKind::Failed(error) => Some(error.class()),
            EndReasonKind::Lost(reason) => Some(reason.class()),
        }
    }
}

/// What the error of rustls is about that a layer failed with.
fn of_tls(error: &rustls::Error, layer: &LayerError) -> Option<ClassKind> {
    use rustls::Error as E;
    let at = layer.progress();
    Some(match error {
        E::NoCertificatesPresented => ClassKind::NoCertificate,
        E::AlertReceived(AlertDescription::CloseNotify) => ClassKind::Truncated,
        E::AlertReceived(alert) if layer.is_client_certificate() => {
            ClassKind::ClientCertificateRefused { alert: *alert, at }
        }
        E::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion => ClassKind::NoCommonVersion,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => ClassKind::NoCommonSuite,
            AlertDescription::NoApplicationProtocol => ClassKind::NoCommonProtocol,
            alert => ClassKind::Alert { alert: *alert, at },
        },
        E::NoApplicationProtocol => ClassKind::NoCommonProtocol,
        E::PeerIncompatible(why) => of_incompatible(why),
        E::InappropriateHandshakeMessage { .. } if at == Some(Progress::Opening) => {
            ClassKind::NotTls { first: layer.said().unwrap_or_default().to_vec() }
        }
        error => ClassKind::Certificate(CertificateFault::of(error)?),
    })
}

fn of_incompatible(why: &PeerIncompatible) -> ClassKind {
    use PeerIncompatible as E;
    match why {
        E::ServerDoesNotSupportTls12Or13
        | E::ServerTlsVersionIsDisabledByOurConfig
        | E::SupportedVersionsExtensionRequired
        | E::Tls12NotOffered
        | E::Tls12NotOfferedOrEnabled => ClassKind::NoCommonVersion,
        E::NoCipherSuitesInCommon => ClassKind::NoCommonSuite,
        E::NoKxGroupsInCommon | E::NamedGroupsExtensionRequired | E::KeyShareExtensionRequired => {
            ClassKind::NoCommonGroup
        }
        E::NoSignatureSchemesInCommon
        | E::NoCertificateRequestSignatureSchemesInCommon
        | E::SignatureAlgorithmsExtensionRequired => ClassKind::NoCommonSignature,
        _ => ClassKind::Incompatible,
    }
}

/// What the failure of any layer is about.
fn of_layer(error: &LayerError) -> ClassKind {
    match error.kind() {
        LayerErrorKind::NotSpoken => ClassKind::NotTls { first: error.said().unwrap_or_default().to_vec() },
        LayerErrorKind::Certificate => ClassKind::Certificate(CertificateFault::Other(error.to_string())),
        LayerErrorKind::ClientCertificate => {
            ClassKind::ClientCertificateRefused { alert: AlertDescription::CertificateRequired, at: error.progress() }
        }
        LayerErrorKind::Refused => ClassKind::Application,
        LayerErrorKind::Truncated => ClassKind::Truncated,
        LayerErrorKind::HandshakeTimeout => ClassKind::HandshakeTimeout,
        LayerErrorKind::StopTimeout | LayerErrorKind::Idle => ClassKind::Silent,
        LayerErrorKind::Protocol => ClassKind::Protocol,
        LayerErrorKind::Limit => ClassKind::Limit,
        LayerErrorKind::Unsupported => ClassKind::Misused,
    }
}

/// What has become of the question for a name.
fn resolve_fault(error: &io::Error) -> ResolveFault {
    match error.kind() {
        io::ErrorKind::TimedOut => ResolveFault::TimedOut,
        // The standard library hands on the words of the system, and nothing else that tells.
        _ if TEMPORARY.iter().any(|words| error.to_string().contains(words)) => ResolveFault::Temporary,
        _ if error.raw_os_error() == Some(WSATRY_AGAIN) => ResolveFault::Temporary,
        _ => ResolveFault::NotFound,
    }
}

fn connect_fault(error: &io::Error) -> ConnectFault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ConnectFault::Refused,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            ConnectFault::Unreachable
        }
        io::ErrorKind::TimedOut => ConnectFault::TimedOut,
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => ConnectFault::LocalAddress,
        kind => ConnectFault::Other(kind),
    }
}

/// What getaddrinfo says in glibc and macOS, musl, and FreeBSD for EAI_AGAIN.
const TEMPORARY: [&str; 3] =
    ["Temporary failure in name resolution", "Try again", "Name could not be resolved at this time"];

/// What Windows says for it.
const WSATRY_AGAIN: i32 = 11_002;
