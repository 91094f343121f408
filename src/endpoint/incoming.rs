//! A peer on its way through the steps.

use std::sync::Arc;

use super::open_error::{OpenError, OpenErrorKind};
use super::{Endpoint, Listener, Silence};
use crate::connection::{Addresses, Connection};
use crate::route::{AcceptLeg, Arrival, Route};
use crate::runtime::{Runtime, Socket};
use crate::tls::TlsServer;

/// A peer that has connected.
#[derive(Debug)]
pub struct Incoming {
    arrival: Arrival,
    addresses: Addresses,
    legs: Arc<[Arc<dyn AcceptLeg>]>,
    /// So many of them it has behind it.
    gone: usize,
    runtime: &'static dyn Runtime,
    endpoint: Arc<Endpoint>,
}

impl Incoming {
    pub(super) fn new(
        route: Route,
        runtime: &'static dyn Runtime,
        endpoint: Arc<Endpoint>,
        legs: Arc<[Arc<dyn AcceptLeg>]>,
    ) -> Self {
        let addresses = route.connection().addresses().clone();
        Self { arrival: Arrival::Here(route), addresses, legs, gone: 0, runtime, endpoint }
    }

    /// Who talks to whom: the two ends of the socket.
    ///
    /// Behind a `proxy-header` step the other end is the proxy, until [`identify`](Self::identify) has heard for whom it speaks.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The server of TLS that the innermost step with TLS has, with the certificates that it has now: for further connections of
    /// the same peer, as FTP has them for data.
    pub fn tls_server(&self) -> Option<&TlsServer> {
        self.legs.iter().rev().find_map(|leg| leg.tls_server())
    }

    /// Does the handshakes as far as one of them tells who the peer is: up to the innermost `proxy-header` step, after which
    /// [`addresses`](Self::addresses) are those in the header, or until the peer turns out to [carry](Self::is_carrier)
    /// others. Without such a step it does nothing.
    ///
    /// # Errors
    ///
    /// When a handshake fails.
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    pub async fn identify(self) -> Result<Self, OpenError> {
        let last = self.legs.iter().rposition(|leg| leg.tells_peer());
        self.go(last.map_or(0, |last| last + 1)).await
    }

    /// Goes the first so many legs, or as far as there is a connection that can go them.
    async fn go(mut self, until: usize) -> Result<Self, OpenError> {
        let legs = Arc::clone(&self.legs);
        for leg in legs.iter().take(until).skip(self.gone) {
            let Arrival::Here(route) = self.arrival else { break };
            self.arrival = leg.accept(route).await?;
            self.gone += 1;
        }
        if let Arrival::Here(route) = &self.arrival {
            self.addresses = route.connection().addresses().clone();
        }
        Ok(self)
    }

    /// Whether this peer is known by now to carry others, so that it is no connection itself.
    pub fn is_carrier(&self) -> bool {
        matches!(self.arrival, Arrival::Carrier(_))
    }

    /// Where those are accepted whom this peer [carries](Self::is_carrier), to do what is left of the steps; `None` if it
    /// carries nobody, and then it is closed.
    pub fn into_carrier(self) -> Option<Listener> {
        match self.arrival {
            Arrival::Carrier(sockets) => {
                Some(Listener::carried(self.runtime, sockets, &self.endpoint, self.legs[self.gone..].into()))
            }
            Arrival::Here(_) | Arrival::Cancel(_) => None,
        }
    }

    /// Turns the peer away: nothing more is said, and its connection is [reset](Socket::reset), or closed where the
    /// transport knows no reset. So no client takes it for the end of what there was to say.
    pub fn turn_away(self) {
        if let Arrival::Here(route) | Arrival::Cancel(route) = self.arrival {
            // What cannot be reset is closed by that.
            let _ = route.into_connection().reset();
        }
    }

    /// Does the handshakes of all layers, from the wire inwards.
    ///
    /// # Errors
    ///
    /// When a handshake fails, and when the peer [carries](Self::is_carrier) others.
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    pub async fn ready(self) -> Result<Connection<Socket>, OpenError> {
        let count = self.legs.len();
        match self.go(count).await?.arrival {
            Arrival::Here(route) | Arrival::Cancel(route) => Ok(route.into_connection()),
            Arrival::Carrier(_) => Err(OpenErrorKind::Carrier.into()),
        }
    }

    /// As [`ready`](Self::ready), and also serves peers that have come for something that needs no TLS: behind a step
    /// `starttls:postgres` those who want to cancel a query. For [`ready`](Self::ready) these have failed.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Cancellation
    ///
    /// As [`ready`](Self::ready).
    pub async fn admit(mut self) -> Result<Admitted, OpenError> {
        if let Arrival::Here(route) = self.arrival {
            self.arrival = Arrival::Here(route.serving_cancels());
        }
        let count = self.legs.len();
        match self.go(count).await?.arrival {
            Arrival::Here(route) => Ok(Admitted::Session(route.into_connection())),
            Arrival::Cancel(route) => Ok(Admitted::Cancel(route.into_connection())),
            Arrival::Carrier(_) => Err(OpenErrorKind::Carrier.into()),
        }
    }
}

/// What a peer has come for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Admitted {
    /// All layers are there.
    Session(Connection<Socket>),
    /// To cancel a query of another connection of PostgreSQL's: the next to be read is a CancelRequest, in clear, and the peer
    /// waits for the end of the connection; see [`Postgres::accept_cancel`](crate::starttls::Postgres::accept_cancel).
    Cancel(Connection<Socket>),
}

/// The route that the legs begin with.
pub(super) fn begin(socket: Socket, runtime: &'static dyn Runtime, silence: Silence) -> Route {
    let mut route = Route::new(socket, Arc::new(runtime));
    if let Some(layer) = silence.layer() {
        route.connection_mut().splice(layer).expect("a connection without layers takes one");
    }
    route
}
