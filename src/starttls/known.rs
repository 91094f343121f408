//! All protocols of this module, by name.

use std::fmt;
use std::str::FromStr;

use super::{Ftp, Imap, Lmtp, Smtp, StartTls};

/// A protocol of this module, as it is called in endpoint strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Known {
    /// [`Smtp`]
    Smtp,
    /// [`Lmtp`]
    Lmtp,
    /// [`Imap`]
    Imap,
    /// [`Ftp`]
    Ftp,
}

impl Known {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 4] =
        [("smtp", Self::Smtp), ("lmtp", Self::Lmtp), ("imap", Self::Imap), ("ftp", Self::Ftp)];

    /// A peer of this protocol.
    ///
    /// `server` is the server's name, for protocols in which a client says whom it wants to talk to. `name` is what the
    /// peer calls itself, for those in which it does; if that is `None`, it says nothing that would give it away.
    #[must_use]
    pub fn peer(self, _server: &str, name: Option<&str>) -> Box<dyn StartTls> {
        match self {
            Self::Smtp => Box::new(name.map_or_else(Smtp::new, |name| Smtp::new().named(name))),
            Self::Lmtp => Box::new(name.map_or_else(Lmtp::new, |name| Lmtp::new().named(name))),
            Self::Imap => Box::new(Imap::new()),
            Self::Ftp => Box::new(Ftp::new()),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Known {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, known)| *known).ok_or(UnknownProtocol)
    }
}

/// No protocol of this name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProtocol;

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Known::ALL.iter().map(|(name, _)| *name).collect();
        write!(f, "no such protocol: the known ones are {}", names.join(", "))
    }
}

impl std::error::Error for UnknownProtocol {}
