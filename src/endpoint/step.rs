//! The steps on top of the transport.
//!
//! A new kind is a struct with `read` and `Display`, a variant of [`Step`], and a row in `KINDS`.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

use super::arguments::{Arguments, Printer, choice, host, names, path, text};
use super::error::ParseError;
use super::grammar::{self, Word};
use super::{
    ConnectStep, Kind, NamedServer, OwnStep, ProxyHeaderStep, SilenceLimit, Socks4aStep, Socks5Step, StartTlsStep,
};
use crate::runtime::Address;
use crate::tls::{Group, KeyShares, Pin, Suite, Version};

/// What one step puts on top of those before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// `tls`
    Tls(Box<TlsStep>),
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
    Kind { name: "tls", usage: "tls", read: |arguments| TlsStep::read(arguments).map(Step::from) },
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
    /// `roots`: a ready-made set of trust anchors to verify a server with. With `ca`, both are trusted.
    pub roots: Option<TrustStore>,
    /// `insecure=yes`, or `verify=nothing`: verify no certificate.
    pub insecure: bool,
    /// `cert`: a PEM file with our certificate chain, the end entity first.
    pub certificate: Option<PathBuf>,
    /// `key`: a PEM file with the private key of our certificate.
    pub private_key: Option<PathBuf>,
    /// `ocsp`: a file with an answer of OCSP in DER, for a server to staple to its certificate.
    pub ocsp_response: Option<PathBuf>,
    /// `second-cert`: a second chain for the same server, with a key of another kind.
    pub second_certificate: Option<PathBuf>,
    /// `second-key`: the private key of the second chain.
    pub second_private_key: Option<PathBuf>,
    /// `second-ocsp`: as `ocsp`, for the second chain.
    pub second_ocsp_response: Option<PathBuf>,
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
    /// `ticket-keys`: a file of keys for tickets, which servers of other processes have too; see
    /// [`TicketKeys`](crate::tls::TicketKeys).
    pub ticket_keys: Option<PathBuf>,
    /// `client-ca`: a PEM file of trust anchors; a server then demands a client certificate.
    pub client_trust_anchors: Option<PathBuf>,
    /// `keylog=yes`: write the secrets of every connection to the file that `SSLKEYLOGFILE` in the environment names, if it is
    /// set. Whoever has that file can read everything.
    pub key_log: bool,
    /// `verify`: what to verify of a server; a chain and the name unless set.
    pub verify: Option<VerifyStep>,
    /// `names`: DNS names and IP addresses with commas between them, one of which the server's certificate must have instead of that
    /// of `sni`. The colons of an IPv6 address are written `\:`.
    pub names: Vec<String>,
    /// `pin`: the SHA-256 of keys with commas between them, one of which the server must have; see [`Pin`].
    pub pins: Vec<Pin>,
    /// `crl`: a file of revocation lists, PEM or DER, in which the peer's certificate and those above it are looked up. It may be
    /// there any number of times.
    pub revocation_lists: Vec<PathBuf>,
    /// `crl-unknown=accept`: accept a certificate of which no list can say anything.
    pub accept_unknown_revocation: bool,
    /// `crl-expired=accept`: believe a list that is out of date.
    pub accept_expired_lists: bool,
    /// `client-auth`: whether a server demands a certificate under `client-ca`, or asks for one and takes clients without.
    pub client_auth: Option<ClientAuth>,
    /// `handshake-timeout`: how long the peer may take for the handshake; 10 seconds unless set.
    pub handshake_timeout: SilenceLimit,
    /// `for`: what a server does otherwise for those that ask for a name, each name once.
    pub named: Vec<NamedServer>,
}

