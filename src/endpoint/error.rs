//! Why a string is no endpoint, and where.

use std::error::Error;
use std::fmt;

use crate::printable::is_printable;

/// A string that is no endpoint.
///
/// Prints as one line. The alternate form `{:#}` adds the string and a caret below the character:
///
/// ```
/// let error = "tpc:localhost:25".parse::<onionskin::endpoint::Endpoint>().unwrap_err();
/// assert_eq!(
///     format!("{error:#}"),
///     "unknown transport \"tpc\": the known ones are tcp:HOST:PORT, unix:PATH, stdio, fd:NUMBER, systemd:INDEX\n  tpc:localhost:25\n  ^",
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError {
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    position: usize,
    message: String,
    input: String,
}

/// What is wrong with the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing before, between or after a `+`.
    EmptyStep,
    /// A backslash before a character that needs none, or at the end.
    BadEscape,
    /// A bracket without its partner, or with text behind it.
    BadBracket,
    /// No such transport or step.
    UnknownKind,
    /// A transport that is not the first step, or a first step that is no transport.
    Misplaced,
    /// The kind has no such key.
    UnknownKey,
    /// A key that was given before in the same step.
    DuplicateKey,
    /// An argument that the kind needs was not given.
    MissingArgument,
    /// More arguments than the kind takes.
    UnexpectedArgument,
    /// A value that its place does not allow.
    InvalidValue,
}

impl ParseError {
    pub(super) fn new(kind: ErrorKind, position: usize, message: impl Into<String>) -> Self {
        let inner = Inner { kind, position, message: message.into(), input: String::new() };
        Self { inner: Box::new(inner) }
    }

    /// Attaches the string in which the position counts.
    pub(super) fn within(mut self, input: &str) -> Self {
        self.inner.input = without_passwords(input);
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Where it is wrong: an offset in bytes, at most the length of the string.
    pub fn position(&self) -> usize {
        self.inner.position
    }

    /// Whether the string breaks the grammar, whatever its words may mean.
    pub fn is_syntax(&self) -> bool {
        matches!(self.kind(), ErrorKind::EmptyStep | ErrorKind::BadEscape | ErrorKind::BadBracket)
    }

    /// Whether a transport or step has a name that nobody knows.
    pub fn is_unknown_kind(&self) -> bool {
        self.kind() == ErrorKind::UnknownKind
    }

    /// Whether a transport comes later than first, or something else comes first.
    pub fn is_misplaced(&self) -> bool {
        self.kind() == ErrorKind::Misplaced
    }

    /// Whether the step has no such key.
    pub fn is_unknown_key(&self) -> bool {
        self.kind() == ErrorKind::UnknownKey
    }

    /// Whether a key was given twice in one step.
    pub fn is_duplicate_key(&self) -> bool {
        self.kind() == ErrorKind::DuplicateKey
    }

    /// Whether an argument is missing.
    pub fn is_missing_argument(&self) -> bool {
        self.kind() == ErrorKind::MissingArgument
    }

    /// Whether there is an argument too many.
    pub fn is_unexpected_argument(&self) -> bool {
        self.kind() == ErrorKind::UnexpectedArgument
    }

    /// Whether a value is not allowed where it stands.
    pub fn is_invalid_value(&self) -> bool {
        self.kind() == ErrorKind::InvalidValue
    }
}

/// An endpoint string to be shown, whatever it is: where somebody has written a password into it, which no step takes, stars stand
/// for that, one for each byte.
///
/// ```
/// use onionskin::endpoint::without_passwords;
///
/// assert_eq!(without_passwords("tcp:a:1+socks5:b:2:password=peel+tls"), "tcp:a:1+socks5:b:2:password=****+tls");
/// ```
#[must_use]
pub fn without_passwords(endpoint: &str) -> String {
    let mut shown = endpoint.to_owned();
    let mut begun = 0;
    while let Some(found) = shown[begun..].find(PASSWORD) {
        let start = begun + found + PASSWORD.len();
        let mut is_escaped = false;
        let end = shown[start..].find(|c| {
            let ends = !is_escaped && matches!(c, ':' | '+');
            is_escaped = !is_escaped && c == '\\';
            ends
        });
        let end = end.map_or(shown.len(), |length| start + length);
        shown.replace_range(start..end, &"*".repeat(end - start));
        begun = end;
    }
    shown
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { position, message, input, .. } = &*self.inner;
        f.write_str(message)?;
        if !f.alternate() {
            return Ok(());
        }
        // One column for each character: a line break or a tab would move the caret.
        let line: String = input.chars().map(|c| if is_printable(c) { c } else { '?' }).collect();
        let column = input.char_indices().take_while(|(at, _)| at < position).count();
        write!(f, "\n  {line}\n  {:column$}^", "")
    }
}

impl fmt::Debug for ParseError {
    /// The sentence, the string and the caret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl Error for ParseError {}

const PASSWORD: &str = ":password=";
