//! What is known of an attempt to connect that has failed.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// An attempt to connect that has failed: [`ConnectError::of`] finds it in an [`io::Error`], whose kind says how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    words: String,
    local: Option<SocketAddr>,
}

impl ConnectError {
    /// As `error` is, in these words.
    #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
    pub(super) fn wrap(error: &io::Error, words: String, local: Option<SocketAddr>) -> io::Error {
        io::Error::new(error.kind(), Self { words, local })
    }

    /// Of several attempts that have failed in these words, of which this was the last.
    pub(crate) fn of_several(last: &io::Error, words: String) -> io::Error {
        io::Error::new(last.kind(), Self { words, local: Self::of(last).and_then(|error| error.local) })
    }

    /// The failed attempt in an error of a runtime.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The local end of it, where the system had chosen one, or was told one: of several attempts, that of the last.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for ConnectError {}
