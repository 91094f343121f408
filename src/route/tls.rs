//! The leg that starts TLS.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{AcceptLeg, Again, Arrival, DialLeg, Route, RouteError, RouteErrorKind};
use crate::runtime::Address;
use crate::tls::{TlsClient, TlsServer};

/// As a client, with the name to ask for and to verify: that of the target unless another is given.
#[derive(Debug)]
pub(crate) struct DialTls {
    pub(crate) client: TlsClient,
    pub(crate) name: Option<String>,
    /// Whether HTTP/1.1 alone can be offered, where the next step is for a proxy that may do it better.
    pub(crate) can_be_in_http1: bool,
}

impl DialLeg for DialTls {
    fn dial(&self, mut route: Route) -> BoxFuture<'_, Result<Route, RouteError>> {
        async move {
            let name = name_to_verify(self.name.as_ref(), route.target())?;
            let tls = if self.can_be_in_http1 && route.known_of_next().any(|again| *again == Again::InHttp1) {
                self.client.to_speak(&name, ["http/1.1"])?
            } else {
                self.client.to(&name)?
            };
            route.connection_mut().start_tls(tls).await?;
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
pub(crate) struct AcceptTls(pub(crate) TlsServer);

impl AcceptLeg for AcceptTls {
    fn accept(&self, mut route: Route) -> BoxFuture<'_, Result<Arrival, RouteError>> {
        async move {
            route.connection_mut().start_tls(self.0.accept()?).await?;
            Ok(Arrival::Here(route))
        }
        .boxed()
    }

    fn tls_server(&self) -> Option<&TlsServer> {
        Some(&self.0)
    }
}

/// The name that a certificate must have: the one that was given, or else that of the target, whoever the socket leads to.
pub(super) fn name_to_verify(given: Option<&String>, target: Option<&Address>) -> Result<String, RouteError> {
    let name = given.cloned().or_else(|| target.and_then(Address::host));
    name.ok_or_else(|| RouteErrorKind::NoName.into())
}
