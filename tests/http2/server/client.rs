//! The `h2` crate as the client: another maker's idea of CONNECT.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::poll_fn;
use futures::io::{AsyncRead, AsyncWrite};
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request};

/// Whatever speaks the traits of `futures`, for a crate that wants those of tokio.
pub(crate) struct Io<T>(pub(crate) T);

impl<T: AsyncRead + Unpin> tokio::io::AsyncRead for Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(Pin::new(&mut self.0).poll_read(cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> tokio::io::AsyncWrite for Io<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The client and its connection, with windows in which a tunnel has room.
pub(crate) async fn begin<T: AsyncRead + AsyncWrite + Unpin>(io: T) -> (SendRequest<Bytes>, Connection<Io<T>, Bytes>) {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
    builder.handshake(Io(io)).await.unwrap()
}

/// A request for a tunnel with these fields.
pub(crate) fn connect(authority: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).uri(authority);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Asks, and has the answer to wait for and the way to send.
pub(crate) async fn ask(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    poll_fn(|cx| client.poll_ready(cx)).await?;
    client.send_request(request, false)
}

/// A tunnel that was granted.
pub(crate) async fn open(client: &mut SendRequest<Bytes>, authority: &str) -> (SendStream<Bytes>, RecvStream) {
    let (answer, send) = ask(client, connect(authority, &[])).await.unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("content-length").is_none(), "{answer:?}");
    (send, answer.into_body())
}

/// Sends all of it as there is room.
pub(crate) async fn send(way: &mut SendStream<Bytes>, bytes: &[u8], end: bool) -> Result<(), h2::Error> {
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        way.reserve_capacity(rest.len());
        let room = poll_fn(|cx| way.poll_capacity(cx)).await.expect("the stream is open")?;
        way.send_data(rest.split_to(room.min(rest.len())), false)?;
    }
    if end { way.send_data(Bytes::new(), true) } else { Ok(()) }
}

/// All that comes until the end.
pub(crate) async fn receive(way: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut received = Vec::new();
    while let Some(bytes) = way.data().await {
        let bytes = bytes?;
        way.flow_control().release_capacity(bytes.len())?;
        received.extend(bytes);
    }
    Ok(received)
}

/// So many bytes, and what came with them.
pub(crate) async fn receive_some(way: &mut RecvStream, count: usize) -> Result<Vec<u8>, h2::Error> {
    let mut received = Vec::new();
    while received.len() < count {
        let Some(bytes) = way.data().await else { return Ok(received) };
        let bytes = bytes?;
        way.flow_control().release_capacity(bytes.len())?;
        received.extend(bytes);
    }
    Ok(received)
}
