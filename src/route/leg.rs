//! What a route is made of.

use std::fmt::Debug;

use futures::future::{BoxFuture, ready};

use super::{Asked, Route, RouteError};
use crate::connection::Connection;
use crate::runtime::{Address, ListeningSocket, Socket};
use crate::tls::TlsServer;

/// What the side that connects does on its way, for any number of connections: a function from route to route.
///
/// ```
/// use futures::FutureExt;
/// use futures::future::BoxFuture;
/// use onionskin::route::{DialLeg, Route, RouteError};
/// use onionskin::runtime::Address;
///
/// /// Asks a switchboard that takes a line with the name, and says nothing.
/// #[derive(Debug)]
/// struct Switchboard(Address);
///
/// impl DialLeg for Switchboard {
///     fn dial(&self, mut route: Route) -> BoxFuture<'_, Result<Route, RouteError>> {
///         async move {
///             route.connection_mut().write_line(self.0.to_string()).await?;
///             Ok(route.through_to(self.0.clone()))
///         }
///         .boxed()
///     }
///
///     fn leads_to(&self, _: Option<Address>) -> Result<Option<Address>, RouteError> {
///         Ok(Some(self.0.clone()))
///     }
/// }
/// ```
pub trait DialLeg: Debug + Send + Sync {
    /// Goes this leg.
    ///
    /// # Errors
    ///
    /// When it does not come through; the connection is dropped then.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    fn dial(&self, route: Route) -> BoxFuture<'_, Result<Route, RouteError>>;

    /// Leads on to what is asked over a connection that this leg has kept from another time, so that the way there need not be gone.
    /// `None` where it has none, as most legs never do.
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial).
    ///
    /// # Cancellation
    ///
    /// Leaves the connection to the others that use it.
    fn dial_kept<'a>(&'a self, _asked: &'a mut Asked) -> BoxFuture<'a, Result<Option<Connection<Socket>>, RouteError>> {
        Box::pin(ready(Ok(None)))
    }

    /// Who is the target behind this leg, where `target` is the one before it. It is asked before anything is connected to.
    ///
    /// # Errors
    ///
    /// When this leg can go nowhere from there: TLS cannot without a name to verify.
    fn leads_to(&self, target: Option<Address>) -> Result<Option<Address>, RouteError> {
        Ok(target)
    }
}

/// What the side that is connected to does with a peer, for any number of peers.
pub trait AcceptLeg: Debug + Send + Sync {
    /// Goes this leg.
    ///
    /// # Errors
    ///
    /// When it does not come through; the connection is dropped then.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    fn accept(&self, route: Route) -> BoxFuture<'_, Result<Arrival, RouteError>>;

    /// Whether it is known behind this leg only who the peer is: it reads a PROXY header, or the peer carries others.
    fn tells_peer(&self) -> bool {
        false
    }

    /// The server of TLS that it has, if it has one.
    fn tls_server(&self) -> Option<&TlsServer> {
        None
    }
}

/// What has come out of an [`AcceptLeg`].
#[derive(Debug)]
pub enum Arrival {
    /// The peer, one leg further.
    Here(Route),
    /// A peer that has come only to cancel something, and goes no further.
    Cancel(Route),
    /// A peer that carries others: each of them is accepted there, and goes the legs behind this one. Once
    /// [`has_ended`](ListeningSocket::has_ended) says that none will come any more, it is over.
    Carrier(ListeningSocket),
}
