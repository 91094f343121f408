//! The leg that has an application protocol ask for TLS.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::tls::name_to_verify;
use super::{AcceptLeg, Arrival, DialLeg, Route, RouteError};
use crate::connection::{Connection, Error as ConnectionError};
use crate::runtime::{Address, Socket};
use crate::starttls::{Error, ErrorKind, KnownProtocol, Opportunity, Postgres, StartTls};
use crate::tls::{TlsClient, TlsLayer, TlsServer};

/// What both sides do alike.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) protocol: KnownProtocol,
    /// What this side calls itself.
    pub(crate) own_name: Option<String>,
    /// Goes on in clear if there is no TLS.
    pub(crate) opportunistic: bool,
}

impl Spoken {
    async fn start(
        &self,
        connection: &mut Connection<Socket>,
        peer: &dyn StartTls,
        tls: TlsLayer,
    ) -> Result<(), ConnectionError> {
        if !self.opportunistic {
            connection.start_tls_as(peer, tls).await?;
            return Ok(());
        }
        if let Opportunity::Cleartext(error) = connection.start_tls_opportunistic(peer, tls).await? {
            log::warn!("{connection}: goes on in clear: {error}");
        }
        Ok(())
    }
}

/// As a client, with the name to ask for and to verify: that of the target unless another is given.
#[derive(Debug)]
pub(crate) struct DialStartTls {
    pub(crate) spoken: Spoken,
    pub(crate) client: TlsClient,
    pub(crate) name: Option<String>,
}

impl DialLeg for DialStartTls {
    fn dial(&self, mut route: Route) -> BoxFuture<'_, Result<Route, RouteError>> {
        async move {
            let name = name_to_verify(self.name.as_ref(), route.target())?;
            let local = route.connection().get_ref().local_address().as_tcp().map(|address| address.ip());
            let peer = self.spoken.protocol.client_at(&name, self.spoken.own_name.as_deref(), local);
            self.spoken.start(route.connection_mut(), &*peer, self.client.to(&name)?).await?;
            Ok(route)
        }
        .boxed()
    }

    fn leads_to(&self, target: Option<Address>) -> Result<Option<Address>, RouteError> {
        name_to_verify(self.name.as_ref(), target.as_ref())?;
        Ok(target)
    }
}

/// As a server.
#[derive(Debug)]
pub(crate) struct AcceptStartTls {
    pub(crate) spoken: Spoken,
    pub(crate) server: TlsServer,
}

impl AcceptLeg for AcceptStartTls {
    fn accept(&self, mut route: Route) -> BoxFuture<'_, Result<Arrival, RouteError>> {
        async move {
            let peer = match self.spoken.protocol {
                KnownProtocol::Postgres if route.serves_cancels() => Box::new(Postgres::new().accept_cancel()),
                protocol => protocol.peer("localhost", self.spoken.own_name.as_deref()),
            };
            let tls = self.server.accept()?;
            match self.spoken.start(route.connection_mut(), &*peer, tls).await {
                Ok(()) => Ok(Arrival::Here(route)),
                Err(error) if route.serves_cancels() && is_cancel(&error) => Ok(Arrival::Cancel(route)),
                Err(error) => Err(error.into()),
            }
        }
        .boxed()
    }

    fn tls_server(&self) -> Option<&TlsServer> {
        Some(&self.server)
    }
}

fn is_cancel(error: &ConnectionError) -> bool {
    Error::of(error).is_some_and(|error| error.kind() == ErrorKind::Cancel)
}
