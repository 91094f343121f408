//! The negotiation of STARTTLS: what the machine of a protocol says, and what comes of it.

use std::fmt;

use super::{Error, ErrorKind, Exchange, Greets, Machine, Progress, StartTls};
use crate::layer::opening::{self, Answerable, Negotiation, Opening};
use crate::stack::Failure;
use crate::tls::{Role, TlsFacts, TlsLayer};

/// Says what an application protocol says before TLS, and becomes the TLS layer behind the go-ahead.
///
/// Until then nothing is given to whoever is above, and what they write waits. The layer keeps its id when it becomes TLS,
/// and [`Event::Ready`](crate::stack::Event::Ready) is that of the handshake. Closing before anything was written ends
/// it: nothing that the peer has said in clear is shown. What a peer may do is bounded by the options of [`Opening`].
///
/// # Errors
///
/// The connection is lost with an [`Error`], which is the source of the layer's error.
pub type Negotiate = Opening<Start>;

/// One side of STARTTLS as a [`Negotiation`]; see [`Negotiate`].
#[derive(Debug)]
pub struct Start {
    protocol: &'static str,
    role: Role,
    machine: Box<dyn Machine>,
    then: Then,
    /// Whether anything was said yet: what comes before that is no answer.
    has_spoken: bool,
    glued: Vec<u8>,
    /// Whether the application is asked before TLS is granted.
    asks: bool,
    /// What is said when it agrees.
    granting: Vec<u8>,
}

/// What comes of it.
#[derive(Debug)]
enum Then {
    /// TLS, behind the go-ahead.
    Tls(Box<TlsLayer>),
    /// The layer leaves at the go-ahead.
    Leave,
    /// The layer leaves when the greeting has been taken.
    LeaveGreeted,
    /// There is no greeting to take.
    LeaveUngreeted,
    /// It has come.
    Nothing,
}

/// What a client wants of a server, which the application is asked for if it wants to be ([`Negotiate::asking`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsWanted;

impl Opening<Start> {
    /// Starts `tls` as `protocol` does it, on the side that `tls` is on: a TLS client asks, a TLS server is asked.
    pub fn new(protocol: impl StartTls, tls: TlsLayer) -> Self {
        Self::of(Start::new(&protocol, tls.role(), Then::Tls(Box::new(tls))))
    }

    /// Asks as a client and starts no TLS: behind the go-ahead the layer leaves the list, and what the server sends next
    /// is read in clear. For programs that examine servers.
    pub fn without_tls(protocol: impl StartTls) -> Self {
        Self::of(Start::new(&protocol, Role::Client, Then::Leave))
    }

    /// Takes the greeting of a server, if it has one, and leaves the list: for those who have greeted on its behalf.
    pub fn greeting(protocol: impl StartTls) -> Self {
        let then = match protocol.greets() {
            Greets::Never => Then::LeaveUngreeted,
            Greets::Once | Greets::Again => Then::LeaveGreeted,
        };
        Self::of(Start::new(&protocol, Role::Client, then))
    }

    /// Lets the connection go on in clear if TLS is not available ([`Error::is_stripped`]), or the client goes on
    /// without: the layer fails and is peeled ([`Event::Failed`](crate::stack::Event::Failed)), and what was written
    /// for TLS is dropped. Whoever sits in between can bring that about.
    #[must_use]
    pub fn opportunistic(self) -> Self {
        self.optional()
    }

    /// As a server, asks the application ([`Event::Asked`](crate::stack::Event::Asked), [`TlsWanted`]) before it grants TLS.
    /// A client that is refused hears so in the words of the protocol, in SMTP 454, and may ask again; in a protocol
    /// without such words the connection is lost.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.negotiation_mut().asks = true;
        self
    }

    /// Bytes to send right behind the request for TLS, in one write with it, before the go-ahead. A client that means it
    /// well never does that; it shows what a server makes of it.
    #[must_use]
    pub fn glued(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.negotiation_mut().glued = bytes.into();
        self
    }
}

impl Start {
    fn new(protocol: &dyn StartTls, role: Role, then: Then) -> Self {
        let machine = match role {
            Role::Client => protocol.client(),
            Role::Server => protocol.server(),
        };
        Self {
            protocol: protocol.name(),
            role,
            machine,
            then,
            has_spoken: false,
            glued: Vec::new(),
            asks: false,
            granting: Vec::new(),
        }
    }

