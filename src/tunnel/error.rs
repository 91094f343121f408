//! Why there is no tunnel.

use std::error::Error as StdError;
use std::fmt;
#[cfg(feature = "http2")]
use std::io;

use super::{Challenges, ProxyStatus, TunnelProtocol, http};
use crate::connection;
use crate::layer::opening;
use crate::printable::Printable;
use crate::runtime::Address;
use crate::stack::{Failure, LayerError, LayerErrorKind, Reason, with_chain};

/// Why a client has got no tunnel, or why a server has opened none.
///
/// It names the proxy that was asked, as far as it is known, and the target. The [`LayerError`] with which the layer fails says what
/// it says, and has it inside: [`Error::of`] finds it there and in whatever that was wrapped into.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    protocol: TunnelProtocol,
    proxy: Option<Address>,
    target: Option<Address>,
    kind: ErrorKind,
    lost: Option<Reason>,
}

/// The kinds of [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The proxy has refused, or the target has refused the proxy.
    #[non_exhaustive]
    Refused {
        /// Who has refused, as far as the answer tells.
        by: Ender,
        /// The status of HTTP, or the reply of SOCKS.
        code: u16,
        /// What the code means, or what the proxy says that it means.
        reason: String,
        /// The fields of an answer of HTTP, their names in lower case.
        fields: Vec<(String, Vec<u8>)>,
        /// The beginning of the body of an answer of HTTP: at most 4,096 bytes.
        body: Vec<u8>,
    },
    /// The proxy wants to know who asks: what it challenges with. Whoever has an answer may connect anew and give it.
    AuthRequired(Challenges),
    /// The proxy does not take the user and the password.
    AuthRejected,
    /// The proxy takes none of the ways to say who asks that were offered.
    NoAcceptableMethod,
    /// What came first is no answer in this language. These are the first bytes, 16 at most.
    NotSpoken(Vec<u8>),
    /// The answer breaks the rules.
    Malformed(String),
    /// The peer says more than so many bytes before it comes to the point.
    TooLong(usize),
    /// The peer sends more than so many fields.
    TooManyFields(usize),
    /// The connection ended before this came. Some proxies end it so in place of a refusal.
    Ended(&'static str),
    /// This did not come in time.
    TimedOut(&'static str),
    /// The peer takes nothing of what is said to it.
    NotRead,
    /// What was asked for cannot be asked in this language.
    Unaskable(String),
    /// The server was asked for this, and does not do it.
    Unsupported(String),
    /// The application of the server has refused, or has not answered.
    Declined(String),
    /// The proxy has reset the tunnel, with this code (RFC 9113, section 7): never the end of what was to be said. 10
    /// (CONNECT_ERROR) is its connection to the target that has failed; after 7 (REFUSED_STREAM) nothing has been done for it.
    Reset(u32),
    /// The proxy wants no more tunnels over this connection, and opens them over another (RFC 9113, section 6.8). With a code
    /// other than 0 it has given up the connection, and all tunnels with it.
    GoingAway(u32),
    /// The proxy has done nothing for this tunnel, since it is to go away: ask over another connection (RFC 9113, section 6.8).
    NotProcessed,
    /// There are as many tunnels over this connection as the proxy allows.
    TooManyTunnels(usize),
    /// What was said breaks the rules of HTTP/2, or is what we cannot do right.
    Http2(String),
    /// The connection to the proxy is lost: [`Error::reason`] has more.
    Lost,
}

/// Who has refused a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ender {
    /// The proxy itself, by its rules or for lack of something.
    Proxy,
    /// The target or the way to it: the proxy has tried.
    Target,
    /// The answer does not tell.
    Unknown,
}

impl Error {
    /// An error of this kind, in a conversation about `target`.
    pub fn new(protocol: TunnelProtocol, target: Option<Address>, kind: ErrorKind) -> Self {
        Self(Box::new(Inner { protocol, proxy: None, target, kind, lost: None }))
    }

    /// The connection to the proxy is lost for this reason.
    pub(crate) fn lost(protocol: TunnelProtocol, target: Option<Address>, reason: Reason) -> Self {
        let mut error = Self::new(protocol, target, ErrorKind::Lost);
        error.0.lost = Some(reason);
        error
    }

    /// What has come of a connection that was to be a tunnel.
    pub(super) fn of_connection(protocol: TunnelProtocol, target: Option<Address>, error: &connection::Error) -> Self {
        match (error.reason(), Self::of(error)) {
            // The first cause says more than what it meant to the negotiation.
            (Some(reason), found) if reason.io_error().is_some() || found.is_none() => {
                Self::lost(protocol, target, reason.clone())
            }
            (_, Some(found)) => found.clone(),
            (_, None) => Self::new(protocol, target, ErrorKind::Declined(error.to_string())),
        }
    }

    /// The same, of this proxy.
    #[must_use]
    pub fn by(mut self, proxy: Option<Address>) -> Self {
        self.0.proxy = proxy;
        self
    }

