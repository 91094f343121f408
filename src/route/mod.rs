//! From a socket to the target: what lies between is a route, and each leg of it is a function from route to route.
//!
//! ```text
//!    the socket            a proxy                   the target
//! ──────┬──────── leg ────────┬──────── leg ────────────┬──────
//!       │  tls: verifies      │  a tunnel: the proxy is │  tls: verifies
//!       │  the proxy's name   │  asked for the target   │  the target's name
//! ```
//!
//! A [`Route`] is a connection and who is at its far end. A leg ([`DialLeg`]) puts something on top, as TLS does, or has it
//! lead on to somebody else, as a proxy does that is asked for a tunnel; the connection may be another one then, with the
//! first as its socket. Whoever comes later asks the route who the target is, and verifies that name. So what leads through
//! others needs no exception anywhere: neither in TLS nor in what connects.
//!
//! The side that is connected to has the same ([`AcceptLeg`]), with one thing more: a peer that was accepted may carry
//! connections of others, so what comes out of a leg may be a place to accept from again. Accepting is a tree.
//!
//! ```text
//! listener ── peer ── tls ── here: a connection
//!          └─ peer ── tls ── a carrier ──┬── peer ── tls ── here: a connection
//!                                        └── peer ── tls ── here: a connection
//! ```
//!
//! Nothing here knows how any of them is written in an endpoint.
//!
//! | file | idea |
//! |---|---|
//! | `leg.rs` | the two kinds of legs, and what comes out of them |
//! | `error.rs`, `hop_error.rs` | why a leg has not come through, and which of the proxies it was |
//! | `tls.rs`, `starttls.rs`, `proxy_header.rs` | legs that put something on top |
//! | `tunnel.rs`, `asked.rs` | the leg that leads on to somebody else, and what the proxy is asked there |
//! | `carriers.rs` | connections of HTTP/2 to the last proxy, which many tunnels use |

mod asked;
#[cfg(feature = "http2")]
mod carriers;
mod error;
mod hop_error;
mod leg;
pub(crate) mod proxy_header;
pub(crate) mod starttls;
pub(crate) mod tls;
pub(crate) mod tunnel;

use std::sync::Arc;

pub use self::asked::Asked;
pub(crate) use self::asked::{Departures, Sharing};
pub use self::error::{RouteError, RouteErrorKind};
pub(crate) use self::hop_error::Again;
pub use self::hop_error::HopError;
pub use self::leg::{AcceptLeg, Arrival, DialLeg};
use crate::connection::{Addresses, Connection};
use crate::runtime::{Address, Socket, Timer};

/// A connection on its way to the target.
#[derive(Debug)]
pub struct Route {
    connection: Connection<Socket>,
    timer: Arc<dyn Timer>,
    claimed: Option<Addresses>,
    serves_cancels: bool,
    /// What is known from going the same way before, by the numbers of the hops.
    known: Vec<(usize, Again)>,
    /// What the next proxy is to be asked, and not what it would be.
    asked: Option<Asked>,
}

impl Route {
    /// The route that begins with `socket`: who is at its other end is the target, unless the socket is a tunnel to
    /// somebody else.
    pub fn new(socket: Socket, timer: Arc<dyn Timer>) -> Self {
        Self::resumed(Connection::over(socket, Arc::clone(&timer)), timer)
    }

    /// The route that goes on from a tunnel of another time.
    pub(crate) fn resumed(connection: Connection<Socket>, timer: Arc<dyn Timer>) -> Self {
        Self { connection, timer, claimed: None, serves_cancels: false, known: Vec::new(), asked: None }
    }

    /// The connection as it is so far.
    pub fn connection(&self) -> &Connection<Socket> {
        &self.connection
    }

    /// The connection as it is so far, to speak over it or to put layers on.
    pub fn connection_mut(&mut self) -> &mut Connection<Socket> {
        &mut self.connection
    }

    /// The end of the route.
    pub fn into_connection(self) -> Connection<Socket> {
        self.connection
    }

    /// Who is at the far end, as it was asked for. `None` of a peer that has connected to us, and of a socket that was
    /// handed down.
    pub fn target(&self) -> Option<&Address> {
        self.connection.addresses().target.as_ref()
    }

    /// The route with this target, where the socket alone does not tell whom it leads to.
    #[must_use]
    pub fn towards(mut self, target: Address) -> Self {
        let addresses = self.connection.addresses().clone().towards(target);
        self.connection.set_addresses(addresses);
        self
    }

    /// The route after who was the target has agreed to pass on to `target` whatever comes over this connection.
    #[must_use]
    pub fn through_to(mut self, target: Address) -> Self {
        let hop = self.connection.next_hop(target);
        self.connection.led_on(hop);
        self
    }

    /// The route that goes on over `tunnel`, which runs over the connection so far or over one that carries many.
    #[must_use]
    pub fn over(self, tunnel: impl FnOnce(Connection<Socket>) -> Socket) -> Self {
        let socket = tunnel(self.connection);
        Self { connection: Connection::over(socket, Arc::clone(&self.timer)), ..self }
    }

    /// The clock of its connections.
    pub fn timer(&self) -> Arc<dyn Timer> {
        Arc::clone(&self.timer)
    }

    /// Speaks for a client whose connection to us has these addresses: a PROXY header tells of them.
    pub(crate) fn claiming(mut self, client: Option<Addresses>) -> Self {
        self.claimed = client;
        self
    }

    /// For whom it speaks: somebody else, or itself.
    pub(crate) fn claimed(&self) -> &Addresses {
        self.claimed.as_ref().unwrap_or(self.connection.addresses())
    }

    /// Goes this way again, knowing this of its hops.
    pub(crate) fn knowing(mut self, known: &[(usize, Again)]) -> Self {
        self.known = known.to_vec();
        self
    }

    /// What is known of the next hop from going the same way before, the latest first.
    pub(crate) fn known_of_next(&self) -> impl Iterator<Item = &Again> {
        let number = self.connection.route().len() + 1;
        self.known.iter().rev().filter(move |(known, _)| *known == number).map(|(_, again)| again)
    }

    /// The connection as it is so far, and how the route goes on over another one.
    #[cfg(feature = "http2")]
    pub(crate) fn take_apart(self) -> (Connection<Socket>, impl FnOnce(Connection<Socket>) -> Self) {
        let Self { connection, timer, claimed, serves_cancels, known, asked } = self;
        (connection, move |connection| Self { connection, timer, claimed, serves_cancels, known, asked })
    }

    /// Takes peers too that have come only to cancel something.
    pub(crate) fn serving_cancels(mut self) -> Self {
        self.serves_cancels = true;
        self
    }

    /// Has the next proxy asked this.
    pub(crate) fn asking(mut self, asked: Asked) -> Self {
        self.asked = Some(asked);
        self
    }

    pub(crate) fn take_asked(&mut self) -> Option<Asked> {
        self.asked.take()
    }

    pub(crate) fn serves_cancels(&self) -> bool {
        self.serves_cancels
    }
}
