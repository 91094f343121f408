#!/usr/bin/env bash
# A client of HTTP/2 that has said all and asks for no answer: h2 throws away the body that it has taken, END_STREAM and all.
#
# Packages: h2 0.4.20 with tokio 1.54.1, http 1.5.0 and bytes 1.12.1, from crates.io.
# Guessed: what the documentation of `SendStream` says. Dropped "without explicitly closing the send stream" it resets the stream, and to
# set `end_of_stream` in `send_data` is the first of the ways to close it explicitly. So a body that was ended is sent, as a socket that is closed sends
# what was written.
# Seen (2026-12-01): when the last handle of the stream is dropped before there is an answer, the stream is reset (CANCEL), whether our
# direction was ended or not, and what waits in h2 is discarded: the server gets the request, not a byte of the body, and the reset. A
# comment in its source says that a cancelled stream is meant to lose its DATA; its documentation does not. With the handle of the answer
# kept, and nothing else changed, all of it arrives (the control), and a server that answers early and drops its handles loses nothing
# either (the second control). There is no way to hear that the body has left: who wants to be sure waits for the answer.
#
# Prints a line for each of the three, and fails if one has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "ended"
version = "0.0.0"
edition = "2024"

[dependencies]
bytes = "=1.12.1"
h2 = "=0.4.20"
http = "=1.5.0"
tokio = { version = "=1.54.1", features = ["net", "rt", "time"] }
TOML

cat >src/main.rs <<'RUST'
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const BODY: &[u8] = &[7; 10_000];

/// What comes of a body, and how it ends.
async fn heard(body: &mut h2::RecvStream) -> String {
    // Far less than a window, so no room is given back.
    let mut count = 0;
    loop {
        match body.data().await {
            Some(Ok(bytes)) => count += bytes.len(),
            Some(Err(error)) => return format!("{count} bytes, then {:?}", error.reason().unwrap()),
            None => return format!("{count} bytes, then the end"),
        }
    }
}

/// What the server hears of a body that the client has ended.
async fn client(keeps: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut server = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (request, respond) = server.accept().await.unwrap().unwrap();
        let mut body = request.into_body();
        let driving = tokio::spawn(async move { while server.accept().await.is_some() {} });
        let heard = heard(&mut body).await;
        drop((respond, driving));
        heard
    });
    let (mut requests, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    // Both sides have said their SETTINGS, and there is room for all of it.
    sleep(Duration::from_millis(200)).await;
    let request = Request::post("http://localhost/").body(()).unwrap();
    let (answer, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(BODY), true).unwrap();
    drop(body);
    let kept = keeps.then_some(answer);
    let heard = server.await.unwrap();
    drop(kept);
    heard
}

/// What the client hears of an early answer, whose request goes on.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut server = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(BODY), true).unwrap();
        drop((request, respond, body));
        while server.accept().await.is_some() {}
    });
    let (mut requests, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let (answer, _body) = requests.send_request(Request::post("http://localhost/").body(()).unwrap(), false).unwrap();
    heard(&mut answer.await.unwrap().into_body()).await
}

fn main() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        println!("the client has ended its body and keeps the handle of the answer: {}", client(true).await);
        println!("the client has ended its body and drops that too: {}", client(false).await);
        println!("the server has ended its body and drops everything: {}", server().await);
    });
}
RUST

cargo run --quiet >seen
cat seen
diff - seen <<'SEEN'
the client has ended its body and keeps the handle of the answer: 10000 bytes, then the end
the client has ended its body and drops that too: 0 bytes, then CANCEL
the server has ended its body and drops everything: 10000 bytes, then the end
SEEN