impl TlsStep {
    /// The files that it names. A new key has to say here whether it is one.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let Self {
            server_name: _,
            trust_anchors,
            roots: _,
            insecure: _,
            certificate,
            private_key,
            ocsp_response,
            second_certificate,
            second_private_key,
            second_ocsp_response,
            alpn: _,
            min_version: _,
            max_version: _,
            groups: _,
            key_shares: _,
            cipher_suites: _,
            without_resumption: _,
            ticket_keys,
            client_trust_anchors,
            key_log: _,
            verify: _,
            names: _,
            pins: _,
            revocation_lists,
            accept_unknown_revocation: _,
            accept_expired_lists: _,
            client_auth: _,
            handshake_timeout: _,
            named,
        } = self;
        [
            trust_anchors,
            certificate,
            private_key,
            ocsp_response,
            second_certificate,
            second_private_key,
            second_ocsp_response,
            ticket_keys,
            client_trust_anchors,
        ]
        .into_iter()
        .flatten()
        .chain(revocation_lists)
        .map(PathBuf::as_path)
        .chain(named.iter().flat_map(NamedServer::files))
    }

    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        let named = NamedServer::read_all(arguments)?;
        Self::read_whole(arguments, named)
    }

    /// What is for all names, once what is for some has been taken.
    pub(super) fn read_whole(arguments: &mut Arguments, named: Vec<NamedServer>) -> Result<Self, ParseError> {
        let mut step = Self {
            server_name: arguments.key("sni", Word::host)?,
            trust_anchors: arguments.key("ca", Word::path)?,
            roots: arguments.key("roots", |word| word.choice(&TrustStore::NAMES))?,
            insecure: arguments.key("insecure", |word| word.choice(&YES))?.is_some(),
            certificate: arguments.key("cert", Word::path)?,
            private_key: arguments.key("key", Word::path)?,
            ocsp_response: arguments.key("ocsp", Word::path)?,
            second_certificate: arguments.key("second-cert", Word::path)?,
            second_private_key: arguments.key("second-key", Word::path)?,
            second_ocsp_response: arguments.key("second-ocsp", Word::path)?,
            alpn: arguments.key("alpn", Word::list)?.unwrap_or_default(),
            min_version: arguments.key("min", |word| word.choice(&VERSIONS))?,
            max_version: arguments.key("max", |word| word.choice(&VERSIONS))?,
            groups: arguments.key("groups", |word| word.names("groups"))?.unwrap_or_default(),
            key_shares: arguments.key("shares", |word| word.choice(&KEY_SHARES))?,
            cipher_suites: arguments.key("suites", |word| word.names("suites"))?.unwrap_or_default(),
            without_resumption: arguments.key("resumption", |word| word.choice(&OFF))?.is_some(),
            ticket_keys: arguments.key("ticket-keys", Word::path)?,
            client_trust_anchors: arguments.key("client-ca", Word::path)?,
            key_log: arguments.key("keylog", |word| word.choice(&YES))?.is_some(),
            verify: None,
            names: Vec::new(),
            pins: Vec::new(),
            revocation_lists: Vec::new(),
            accept_unknown_revocation: false,
            accept_expired_lists: false,
            client_auth: None,
            handshake_timeout: SilenceLimit::Unset,
            named,
        };
        step.read_verification(arguments)?;
        step.handshake_timeout = SilenceLimit::read(arguments, HANDSHAKE_TIMEOUT)?;
        arguments.knows(NamedServer::KEY);
        Ok(step)
    }

    fn read_verification(&mut self, arguments: &mut Arguments) -> Result<(), ParseError> {
        let verify = arguments.key("verify", |word| word.choice(&VERIFY))?;
        self.verify = verify.flatten();
        self.insecure |= verify == Some(None);
        self.names = arguments.key("names", |word| word.each(server_name))?.unwrap_or_default();
        self.pins = arguments.key("pin", |word| word.names("pin"))?.unwrap_or_default();
        self.revocation_lists = arguments.keys("crl").into_iter().map(Word::path).collect::<Result<_, _>>()?;
        self.accept_unknown_revocation = arguments.key("crl-unknown", |word| word.choice(&ACCEPT))?.is_some();
        self.accept_expired_lists = arguments.key("crl-expired", |word| word.choice(&ACCEPT))?.is_some();
        self.client_auth = arguments.key("client-auth", |word| word.choice(&CLIENT_AUTH))?;
        Ok(())
    }
}

impl TlsStep {
    /// Whether it says what a client verifies, other than under whom.
    #[must_use]
    pub fn says_what_to_verify(&self) -> bool {
        self.verify.is_some()
            || !self.names.is_empty()
            || !self.pins.is_empty()
            || !self.revocation_lists.is_empty()
            || self.accept_unknown_revocation
            || self.accept_expired_lists
    }

    /// The same for a client that verifies nothing.
    #[must_use]
    pub fn without_verification(self) -> Self {
        Self {
            insecure: true,
            trust_anchors: None,
            roots: None,
            verify: None,
            names: Vec::new(),
            pins: Vec::new(),
            revocation_lists: Vec::new(),
            accept_unknown_revocation: false,
            accept_expired_lists: false,
            ..self
        }
    }

