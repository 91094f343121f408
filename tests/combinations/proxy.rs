//! A proxy of ours, which asks nobody whether it may.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, select_biased};
use onionskin::Connection;
use onionskin::endpoint::Listener;
use onionskin::runtime::{Address, Runtime, Socket};
use onionskin::tunnel::http2::PendingTunnels;
use onionskin::tunnel::{Accepted, Acceptor, Grant, Reason, Request};

use crate::{Asked, Kind, World};

/// One that is listening.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    asked: Arc<Log>,
}

impl Proxy {
    pub(crate) async fn open(world: &World, kind: &Kind<Asked>) -> Self {
        let runtime = world.runtime;
        let listener = Listener::new(runtime, &world.listens(kind).parse().unwrap()).await.unwrap();
        let port = listener.local_address().port().unwrap();
        let asked = Arc::new(Log::default());
        let speaks = kind.speaks;
        let log = Arc::clone(&asked);
        runtime.spawn(Box::pin(async move {
            loop {
                let incoming = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                // What goes wrong here, the client tells.
                let serving = async move {
                    if let Ok(client) = incoming.ready().await {
                        serve(speaks, client, &log, |target| reach(runtime, target)).await;
                    }
                };
                runtime.spawn(serving.boxed());
            }
        }));
        Self { port, asked }
    }

    /// What it was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

/// Takes clients of this kind.
fn acceptor(speaks: Asked) -> Acceptor {
    let acceptor = Acceptor::new().only([speaks.protocol()]);
    match speaks {
        Asked::Http1WithLogin => acceptor.authenticating("combinations", |credentials| async move {
            credentials.user() == LOGIN.0 && credentials.password() == LOGIN.1.as_bytes()
        }),
        _ => acceptor,
    }
}

/// What clients have asked for.
pub(crate) type Log = Mutex<Vec<Request>>;

/// What is done with one that is asked for, of either kind: the target is reached, and what comes passed on until both directions have
/// ended.
macro_rules! answer {
    ($pending:expr, $log:expr, $reach:expr) => {
        async {
            let mut pending = $pending;
            let request = pending.request().clone();
            $log.lock().unwrap().push(request.clone());
            match pending.during($reach(request.target)).await {
                Ok(Ok((target, bound))) => {
                    let Ok(tunnel) = pending.grant(Grant::bound_to(bound)).await else { return };
                    let _ = tunnel.bridge(target).await;
                }
                Ok(Err(_)) => drop(pending.refuse(Reason::Unavailable).await),
                Err(_) => {}
            }
        }
    };
}

/// Serves one client of a proxy of this kind.
pub(crate) async fn serve<F>(speaks: Asked, client: Connection<Socket>, log: &Log, reach: impl Fn(Address) -> F)
where
    F: Future<Output = io::Result<(Socket, Address)>>,
{
    if speaks != Asked::Http2 {
        let Ok(Accepted::One(pending)) = acceptor(speaks).accept(client).await else { return };
        return answer!(pending, log, reach).await;
    }
    let mut tunnels = PendingTunnels::over(client);
    let mut answering = FuturesUnordered::new();
    loop {
        select_biased! {
            pending = tunnels.next().fuse() => match pending {
                Some(pending) => answering.push(answer!(pending, log, reach)),
                None => break,
            },
            () = answering.select_next_some() => {}
        }
    }
    while answering.next().await.is_some() {}
}

/// A connection to the target, and its end here.
async fn reach(runtime: &'static dyn Runtime, target: Address) -> io::Result<(Socket, Address)> {
    let (host, port) = (target.host().unwrap(), target.port().unwrap());
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    let addresses: Vec<SocketAddr> = runtime.resolve(&host, port).await?;
    for address in addresses {
        match runtime.connect_tcp(address).await {
            Ok(socket) => {
                let bound = socket.local_address().clone();
                return Ok((socket, bound));
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The user and the password of whoever has to log in.
pub(crate) const LOGIN: (&str, &str) = ("onion", "peel");
