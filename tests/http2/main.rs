//! Tunnels over HTTP/2, in memory: the time is virtual, and bytes arrive as they are cut.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod both;
mod callbacks;
mod challenged;
mod ends;
mod every_byte;
#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod executor;
mod frames;
mod peer;
mod random;
mod server;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod sockets;
mod targets;
mod tree;
mod windows;

use std::future::{Future, poll_fn};
use std::sync::{Arc, LazyLock};
use std::task::Poll;

use futures::executor::LocalPool;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::task::LocalSpawnExt;
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tls::{TlsClient, TlsServer};
use onionskin::tunnel::http2::{Settings, Tunnels};

use crate::common::{Authority, BOTH};
use crate::peer::Proxy;

const CUTS: [Cut; 4] = [Cut::Whole, Cut::Bytes, Cut::Pieces(9), Cut::Random(7)];

const NAME: &str = "a.test";

static CONFIGURED: LazyLock<(TlsClient, TlsServer)> = LazyLock::new(|| {
    let authority = Authority::new();
    (authority.client(BOTH), authority.server(NAME, BOTH))
});

/// Runs a test to its end, and what it has spawned beside it.
fn run<F: Future>(test: impl FnOnce(Bench) -> F) -> F::Output {
    let mut pool = LocalPool::new();
    let bench = Bench { spawner: pool.spawner(), clock: Clock::new() };
    pool.run_until(test(bench))
}

/// What a test has at hand.
#[derive(Clone)]
struct Bench {
    spawner: futures::executor::LocalSpawner,
    clock: Clock,
}

impl Bench {
    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.spawner.spawn_local(work).unwrap();
    }

    /// A connection to a proxy, and the proxy's end of the wire.
    fn carrier(&self, cut: Cut) -> (Connection<Socket>, WireEnd) {
        let (left, right) = wire(cut, 64 * 1024);
        (self.connection(left), right)
    }

    fn connection(&self, end: WireEnd) -> Connection<Socket> {
        let socket = Socket::new(end, Address::Unix(None), Address::to_host("proxy.test", 443).unwrap());
        Connection::over(socket, Arc::new(self.clock.clone()))
    }

    /// Tunnels, and a proxy that does as it is told.
    async fn tunnels(&self, cut: Cut) -> (Tunnels, Proxy) {
        self.tunnels_with(cut, |_| {}).await
    }

    async fn tunnels_with(&self, cut: Cut, set: impl FnOnce(&mut h2::server::Builder)) -> (Tunnels, Proxy) {
        let (carrier, end) = self.carrier(cut);
        let mut builder = h2::server::Builder::new();
        set(&mut builder);
        let proxy = Proxy::serve(self, end, builder);
        (Tunnels::with(carrier, Settings::new()).await.unwrap(), proxy)
    }
}

fn target() -> Address {
    Address::to_host("mail.test", 993).unwrap()
}

/// Lets everybody else go on until nobody can: what happens without a wait has happened then.
async fn settle() {
    for _ in 0..300 {
        let mut has_had_its_turn = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_had_its_turn, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

async fn say(connection: &mut Connection<Socket>, said: &[u8]) {
    connection.write_all(said).await.unwrap();
    connection.flush().await.unwrap();
}

async fn hear(connection: &mut Connection<Socket>, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    connection.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
}
