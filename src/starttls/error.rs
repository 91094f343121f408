//! Why TLS was not started.

use std::error::Error as StdError;
use std::fmt;

use crate::layer::opening;
use crate::printable::Printable;
use crate::stack::{LayerError, LayerErrorKind, with_chain};

/// Why a negotiation of STARTTLS did not come to TLS.
///
/// The [`LayerError`] with which the layer fails says what it says, and has it inside: [`Error::of`] finds it there and in
/// whatever that was wrapped into. A handshake that fails afterwards is an error of the TLS layer, not this.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    circumstance: Circumstance,
}

/// What more there is to say of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circumstance {
    None,
    /// The peer has said goodbye, and there is nothing to go on with.
    Farewell,
    /// What was refused is what we have greeted the server with.
    Hello,
    /// The connection goes on in clear, because it is for that.
    InClear,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server does not offer TLS, or somebody took the offer away.
    NotOffered,
    /// The server refused when it was asked for TLS, or refused to talk at all.
    Refused,
    /// The server claims that the connection is authenticated already, so that TLS cannot be started any more (`PREAUTH`
    /// of IMAP, RFC 9051 section 7.1.4).
    Preauthenticated,
    /// The peer answered before it was asked.
    OutOfTurn,
    /// The client did not ask for TLS: it went on without, or left.
    NotAsked,
    /// The client of PostgreSQL did not come for TLS, but to cancel the query of another connection; see
    /// [`Postgres::accept_cancel`](super::Postgres::accept_cancel).
    Cancel,
    /// The peer closed the connection in the middle of the negotiation.
    Closed,
    /// The negotiation took longer than its deadline.
    TimedOut,
    /// The peer said something that this protocol does not know.
    Malformed,
    /// The peer sent or announced more than the limit.
    TooLong,
    /// The client was refused as often as it may be ([`Negotiate::refusals`](super::Negotiate::refusals)), and went on.
    TurnedAway,
    /// The client asked for TLS, and the application of the server did not agree
    /// ([`Negotiate::asking`](super::Negotiate::asking)).
    Declined,
}

