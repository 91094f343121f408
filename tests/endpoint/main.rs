//! Endpoint strings, from both sides, over real sockets with every runtime.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod handed_down;
mod own_proxy;
mod proxied;
mod refusals;
mod reload;
mod resumption;
mod routes;
mod sockets;
mod starttls;
mod steps;
mod transports;
mod tunnels;
#[cfg(feature = "http2")]
mod tunnels_http2;
mod verify;

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join;
use onionskin::Connection;
use onionskin::endpoint::{Connector, Endpoint, Listener, OpenError};
use onionskin::runtime::{self, Runtime, Socket};

use crate::common::files::Files;

type Both = (Result<Connection<Socket>, OpenError>, Result<Connection<Socket>, OpenError>);

/// Listens, connects to where that is, and lets both do their handshakes.
async fn open(runtime: &'static dyn Runtime, server: &str, client: impl Fn(&str) -> String) -> Both {
    let listener = Listener::new(runtime, &server.parse().unwrap()).await.unwrap();
    let address = listener.endpoint().transport.to_string();
    let client: Endpoint = client(&address).parse().unwrap();
    let connecting = async { Connector::new(runtime, &client)?.connect().await };
    let accepting = async { listener.accept().await.unwrap().ready().await };
    join(connecting, accepting).await
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

/// Answers a line, for ever.
async fn origin(runtime: &'static dyn Runtime, steps: &str) -> SocketAddr {
    let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{steps}").parse().unwrap()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    runtime.spawn(Box::pin(async move {
        loop {
            let Ok(mut conn) = listener.accept().await.unwrap().ready().await else { continue };
            let Ok(Some(line)) = conn.read_line().await else { continue };
            conn.write_line(line).await.unwrap();
            let _ = conn.leave(Duration::from_secs(5)).await;
        }
    }));
    address
}

/// Connects to an [`origin`] and hears its answer.
async fn connect(runtime: &'static dyn Runtime, endpoint: &str) -> Result<Connection<Socket>, OpenError> {
    let mut conn = Connector::new(runtime, &endpoint.parse().unwrap())?.connect().await?;
    conn.write_line("hello").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
    Ok(conn)
}
