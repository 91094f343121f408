//! Two connections over a socket, and the executor of the tests.

use std::sync::OnceLock;

use futures::future::join;
use onionskin::Connection;
use onionskin::runtime::{self, Runtime, Socket};
use onionskin::tls::{TlsClient, TlsServer, Version};

use crate::common::Authority;

pub(crate) type Conn = Connection<Socket>;

pub(crate) const NAME: &str = "localhost";

/// Runs a test once for each depth, with two connections that are already so deep.
pub(crate) fn at_each_depth<F: Future<Output = ()>>(test: impl Fn(Conn, Conn, usize) -> F) {
    for depth in 1..=3 {
        run(async {
            let (left, right) = connected(depth).await;
            test(left, right, depth).await;
        });
    }
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Two connections `depth` layers deep; the first is the client.
pub(crate) async fn connected(depth: usize) -> (Conn, Conn) {
    let runtime = tokio();
    let listener = runtime.listen_tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let (left, right) = join(runtime.connect_tcp(address), listener.accept()).await;
    let (mut left, mut right) = (Connection::new(left.unwrap()), Connection::new(right.unwrap()));
    for _ in 0..depth {
        let (client, server) = (tls().0.to(NAME).unwrap(), tls().1.accept().unwrap());
        let (started, accepted) = join(left.start_tls(client), right.start_tls(server)).await;
        started.unwrap();
        accepted.unwrap();
    }
    (left, right)
}

pub(crate) fn tokio() -> &'static dyn Runtime {
    runtime::preferred().expect("built with tokio")
}

pub(crate) fn tls() -> &'static (TlsClient, TlsServer) {
    static MADE: OnceLock<(TlsClient, TlsServer)> = OnceLock::new();
    MADE.get_or_init(|| {
        let authority = Authority::new();
        (authority.client(&[Version::Tls13]), authority.server(NAME, &[Version::Tls13]))
    })
}

/// Bytes that differ from their neighbours, so that one too many or too few shows.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}
