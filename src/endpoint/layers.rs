//! The steps of an endpoint, made ready: files are read, and sessions can be resumed.
//!
//! A new kind of step is a variant of both enums, and an arm in `new` and `open` of each. That files can be read again
//! while connections are opened is no concern of a kind: [`Layers`] makes all steps anew and exchanges them together.

use std::sync::{Arc, Mutex, MutexGuard};

use super::open_error::{OpenError, OpenErrorKind};
use super::{BaseTransport, ProxyHeaderStep, StartTlsStep, Step, TlsStep};
use crate::connection::{Addresses, Connection};
use crate::runtime::{Socket, unblock};
use crate::tls::{TlsClient, TlsServer};

/// What a client does for one step, for any number of connections.
#[derive(Clone, Debug)]
pub(super) enum ClientLayer {
    /// With the name to verify.
    Tls(TlsClient, String),
    StartTls(Box<StartTlsStep>, TlsClient, String),
    ProxyHeader(ProxyHeaderStep),
}

impl ClientLayer {
    /// A `tls` step without a name verifies the host of `transport`.
    pub(super) fn new(step: &Step, transport: &BaseTransport) -> Result<Self, OpenError> {
        match step {
            Step::Tls(tls) => Ok(Self::Tls(tls.client()?, server_name(tls, transport)?)),
            Step::StartTls(step) => {
                Ok(Self::StartTls(step.clone(), step.client()?, server_name(&step.tls, transport)?))
            }
            Step::ProxyHeader(proxy) => match proxy.client_mistake() {
                Some(mistake) => Err(OpenErrorKind::Misused(mistake.to_owned()).into()),
                None => Ok(Self::ProxyHeader(proxy.clone())),
            },
        }
    }

    /// A PROXY header tells of the addresses that are `claimed`, where its step names no others.
    pub(super) async fn open(&self, connection: &mut Connection<Socket>, claimed: &Addresses) -> Result<(), OpenError> {
        match self {
            Self::Tls(client, name) => {
                connection.start_tls(client.to(name)?).await?;
                Ok(())
            }
            Self::StartTls(step, client, name) => step.start_tls(connection, client.to(name)?, name).await,
            Self::ProxyHeader(proxy) => Ok(connection.send_proxy_header(&proxy.header(claimed)).await?),
        }
    }
}

/// What a server does for one step, for any number of connections.
#[derive(Clone, Debug)]
pub(super) enum ServerLayer {
    Tls(TlsServer),
    StartTls(Box<StartTlsStep>, TlsServer),
    ProxyHeader(ProxyHeaderStep),
}

impl ServerLayer {
    pub(super) fn new(step: &Step) -> Result<Self, OpenError> {
        match step {
            Step::Tls(tls) => Ok(Self::Tls(tls.server()?)),
            Step::StartTls(step) => Ok(Self::StartTls(step.clone(), step.server()?)),
            Step::ProxyHeader(proxy) => match proxy.server_mistake() {
                Some(mistake) => Err(OpenErrorKind::Misused(mistake.to_owned()).into()),
                None => Ok(Self::ProxyHeader(proxy.clone())),
            },
        }
    }

    /// Whether [`open`](Self::open) may tell who the peer is.
    pub(super) fn tells_peer(&self) -> bool {
        matches!(self, Self::ProxyHeader(_))
    }

    pub(super) fn tls_server(&self) -> Option<&TlsServer> {
        match self {
            Self::Tls(server) | Self::StartTls(_, server) => Some(server),
            Self::ProxyHeader(_) => None,
        }
    }

    /// As [`open`](Self::open), and whether the peer has come only to cancel something, which needs no layer.
    pub(super) async fn open_unless_cancel(&self, connection: &mut Connection<Socket>) -> Result<bool, OpenError> {
        match self {
            Self::StartTls(step, server) => step.start_tls_unless_cancel(connection, server.accept()?).await,
            _ => self.open(connection).await.map(|_| false),
        }
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
            Self::ProxyHeader(proxy) => {
                let header = connection.accept_proxy_header(proxy.accept()).await?;
                let socket = Addresses::from(connection.get_ref());
                Ok(header.map(|header| super::proxy_header::addresses(header, socket)))
            }
        }
    }
}

/// The layers of an endpoint, which can be made anew while others open them. Clones stand for the same ones.
#[derive(Debug)]
pub(super) struct Layers<L> {
    current: Arc<Mutex<Current<L>>>,
}

#[derive(Debug)]
struct Current<L> {
    layers: Arc<[L]>,
    /// How often others were asked for, and which time brought these.
    asked: u64,
    brought: u64,
}

impl<L> Layers<L> {
    /// Those that `make` makes of the steps.
    pub(super) fn new(steps: &[Step], make: impl Fn(&Step) -> Result<L, OpenError>) -> Result<Self, OpenError> {
        let current = Current { layers: all(steps, make)?, asked: 0, brought: 0 };
        Ok(Self { current: Arc::new(Mutex::new(current)) })
    }

    /// Those of this moment.
    pub(super) fn current(&self) -> Arc<[L]> {
        Arc::clone(&self.lock().layers)
    }

    fn lock(&self) -> MutexGuard<'_, Current<L>> {
        self.current.lock().expect("nothing panics while it exchanges layers")
    }
}

impl<L: Send + Sync + 'static> Layers<L> {
    /// Takes others for whoever asks from now on, or leaves everything as it is if one of them cannot be made.
    ///
    /// Files are read on a thread where nobody is kept waiting. Who has asked last is believed, whatever comes first.
    pub(super) fn renew<M>(
        &self,
        steps: &[Step],
        make: M,
    ) -> impl Future<Output = Result<(), OpenError>> + Send + use<L, M>
    where
        M: Fn(&Step) -> Result<L, OpenError> + Send + 'static,
    {
        let steps = steps.to_vec();
        let layers = self.clone();
        let time = {
            let mut current = self.lock();
            current.asked += 1;
            current.asked
        };
        async move {
            let renewed = unblock(move || all(&steps, make)).await?;
            let mut current = layers.lock();
            if time > current.brought {
                current.layers = renewed;
                current.brought = time;
            }
            Ok(())
        }
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
fn server_name(tls: &TlsStep, transport: &BaseTransport) -> Result<String, OpenError> {
    let name = tls.server_name.as_ref().or(transport.host());
    name.cloned().ok_or_else(|| OpenErrorKind::NoName.into())
}
