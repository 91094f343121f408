//! Why a stream, or a connection, is over that has not ended.

use std::io;

use crate::connection::{Error as ConnectionError, ErrorKind as ConnectionErrorKind};
use crate::runtime::Address;
use crate::stack::Reason;
use crate::tunnel::{Error, ErrorKind, TunnelProtocol};

/// Why a stream is over that has not ended. All streams of a connection may have the same.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// What the peer has said, or has not.
    Tunnel(ErrorKind),
    /// The carrier is lost.
    Below(Reason),
}

impl Fault {
    /// As an error about a tunnel to `target`.
    pub(super) fn of(self, target: Option<Address>, proxy: Option<Address>) -> Error {
        match self {
            Self::Tunnel(kind) => Error::new(TunnelProtocol::Http2, target, kind),
            Self::Below(reason) => Error::lost(TunnelProtocol::Http2, target, reason),
        }
        .by(proxy)
    }

    /// As what whoever reads or writes fails with. A connection over it finds the loss in it, and keeps the whole way.
    pub(super) fn into_io_error(self, target: Address, proxy: Option<Address>) -> io::Error {
        match self {
            Self::Below(reason) => ConnectionError::from(ConnectionErrorKind::Lost(reason)).into(),
            Self::Tunnel(_) => self.of(Some(target), proxy).into_io_error(),
        }
    }
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        Self::Tunnel(kind)
    }
}

/// Why a connection cannot be read or written any more.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match ConnectionError::of(&error).and_then(ConnectionError::reason) {
            Some(reason) => Self::Below(reason.clone()),
            None => Self::Tunnel(ErrorKind::Http2(format!("the connection has failed: {error}"))),
        }
    }
}
