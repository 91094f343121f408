//! The steps on top of the transport.
//!
//! A new kind is a struct with `read` and `Display`, a variant of [`Step`], and a row in `KINDS`.

use std::fmt;
use std::path::PathBuf;

use super::arguments::{Arguments, Printer, choice, host, names, path, text};
use super::error::ParseError;
use super::grammar::{self, Word};
use super::{ConnectStep, Kind, OwnStep, ProxyHeaderStep, Socks4aStep, Socks5Step, StartTlsStep};
use crate::runtime::Address;
use crate::tls::{Group, KeyShares, Suite, Version};

/// What one step puts on top of those before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// `tls`
    Tls(TlsStep),
    /// `starttls`
    StartTls(Box<StartTlsStep>),
    /// `proxy-header`
    ProxyHeader(ProxyHeaderStep),
    /// `connect`
    Connect(Box<ConnectStep>),
    /// `socks5`
    Socks5(Box<Socks5Step>),
    /// `socks4a`
    Socks4a(Box<Socks4aStep>),
    /// A step of the program's own, which no string says.
    Own(OwnStep),
}

impl Step {
    /// The TLS that this step starts, if it starts any.
    pub fn tls(&self) -> Option<&TlsStep> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::StartTls(step) => Some(&step.tls),
            _ => None,
        }
    }

    /// Whom this step leads on to, if a proxy is asked for somebody in it.
    pub fn target(&self) -> Option<&Address> {
        match self {
            Self::Connect(step) => Some(&step.target),
            Self::Socks5(step) => Some(&step.target),
            Self::Socks4a(step) => Some(&step.target),
            Self::Tls(_) | Self::StartTls(_) | Self::ProxyHeader(_) | Self::Own(_) => None,
        }
    }

    /// As [`tls`](Self::tls), to be changed.
    pub fn tls_mut(&mut self) -> Option<&mut TlsStep> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::StartTls(step) => Some(&mut step.tls),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(step) => step.fmt(f),
            Self::StartTls(step) => step.fmt(f),
            Self::ProxyHeader(step) => step.fmt(f),
            Self::Connect(step) => step.fmt(f),
            Self::Socks5(step) => step.fmt(f),
            Self::Socks4a(step) => step.fmt(f),
            Self::Own(step) => step.fmt(f),
        }
    }
}

pub(super) const KINDS: [Kind<Step>; 6] = [
    Kind { name: "tls", usage: "tls", read: |arguments| TlsStep::read(arguments).map(Step::Tls) },
    Kind {
        name: "starttls",
        usage: "starttls:PROTOCOL",
        read: |arguments| StartTlsStep::read(arguments).map(Step::from),
    },
    Kind {
        name: "proxy-header",
        usage: "proxy-header",
        read: |arguments| ProxyHeaderStep::read(arguments).map(Step::ProxyHeader),
    },
    Kind {
        name: "connect",
        usage: "connect:HOST:PORT",
        read: |arguments| ConnectStep::read(arguments).map(Step::from),
    },
    Kind { name: "socks5", usage: "socks5:HOST:PORT", read: |arguments| Socks5Step::read(arguments).map(Step::from) },
    Kind {
        name: "socks4a",
        usage: "socks4a:HOST:PORT",
        read: |arguments| Socks4aStep::read(arguments).map(Step::from),
    },
];

/// The step by the name that its kind has now. Who still writes the one it had is told so in the log.
pub(super) fn renamed(mut step: grammar::Step) -> grammar::Step {
    if let Some((former, name)) = FORMER_NAMES.iter().find(|(former, _)| step.kind.text == *former) {
        log::warn!("the step `{former}` of an endpoint is called `{name}` now: write that, for the old name will go");
        step.kind.text = (*name).to_owned();
    }
    step
}

