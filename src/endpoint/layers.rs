//! The steps of an endpoint, made ready: files are read, and sessions can be resumed.
//!
//! A new kind of step is a variant of both enums, and an arm in `new` and `open` of each.

use super::open_error::{OpenError, OpenErrorKind};
use super::{ProxyStep, StartTlsStep, Step, TlsStep, Transport};
use crate::connection::Connection;
use crate::protocol::Addresses;
use crate::runtime::Socket;
use crate::starttls::Opportunity;
use crate::tls::{TlsClient, TlsLayer, TlsServer};

/// What a client does for one step, for any number of connections.
#[derive(Clone, Debug)]
pub(super) enum ClientLayer {
    /// With the name to verify.
    Tls(TlsClient, String),
    StartTls(Box<StartTlsStep>, TlsClient, String),
    Proxy(ProxyStep),
}

impl ClientLayer {
    /// A `tls` step without a name verifies the host of `transport`.
    pub(super) fn new(step: &Step, transport: &Transport) -> Result<Self, OpenError> {
        match step {
            Step::Tls(tls) => Ok(Self::Tls(tls.client()?, server_name(tls, transport)?)),
            Step::StartTls(step) => {
                Ok(Self::StartTls(step.clone(), step.tls.client()?, server_name(&step.tls, transport)?))
            }
            Step::Proxy(proxy) => match proxy.client_mistake() {
                Some(mistake) => Err(OpenErrorKind::Misused(mistake.to_owned()).into()),
                None => Ok(Self::Proxy(proxy.clone())),
            },
        }
    }

    pub(super) async fn open(&self, connection: &mut Connection<Socket>) -> Result<(), OpenError> {
        match self {
            Self::Tls(client, name) => {
                connection.start_tls(client.to(name)?).await?;
                Ok(())
            }
            Self::StartTls(step, client, name) => start_tls(connection, step, client.to(name)?, name).await,
            Self::Proxy(proxy) => {
                let header = proxy.header(&Addresses::from(connection.get_ref()));
                Ok(connection.send_proxy(&header).await?)
            }
        }
    }
}

/// What a server does for one step, for any number of connections.
#[derive(Clone, Debug)]
pub(super) enum ServerLayer {
    Tls(TlsServer),
    StartTls(Box<StartTlsStep>, TlsServer),
    Proxy(ProxyStep),
}

impl ServerLayer {
    pub(super) fn new(step: &Step) -> Result<Self, OpenError> {
        match step {
            Step::Tls(tls) => Ok(Self::Tls(tls.server()?)),
            Step::StartTls(step) => Ok(Self::StartTls(step.clone(), step.tls.server()?)),
            Step::Proxy(proxy) => match proxy.server_mistake() {
                Some(mistake) => Err(OpenErrorKind::Misused(mistake.to_owned()).into()),
                None => Ok(Self::Proxy(proxy.clone())),
            },
        }
    }

    /// Whether [`open`](Self::open) may tell who the peer is.
    pub(super) fn tells_peer(&self) -> bool {
        matches!(self, Self::Proxy(_))
    }

    /// Who talks to whom, if the layer tells it.
    pub(super) async fn open(&self, connection: &mut Connection<Socket>) -> Result<Option<Addresses>, OpenError> {
        match self {
            Self::Tls(server) => {
                connection.start_tls(server.accept()?).await?;
                Ok(None)
            }
            Self::StartTls(step, server) => {
                start_tls(connection, step, server.accept()?, "localhost").await?;
                Ok(None)
            }
            Self::Proxy(proxy) => {
                let header = connection.accept_proxy(proxy.accept()).await?;
                let socket = Addresses::from(connection.get_ref());
                Ok(header.map(|header| super::proxy::addresses(header, &socket)))
            }
        }
    }
}

/// The name to ask for and to verify.
fn server_name(tls: &TlsStep, transport: &Transport) -> Result<String, OpenError> {
    let name = tls.server_name.as_ref().or(transport.host());
    name.cloned().ok_or_else(|| OpenErrorKind::NoName.into())
}

async fn start_tls(
    connection: &mut Connection<Socket>,
    step: &StartTlsStep,
    tls: TlsLayer,
    server: &str,
) -> Result<(), OpenError> {
    let peer = step.peer(server);
    if !step.opportunistic {
        connection.start_tls_as(&*peer, tls).await?;
        return Ok(());
    }
    if let Opportunity::Plain(error) = connection.start_tls_opportunistic(&*peer, tls).await? {
        log::warn!("{connection}: goes on in clear: {error}");
    }
    Ok(())
}
