//! The steps `connect`, `socks5` and `socks4a`: who is at the far end so far is asked to reach somebody else.
//!
//! Each names whom the proxy is asked for. The proxy itself is whoever stands at the end of what is before the step, so TLS to
//! a proxy is a `tls` step before it, TLS through it one behind it, and a chain of proxies is one step for each.

use std::fmt;
use std::path::PathBuf;

use super::ConnectTimeout;
use super::arguments::{Arguments, Printer, choice, host, path, text};
use super::error::ParseError;
use super::grammar::Word;
use super::step::Step;
use crate::route::tunnel::{DialTunnel, HttpChoice, Language};
use crate::runtime::{Address, Runtime};
use crate::tunnel::Credentials;

/// A tunnel through a proxy of HTTP, by CONNECT (RFC 9110, section 9.3.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectStep {
    /// Whom the proxy is asked for.
    pub target: Address,
    /// `version`: which HTTP is spoken with the proxy.
    pub version: HttpVersion,
    /// Who asks, where the proxy wants to know: it is said to one that does, for `Basic` (RFC 7617), and not before.
    pub login: Login,
    /// `header=NAME=VALUE`, any number of times: fields of the request beside those that it must have.
    pub fields: Vec<(String, String)>,
    /// `timeout`: how long the proxy may take, with the target that it connects to.
    pub timeout: ConnectTimeout,
}

/// A tunnel through a proxy of SOCKS5 (RFC 1928).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Socks5Step {
    /// Whom the proxy is asked for.
    pub target: Address,
    /// `dns`: who resolves a name.
    pub dns: Resolver,
    /// Who asks, where the proxy wants to know (RFC 1929).
    pub login: Login,
    /// `timeout`: how long the proxy may take, with the target that it connects to.
    pub timeout: ConnectTimeout,
}

/// A tunnel through a proxy of SOCKS4a, which resolves the name. It knows no IPv6 addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Socks4aStep {
    /// Whom the proxy is asked for.
    pub target: Address,
    /// `user`: what the proxy hears of who asks. There is no password in this language.
    pub user: Option<String>,
    /// `timeout`: how long the proxy may take, with the target that it connects to.
    pub timeout: ConnectTimeout,
}

/// Which HTTP is spoken with a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpVersion {
    /// `auto`, and without the key: HTTP/2 if the layer of TLS right below has agreed on that (ALPN `h2`), else HTTP/1.1. A `tls`
    /// step right before this one offers both, unless its `alpn` says what to offer.
    #[default]
    Auto,
    /// `1`: HTTP/1.1.
    Http1,
    /// `2`: HTTP/2. TLS right below must have agreed on it; in clear it is spoken unasked (RFC 9113, section 3.3).
    Http2,
}

/// Who resolves the name of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resolver {
    /// `remote`, and without the key: the proxy.
    #[default]
    Remote,
    /// `local`: this machine. The proxy is asked for one address after the other, each time on a connection of its own, until it
    /// has reached one. TLS behind the tunnel verifies the name all the same.
    Local,
}

/// Who asks a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Login {
    /// Nobody in particular.
    #[default]
    None,
    /// `user` and `password-file`: the password is the first line of that file.
    File {
        /// The user.
        user: String,
        /// The file with the password.
        password: PathBuf,
    },
    /// A user and a password that the program has. No string says them, and they are not printed.
    Known(Credentials),
}

impl ConnectStep {
    /// Asks for `target`, and leaves everything else as it is without keys.
    #[must_use]
    pub fn new(target: Address) -> Self {
        let (version, login, timeout) = Default::default();
        Self { target, version, login, fields: Vec::new(), timeout }
    }

    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            target: arguments.target()?,
            version: arguments.key("version", |word| word.choice(&VERSIONS))?.unwrap_or_default(),
            login: Login::read(arguments)?,
            fields: arguments.keys("header").into_iter().map(field).collect::<Result<_, _>>()?,
            timeout: ConnectTimeout::read(arguments)?,
        })
    }
}

