//! What was wrong with a side, as counters tell it apart.

use std::fmt::{self, Display};
use std::io;

use onionskin::connection::Error;
use onionskin::endpoint::{OpenError, OpenErrorKind};
use onionskin::stack::{LayerError, LayerErrorKind};
use onionskin::tunnel::{self, ErrorKind};

use super::tally::Class;

/// Why a side failed or was lost: a sentence, and its class.
pub(crate) trait Cause: Display {
    fn counted_as(&self) -> Class;
}

impl Cause for OpenError {
    fn counted_as(&self) -> Class {
        match self.kind() {
            OpenErrorKind::Resolve(..) | OpenErrorKind::Connect(..) => Class::Unreachable,
            OpenErrorKind::Connection(error) => error.counted_as(),
            OpenErrorKind::Tunnel(error) => match (error.connection_error(), error.tunnel_error()) {
                (Some(error), _) => error.counted_as(),
                (None, Some(error)) => of_layer(&error.clone().into()),
                (None, None) => Class::Other,
            },
            _ => Class::Other,
        }
    }
}

impl Cause for Error {
    fn counted_as(&self) -> Class {
        if let Some(error) = self.layer_error() {
            return of_layer(error);
        }
        match self.reason().and_then(|reason| reason.io_error()) {
            Some(error) => of_socket(error),
            None => Class::Other,
        }
    }
}

impl Cause for tunnel::Error {
    fn counted_as(&self) -> Class {
        match self.kind() {
            _ if self.is_refused() => Class::Refused,
            _ if self.is_timeout() => Class::Timeout,
            ErrorKind::NotSpoken(_) => Class::NotSpoken,
            ErrorKind::Malformed(_) | ErrorKind::Unsupported(_) => Class::Protocol,
            ErrorKind::TooLong(_) | ErrorKind::TooManyFields(_) => Class::Limit,
            ErrorKind::Ended(_) => Class::Truncated,
            ErrorKind::Lost | ErrorKind::Reset(_) => Class::Socket,
            _ => Class::Other,
        }
    }
}

impl Cause for io::Error {
    fn counted_as(&self) -> Class {
        Error::of(self).map_or_else(|| of_socket(self), Cause::counted_as)
    }
}

/// A sentence of our own, whose class its writer knows.
#[derive(Debug)]
pub(crate) struct Own<T>(pub(crate) Class, pub(crate) T);

impl<T: Display> Cause for Own<T> {
    fn counted_as(&self) -> Class {
        self.0
    }
}

impl<T: Display> Display for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.fmt(f)
    }
}

fn of_layer(error: &LayerError) -> Class {
    match error.kind() {
        LayerErrorKind::Certificate => Class::Certificate,
        LayerErrorKind::Refused | LayerErrorKind::ClientCertificate => Class::Refused,
        LayerErrorKind::NotSpoken => Class::NotSpoken,
        LayerErrorKind::Protocol => Class::Protocol,
        LayerErrorKind::HandshakeTimeout | LayerErrorKind::StopTimeout | LayerErrorKind::Idle => Class::Timeout,
        LayerErrorKind::Truncated => Class::Truncated,
        LayerErrorKind::Limit => Class::Limit,
        _ => Class::Other,
    }
}

fn of_socket(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::TimedOut => Class::Timeout,
        io::ErrorKind::UnexpectedEof => Class::Truncated,
        _ => Class::Socket,
    }
}
