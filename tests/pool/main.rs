//! A pool of connections, over real sockets with every runtime: who gets which, and what is thrown away.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod carriers;
#[path = "../common/mod.rs"]
mod common;
mod keys;
mod limits;
mod quiet;
mod watch;

use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use onionskin::Connection;
use onionskin::endpoint::{Endpoint, Listener};
use onionskin::pool::{Dismissal, Event, Limits, Peer, Pool, Pooled};
use onionskin::runtime::{self, Runtime, Socket, Timer};

use crate::common::files::Files;

/// A server whose ends of the connections are in the hands of the test.
struct Origin {
    transport: String,
    accepted: UnboundedReceiver<Connection<Socket>>,
}

impl Origin {
    async fn new(runtime: &'static dyn Runtime, steps: &str) -> Self {
        let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{steps}").parse().unwrap()).await.unwrap();
        let transport = listener.endpoint().transport.to_string();
        let (sender, accepted) = unbounded();
        runtime.spawn(Box::pin(async move {
            while let Ok(incoming) = listener.accept().await {
                let Ok(connection) = incoming.ready().await else { continue };
                if sender.unbounded_send(connection).is_err() {
                    break;
                }
            }
        }));
        Self { transport, accepted }
    }

    fn endpoint(&self, steps: &str) -> Endpoint {
        format!("{}{steps}", self.transport).parse().unwrap()
    }

    async fn accept(&mut self) -> Connection<Socket> {
        self.accepted.next().await.unwrap()
    }

    /// Whether somebody has connected who was not accepted yet.
    fn has_more(&mut self) -> bool {
        self.accepted.try_recv().is_ok()
    }
}

/// A pool that tells of what is thrown away.
fn watched(pool: Pool) -> (Pool, UnboundedReceiver<Dismissal>) {
    let (sender, dismissals) = unbounded();
    let pool = pool.observed_by(move |event| {
        if let Event::Dismissed { why, .. } = event {
            let _ = sender.unbounded_send(*why);
        }
    });
    (pool, dismissals)
}

fn pool(runtime: &'static dyn Runtime, limits: Limits) -> (Pool, UnboundedReceiver<Dismissal>) {
    watched(Pool::new(runtime, limits))
}

fn pool_by_clock(
    runtime: &'static dyn Runtime,
    limits: Limits,
    clock: &(impl Timer + Clone + 'static),
) -> (Pool, UnboundedReceiver<Dismissal>) {
    watched(Pool::with_timer(runtime, limits, Arc::new(clock.clone())))
}

fn on_every_runtime(test: impl AsyncFn(&'static dyn Runtime)) {
    for &runtime in runtime::all() {
        runtime::block_on(runtime, test(runtime));
    }
}

async fn talk(client: &mut Connection<Socket>, server: &mut Connection<Socket>) {
    client.write_line("hello").await.unwrap();
    assert_eq!(server.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
    server.write_line("and back").await.unwrap();
    assert_eq!(client.read_line().await.unwrap().as_deref(), Some(&b"and back"[..]));
}

/// One that was opened, has been talked over and was given back, with its other end.
async fn idle(peer: &Peer, origin: &mut Origin) -> Connection<Socket> {
    let (mut client, mut server) = both(peer, origin).await;
    talk(&mut client, &mut server).await;
    client.give_back();
    server
}

/// One that was opened, and its other end.
async fn both(peer: &Peer, origin: &mut Origin) -> (Pooled, Connection<Socket>) {
    let client = peer.take().await.unwrap();
    assert!(!client.is_reused());
    (client, origin.accept().await)
}
