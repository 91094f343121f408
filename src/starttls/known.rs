//! All protocols of this module, by name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

#[cfg(feature = "xmpp")]
use super::Xmpp;
use super::{Ftp, Imap, Irc, Ldap, Lmtp, Mysql, Nntp, Pop3, Postgres, Sieve, Smtp, StartTls, Tds, own_name};
use crate::stack::with_chain;
use crate::tls::Version;

/// A protocol of this module, as it is called in endpoint strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KnownProtocol {
    /// [`Smtp`]
    Smtp,
    /// [`Lmtp`]
    Lmtp,
    /// [`Imap`]
    Imap,
    /// [`Pop3`]
    Pop3,
    /// [`Sieve`]
    Sieve,
    /// [`Nntp`]
    Nntp,
    /// [`Irc`]
    Irc,
    /// [`Ftp`]
    Ftp,
    /// [`Ldap`]
    Ldap,
    /// [`Xmpp::client_to_server`], with the feature `xmpp`
    #[cfg(feature = "xmpp")]
    Xmpp,
    /// [`Xmpp::server_to_server`], with the feature `xmpp`
    #[cfg(feature = "xmpp")]
    XmppServer,
    /// [`Mysql`]
    Mysql,
    /// [`Postgres`]
    Postgres,
    /// [`Tds`]
    Tds,
}

impl KnownProtocol {
    /// All of them, with their names.
    pub const ALL: &[(&'static str, Self)] = &[
        ("smtp", Self::Smtp),
        ("lmtp", Self::Lmtp),
        ("imap", Self::Imap),
        ("pop3", Self::Pop3),
        ("sieve", Self::Sieve),
        ("nntp", Self::Nntp),
        ("irc", Self::Irc),
        ("ftp", Self::Ftp),
        ("ldap", Self::Ldap),
        #[cfg(feature = "xmpp")]
        ("xmpp", Self::Xmpp),
        #[cfg(feature = "xmpp")]
        ("xmpp-server", Self::XmppServer),
        ("postgres", Self::Postgres),
        ("mysql", Self::Mysql),
        ("tds", Self::Tds),
    ];

    /// The highest version of TLS that can be started in it: 1.3, but for TDS, whose handshake goes in packets that know
    /// where one of TLS 1.2 ends.
    #[must_use]
    pub fn highest_version(self) -> Version {
        match self {
            Self::Tds => Version::Tls12,
            _ => Version::Tls13,
        }
    }

    /// A peer of this protocol.
    ///
    /// `server` is the server's name, for protocols in which a client says whom it wants to talk to. `name` is what the
    /// peer calls itself, for those in which it does; if that is `None`, it says nothing that would give it away. For XMPP
    /// it is the domain, if that is not the server's name.
    #[must_use]
    #[cfg_attr(not(feature = "xmpp"), allow(unused_variables, reason = "only XMPP says whom it wants to talk to"))]
    pub fn peer(self, server: &str, name: Option<&str>) -> Box<dyn StartTls> {
        match self {
            Self::Smtp => Box::new(name.map_or_else(Smtp::new, |name| Smtp::new().named(name))),
            Self::Lmtp => Box::new(name.map_or_else(Lmtp::new, |name| Lmtp::new().named(name))),
            Self::Imap => Box::new(Imap::new()),
            Self::Pop3 => Box::new(Pop3::new()),
            Self::Sieve => Box::new(Sieve::new()),
            Self::Nntp => Box::new(Nntp::new()),
            Self::Irc => Box::new(name.map_or_else(Irc::new, |name| Irc::new().named(name))),
            Self::Ftp => Box::new(Ftp::new()),
            Self::Ldap => Box::new(Ldap::new()),
            #[cfg(feature = "xmpp")]
            Self::Xmpp => Box::new(Xmpp::client_to_server(name.unwrap_or(server))),
            #[cfg(feature = "xmpp")]
            Self::XmppServer => Box::new(Xmpp::server_to_server(name.unwrap_or(server))),
            Self::Mysql => Box::new(Mysql::new()),
            Self::Postgres => Box::new(Postgres::new()),
            Self::Tds => Box::new(Tds::new()),
        }
    }

    /// As [`peer`](Self::peer), for a client at this end of a connection. Without a `name` it calls itself what
    /// [`own_name`] says, in the protocols that want to hear who it is.
    #[must_use]
    pub fn client_at(self, server: &str, name: Option<&str>, local: Option<IpAddr>) -> Box<dyn StartTls> {
        match (self, name) {
            (Self::Smtp | Self::Lmtp, None) => self.peer(server, Some(&own_name(local))),
            _ => self.peer(server, name),
        }
    }
}

impl fmt::Display for KnownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for KnownProtocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, known)| *known).ok_or(UnknownProtocol)
    }
}

/// What there is to say where `xmpp` is not known.
pub(crate) const XMPP_IS_A_FEATURE: &str = "`xmpp` needs the feature `xmpp`, which was not built in";

/// No protocol of this name is known.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownProtocol;

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = KnownProtocol::ALL.iter().map(|(name, _)| *name).collect();
        write!(f, "no such protocol: the known ones are {}", names.join(", "))?;
        if cfg!(feature = "xmpp") { Ok(()) } else { write!(f, "; {XMPP_IS_A_FEATURE}") }
    }
}

impl fmt::Debug for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl std::error::Error for UnknownProtocol {}
