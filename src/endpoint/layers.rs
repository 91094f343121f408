//! The steps of an endpoint, made ready: files are read, and sessions can be resumed.
//!
//! A new kind of step is a variant of both enums, and an arm in `new` and `open` of each. That files can be read again
//! while connections are opened is no concern of a kind: [`Layers`] makes all steps anew and exchanges them together.

use std::sync::{Arc, Mutex, MutexGuard};

use super::open_error::{OpenError, OpenErrorKind};
use super::{ProxyStep, StartTlsStep, Step, TlsStep, Transport};
use crate::connection::Connection;
use crate::protocol::Addresses;
use crate::runtime::Socket;
use crate::tls::{TlsClient, TlsServer};

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

    /// A PROXY header tells of `told`, where its step names no others.
    pub(super) async fn open(&self, connection: &mut Connection<Socket>, told: &Addresses) -> Result<(), OpenError> {
        match self {
            Self::Tls(client, name) => {
                connection.start_tls(client.to(name)?).await?;
                Ok(())
            }
            Self::StartTls(step, client, name) => step.start_tls(connection, client.to(name)?, name).await,
            Self::Proxy(proxy) => Ok(connection.send_proxy(&proxy.header(told)).await?),
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
                step.start_tls(connection, server.accept()?, "localhost").await?;
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

/// The layers of an endpoint, which can be made anew while others open them. Clones stand for the same ones.
#[derive(Debug)]
pub(super) struct Layers<L> {
    current: Arc<Mutex<Arc<[L]>>>,
}

impl<L> Layers<L> {
    /// Those that `make` makes of the steps.
    pub(super) fn new(steps: &[Step], make: impl Fn(&Step) -> Result<L, OpenError>) -> Result<Self, OpenError> {
        Ok(Self { current: Arc::new(Mutex::new(all(steps, make)?)) })
    }

    /// Takes others for whoever asks from now on, or leaves everything as it is if one of them cannot be made.
    pub(super) fn renew(&self, steps: &[Step], make: impl Fn(&Step) -> Result<L, OpenError>) -> Result<(), OpenError> {
        // Files are read before anybody is kept waiting.
        let renewed = all(steps, make)?;
        *self.lock() = renewed;
        Ok(())
    }

    /// Those of this moment.
    pub(super) fn current(&self) -> Arc<[L]> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[L]>> {
        self.current.lock().expect("nothing panics while it exchanges layers")
    }
}

impl<L> Clone for Layers<L> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

fn all<L>(steps: &[Step], make: impl Fn(&Step) -> Result<L, OpenError>) -> Result<Arc<[L]>, OpenError> {
    steps.iter().map(make).collect()
}

/// The name to ask for and to verify.
fn server_name(tls: &TlsStep, transport: &Transport) -> Result<String, OpenError> {
    let name = tls.server_name.as_ref().or(transport.host());
    name.cloned().ok_or_else(|| OpenErrorKind::NoName.into())
}
