#!/usr/bin/env bash
# A small request written to TLS over an idle socket that has all the room it needs, and never sent: tokio's cooperative budget.
#
# Packages: tokio 1.54.1 with tokio-rustls 0.26.6 over rustls 0.23.46 with ring, rcgen 0.14.10, from crates.io.
# Guessed: `write_all` of 40 bytes to an idle connection has them in the socket when it returns; `flush` matters only when the
# peer reads slowly and the socket is full.
# Seen (2026-11-30): a task that has done 128 ready operations since it last yielded gets `Pending` from its socket, although there
# is room. tokio-rustls has sealed the record by then and says that it was written, nobody writes it later, and a read of the
# answer does not send it either: both sides wait for ever. With `flush` it leaves, and so it does when the task had yielded
# before (the two controls). So a program that never flushes works for months, and hangs under load, when reads are always ready.
#
# Prints a line for each of the three, and fails if one has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "budget"
version = "0.0.0"
edition = "2024"

[dependencies]
rcgen = "=0.14.10"
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }
tokio = { version = "=1.54.1", features = ["io-util", "net", "rt", "sync", "time"] }
tokio-rustls = { version = "=0.26.6", default-features = false }
TOML

cat >src/main.rs <<'RUST'
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{coop, yield_now};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An echo server on a thread of its own, and a client that has used up its budget before it asks, or not.
fn asks(uses_budget: bool, flushes: bool) -> bool {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let (socket, _) = TcpListener::from_std(listener).unwrap().accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(socket).await.unwrap();
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
    });
    runtime().block_on(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect("localhost".try_into().unwrap(), socket).await.unwrap();
        yield_now().await;
        let ready = Semaphore::new(1);
        while uses_budget && coop::has_budget_remaining() {
            drop(ready.acquire().await.unwrap());
        }
        stream.write_all(b"a request of forty bytes, and no more..\n").await.unwrap();
        if flushes {
            stream.flush().await.unwrap();
        }
        let mut answer = [0; 40];
        timeout(Duration::from_secs(3), stream.read_exact(&mut answer)).await.is_ok()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn main() {
    for (uses_budget, flushes) in [(false, false), (true, true), (true, false)] {
        let answered = asks(uses_budget, flushes);
        println!("budget used up: {uses_budget}, flush: {flushes}, answered: {answered}");
    }
}
RUST

cargo run --quiet >seen
cat seen
diff - seen <<'SEEN'
budget used up: false, flush: false, answered: true
budget used up: true, flush: true, answered: true
budget used up: true, flush: false, answered: false
SEEN
