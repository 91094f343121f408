//! What is said before another layer, or nothing more, takes over: STARTTLS, SOCKS, CONNECT.
//!
//! ```text
//!   application          application            application
//!   ───────────          ───────────            ───────────
//!                        [ opening ] becomes    [ layer ]        or leaves, and nothing is there
//!   ───────────          ───────────            ───────────
//!   wire                 wire                   wire
//! ```
//!
//! [`Opening`] is the layer, and drives a [`Negotiation`]: a small state machine without any I/O that sees what was received
//! ([`Exchange`]), takes exactly what it has parsed, and says what to send. Until it is done the layer gives nothing to whoever
//! is above, and what they write waits in the stack. Then it *leaves* the list or *becomes* another layer, at the very byte
//! behind the last one that was the negotiation's. That byte and all that follow belong to who comes next, and so does what
//! was written meanwhile.
//!
//! # A server's negotiation asks its application
//!
//! A client wants to be connected to some target. Whether it is, the application must find out, by dialing, and only then may
//! the server answer. So a negotiation can *ask* ([`Advance::Ask`]): the stack has [`Event::Asked`](crate::stack::Event::Asked),
//! and the layer the [`question`](Opening::question). The application grants or refuses when it knows
//! ([`Answerable`]), and the negotiation puts that into its words.
//!
//! ```text
//!   [ talking ] ── Ask ──▶ [ asked ] ── granted, refused, declined ──▶ [ talking ] ── Leave, Become ──▶ done
//!       ▲  │ Going, Waiting                                                 │
//!       └──┘                                                                └── fails: the connection is lost
//! ```
//!
//! - While an answer is owed nothing is taken from the peer. What it sends waits below, up to the limits of the stack.
//! - The deadline is the peer's. It stands still while the application thinks, and goes on behind the answer.
//! - An end of file that comes meanwhile stays in its place, behind the bytes before it: a client may well have said all it has to
//!   say. A *loss* ends the layer at once, and an answer that comes later is an error for whoever gives it.
//! - Whoever cannot answer says so ([`Stack::decline`](crate::stack::Stack::decline)), and the peer hears that in the words
//!   of the protocol. What async code and callbacks hand out to be answered declines when it is dropped. So
//!   does an application that closes.
//!
//! # What a peer can make it hold
//!
//! A negotiation answers by itself, below the application, so it has bounds of its own. While more than 4 KiB of what it has said
//! have not left, nothing more is taken from the peer. A peer is refused so many times and is then turned away; it may say so
//! many bytes, and has so much time. These are options of [`Opening`].

mod error;
mod exchange;
mod layer;

use std::fmt;

use crate::stack::{Failure, Layer};

pub use self::error::{Error, ErrorKind};
pub use self::exchange::Exchange;
pub use self::layer::Opening;

/// One side of what is said, without any I/O.
///
/// # Contract
///
/// - [`advance`](Self::advance) does *one* thing: it takes one message from the [`Exchange`], if a whole one is there, sends
///   what is to be answered, and says how far it has come. It is called again until it says [`Advance::Waiting`], and then
///   when the [`line`](Exchange::line) or the [`message`](Exchange::message) is there for which it has asked; if it has
///   asked for neither, when more has come.
/// - The first call comes before anything was received. A side that speaks first does so then.
/// - It takes nothing behind the message that it has parsed: that belongs to who comes next.
/// - It keeps no bytes of its own but those of a message with several lines, and of these no more than it needs.
/// - When it fails, nothing of the message at which it failed is taken, and what it has sent is still sent.
///
/// [`Failure::lose`] ends the connection behind what was sent. [`Failure::peel`] lets it go on without what was to be
/// negotiated, if that is what both sides want: what was written for it is dropped.
pub trait Negotiation: fmt::Debug + Send + Sync + 'static {
    /// What the application is asked; [`Infallible`](std::convert::Infallible) for a side that asks nothing.
    type Question: fmt::Debug + Send + Sync + 'static;

    /// What it knows in the end, or what the layer knows that it becomes.
    type Facts: Clone + fmt::Debug + Send + Sync + 'static;

    /// A short word, as it shows in errors, logs and drawings: `socks5`.
    fn name(&self) -> &'static str {
        "opening"
    }

    /// One phrase for people; see [`Layer::describe`].
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }

    /// Facts of a few words each, for a drawing; see [`Layer::details`].
    fn details(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does the next thing.
    ///
    /// # Errors
    ///
    /// When the peer refuses, or breaks the rules.
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Self::Question>, Failure>;

    /// What the peer is to send next, for errors and drawings: `the greeting`.
    fn awaits(&self) -> &'static str;

    /// What it knows, when it has come to [`Advance::Leave`]. `None` is for one that becomes another layer, which knows more.
    fn facts(&self) -> Option<Self::Facts>;

    /// Whether what stands first is something else than a message of this protocol, such as a ClientHello:
    /// [`advance`](Self::advance) is called for it although what that has asked for is not there. By default nothing is.
    fn is_foreign(&self, _input: &[u8]) -> bool {
        false
    }

    /// The peer was refused as often as it may be: says so, where the protocol has words for it. The connection is lost
    /// behind them.
    fn turn_away(&mut self, _exchange: &mut Exchange<'_>) {}

    /// The peer has not come to an end in time: says so, where the protocol has words for it. The connection is lost behind
    /// them.
    fn give_up(&mut self, _exchange: &mut Exchange<'_>) {}

    /// The application was asked and does not answer: says no in the words of the protocol. By default nothing is said, and
    /// the connection is lost.
    ///
    /// # Errors
    ///
    /// When that is the end of the connection, behind what was sent.
    fn decline(&mut self, _exchange: &mut Exchange<'_>) -> Result<Advance<Self::Question>, Failure> {
        Err(self.failure(ErrorKind::Unanswered.into()))
    }

    /// What an error of the layer's own is for this protocol. By default the loss of the connection.
    fn failure(&mut self, error: Error) -> Failure {
        error.into()
    }
}

/// A negotiation whose question the application answers.
pub trait Answerable: Negotiation {
    /// With what it grants what was asked for: an address perhaps.
    type Grant: Send + Sync + 'static;

    /// With what it refuses that: a code, or a reason that becomes one.
    type Refusal: Send + Sync + 'static;

    /// The application grants it.
    ///
    /// # Errors
    ///
    /// As [`advance`](Negotiation::advance).
    fn grant(&mut self, grant: Self::Grant, exchange: &mut Exchange<'_>) -> Result<Advance<Self::Question>, Failure>;

    /// The application refuses it. The negotiation may go on, or fail behind the answer.
    ///
    /// # Errors
    ///
    /// As [`advance`](Negotiation::advance).
    fn refuse(
        &mut self,
        refusal: Self::Refusal,
        exchange: &mut Exchange<'_>,
    ) -> Result<Advance<Self::Question>, Failure>;
}

/// How far a [`Negotiation`] has come.
#[derive(Debug)]
pub enum Advance<Q> {
    /// More input is needed.
    Waiting,
    /// Something was done; there may be more to do.
    Going,
    /// The application is to answer this, and until then nothing is taken.
    Ask(Q),
    /// It is done, and the layer leaves the list.
    Leave,
    /// It is done, and this layer takes its place.
    Become(Box<dyn Layer>),
    /// As [`Become`](Self::Become), with a further layer between the new one and what is below.
    BecomeOver {
        /// What takes its place.
        layer: Box<dyn Layer>,
        /// What stands below that.
        below: Box<dyn Layer>,
    },
}