impl Socks5Step {
    /// Asks for `target`, and leaves everything else as it is without keys.
    #[must_use]
    pub fn new(target: Address) -> Self {
        let (dns, login, timeout) = Default::default();
        Self { target, dns, login, timeout }
    }

    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            target: arguments.target()?,
            dns: arguments.key("dns", |word| word.choice(&RESOLVERS))?.unwrap_or_default(),
            login: Login::read(arguments)?,
            timeout: ConnectTimeout::read(arguments)?,
        })
    }
}

impl Socks4aStep {
    /// Asks for `target`, and leaves everything else as it is without keys.
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self { target, user: None, timeout: ConnectTimeout::Standard }
    }

    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        let position = arguments.here();
        let step = Self {
            target: arguments.target()?,
            user: arguments.key("user", Word::text)?,
            timeout: ConnectTimeout::read(arguments)?,
        };
        match step.mistake() {
            None => Ok(step),
            Some(mistake) => Err(ParseError::new(super::ErrorKind::InvalidValue, position, mistake)),
        }
    }

    /// What cannot be asked in this language, if anything.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        if self.target.as_tcp().is_some_and(|address| address.is_ipv6()) {
            return Some("SOCKS4a has no words for an IPv6 address: use socks5");
        }
        let user = self.user.as_deref().unwrap_or_default().as_bytes();
        let is_sayable = user.len() <= MAX_USER && !user.contains(&0);
        (!is_sayable).then_some("the user of SOCKS4a has at most 255 bytes, none of them zero")
    }
}

/// Making ready, in which the file of a password is read.
impl ConnectStep {
    /// What a client does for this step, or why it cannot be meant.
    pub(super) fn dial(&self) -> Result<DialTunnel, String> {
        if let Some(mistake) = self.fields.iter().find_map(|(name, value)| field_mistake(name, value)) {
            return Err(mistake);
        }
        let version = match self.version {
            HttpVersion::Auto => HttpChoice::AsAgreed,
            HttpVersion::Http1 => HttpChoice::Http1,
            HttpVersion::Http2 if cfg!(feature = "http2") => HttpChoice::Http2,
            HttpVersion::Http2 => {
                return Err("`version=2` needs the feature `http2`, which was not built in".to_owned());
            }
        };
        let language = Language::Http { version, fields: self.fields.clone() };
        Ok(DialTunnel::new(language, askable(&self.target)?, self.login.credentials()?, self.timeout.time()))
    }
}

impl Socks5Step {
    /// What a client does for this step, or why it cannot be meant.
    pub(super) fn dial(&self, runtime: &'static dyn Runtime) -> Result<DialTunnel, String> {
        let language = Language::Socks5 { resolving: (self.dns == Resolver::Local).then_some(runtime) };
        Ok(DialTunnel::new(language, askable(&self.target)?, self.login.credentials()?, self.timeout.time()))
    }
}

impl Socks4aStep {
    /// What a client does for this step, or why it cannot be meant.
    pub(super) fn dial(&self) -> Result<DialTunnel, String> {
        if let Some(mistake) = self.mistake() {
            return Err(mistake.to_owned());
        }
        let language = Language::Socks4a { user: self.user.clone() };
        Ok(DialTunnel::new(language, askable(&self.target)?, None, self.timeout.time()))
    }
}

/// The target, if a proxy can be asked for it.
fn askable(target: &Address) -> Result<Address, String> {
    match target {
        Address::Tcp(address) if address.port() != 0 => Ok(target.clone()),
        Address::Name { host, port } => Address::to_host(host, *port).map_err(|error| error.to_string()),
        _ => Err(format!("no proxy can be asked for {target}: it is no port of a host")),
    }
}

impl HttpVersion {
    /// What TLS to the proxy offers, the preferred first.
    pub(super) fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Auto if cfg!(feature = "http2") => &["h2", "http/1.1"],
            Self::Http2 => &["h2"],
            // Many a proxy knows of no ALPN at all, and none of another HTTP on the same port.
            Self::Auto | Self::Http1 => &[],
        }
    }
}

impl Login {
    /// The user and the password, which are read now if they are in a file.
    fn credentials(&self) -> Result<Option<Credentials>, String> {
        match self {
            Self::None => Ok(None),
            Self::Known(credentials) => Ok(Some(credentials.clone())),
            Self::File { user, password } => {
                Credentials::from_file(user.clone(), password).map(Some).map_err(|error| error.to_string())
            }
        }
    }

    fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        let position = arguments.position("user").or(arguments.position("password-file"));
        let user = arguments.key("user", Word::text)?;
        let password = arguments.key("password-file", Word::path)?;
        match (user, password, position) {
            (Some(user), Some(password), _) => Ok(Self::File { user, password }),
            (None, None, _) | (_, _, None) => Ok(Self::None),
            (_, _, Some(position)) => {
                let message = "a user has a password: write user=NAME:password-file=FILE";
                Err(ParseError::new(super::ErrorKind::MissingArgument, position, message))
            }
        }
    }

    fn print<'a, 'f>(&self, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
        match self {
            Self::File { user, password } => {
                printer.key("user", Some(text(user))).key("password-file", Some(path(password)))
            }
            Self::None | Self::Known(_) => printer,
        }
    }
}

/// `NAME=VALUE`, with whatever else has a meaning in an endpoint escaped.
fn field(word: Word) -> Result<(String, String), ParseError> {
    let position = word.position;
    let written = word.text()?;
    let invalid = |message: String| Err(ParseError::new(super::ErrorKind::InvalidValue, position, message));
    let Some((name, value)) = written.split_once('=') else {
        return invalid("a header is written header=NAME=VALUE".to_owned());
    };
    match field_mistake(name, value) {
        None => Ok((name.to_owned(), value.to_owned())),
        Some(mistake) => invalid(mistake),
    }
}

/// What a request for a tunnel cannot have for a field, if that is one (RFC 9110, sections 5.1, 5.5 and 9.3.6).
pub(super) fn field_mistake(name: &str, value: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some(format!("{name:?} is no name of a header: it has letters, digits and - only"));
    }
    if value.trim() != value || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Some(format!("the value of the header {name} has a control character in it, or a space around it"));
    }
    let name = name.to_ascii_lowercase();
    match &*name {
        "proxy-authorization" => Some("write user= and password-file= for the header proxy-authorization".to_owned()),
        name if RESERVED.contains(&name) => {
            Some(format!("the header {name} is not for you to say in a request for a tunnel"))
        }
        _ => None,
    }
}

impl fmt::Display for ConnectStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = Some(self.version).filter(|&version| version != HttpVersion::Auto);
        let printer = target(&self.target, Printer::new("connect", f))
            .key("version", version.map(|version| choice(&version, &VERSIONS)));
        let printer = self.login.print(printer);
        let printer = self
            .fields
            .iter()
            .fold(printer, |printer, (name, value)| printer.key("header", Some(text(&format!("{name}={value}")))));
        printer.key("timeout", self.timeout.word()).finish()
    }
}

impl fmt::Display for Socks5Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dns = Some(self.dns).filter(|&dns| dns != Resolver::Remote);
        let printer =
            target(&self.target, Printer::new("socks5", f)).key("dns", dns.map(|dns| choice(&dns, &RESOLVERS)));
        self.login.print(printer).key("timeout", self.timeout.word()).finish()
    }
}

impl fmt::Display for Socks4aStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        target(&self.target, Printer::new("socks4a", f))
            .key("user", self.user.as_deref().map(text))
            .key("timeout", self.timeout.word())
            .finish()
    }
}

fn target<'a, 'f>(target: &Address, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
    let printer = printer.positional(host(&target.host().unwrap_or_default()));
    printer.positional(target.port().unwrap_or_default())
}

impl From<ConnectStep> for Step {
    fn from(step: ConnectStep) -> Self {
        Self::Connect(Box::new(step))
    }
}

impl From<Socks5Step> for Step {
    fn from(step: Socks5Step) -> Self {
        Self::Socks5(Box::new(step))
    }
}

impl From<Socks4aStep> for Step {
    fn from(step: Socks4aStep) -> Self {
        Self::Socks4a(Box::new(step))
    }
}

const VERSIONS: [(&str, HttpVersion); 3] =
    [("1", HttpVersion::Http1), ("2", HttpVersion::Http2), ("auto", HttpVersion::Auto)];

const RESOLVERS: [(&str, Resolver); 2] = [("remote", Resolver::Remote), ("local", Resolver::Local)];

/// What the request says itself, and what is about the connection to the proxy (RFC 9113, section 8.2.2, has none of it).
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const MAX_USER: usize = 255;
