//! The first step: the way to the wire.
//!
//! A new kind is a variant of [`BaseTransport`] with a line in its `Display`, a function that reads it, and a row in `KINDS`.
//! How it is opened stands in `wire.rs`.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::Kind;
use super::arguments::{Arguments, Printer, host, socket_path, text};
use super::error::{ErrorKind, ParseError};
use super::grammar::Word;
use crate::runtime::{Address, KeepAlive};

/// The first step of an endpoint: the way to the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BaseTransport {
    /// `tcp:HOST:PORT`
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address (here without its brackets).
        host: String,
        /// The port; 0 lets a server pick one.
        port: u16,
        /// `timeout`: how long a client tries.
        timeout: ConnectTimeout,
        /// `keepalive`, `keepalive-interval`, `keepalive-count`: how the system asks a silent peer whether it is still
        /// there; `None` for `keepalive=off`.
        keep_alive: Option<KeepAlive>,
    },
    /// `unix:PATH`
    Unix {
        /// Where the socket is, or will be.
        path: PathBuf,
    },
    /// `unix:@NAME`: a socket in the abstract namespace of Linux.
    Abstract {
        /// At most 107 bytes, without the `@`.
        name: String,
    },
    /// `stdio`: standard input and output of this process.
    Stdio,
    /// `fd:NUMBER`: a socket that the parent process has handed down.
    Descriptor {
        /// Its number in this process.
        number: u32,
    },
    /// `systemd:INDEX` or `systemd:name=NAME`: a socket of systemd's socket activation.
    Systemd(SystemdSocket),
}

/// Which of the sockets that systemd has passed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SystemdSocket {
    /// `systemd:INDEX`: its place in the order of the unit, counted from 0.
    Index(u32),
    /// `systemd:name=NAME`: its `FileDescriptorName=`, or the name of the unit. The first with this name that has not
    /// been taken.
    Name(String),
}

/// How long a client tries to reach its peer: to resolve the name, and to connect. Or how long it waits for a proxy that does.
///
/// Handshakes have deadlines of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectTimeout {
    /// Without the key: 30 seconds.
    #[default]
    Standard,
    /// `timeout=SECONDS`
    Seconds(NonZeroU32),
    /// `timeout=none`: as long as the system does.
    Never,
}

impl ConnectTimeout {
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(match arguments.key("timeout", Word::seconds)? {
            None => Self::Standard,
            Some(None) => Self::Never,
            Some(Some(seconds)) => Self::Seconds(seconds),
        })
    }

    /// The word that is read back, if it takes one.
    pub(super) fn word(self) -> Option<String> {
        match self {
            Self::Standard => None,
            Self::Seconds(seconds) => Some(seconds.to_string()),
            Self::Never => Some("none".to_owned()),
        }
    }

    /// The time that it stands for.
    pub(super) fn time(self) -> Option<Duration> {
        match self {
            Self::Standard => Some(STANDARD_TIMEOUT),
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds.get().into())),
            Self::Never => None,
        }
    }
}

impl BaseTransport {
    /// `tcp:HOST:PORT`, without further keys. An IPv6 address goes without brackets here.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp { host: host.into(), port, timeout: ConnectTimeout::Standard, keep_alive: Some(KeepAlive::default()) }
    }

    /// `unix:PATH`
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix { path: path.into() }
    }

    /// The host of a `tcp` transport: the name to verify where no other is given.
    pub fn host(&self) -> Option<&String> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            _ => None,
        }
    }

    /// Whom a client asks for.
    pub(super) fn target(&self) -> Option<Address> {
        match self {
            Self::Tcp { host, port, .. } => Some(Address::to_be_resolved(host, *port)),
            Self::Unix { path } => Some(Address::Unix(Some(path.clone()))),
            Self::Abstract { name } => Some(Address::Abstract(name.clone().into_bytes())),
            Self::Stdio => Some(Address::Stdio),
            Self::Descriptor { .. } | Self::Systemd(_) => None,
        }
    }

    /// Whether a client can connect again, and has not what it was given once.
    pub(super) fn can_be_had_again(&self) -> bool {
        matches!(self, Self::Tcp { .. } | Self::Unix { .. } | Self::Abstract { .. })
    }

    /// The transport that leads to `address`, if one does.
    pub(super) fn to(address: &Address) -> Option<Self> {
        match address {
            Address::Tcp(address) => {
                let mut host = address.ip().to_string();
                if let std::net::SocketAddr::V6(address) = address {
                    // A link-local address means nothing without its zone (RFC 4007 section 11).
                    match address.scope_id() {
                        0 => {}
                        zone => host.push_str(&format!("%{zone}")),
                    }
                }
                Some(Self::tcp(host, address.port()))
            }
            Address::Unix(path) => path.clone().map(Self::unix),
            Address::Abstract(name) => String::from_utf8(name.clone()).ok().map(|name| Self::Abstract { name }),
            Address::Name { host, port } => Some(Self::tcp(host, *port)),
            Address::Stdio => Some(Self::Stdio),
        }
    }
}

