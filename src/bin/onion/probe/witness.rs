//! How far a negotiation came, which its error does not tell: a server that hangs up before it was asked for TLS has not
//! refused what was to stand behind the request.

use std::sync::{Arc, Mutex, PoisonError};

use onionskin::stack::Layer;
use onionskin::starttls::{Error, Exchange, Greets, Machine, Progress, StartTls};

use super::seen::Seen;

/// A protocol that is watched as a client.
#[derive(Debug)]
pub(super) struct Witness {
    protocol: Box<dyn StartTls>,
    reached: Arc<Mutex<Reached>>,
    seen: Option<Seen>,
}

/// What has happened, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Nothing,
    /// The request was sent.
    Request,
    /// The server agreed.
    GoAhead,
}

impl Witness {
    pub(super) fn new(protocol: Box<dyn StartTls>) -> Self {
        Self { protocol, reached: Arc::new(Mutex::new(Reached::Nothing)), seen: None }
    }

    /// Has the handshake seen too, where it goes right onto the connection: not in packets of the protocol.
    pub(super) fn watching(mut self, seen: &Seen) -> Self {
        self.seen = Some(seen.clone());
        self
    }

    /// How far the client has come.
    pub(super) fn reached(&self) -> Reached {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StartTls for Witness {
    fn name(&self) -> &'static str {
        self.protocol.name()
    }

    fn greets(&self) -> Greets {
        self.protocol.greets()
    }

    fn client(&self) -> Box<dyn Machine> {
        let (reached, seen) = (Arc::clone(&self.reached), self.seen.clone());
        Box::new(Watched { negotiation: self.protocol.client(), reached, seen })
    }

    fn server(&self) -> Box<dyn Machine> {
        self.protocol.server()
    }
}

#[derive(Debug)]
struct Watched {
    negotiation: Box<dyn Machine>,
    reached: Arc<Mutex<Reached>>,
    seen: Option<Seen>,
}

impl Machine for Watched {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let progress = self.negotiation.advance(exchange)?;
        let reached = match progress {
            Progress::Asked => Reached::Request,
            Progress::GoAhead => Reached::GoAhead,
            _ => return Ok(progress),
        };
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = reached;
        Ok(progress)
    }

    fn awaits(&self) -> &'static str {
        self.negotiation.awaits()
    }

    fn layer_below_tls(&mut self) -> Option<Box<dyn Layer>> {
        let layer = self.negotiation.layer_below_tls();
        let Some(seen) = &self.seen else { return layer };
        seen.lock().is_agreed = true;
        layer.or_else(|| Some(Box::new(seen.tap())))
    }
}
