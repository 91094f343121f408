//! The protocol of the tests: a client has itself connected.
//!
//! ```text
//! S: HELLO
//! C: DIAL target
//! S: NO 404            and the client may dial again; from 500 on it may not
//! C: DIAL target
//! S: OK address
//!    ─── what the two say to each other ───
//! ```

use std::convert::Infallible;

use onionskin::layer::opening::{Advance, Answerable, Exchange, Negotiation, Opening};
use onionskin::stack::{Failure, LayerError, LayerErrorKind};

/// The client. Its facts are the address.
#[derive(Debug)]
pub(crate) struct Dial {
    target: &'static str,
    state: Dialing,
}

#[derive(Debug)]
enum Dialing {
    Connected,
    Dialed,
    Through(String),
}

pub(crate) fn dial(target: &'static str) -> Opening<Dial> {
    Opening::of(Dial { target, state: Dialing::Connected })
}

impl Negotiation for Dial {
    type Question = Infallible;
    type Facts = String;

    fn name(&self) -> &'static str {
        "dial"
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, Failure> {
        let Some(line) = exchange.line()? else { return Ok(Advance::Waiting) };
        let line = String::from_utf8_lossy(line).into_owned();
        match (&self.state, line.split_once(' ')) {
            (Dialing::Connected, None) if line == "HELLO" => {
                exchange.ask(format!("DIAL {}\n", self.target).as_bytes())?;
                self.state = Dialing::Dialed;
                Ok(Advance::Going)
            }
            (Dialing::Dialed, Some(("OK", address))) => {
                self.state = Dialing::Through(address.to_owned());
                Ok(Advance::Leave)
            }
            (Dialing::Dialed, Some(("NO", code))) => {
                Err(LayerError::new(LayerErrorKind::Refused, format!("the operator says no: {code}")).into())
            }
            _ => Err(LayerError::new(LayerErrorKind::Protocol, "that is no operator").into()),
        }
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            Dialing::Connected => "the hello",
            Dialing::Dialed | Dialing::Through(_) => "the answer",
        }
    }

    fn facts(&self) -> Option<String> {
        match &self.state {
            Dialing::Through(address) => Some(address.clone()),
            _ => None,
        }
    }
}

/// The server. It asks its application for each target; its facts are the target that was reached.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    has_greeted: bool,
    target: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(pub(crate) String);

pub(crate) fn operator() -> Opening<Operator> {
    Opening::of(Operator::default())
}

impl Negotiation for Operator {
    type Question = Target;
    type Facts = String;

    fn name(&self) -> &'static str {
        "operator"
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Target>, Failure> {
        if !self.has_greeted {
            self.has_greeted = true;
            exchange.send(b"HELLO\n");
            return Ok(Advance::Going);
        }
        let Some(line) = exchange.line()? else { return Ok(Advance::Waiting) };
        match line.strip_prefix(b"DIAL ") {
            Some(target) => {
                self.target = String::from_utf8_lossy(target).into_owned();
                Ok(Advance::Ask(Target(self.target.clone())))
            }
            None => {
                exchange.refuse(b"WHAT\n");
                Ok(Advance::Going)
            }
        }
    }

    fn awaits(&self) -> &'static str {
        "a target"
    }

    fn facts(&self) -> Option<String> {
        Some(self.target.clone())
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"BYE\n");
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Target>, Failure> {
        exchange.send(b"NO 503\n");
        Err(LayerError::new(LayerErrorKind::Unsupported, "nobody knows").into())
    }
}

impl Answerable for Operator {
    /// The address that was reached.
    type Grant = String;
    type Refusal = u16;

    fn grant(&mut self, address: String, exchange: &mut Exchange<'_>) -> Result<Advance<Target>, Failure> {
        exchange.send(format!("OK {address}\n").as_bytes());
        Ok(Advance::Leave)
    }

    fn refuse(&mut self, code: u16, exchange: &mut Exchange<'_>) -> Result<Advance<Target>, Failure> {
        exchange.send(format!("NO {code}\n").as_bytes());
        if code < 500 {
            return Ok(Advance::Going);
        }
        Err(LayerError::new(LayerErrorKind::Refused, format!("refused with {code}")).into())
    }
}