    /// The error of this module in the chain of sources that begins with `error`. Where a connection was lost below the
    /// negotiation, by a reset perhaps, it is what that meant to the negotiation.
    #[must_use]
    pub fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            if let Some(Inside(found)) = error.downcast_ref() {
                return Some(found);
            }
            let lost = error.downcast_ref().or_else(|| error.downcast_ref().and_then(connection::Error::reason));
            if let Some(found) = lost.and_then(Self::in_loss) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    fn in_loss(reason: &Reason) -> Option<&Self> {
        let losses = std::iter::successors(Some(reason), |reason| reason.below()).flat_map(Reason::layers);
        losses.map(|loss| &loss.error).find_map(|error| Self::of(error))
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The language of the conversation.
    #[must_use]
    pub fn protocol(&self) -> TunnelProtocol {
        self.0.protocol
    }

    /// The proxy that was asked, by what it was asked for as itself.
    #[must_use]
    pub fn proxy(&self) -> Option<&Address> {
        self.0.proxy.as_ref()
    }

    /// Whom it was asked for.
    #[must_use]
    pub fn target(&self) -> Option<&Address> {
        self.0.target.as_ref()
    }

    /// Whether somebody has said no: the proxy, or the target to the proxy.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), ErrorKind::Refused { .. }) || self.is_auth()
    }

    /// Whether it is the target that could not be reached, and not the proxy that refused.
    #[must_use]
    pub fn is_target(&self) -> bool {
        matches!(self.kind(), ErrorKind::Refused { by: Ender::Target, .. })
    }

    /// What the proxies on the way say of a refusal in HTTP (RFC 9209), the one that is nearest to the target first.
    #[must_use]
    pub fn proxy_status(&self) -> Vec<ProxyStatus> {
        match self.kind() {
            ErrorKind::Refused { fields, .. } => {
                http::all(fields, "proxy-status").flat_map(ProxyStatus::list).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the proxy wants another user or password, or any.
    #[must_use]
    pub fn is_auth(&self) -> bool {
        matches!(self.kind(), ErrorKind::AuthRequired(_) | ErrorKind::AuthRejected | ErrorKind::NoAcceptableMethod)
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), ErrorKind::TimedOut(_) | ErrorKind::NotRead)
            || self.reason().is_some_and(Reason::is_timeout)
    }

    /// Whether nothing has been done for the tunnel, so that it is safe to ask again, over another connection or later.
    #[must_use]
    pub fn is_not_processed(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::NotProcessed
                | ErrorKind::GoingAway(0)
                | ErrorKind::TooManyTunnels(_)
                | ErrorKind::Reset(REFUSED_STREAM)
        )
    }

    /// Why the connection to the proxy is lost, if it is that.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.0.lost.as_ref()
    }

    /// As what a tunnel fails with whoever reads from it or writes to it. [`Error::of`] finds it there.
    #[cfg(feature = "http2")]
    pub(crate) fn into_io_error(self) -> io::Error {
        let kind = match self.kind() {
            ErrorKind::Reset(_) => io::ErrorKind::ConnectionReset,
            ErrorKind::Ended(_) => io::ErrorKind::UnexpectedEof,
            ErrorKind::TimedOut(_) | ErrorKind::NotRead => io::ErrorKind::TimedOut,
            ErrorKind::Malformed(_) | ErrorKind::Http2(_) | ErrorKind::NotSpoken(_) => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::ConnectionAborted,
        };
        io::Error::new(kind, Said(Inside(self)))
    }

    /// The error of the layer that has negotiated.
    pub(crate) fn into_layer_error(self) -> LayerError {
        let kind = match self.kind() {
            ErrorKind::Refused { .. }
            | ErrorKind::AuthRequired(_)
            | ErrorKind::AuthRejected
            | ErrorKind::NoAcceptableMethod
            | ErrorKind::GoingAway(_)
            | ErrorKind::NotProcessed
            | ErrorKind::TooManyTunnels(_) => LayerErrorKind::Refused,
            ErrorKind::NotSpoken(_) => LayerErrorKind::NotSpoken,
            ErrorKind::Malformed(_) | ErrorKind::Http2(_) | ErrorKind::Reset(_) => LayerErrorKind::Protocol,
            ErrorKind::TooLong(_) | ErrorKind::TooManyFields(_) => LayerErrorKind::Limit,
            ErrorKind::Ended(_) | ErrorKind::Lost => LayerErrorKind::Truncated,
            ErrorKind::TimedOut(_) | ErrorKind::NotRead => LayerErrorKind::HandshakeTimeout,
            ErrorKind::Unaskable(_) | ErrorKind::Unsupported(_) | ErrorKind::Declined(_) => LayerErrorKind::Unsupported,
        };
        LayerError::new(kind, self.to_string()).caused_by(Inside(self))
    }
}

