//! Why the command ends without success: one line for people, and an exit status.

use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use onionskin::connection::Error;
use onionskin::endpoint::{BaseTransport, OpenError, OpenErrorKind};
use onionskin::printable::Printable;
use onionskin::rustls;
use onionskin::starttls;
use onionskin::tls::{CertificateFault, ConfigError, ConfigErrorKind};

use crate::logging::{Format, say};

/// The end of the command, with its reason.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

/// The exit statuses; what those from 3 on mean is for each command to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Failed,
    Usage,
    /// Of `onion probe`, and so the next four.
    Hole,
    NoTls,
    Refused,
    Untrusted,
    Expiring,
    /// Of `onion get`, and so the next two.
    Redirected,
    NotGiven,
    ServerFailed,
}

impl Status {
    fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Hole | Self::Redirected => 3,
            Self::NoTls | Self::NotGiven => 4,
            Self::Refused | Self::ServerFailed => 5,
            Self::Untrusted => 6,
            Self::Expiring => 7,
        }
    }
}

impl Failure {
    /// What was asked for could not be done.
    pub(crate) fn new(message: impl Display) -> Self {
        Self { status: Status::Failed, message: message.to_string() }
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { status: Status::Usage, message: message.to_string() }
    }

    /// With an exit status of its own.
    #[must_use]
    pub(crate) fn with(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// What was to be printed could not be.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::new(error).at("cannot write to standard output")
    }

    /// Says before the message where it happened.
    pub(crate) fn at(mut self, place: impl Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Says it in one line on standard error, and returns the exit status.
    pub(crate) fn report(&self, format: Format) -> ExitCode {
        match format {
            Format::Text => say(format_args!("error: {self}")),
            Format::Json => log::error!("{self}"),
        }
        ExitCode::from(self.status.code())
    }
}

impl Display for Failure {
    /// One line, whatever a peer or a file has put into the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.message).fmt(f)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match advice(&error) {
            Some(advice) => Self::new(format_args!("{error} ({advice})")),
            None => Self::new(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match Error::of(&error) {
            Some(error) => error.clone().into(),
            None => Self::new(error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error.kind() {
            ConfigErrorKind::Unsupported => Self::usage(error),
            ConfigErrorKind::NoRoots => Self::new(format_args!(
                "{error}: name the authorities to trust with --ca, or with ca=PEM in the endpoint"
            )),
            _ => Self::new(error),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error.kind() {
            OpenErrorKind::Config(error) => error.clone().into(),
            OpenErrorKind::Connection(error) if error.is_not_spoken() => {
                Self::new(format_args!("{error}: leave the tls step out if TLS starts later there, or never"))
            }
            OpenErrorKind::Connection(error) => error.clone().into(),
            OpenErrorKind::Connect(
                BaseTransport::Tcp { .. } | BaseTransport::Unix { .. } | BaseTransport::Abstract { .. },
                cause,
            ) => match cause.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    Self::new(format_args!("{error}: is a server listening there?"))
                }
                _ => Self::new(error),
            },
            OpenErrorKind::Listen(BaseTransport::Tcp { .. }, cause) if cause.kind() == io::ErrorKind::AddrInUse => {
                Self::new(format_args!("{error}: stop who listens there, or choose another port (0 picks one)"))
            }
            _ if error.is_usage() => Self::usage(error),
            _ => Self::new(error),
        }
    }
}

/// What can be done about a failed layer, where that is known.
fn advice(error: &Error) -> Option<&'static str> {
    if starttls::Error::of(error).is_some_and(starttls::Error::is_hello_refused) {
        return Some("another name of ours may do: name=NAME in the endpoint's step");
    }
    if error.is_client_certificate() {
        return Some("present a certificate that the peer accepts, with --cert and --key");
    }
    let error = error.tls_error()?;
    match CertificateFault::of(error) {
        Some(CertificateFault::UnknownIssuer) => {
            return Some("name its authority with --ca, or with ca=PEM in the endpoint");
        }
        Some(CertificateFault::IsAuthority) => {
            return Some("name it with --ca, or with ca=PEM in the endpoint; `onion cert` makes better ones");
        }
        Some(CertificateFault::WrongName { .. }) => {
            return Some(r"ask for a name that it is valid for: sni=NAME in the endpoint, or \starttls NAME");
        }
        _ => {}
    }
    match error {
        rustls::Error::NoCertificatesPresented => Some("the peer must present one"),
        _ => None,
    }
}