    /// What a call of the machine comes down to.
    fn step(&mut self, progress: Result<Progress, Error>, exchange: &mut Exchange<'_>) -> Stepped {
        self.has_spoken |= !exchange.said().is_empty();
        let progress = progress.map_err(|error| {
            // The answer no to our question is for nobody else.
            if self.has_spoken && error.is_stripped() {
                exchange.take_anyway();
            }
            self.failed(error, exchange.is_optional())
        })?;
        match progress {
            Progress::Waiting => Ok(Advance::Waiting),
            Progress::Asked => {
                exchange.send(&std::mem::take(&mut self.glued));
                Ok(Advance::Going)
            }
            Progress::Greeted if matches!(self.then, Then::LeaveGreeted) => Ok(self.finish()),
            Progress::Going | Progress::Greeted => Ok(Advance::Going),
            Progress::GoAhead if self.asks && self.role == Role::Server => {
                self.granting = exchange.unsay();
                Ok(Advance::Ask(TlsWanted))
            }
            Progress::GoAhead => Ok(self.finish()),
        }
    }

    fn finish(&mut self) -> Advance {
        match std::mem::replace(&mut self.then, Then::Nothing) {
            Then::Tls(layer) => match self.machine.layer_below_tls() {
                Some(below) => Advance::BecomeOver { layer, below },
                None => Advance::Become(layer),
            },
            Then::Leave | Then::LeaveGreeted | Then::LeaveUngreeted | Then::Nothing => Advance::Leave,
        }
    }

    fn take_direct_tls(&mut self) -> Stepped {
        let malformed = |message: String| Error::new(ErrorKind::Malformed, message);
        let Some(protocol) = self.machine.direct_tls() else {
            let error = malformed("the client begins TLS without asking for it".to_owned());
            return Err(self.failed(error, false));
        };
        if let Then::Tls(tls) = &mut self.then
            && let Err(error) = tls.require_alpn(protocol)
        {
            return Err(self.failed(malformed(error.to_string()), false));
        }
        match self.asks {
            true => Ok(Advance::Ask(TlsWanted)),
            false => Ok(self.finish()),
        }
    }

    fn failed(&self, error: Error, optional: bool) -> Failure {
        let peel = error.leaves_plaintext(optional);
        let error = error.of_layer(self.protocol);
        if peel { Failure::peel(error) } else { Failure::lose(error) }
    }
}

type Advance = opening::Advance<TlsWanted>;

type Stepped = Result<Advance, Failure>;

impl Negotiation for Start {
    type Question = TlsWanted;
    type Facts = TlsFacts;

    fn name(&self) -> &'static str {
        "starttls"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "starttls {} {}", self.protocol, self.role)
    }

    fn details(&self) -> Vec<String> {
        vec![format!("{} {}", self.protocol, self.role)]
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Stepped {
        if let Then::LeaveUngreeted = self.then {
            return Ok(self.finish());
        }
        if self.is_foreign(exchange.input()) {
            return self.take_direct_tls();
        }
        let progress = self.machine.advance(exchange);
        self.step(progress, exchange)
    }

    /// Those of TLS, which it becomes.
    fn facts(&self) -> Option<TlsFacts> {
        None
    }

    fn awaits(&self) -> &'static str {
        self.machine.awaits()
    }

    /// No protocol here begins with what a ClientHello begins with (RFC 8446 section 5.1), and one that reads lines would
    /// wait for the end of this one.
    fn is_foreign(&self, input: &[u8]) -> bool {
        self.role == Role::Server && input.starts_with(&HANDSHAKE_RECORD)
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        self.machine.turn_away(exchange);
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> Stepped {
        if self.granting.is_empty() {
            // A client that has begun TLS by itself hears no other words, and one of MySQL waits for none.
            return Err(self.failed(Error::declined(), false));
        }
        self.granting.clear();
        match self.machine.decline(exchange) {
            true => Ok(Advance::Going),
            false => Err(self.failed(Error::declined(), false)),
        }
    }

    fn failure(&mut self, error: opening::Error) -> Failure {
        self.failed(Error::from(error), false)
    }
}

impl Answerable for Start {
    type Grant = ();
    /// Every refusal is the one that the protocol has.
    type Refusal = ();

    fn grant(&mut self, (): (), exchange: &mut Exchange<'_>) -> Stepped {
        exchange.send(&std::mem::take(&mut self.granting));
        Ok(self.finish())
    }

    fn refuse(&mut self, (): (), exchange: &mut Exchange<'_>) -> Stepped {
        self.decline(exchange)
    }
}

/// The type of the record and the major version.
const HANDSHAKE_RECORD: [u8; 2] = [22, 3];