/// What is wrong with any negotiation, in the words of this one.
impl From<opening::Error> for ErrorKind {
    fn from(error: opening::Error) -> Self {
        use opening::ErrorKind as Kind;
        match error.kind() {
            Kind::LineTooLong(limit) | Kind::TooMuch(limit) => Self::TooLong(limit),
            Kind::OutOfTurn | Kind::TurnedAway => Self::Malformed(error.to_string()),
            Kind::Ended(what) => Self::Ended(what),
            Kind::TimedOut(what) => Self::TimedOut(what),
            Kind::NotRead => Self::NotRead,
            Kind::Unanswered => Self::Declined(error.to_string()),
        }
    }
}

impl From<Error> for LayerError {
    fn from(error: Error) -> Self {
        error.into_layer_error()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::lose(error.into_layer_error())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { protocol, proxy, target, kind, lost } = &*self.0;
        protocol.fmt(f)?;
        if let Some(proxy) = proxy {
            write!(f, " proxy {proxy}")?;
        }
        if let Some(target) = target {
            write!(f, ", asked for {target}")?;
        }
        f.write_str(": ")?;
        kind.fmt(f)?;
        match kind {
            // A client has a target from the beginning.
            ErrorKind::Ended(what) if target.is_some() && *what != APPLICATION => {
                f.write_str("; some proxies say no in this way, others have died")
            }
            _ => Ok(()),
        }?;
        lost.iter().try_for_each(|reason| write!(f, ": {reason}"))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { by, code, reason, .. } => {
                let who = match by {
                    Ender::Proxy => "the proxy refused",
                    Ender::Target => "the proxy cannot reach the target",
                    Ender::Unknown => "refused",
                };
                write!(f, "{who}: {code} {}", Printable::new(reason).limit(MAX_QUOTED))
            }
            Self::AuthRequired(challenges) => {
                f.write_str("the proxy wants to know who asks; give it a user and a password")?;
                match challenges.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; it says {}", Printable::new(&challenges.to_string()).limit(MAX_QUOTED)),
                }
            }
            Self::AuthRejected => f.write_str("the proxy does not take the user and the password"),
            Self::NoAcceptableMethod => f.write_str(
                "the proxy takes none of the ways to say who asks that were offered; it may want a user and a password",
            ),
            Self::NotSpoken(first) => {
                write!(
                    f,
                    "the peer does not speak it: it begins with {}",
                    Printable::new(first).limit(MAX_FIRST).quoted()
                )?;
                known(first).map_or(Ok(()), |language| write!(f, ", as {language} does"))
            }
            Self::Malformed(what)
            | Self::Unaskable(what)
            | Self::Unsupported(what)
            | Self::Declined(what)
            | Self::Http2(what) => Printable::new(what).fmt(f),
            Self::TooLong(limit) => write!(f, "the peer says more than the {limit} bytes that are accepted"),
            Self::TooManyFields(limit) => write!(f, "the peer sends more than the {limit} fields that are accepted"),
            Self::Ended(what) => write!(f, "the connection ended before {what}"),
            Self::TimedOut(what) => write!(f, "no answer in time: the peer owes {what}"),
            Self::NotRead => f.write_str("the peer takes nothing of what is said to it"),
            Self::Reset(code) => write!(f, "the proxy has reset the tunnel: {}", Code(*code)),
            Self::GoingAway(0) => f.write_str("the proxy opens no more tunnels over this connection"),
            Self::GoingAway(code) => write!(f, "the proxy has given up the connection: {}", Code(*code)),
            Self::NotProcessed => {
                f.write_str("the proxy goes away and has done nothing for it; ask over another connection")
            }
            Self::TooManyTunnels(limit) => {
                write!(f, "there are {limit} tunnels over this connection, and the proxy allows no more")
            }
            Self::Lost => f.write_str("the connection is lost"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Error {
    /// What stands behind the loss of the connection, which is in the text.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.reason()?.source()
    }
}

/// The name of a code of HTTP/2 (RFC 9113, section 7).
struct Code(u32);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

/// The error as the socket's of a tunnel, which says what it says.
#[cfg(feature = "http2")]
#[derive(Debug)]
struct Said(Inside);

#[cfg(feature = "http2")]
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}

#[cfg(feature = "http2")]
impl StdError for Said {
    /// The error itself: who looks for what stands behind the error of a socket begins here.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// The error inside that of its layer, which has said it already.
#[derive(Clone, Debug)]
pub(crate) struct Inside(pub(crate) Error);

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no tunnel")
    }
}

impl StdError for Inside {}

/// What begins like this, of what is often taken for something else.
fn known(first: &[u8]) -> Option<&'static str> {
    Some(match first {
        [20..=23, 3, ..] => "TLS",
        [5, ..] => "SOCKS5",
        [4, ..] => "SOCKS4",
        [b'S', b'S', b'H', b'-', ..] => "SSH",
        [b'H', b'T', b'T', b'P', b'/', ..] => "HTTP",
        [0, 0, _, 4, _, 0, 0, 0, 0, ..] => "HTTP/2",
        _ => return None,
    })
}

const REFUSED_STREAM: u32 = 7;

const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// What ends while a server's application thinks.
const APPLICATION: &str = "the application had answered";

const MAX_QUOTED: usize = 400;
const MAX_FIRST: usize = 16;
