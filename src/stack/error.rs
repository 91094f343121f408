//! What can go wrong: in a layer, with a connection, with a command.
//!
//! One rule holds for every error of this crate. Its text is one sentence that says all there is to say, the cause
//! included; so its [`source`](StdError::source) is only what the sentence does not say already, in its own words, and never
//! an error whose text is a part of it. Who prints the chain reads nothing twice. `Debug`, which is what `?` in `main`
//! prints, is the sentence and the chain.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::{LayerId, Reason};
use crate::printable::Printable;

/// Why a layer failed.
#[derive(Clone)]
pub struct LayerError {
    kind: LayerErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    said: Option<Arc<[u8]>>,
    progress: Option<Progress>,
}

/// How far a layer had come when it failed. Nothing of the application's has reached the peer through a layer that was
/// [`Opening`](Self::Opening).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Progress {
    /// It was not ready: its handshake or its negotiation was under way.
    Opening,
    /// It was ready for us, and nothing had come through it. With TLS 1.3 a server may not yet have looked at the certificate
    /// of its client.
    Opened,
    /// Something had come through it.
    Used,
}

/// The kinds of [`LayerError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerErrorKind {
    /// The peer does not speak this layer's protocol at all; most often it is speaking plaintext.
    NotSpoken,
    /// The peer's certificate was not accepted.
    Certificate,
    /// The peer refused, by an alert or its like, and not for the reason that follows.
    Refused,
    /// The peer refused the certificate that we have shown as its client, or our having none.
    ClientCertificate,
    /// The stream below ended before this layer's did.
    Truncated,
    /// The handshake took longer than its deadline.
    HandshakeTimeout,
    /// The peer did not answer a stop in time.
    StopTimeout,
    /// Nothing came or went for longer than is allowed.
    Idle,
    /// The peer broke the rules of the protocol.
    Protocol,
    /// A limit would have been passed.
    Limit,
    /// What was asked for cannot be done in this state, or with this configuration.
    Unsupported,
}

impl LayerError {
    /// An error of `kind`, explained by `message`: one phrase, no full stop.
    pub fn new(kind: LayerErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, said: None, progress: None }
    }

    /// Adds the error that caused this one. Its text is printed behind the message where the chain is, so the message should
    /// not contain it.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Keeps the first of what the peer has said in place of the layer's protocol: 32 bytes at most.
    #[must_use]
    pub fn instead(mut self, said: &[u8]) -> Self {
        self.said = Some(said[..said.len().min(MAX_SAID)].into());
        self
    }

    /// The same, of a layer that had come so far.
    #[must_use]
    pub fn at(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The first of what the peer has said in place of the layer's protocol, as it came; where it was kept.
    #[must_use]
    pub fn said(&self) -> Option<&[u8]> {
        self.said.as_deref()
    }

    /// How far the layer had come, if it says so.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        self.progress
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> LayerErrorKind {
        self.kind
    }

    /// Whether the peer does not speak the layer's protocol, such as plaintext where TLS was expected.
    #[must_use]
    pub fn is_not_spoken(&self) -> bool {
        self.kind == LayerErrorKind::NotSpoken
    }

    /// Whether the peer's certificate was not accepted.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        self.kind == LayerErrorKind::Certificate
    }

    /// Whether the peer refused us, for whatever reason: [`is_client_certificate`](Self::is_client_certificate) too.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, LayerErrorKind::Refused | LayerErrorKind::ClientCertificate)
    }

    /// Whether the peer refused the certificate that we have shown as its client, or our having none. In TLS 1.3 that comes
    /// behind the handshake, which was done for us by then.
    #[must_use]
    pub fn is_client_certificate(&self) -> bool {
        self.kind == LayerErrorKind::ClientCertificate
    }

    /// Whether the stream below ended too early.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.kind == LayerErrorKind::Truncated
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, LayerErrorKind::HandshakeTimeout | LayerErrorKind::StopTimeout | LayerErrorKind::Idle)
    }
}

impl fmt::Display for LayerError {
    /// On one line, whatever the message quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::new(&self.message).fmt(f)
    }
}

