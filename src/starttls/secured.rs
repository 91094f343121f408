//! STARTTLS around a protocol of the callback side.

use super::{Error, Negotiate};
use crate::protocol::{EndReason, LayerId, LayerView, PeerAnswer, Protocol, Result, Transport};
use crate::stack::LayerError;

/// A protocol that begins behind STARTTLS: no callback is made before TLS is there.
///
/// ```
/// use onionskin::protocol::Protocol;
/// use onionskin::starttls::{Negotiate, Secured, Smtp};
/// use onionskin::tls::{ConfigError, TlsServer};
///
/// # struct Mail;
/// # impl Protocol for Mail {}
/// fn mail(server: &TlsServer) -> Result<impl Protocol, ConfigError> {
///     let smtp = Smtp::new().named("mail.example");
///     Ok(Secured::new(Mail, Negotiate::new(smtp, server.accept()?)))
/// }
/// ```
///
/// [`connection_made`](Protocol::connection_made) comes when the handshake is done. If the negotiation fails before, the
/// protocol inside is told nothing at all. With [`Negotiate::opportunistic`], a connection that goes on in clear is made
/// too, and [`layer_failed`](Protocol::layer_failed) follows, which closes it unless the protocol does something else. If the
/// handshake fails, the connection is closed, also with [`OnFailure::Peel`](crate::tls::OnFailure::Peel).
#[derive(Debug)]
pub struct Secured<P> {
    protocol: P,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The connection is not there yet.
    New(Box<Negotiate>),
    Negotiating(LayerId),
    /// The protocol inside has taken over.
    Open,
    /// It never will.
    Refused,
}

impl<P: Protocol> Secured<P> {
    /// Lets `negotiate` do its work first.
    pub fn new(protocol: P, negotiate: Negotiate) -> Self {
        Self { protocol, state: State::New(Box::new(negotiate)) }
    }

    /// The protocol inside.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    fn is_ours(&self, layer: LayerId) -> bool {
        matches!(self.state, State::Negotiating(id) if id == layer)
    }
}

impl<P: Protocol> Protocol for Secured<P> {
    /// Nothing until TLS is there: the defaults then do what they do without a protocol inside, but that nothing can be
    /// read, as the layer gives nothing up.
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        match self.state {
            State::Open => Some(&mut self.protocol),
            State::New(_) | State::Negotiating(_) | State::Refused => None,
        }
    }

    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        if let State::New(negotiate) = std::mem::replace(&mut self.state, State::Refused) {
            self.state = State::Negotiating(transport.open(*negotiate)?);
        }
        Ok(())
    }

    /// The one thing that the protocol inside hears before TLS is there, if the negotiation is
    /// [asking](Negotiate::asking).
    fn layer_asked(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.protocol.layer_asked(transport, layer)
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        if self.is_ours(layer.id) && layer.tls.is_some() {
            self.state = State::Open;
            return self.protocol.connection_made(transport);
        }
        self.wrapped().map_or(Ok(()), |inner| inner.layer_ready(transport, layer))
    }

    fn layer_failed(&mut self, transport: &mut Transport<'_>, layer: LayerId, error: &LayerError) -> Result {
        // A handshake that fails is nothing that both sides agree on, whatever TLS is told to do then.
        if self.is_ours(layer) && Error::of(error).is_some() {
            self.state = State::Open;
            self.protocol.connection_made(transport)?;
        }
        match self.wrapped() {
            Some(inner) => inner.layer_failed(transport, layer, error),
            None => Err(error.clone().into()),
        }
    }

    /// A negotiation that leaves without TLS was not what was asked for.
    fn layer_stopped(&mut self, transport: &mut Transport<'_>, layer: LayerId, answer: PeerAnswer) -> Result {
        if self.is_ours(layer) {
            transport.close();
        }
        self.wrapped().map_or(Ok(()), |inner| inner.layer_stopped(transport, layer, answer))
    }

    fn stop_requested(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.wrapped() {
            Some(inner) => inner.stop_requested(transport),
            None => {
                transport.close();
                Ok(())
            }
        }
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        if let Some(inner) = self.wrapped() {
            inner.connection_ended(reason);
        }
    }
}
