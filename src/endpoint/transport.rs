//! The first step: the way to the wire.

use std::fmt;
use std::path::PathBuf;

use super::Kind;
use super::arguments::{Arguments, Printer, host, path};
use super::error::ParseError;

/// The first step of an endpoint: the way to the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// `tcp:HOST:PORT`
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address (here without its brackets).
        host: String,
        /// The port; 0 lets a server pick one.
        port: u16,
    },
    /// `unix:PATH`
    Unix {
        /// Where the socket is, or will be.
        path: PathBuf,
    },
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: name, port } => Printer::new("tcp", f).positional(host(name)).positional(port).finish(),
            Self::Unix { path: file } => Printer::new("unix", f).positional(path(file)).finish(),
        }
    }
}

pub(super) const KINDS: [Kind<Transport>; 2] = [
    Kind { name: "tcp", usage: "tcp:HOST:PORT", read: read_tcp },
    Kind { name: "unix", usage: "unix:PATH", read: read_unix },
];

fn read_tcp(arguments: &mut Arguments) -> Result<Transport, ParseError> {
    Ok(Transport::Tcp { host: arguments.positional("HOST")?.host()?, port: arguments.positional("PORT")?.port()? })
}

fn read_unix(arguments: &mut Arguments) -> Result<Transport, ParseError> {
    Ok(Transport::Unix { path: arguments.positional("PATH")?.path()? })
}