    /// The keys, behind whatever the printer has printed.
    pub(super) fn print<'a, 'f>(&self, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
        let list = |words: &[String]| names(words).map(|words| text(&words).to_string());
        let accept = |is_accepted: bool| is_accepted.then_some("accept");
        let printer = printer
            .key("sni", self.server_name.as_deref().map(host))
            .key("ca", self.trust_anchors.as_deref().map(path))
            .key("roots", self.roots)
            .key("insecure", self.insecure.then_some("yes"))
            .key("cert", self.certificate.as_deref().map(path))
            .key("key", self.private_key.as_deref().map(path))
            .key("ocsp", self.ocsp_response.as_deref().map(path))
            .key("second-cert", self.second_certificate.as_deref().map(path))
            .key("second-key", self.second_private_key.as_deref().map(path))
            .key("second-ocsp", self.second_ocsp_response.as_deref().map(path))
            .key("alpn", list(&self.alpn))
            .key("min", self.min_version.as_ref().map(|version| choice(version, &VERSIONS)))
            .key("max", self.max_version.as_ref().map(|version| choice(version, &VERSIONS)))
            .key("groups", names(&self.groups))
            .key("shares", self.key_shares.as_ref().map(|shares| choice(shares, &KEY_SHARES)))
            .key("suites", names(&self.cipher_suites))
            .key("resumption", self.without_resumption.then_some("off"))
            .key("ticket-keys", self.ticket_keys.as_deref().map(path))
            .key("client-ca", self.client_trust_anchors.as_deref().map(path))
            .key("keylog", self.key_log.then_some("yes"))
            .key("verify", self.verify.map(|verify| choice(&Some(verify), &VERIFY)))
            .key("names", list(&self.names))
            .key("pin", names(&self.pins));
        let lists = self.revocation_lists.iter();
        let printer = lists
            .fold(printer, |printer, list| printer.key("crl", Some(path(list))))
            .key("crl-unknown", accept(self.accept_unknown_revocation))
            .key("crl-expired", accept(self.accept_expired_lists))
            .key("client-auth", self.client_auth.as_ref().map(|auth| choice(auth, &CLIENT_AUTH)))
            .key(HANDSHAKE_TIMEOUT, self.handshake_timeout.word());
        self.named.iter().fold(printer, |printer, named| named.print(printer))
    }
}

impl fmt::Display for TlsStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(Printer::new("tls", f)).finish()
    }
}

impl From<TlsStep> for Step {
    fn from(step: TlsStep) -> Self {
        Self::Tls(Box::new(step))
    }
}

/// What a client verifies of a server, the key `verify`. Nothing at all is [`TlsStep::insecure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyStep {
    /// `name`: a chain, and the name.
    Name,
    /// `chain`: a chain, whatever the name.
    Chain,
    /// `pin`: that the key is one of `pin`, whoever has issued the certificate; and a name only if `names` has some.
    Pin,
}

/// What a server wants of its clients, the key `client-auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuth {
    /// `demand`: a certificate. So it is where `client-ca` is there and this key is not.
    Demand,
    /// `ask`: a certificate of those who have one. One that cannot be verified is refused all the same.
    Ask,
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

/// `None` is what [`TlsStep::insecure`] says.
const VERIFY: [(&str, Option<VerifyStep>); 4] = [
    ("name", Some(VerifyStep::Name)),
    ("chain", Some(VerifyStep::Chain)),
    ("pin", Some(VerifyStep::Pin)),
    ("nothing", None),
];

pub(super) const CLIENT_AUTH: [(&str, ClientAuth); 2] = [("demand", ClientAuth::Demand), ("ask", ClientAuth::Ask)];

pub(super) const ACCEPT: [(&str, ()); 1] = [("accept", ())];

/// The name, if a certificate can have it.
fn server_name(name: &str) -> Result<String, String> {
    let is_one = ServerName::try_from(name).is_ok();
    is_one.then(|| name.to_owned()).ok_or_else(|| format!("names: {name:?} is neither a DNS name nor an IP address"))
}

const HANDSHAKE_TIMEOUT: &str = "handshake-timeout";

/// The only value of a key that is off where it is left out.
pub(super) const YES: [(&str, ()); 1] = [("yes", ())];