/// A layer of TLS.
///
/// Client and server share the step. Whether a key makes sense for one of them, and with the other
/// keys, is not checked here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TlsStep {
    /// `sni`: the name to ask for, and to verify in the server's certificate (RFC 6066, section 3).
    /// An IP address is verified but not asked for; IPv6 stands in brackets in the string only.
    pub server_name: Option<String>,
    /// `ca`: a PEM file of trust anchors to verify a server with.
    pub trust_anchors: Option<PathBuf>,
    /// `roots`: a ready-made set of trust anchors to verify a server with.
    pub roots: Option<TrustStore>,
    /// `insecure=yes`: verify no certificate.
    pub insecure: bool,
    /// `cert`: a PEM file with our certificate chain, the end entity first.
    pub certificate: Option<PathBuf>,
    /// `key`: a PEM file with the private key of our certificate.
    pub private_key: Option<PathBuf>,
    /// `alpn`: protocol names with commas between them, the preferred first (RFC 7301).
    pub alpn: Vec<String>,
    /// `min`: the lowest version to agree to.
    pub min_version: Option<Version>,
    /// `max`: the highest version to agree to.
    pub max_version: Option<Version>,
    /// `groups`: the groups of the key exchange to agree on, with commas between them, the preferred first; those of the provider
    /// with `X25519MLKEM768` in front unless set.
    pub groups: Vec<Group>,
    /// `shares`: of how many groups a client sends a key at once; two wherever that is possible unless set.
    pub key_shares: Option<KeyShares>,
    /// `suites`: the cipher suites to agree on, with commas between them, the preferred first; all unless set.
    pub cipher_suites: Vec<Suite>,
    /// `resumption=off`: resume no session.
    pub without_resumption: bool,
    /// `client-ca`: a PEM file of trust anchors; a server then demands a client certificate.
    pub client_trust_anchors: Option<PathBuf>,
    /// `keylog=yes`: write the secrets of every connection to the file that `SSLKEYLOGFILE` in the environment names, if it is
    /// set. Whoever has that file can read everything.
    pub key_log: bool,
}

impl TlsStep {
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            server_name: arguments.key("sni", Word::host)?,
            trust_anchors: arguments.key("ca", Word::path)?,
            roots: arguments.key("roots", |word| word.choice(&TrustStore::NAMES))?,
            insecure: arguments.key("insecure", |word| word.choice(&YES))?.is_some(),
            certificate: arguments.key("cert", Word::path)?,
            private_key: arguments.key("key", Word::path)?,
            alpn: arguments.key("alpn", Word::list)?.unwrap_or_default(),
            min_version: arguments.key("min", |word| word.choice(&VERSIONS))?,
            max_version: arguments.key("max", |word| word.choice(&VERSIONS))?,
            groups: arguments.key("groups", |word| word.names("groups"))?.unwrap_or_default(),
            key_shares: arguments.key("shares", |word| word.choice(&KEY_SHARES))?,
            cipher_suites: arguments.key("suites", |word| word.names("suites"))?.unwrap_or_default(),
            without_resumption: arguments.key("resumption", |word| word.choice(&OFF))?.is_some(),
            client_trust_anchors: arguments.key("client-ca", Word::path)?,
            key_log: arguments.key("keylog", |word| word.choice(&YES))?.is_some(),
        })
    }
}

impl TlsStep {
    /// The keys, behind whatever the printer has printed.
    pub(super) fn print<'a, 'f>(&self, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
        let alpn = (!self.alpn.is_empty()).then(|| self.alpn.join(","));
        printer
            .key("sni", self.server_name.as_deref().map(host))
            .key("ca", self.trust_anchors.as_deref().map(path))
            .key("roots", self.roots)
            .key("insecure", self.insecure.then_some("yes"))
            .key("cert", self.certificate.as_deref().map(path))
            .key("key", self.private_key.as_deref().map(path))
            .key("alpn", alpn.as_deref().map(text))
            .key("min", self.min_version.as_ref().map(|version| choice(version, &VERSIONS)))
            .key("max", self.max_version.as_ref().map(|version| choice(version, &VERSIONS)))
            .key("groups", names(&self.groups))
            .key("shares", self.key_shares.as_ref().map(|shares| choice(shares, &KEY_SHARES)))
            .key("suites", names(&self.cipher_suites))
            .key("resumption", self.without_resumption.then_some("off"))
            .key("client-ca", self.client_trust_anchors.as_deref().map(path))
            .key("keylog", self.key_log.then_some("yes"))
    }
}

impl fmt::Display for TlsStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(Printer::new("tls", f)).finish()
    }
}

impl From<TlsStep> for Step {
    fn from(step: TlsStep) -> Self {
        Self::Tls(step)
    }
}

/// A ready-made set of trust anchors. Prints as in an endpoint string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrustStore {
    /// `system`: those of the operating system.
    System,
    /// `webpki`: those that Mozilla trusts, compiled in.
    Webpki,
}

impl TrustStore {
    const NAMES: [(&'static str, Self); 2] = [("system", Self::System), ("webpki", Self::Webpki)];
}

impl fmt::Display for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        choice(self, &Self::NAMES).fmt(f)
    }
}

/// What kinds of steps were called, and what they are called now.
const FORMER_NAMES: [(&str, &str); 1] = [("proxy", "proxy-header")];

const KEY_SHARES: [(&str, KeyShares); 2] = [("1", KeyShares::One), ("2", KeyShares::Two)];

/// The only value of a key that is on where it is left out.
const OFF: [(&str, ()); 1] = [("off", ())];

const VERSIONS: [(&str, Version); 2] = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];

/// The only value of a key that is off where it is left out.
pub(super) const YES: [(&str, ()); 1] = [("yes", ())];