impl fmt::Debug for LayerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for LayerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Why the stack did not carry out a command. Nothing was changed.
#[derive(Clone)]
pub struct CommandError(CommandErrorKind);

/// The kinds of [`CommandError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CommandErrorKind {
    /// No layer has this id: it was peeled.
    NoSuchLayer(LayerId),
    /// There is no layer that can be stopped.
    NothingToStop,
    /// The layer cannot be stopped, because it has no end of its own.
    CannotStop(LayerId),
    /// The layer cannot be taken out as it is, because it has an end of its own: stop it.
    CannotRemove(LayerId),
    /// Only the innermost stoppable layer can be stopped; this one has another above it.
    NotInnermost(LayerId),
    /// The layer is being stopped; wait until it is peeled.
    Stopping(LayerId),
    /// The layer's write half was closed by `finish`.
    Finished(LayerId),
    /// The layer ended by itself and the application has not yet continued below it.
    Ended(LayerId),
    /// The layer has asked nothing that is still to be answered.
    NotAsked(LayerId),
    /// The layer waits for the application to answer what it has asked, and goes no further before.
    Asks(LayerId),
    /// The limit on the number of layers is reached.
    TooDeep(usize),
    /// The write side of the connection was closed.
    Closed,
    /// The connection is lost.
    Lost(Reason),
    /// The layer refused.
    Refused(LayerId, LayerError),
}

impl CommandError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> &CommandErrorKind {
        &self.0
    }

    /// Whether the named layer is no longer there, or there is none to name.
    #[must_use]
    pub fn is_no_such_layer(&self) -> bool {
        matches!(self.0, CommandErrorKind::NoSuchLayer(_) | CommandErrorKind::NothingToStop)
    }

    /// Whether the layer has ended and the application must first continue below it.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.0, CommandErrorKind::Ended(_))
    }

    /// The reason, if the connection is lost.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match &self.0 {
            CommandErrorKind::Lost(reason) => Some(reason),
            _ => None,
        }
    }
}

impl From<CommandErrorKind> for CommandError {
    fn from(kind: CommandErrorKind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            CommandErrorKind::NoSuchLayer(id) => write!(f, "no such layer: {id}"),
            CommandErrorKind::NothingToStop => f.write_str("no layer to stop"),
            CommandErrorKind::CannotStop(id) => write!(f, "layer {id} is not of a kind that can be stopped"),
            CommandErrorKind::CannotRemove(id) => write!(f, "layer {id} has an end of its own; stop it instead"),
            CommandErrorKind::NotInnermost(id) => write!(f, "layer {id} has another above it; stop that one first"),
            CommandErrorKind::Stopping(id) => write!(f, "layer {id} is being stopped: wait until it is gone"),
            CommandErrorKind::Finished(id) => write!(f, "layer {id} is finished: nothing more can be written to it"),
            CommandErrorKind::Ended(id) => write!(f, "layer {id} has ended; stop it to continue below it"),
            CommandErrorKind::NotAsked(id) => write!(f, "layer {id} has asked nothing that is still to be answered"),
            CommandErrorKind::Asks(id) => write!(f, "layer {id} waits for the application to answer what it has asked"),
            CommandErrorKind::TooDeep(limit) => write!(f, "more than {limit} layers"),
            CommandErrorKind::Closed => f.write_str("the connection is closed for writing"),
            CommandErrorKind::Lost(reason) => write!(f, "the connection is lost: {reason}"),
            CommandErrorKind::Refused(id, error) => write!(f, "layer {id}: {error}"),
        }
    }
}

impl fmt::Debug for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for CommandError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            CommandErrorKind::Lost(reason) => reason.source(),
            CommandErrorKind::Refused(_, error) => error.source(),
            _ => None,
        }
    }
}

/// What `Debug` is for every error here: the sentence, and on lines of their own what it was caused by.
pub(crate) fn with_chain(error: &dyn StdError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut next = error.source();
    while let Some(cause) = next {
        write!(f, "\n  caused by: {}", Printable::new(&cause.to_string()))?;
        next = cause.source();
    }
    Ok(())
}

/// As much as is kept of what a peer says that does not speak the protocol.
const MAX_SAID: usize = 32;