impl fmt::Display for BaseTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: name, port, timeout, keep_alive } => {
                let printer = Printer::new("tcp", f).positional(host(name)).positional(port);
                let printer = printer.key("timeout", timeout.word());
                print_keep_alive(*keep_alive, printer).finish()
            }
            Self::Unix { path } => Printer::new("unix", f).positional(socket_path(path)).finish(),
            Self::Abstract { name } => Printer::new("unix", f).positional(text(&format!("@{name}"))).finish(),
            Self::Stdio => Printer::new("stdio", f).finish(),
            Self::Descriptor { number } => Printer::new("fd", f).positional(number).finish(),
            Self::Systemd(SystemdSocket::Index(index)) => Printer::new("systemd", f).positional(index).finish(),
            Self::Systemd(SystemdSocket::Name(name)) => {
                Printer::new("systemd", f).key("name", Some(text(name))).finish()
            }
        }
    }
}

pub(super) const KINDS: [Kind<BaseTransport>; 5] = [
    Kind { name: "tcp", usage: "tcp:HOST:PORT", read: read_tcp },
    Kind { name: "unix", usage: "unix:PATH", read: read_unix },
    Kind { name: "stdio", usage: "stdio", read: |_| Ok(BaseTransport::Stdio) },
    Kind { name: "fd", usage: "fd:NUMBER", read: read_descriptor },
    Kind { name: "systemd", usage: "systemd:INDEX", read: read_systemd },
];

fn read_tcp(arguments: &mut Arguments) -> Result<BaseTransport, ParseError> {
    let (host, port) = (arguments.positional("HOST")?.host()?, arguments.positional("PORT")?.port()?);
    let timeout = ConnectTimeout::read(arguments)?;
    let keep_alive = read_keep_alive(arguments)?;
    Ok(BaseTransport::Tcp { host, port, timeout, keep_alive })
}

fn read_keep_alive(arguments: &mut Arguments) -> Result<Option<KeepAlive>, ParseError> {
    let standard = KeepAlive::default();
    let idle = arguments.key("keepalive", |word| word.seconds_or_off(MAX_SECONDS))?;
    let position = arguments.position("keepalive-interval").or(arguments.position("keepalive-count"));
    let interval = arguments.key("keepalive-interval", |word| word.within("time", "seconds", 1..=MAX_SECONDS))?;
    let count = arguments.key("keepalive-count", |word| word.within("count", "a number", 1..=MAX_PROBES))?;
    match (idle, position) {
        (Some(None), None) => Ok(None),
        (Some(None), Some(position)) => {
            let message = "keepalive=off needs no interval and no count: leave them out";
            Err(ParseError::new(ErrorKind::UnexpectedArgument, position, message))
        }
        (idle, _) => Ok(Some(KeepAlive {
            idle: idle.flatten().unwrap_or(standard.idle),
            interval: interval.unwrap_or(standard.interval),
            count: count.unwrap_or(standard.count),
        })),
    }
}

fn print_keep_alive<'a, 'f>(keep_alive: Option<KeepAlive>, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
    let standard = KeepAlive::default();
    let Some(KeepAlive { idle, interval, count }) = keep_alive else {
        return printer.key("keepalive", Some("off"));
    };
    printer
        .key("keepalive", Some(idle).filter(|&idle| idle != standard.idle))
        .key("keepalive-interval", Some(interval).filter(|&interval| interval != standard.interval))
        .key("keepalive-count", Some(count).filter(|&count| count != standard.count))
}

fn read_unix(arguments: &mut Arguments) -> Result<BaseTransport, ParseError> {
    let word = arguments.positional("PATH")?;
    match word.has_at() {
        true => Ok(BaseTransport::Abstract { name: word.behind_at()? }),
        false => Ok(BaseTransport::Unix { path: word.path()? }),
    }
}

fn read_descriptor(arguments: &mut Arguments) -> Result<BaseTransport, ParseError> {
    let number = arguments.positional("NUMBER")?.number("descriptor")?;
    Ok(BaseTransport::Descriptor { number })
}

fn read_systemd(arguments: &mut Arguments) -> Result<BaseTransport, ParseError> {
    let index = arguments.optional();
    let position = index.as_ref().map(|word| word.position);
    let index = index.map(|word| word.number("index")).transpose()?;
    let name = arguments.key("name", Word::text)?;
    match (index, name, position) {
        (Some(index), None, _) => Ok(BaseTransport::Systemd(SystemdSocket::Index(index))),
        (None, Some(name), _) => Ok(BaseTransport::Systemd(SystemdSocket::Name(name))),
        (Some(_), Some(_), Some(position)) => {
            let message = "a socket has an index or a name: write one of them";
            Err(ParseError::new(ErrorKind::UnexpectedArgument, position, message))
        }
        _ => Err(arguments.missing("INDEX, or name=NAME,")),
    }
}

const STANDARD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most that Linux takes.
const MAX_SECONDS: u16 = 32_767;

const MAX_PROBES: u8 = 127;