impl Error {
    /// An error of `kind`, explained by `message`: one phrase, no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), circumstance: Circumstance::None }
    }

    /// The server's offer lacks TLS.
    pub(super) fn not_offered() -> Self {
        Self::new(ErrorKind::NotOffered, "the server does not offer TLS")
    }

    /// The server does not know what it was asked for, and said so.
    pub(super) fn not_known(words: &[u8]) -> Self {
        Self::new(ErrorKind::NotOffered, format!("the server does not offer TLS: it answers {}", said(words)))
    }

    /// The server said no, in these words.
    pub(super) fn refused(words: &[u8]) -> Self {
        Self::new(ErrorKind::Refused, format!("the server refused: {}", said(words)))
    }

    /// The server said no, for a reason that has a name, and perhaps words.
    pub(super) fn refused_with(reason: &str, words: &[u8]) -> Self {
        let behind = if words.is_empty() { String::new() } else { format!(", {}", said(words)) };
        Self::new(ErrorKind::Refused, format!("the server refused: {reason}{behind}"))
    }

    /// The server said no to what we have greeted it with.
    pub(super) fn refused_hello(hello: &str, words: &[u8]) -> Self {
        let message = format!("the server refused {hello}: {}", said(words));
        Self { circumstance: Circumstance::Hello, ..Self::new(ErrorKind::Refused, message) }
    }

    /// The server's answer came first.
    pub(super) fn out_of_turn() -> Self {
        Self::new(ErrorKind::OutOfTurn, "the server answered before it was asked")
    }

    /// The peer said these words where they have no meaning.
    pub(super) fn malformed(awaited: &str, words: &[u8]) -> Self {
        Self::new(ErrorKind::Malformed, format!("the peer was to send {awaited} and sent {}", quoted(words)))
    }

    /// The peer sent or announced a message longer than this.
    pub(super) fn too_long(limit: usize) -> Self {
        Self::new(
            ErrorKind::TooLong,
            format!("the peer sends a message of more than the {limit} bytes that are accepted"),
        )
    }

    /// The application did not agree to TLS, and there are no words for that.
    pub(super) fn declined() -> Self {
        Self::new(ErrorKind::Declined, "the client asked for TLS, and the application did not agree")
    }

    /// The client of PostgreSQL has come with a CancelRequest, and is done with or served.
    pub(super) fn cancel(is_served: bool) -> Self {
        let circumstance = if is_served { Circumstance::InClear } else { Circumstance::None };
        let message = "the client wants to cancel a query of another connection, and comes without TLS for it";
        Self { circumstance, ..Self::new(ErrorKind::Cancel, message) }
    }

    /// The client left without having asked.
    pub(super) fn left() -> Self {
        Self {
            circumstance: Circumstance::Farewell,
            ..Self::new(ErrorKind::NotAsked, "the client left without asking for TLS")
        }
    }

    /// The client goes on without TLS, with this command. What stands behind the verb can be a password.
    pub(super) fn not_asked(verb: &[u8]) -> Self {
        Self::new(ErrorKind::NotAsked, format!("the client goes on without TLS: {}", quoted(verb)))
    }

    /// The error of this module in the chain of sources that begins with `error`.
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
            next = error.source();
        }
        None
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether TLS was not available: the server has none, refuses it, or says that it comes too late. What somebody in the
    /// middle would make it look like too.
    #[must_use]
    pub fn is_stripped(&self) -> bool {
        matches!(self.kind, ErrorKind::NotOffered | ErrorKind::Refused | ErrorKind::Preauthenticated)
    }

    /// Whether the server refused a client of SMTP or LMTP when that said who it is, in EHLO or LHLO: it may want another
    /// name ([`Smtp::named`](super::Smtp::named)), or want nobody at the time.
    #[must_use]
    pub fn is_hello_refused(&self) -> bool {
        self.circumstance == Circumstance::Hello
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind == ErrorKind::TimedOut
    }

    /// Whether the connection goes on in clear: both sides agree that there is no TLS, and that is allowed; or it has come
    /// for something that needs none.
    pub(super) fn leaves_plaintext(&self, opportunistic: bool) -> bool {
        match self.circumstance {
            Circumstance::InClear => true,
            Circumstance::Farewell => false,
            Circumstance::None | Circumstance::Hello => {
                opportunistic && (self.is_stripped() || matches!(self.kind, ErrorKind::NotAsked | ErrorKind::Cancel))
            }
        }
    }

    /// The error of the layer that negotiated for `protocol`.
    pub(super) fn of_layer(self, protocol: &str) -> LayerError {
        let kind = match self.kind {
            ErrorKind::NotOffered | ErrorKind::Refused | ErrorKind::Preauthenticated => LayerErrorKind::Refused,
            ErrorKind::NotAsked | ErrorKind::Cancel => LayerErrorKind::NotSpoken,
            ErrorKind::OutOfTurn | ErrorKind::Malformed => LayerErrorKind::Protocol,
            ErrorKind::Closed => LayerErrorKind::Truncated,
            ErrorKind::TimedOut => LayerErrorKind::HandshakeTimeout,
            ErrorKind::TooLong | ErrorKind::TurnedAway => LayerErrorKind::Limit,
            ErrorKind::Declined => LayerErrorKind::Unsupported,
        };
        LayerError::new(kind, format!("{protocol}: {self}")).caused_by(Inside(self))
    }
}

/// What is wrong with any negotiation, in the words of this one.
impl From<opening::Error> for Error {
    fn from(error: opening::Error) -> Self {
        use opening::ErrorKind as Kind;
        let message = error.to_string();
        match error.kind() {
            Kind::LineTooLong(_) => Self::new(ErrorKind::TooLong, message),
            Kind::TooMuch(limit) => {
                let message =
                    format!("the peer sends more than the {limit} bytes that are accepted before TLS, all in all");
                Self::new(ErrorKind::TooLong, message)
            }
            Kind::OutOfTurn => Self::out_of_turn(),
            Kind::TurnedAway => {
                let message = "the client was refused again and again, and goes on without asking for TLS";
                Self::new(ErrorKind::TurnedAway, message)
            }
            Kind::Ended(_) => Self::new(ErrorKind::Closed, message),
            Kind::TimedOut(_) | Kind::NotRead => Self::new(ErrorKind::TimedOut, message),
            Kind::Unanswered => Self::declined(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.message).fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Error {}

/// The error of a negotiation inside that of its layer, which has said it already.
#[derive(Debug)]
struct Inside(Error);

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the negotiation did not come to TLS")
    }
}

impl StdError for Inside {}

/// A peer's words, short enough for a line.
fn quoted(words: &[u8]) -> String {
    Printable::new(words).limit(MAX_QUOTED).quoted().to_string()
}

/// What a server says in a refusal, which may be several lines.
fn said(words: &[u8]) -> String {
    Printable::new(words).limit(MAX_REFUSAL_QUOTED).quoted().to_string()
}

const MAX_QUOTED: usize = 100;
const MAX_REFUSAL_QUOTED: usize = 400;
