//! The data connections of one control connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use onionskin::Connection;
use onionskin::endpoint::{Connector, Endpoint, Incoming, Listener, OpenError};
use onionskin::runtime::{Address, Runtime, Socket};
use onionskin::tls::TlsServer;

use super::super::passage::Passages;
use crate::join::{Class, ConnectionPair, Loss, Own, PassOn, Side, Tally, Unfinished};
use crate::signals::Stopping;

/// Those that there are, each in a task of its own, and the one that a client is awaited for.
pub(super) struct Channels {
    shared: Shared,
    /// Dropped, it ends the waiting for a client.
    waiting: Option<oneshot::Sender<Infallible>>,
    gone: mpsc::Receiver<Infallible>,
}

#[derive(Clone)]
struct Shared {
    runtime: &'static dyn Runtime,
    tls: TlsServer,
    /// Whether data connections have TLS, from now on.
    is_private: Arc<AtomicBool>,
    tally: Arc<Tally>,
    aborting: Stopping,
    /// Dropped with the last of them.
    _present: mpsc::Sender<Infallible>,
}

/// A client that is to come, and the server that it is to be joined to.
pub(super) struct Wanted {
    pub(super) listener: Listener,
    pub(super) client: IpAddr,
    pub(super) server: Endpoint,
}

impl Channels {
    pub(super) fn new(passages: &Passages, tls: TlsServer) -> Self {
        let (present, gone) = mpsc::channel(0);
        let Passages { runtime, tally, aborting, .. } = passages;
        let (tally, aborting, is_private) = (Arc::clone(tally), aborting.clone(), Arc::default());
        let shared = Shared { runtime: *runtime, tls, is_private, tally, aborting, _present: present };
        Self { shared, waiting: None, gone }
    }

    /// Whether those that begin from now on have TLS.
    pub(super) fn protect(&self, is_private: bool) {
        self.shared.is_private.store(is_private, Ordering::Relaxed);
    }

    /// Whether there are as many as there may be. No client needs more than one or two.
    pub(super) fn is_full(&self) -> bool {
        // Each task has a share of it.
        Arc::strong_count(&self.shared.is_private) > MAX_CHANNELS
    }

    /// Waits for this client, and for no other any more.
    pub(super) fn await_client(&mut self, wanted: Wanted) {
        let (waiting, given_up) = oneshot::channel();
        self.waiting = Some(waiting);
        let shared = self.shared.clone();
        let aborting = shared.aborting.clone();
        shared.runtime.spawn(Box::pin(async move {
            select(pin!(shared.serve(wanted, given_up)), aborting).await;
        }));
    }

    /// Waits for those that have begun; no client is awaited any more.
    pub(super) async fn finish(self) {
        let Self { shared, waiting, mut gone } = self;
        drop((shared, waiting));
        gone.next().await;
    }
}

impl Shared {
    async fn serve(&self, wanted: Wanted, given_up: oneshot::Receiver<Infallible>) {
        let Wanted { listener, client, server } = wanted;
        let limit = self.runtime.sleep_until(self.runtime.now() + PATIENCE);
        let accepted = match select(pin!(accept(&listener, client)), select(given_up, limit)).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => return,
        };
        drop(listener);
        if let Err(loss) = self.join(accepted, server).await {
            log::info!("data connection of {client}: {loss}");
        }
    }

    async fn join(&self, accepted: Result<Incoming, Loss>, server: Endpoint) -> Result<(), Loss> {
        let lost = |side| move |error: OpenError| Loss::new(side, error);
        let mut near = Unfinished::new(accepted?.ready().await.map_err(lost(Side::Listen))?);
        // The server is there before TLS is: it tells the client to begin only then.
        let far = Unfinished::new(self.connect(&server).await.map_err(lost(Side::Connect))?);
        if self.is_private.load(Ordering::Relaxed) {
            let tls = self.tls.accept().map_err(|error| Loss::new(Side::Listen, Own(Class::Other, error)))?;
            let ready = near.start_tls(tls.handshake_timeout(Some(PATIENCE))).await;
            ready.map_err(|error| Loss::new(Side::Listen, error))?;
            self.tally.add_handshakes(Side::Listen, 1);
        }
        // An end of file is all that says that a file is whole, so one that proves nothing is never passed on as one.
        let mut pair = ConnectionPair::new(self.runtime, near, far, PassOn::Reset, Arc::clone(&self.tally));
        let end = pair.run().await;
        pair.leave().await;
        end.loss.map_or(Ok(()), Err)
    }

    async fn connect(&self, server: &Endpoint) -> Result<Connection<Socket>, OpenError> {
        Connector::new(self.runtime, server)?.connect().await
    }
}

/// The first that comes from where the control connection does: nobody else gets at a client's data.
async fn accept(listener: &Listener, client: IpAddr) -> Result<Incoming, Loss> {
    loop {
        let incoming = listener.accept().await.map_err(|error| Loss::new(Side::Listen, error))?;
        let peer = incoming.addresses().peer.as_ref().and_then(Address::as_tcp);
        if peer.is_some_and(|peer| peer.ip().to_canonical() == client.to_canonical()) {
            return Ok(incoming);
        }
        log::info!("somebody else than {client} wanted its data connection: {}", incoming.addresses());
    }
}

const MAX_CHANNELS: usize = 16;

/// For the client to come, and for its handshake, which begins when the server has said that there is something.
const PATIENCE: Duration = Duration::from_secs(60);
