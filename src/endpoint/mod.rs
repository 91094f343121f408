//! Endpoint strings: where to connect or listen, and what to put on top.
//!
//! ```text
//! tcp:127.0.0.1:4433+tls:sni=outer.example:ca=ca.pem+tls:sni=inner.example:ca=ca.pem
//! └── transport ───┘ └── outer step ────────────────┘ └── inner step ───────────────┘
//! ```
//!
//! Steps are joined by `+`, from the wire inwards. A step is a kind and its arguments, joined by
//! `:`; an argument is a value, or a key and a value joined by `=`. A backslash takes the meaning
//! from the character behind it: `\:` `\=` `\+` `\\` `\[`. An IPv6 address stands in brackets,
//! where nothing needs a backslash.
//!
//! | step | arguments |
//! |---|---|
//! | `tcp:HOST:PORT` | port 0 lets a server pick one |
//! | `unix:PATH` | |
//! | `tls` | `sni`, `ca`, `roots`, `insecure`, `cert`, `key`, `alpn`, `min`, `max`, `client-ca`: see [`TlsStep`] |
//!
//! [`Endpoint`] parses with [`str::parse`] and prints in canonical form; the two are inverse. The
//! files are layers: `grammar` splits a string into words and knows no kind, `arguments` reads
//! words as values, `step` and `transport` say what the words of each kind mean. `tls` makes
//! configurations out of a [`TlsStep`], and `open` connects and listens.

mod arguments;
mod error;
mod grammar;
mod open;
mod server;
mod step;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::fmt;
use std::str::FromStr;

use self::arguments::Arguments;
pub use self::error::{ErrorKind, ParseError};
pub use self::open::{Connector, Incoming, Listener, OpenError, OpenErrorKind, connect, listen};
pub use self::server::{Server, ServerStopped, Task, connect_with, listen_with};
pub use self::step::{Roots, Step, TlsStep};
pub use self::transport::Transport;

/// A transport and the steps on top of it.
///
/// ```
/// use onionskin::endpoint::{Endpoint, Step, TlsStep, Transport};
///
/// let endpoint: Endpoint = "tcp:[::1]:4433+tls:sni=outer.example".parse()?;
/// let Step::Tls(tls) = &endpoint.steps[0] else { unreachable!() };
/// assert_eq!(tls.server_name.as_deref(), Some("outer.example"));
///
/// let plain = Endpoint::new(Transport::Unix { path: "/run/app.sock".into() });
/// assert_eq!(plain.then(TlsStep::default()).to_string(), "unix:/run/app.sock+tls");
/// # Ok::<_, onionskin::endpoint::ParseError>(())
/// ```
///
/// The fields are open, so a program can put together what no string says: an empty path, a path
/// that is not UTF-8, an ALPN name with a comma. Such an endpoint prints, but does not parse back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The way to the wire.
    pub transport: Transport,
    /// What to put on top, the outermost first.
    pub steps: Vec<Step>,
}

impl Endpoint {
    /// An endpoint with nothing on top of its transport.
    pub fn new(transport: Transport) -> Self {
        Self { transport, steps: Vec::new() }
    }

    /// Adds a step on top of those that are there.
    #[must_use]
    pub fn then(mut self, step: impl Into<Step>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(input: &str) -> Result<Self, ParseError> {
        parse(input).map_err(|error| error.within(input))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.transport)?;
        self.steps.iter().try_for_each(|step| write!(f, "+{step}"))
    }
}

/// A kind of transport or step: how it is called, and how its arguments are read.
struct Kind<T: 'static> {
    name: &'static str,
    /// The kind with its positional arguments, for errors.
    usage: &'static str,
    read: fn(&mut Arguments) -> Result<T, ParseError>,
}

impl<T> Kind<T> {
    fn list(kinds: &[Self]) -> String {
        let usages: Vec<_> = kinds.iter().map(|kind| kind.usage).collect();
        usages.join(", ")
    }
}

fn parse(input: &str) -> Result<Endpoint, ParseError> {
    let mut words = grammar::split(input)?.into_iter();
    let first = words.next().expect("a split yields at least one step");
    let mut endpoint = Endpoint::new(meaning(first, &transport::KINDS, Place::First)?);
    for step in words {
        endpoint.steps.push(meaning(step, &step::KINDS, Place::Later)?);
    }
    Ok(endpoint)
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Later,
}

fn meaning<T>(step: grammar::Step, kinds: &[Kind<T>], place: Place) -> Result<T, ParseError> {
    let Some(kind) = kinds.iter().find(|kind| step.kind.text == kind.name) else {
        return Err(wrong_kind(&step.kind, &Kind::list(kinds), place));
    };
    let mut arguments = Arguments::new(step, kind.usage)?;
    let value = (kind.read)(&mut arguments)?;
    arguments.finish()?;
    Ok(value)
}

fn wrong_kind(kind: &grammar::Word, known: &str, place: Place) -> ParseError {
    let name = kind.text.as_str();
    let (error, message) = match place {
        Place::First if step::KINDS.iter().any(|known| known.name == name) => {
            (ErrorKind::Misplaced, format!("`{name}` cannot come first: begin with a transport ({known})"))
        }
        Place::Later if transport::KINDS.iter().any(|known| known.name == name) => {
            (ErrorKind::Misplaced, format!("`{name}` can only come first: what goes on top is one of {known}"))
        }
        Place::First => (ErrorKind::UnknownKind, format!("unknown transport {name:?}: the known ones are {known}")),
        Place::Later => (ErrorKind::UnknownKind, format!("unknown step {name:?}: the known ones are {known}")),
    };
    ParseError::new(error, kind.position, message)
}
