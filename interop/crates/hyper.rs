//! hyper: HTTP/1.1, client and server, with large bodies both ways.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::join;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use onionskin::Connection;
use onionskin::http::HyperIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::compat::TokioAsyncReadCompatExt;

use crate::peers::{Conn, NAME, at_each_depth, pattern, run, tls};

/// Answers with what it was sent.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// Posts `body` twice over one connection, and compares what comes back.
async fn post_twice<IO>(io: IO, body: Bytes)
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let requests = async move {
        for path in ["/first", "/second"] {
            let request = Request::post(path).header("host", NAME).body(Full::new(body.clone())).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.into_body().collect().await.unwrap().to_bytes() == body, "{path}");
        }
    };
    let (ended, ()) = join(connection, requests).await;
    ended.unwrap();
}

#[test]
fn large_bodies_go_both_ways_by_the_traits_of_tokio() {
    at_each_depth(|client, server, _depth| async move {
        let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(echo));
        let post = post_twice(TokioIo::new(client), pattern(3_000_000).into());
        let (served, ()) = join(serve, post).await;
        served.unwrap();
    });
}

#[test]
fn large_bodies_go_both_ways_by_the_traits_of_futures() {
    at_each_depth(|client, server, _depth| async move {
        let serve = hyper::server::conn::http1::Builder::new().serve_connection(HyperIo(server), service_fn(echo));
        let post = post_twice(HyperIo(client), pattern(3_000_000).into());
        let (served, ()) = join(serve, post).await;
        served.unwrap();
    });
}

/// Most clients end so when they have had enough of a connection: with a FIN, and no close_notify.
#[test]
fn an_idle_client_that_leaves_without_a_close_notify_is_no_error_of_the_server() {
    at_each_depth(|mut client, server, depth| async move {
        let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(echo));
        let ask = async {
            client.queue(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            while !client.read_line().await.unwrap().unwrap().is_empty() {}
            client.close_wire().await.unwrap();
            assert_eq!(client.read_line().await.unwrap(), None, "depth {depth}: the server closes it");
        };
        let (served, ()) = join(serve, ask).await;
        served.unwrap_or_else(|error| panic!("depth {depth}: {error:?}"));
    });
}

/// Beside the TLS that most servers on tokio have: each client has its answer, and drops the socket.
#[test]
fn dropped_clients_are_errors_of_the_server_no_more_often_than_with_tokio_rustls() {
    run(async {
        let (client, server) = tls();
        let (connector, acceptor) = (TlsConnector::from(client.to_rustls()), TlsAcceptor::from(server.to_rustls()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut errors = [0; 2];
        for round in 0..300 {
            let serve = async {
                let (socket, _) = listener.accept().await.unwrap();
                let http = hyper::server::conn::http1::Builder::new();
                // Both within one run, and in turns, so that what disturbs one disturbs the other.
                if round % 2 == 0 {
                    let mut conn = Connection::new(socket.compat());
                    conn.start_tls(server.accept().unwrap()).await.unwrap();
                    http.serve_connection(TokioIo::new(conn), service_fn(echo)).await
                } else {
                    let stream = acceptor.accept(socket).await.unwrap();
                    http.serve_connection(TokioIo::new(stream), service_fn(echo)).await
                }
            };
            let ask = async {
                let socket = TcpStream::connect(address).await.unwrap();
                let mut stream = connector.connect(NAME.try_into().unwrap(), socket).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\n") {
                    answer.push(stream.read_u8().await.unwrap());
                }
            };
            let (served, ()) = join(serve, ask).await;
            errors[round % 2] += usize::from(served.is_err());
        }
        let [ours, theirs] = errors;
        assert!(ours <= theirs, "{ours} of 150 dropped clients are errors, with tokio-rustls {theirs}");
    });
}

/// Or at once behind their request. By default hyper drops the answer to whoever has ended, in clear too; with `half_close`
/// it answers, and then says what it has read.
#[test]
fn a_client_that_leaves_behind_its_request_is_answered() {
    at_each_depth(|mut client, server, depth| async move {
        let mut builder = hyper::server::conn::http1::Builder::new();
        let serve = builder.half_close(true).serve_connection(TokioIo::new(server), service_fn(echo));
        let ask = async {
            client.queue(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            client.close_wire().await.unwrap();
            assert_eq!(client.read_line().await.unwrap().unwrap(), b"HTTP/1.1 200 OK", "depth {depth}");
        };
        let (_served, ()) = join(serve, ask).await;
    });
}

/// The control: what becomes of a request that was cut is an error as ever.
#[test]
fn a_client_that_leaves_in_the_middle_of_its_request_is_one() {
    at_each_depth(|mut client, server, depth| async move {
        let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(echo));
        let ask = async {
            client.queue(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
            client.close_wire().await.unwrap();
            while let Ok(Some(_)) = client.read_line().await {}
        };
        let (served, ()) = join(serve, ask).await;
        assert!(served.is_err(), "depth {depth}");
    });
}

/// What hyper hands to the connection is the body itself, and not a copy of it beside its head.
#[test]
fn a_body_is_not_copied_on_its_way_to_the_connection() {
    let body = Bytes::from(pattern(2_000_000));
    at_each_depth(|client, server, depth| {
        let body = body.clone();
        async move {
            let serve =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(count));
            let watched = Watched::new(client, &body, true);
            let seen = Arc::clone(&watched.seen);
            let (served, ()) = join(serve, put(TokioIo::new(watched), body.clone())).await;
            served.unwrap();
            let seen = seen.lock().unwrap();
            assert_eq!(seen.uncopied, body.len(), "depth {depth}: {seen:?}");
            assert!(seen.most_slices > 1, "depth {depth}: the head goes with the body: {seen:?}");
        }
    });
}

/// The control: an adapter that hides that vectored writes are taken has hyper copy all of it.
#[test]
fn a_body_is_copied_where_vectored_writes_are_hidden() {
    let body = Bytes::from(pattern(300_000));
    at_each_depth(|client, server, depth| {
        let body = body.clone();
        async move {
            let serve =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(count));
            let hidden = Watched::new(client, &body, false);
            let seen = Arc::clone(&hidden.seen);
            let (served, ()) = join(serve, put(TokioIo::new(hidden), body)).await;
            served.unwrap();
            let seen = seen.lock().unwrap();
            assert_eq!((seen.uncopied, seen.most_slices), (0, 1), "depth {depth}: {seen:?}");
        }
    });
}

async fn count(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let length = request.into_body().collect().await.unwrap().to_bytes().len();
    Ok(Response::new(Full::new(length.to_string().into())))
}

async fn put<IO>(io: IO, body: Bytes)
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let request = async move {
        let length = body.len().to_string();
        let request = Request::put("/").header("host", NAME).body(Full::new(body)).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), length);
    };
    let (ended, ()) = join(connection, request).await;
    ended.unwrap();
}

/// A connection that notes where what is written to it lies.
struct Watched {
    conn: Conn,
    body: Range<usize>,
    vectored: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Bytes that lay in the body of the request itself when they were taken.
    uncopied: usize,
    most_slices: usize,
}

impl Watched {
    fn new(conn: Conn, body: &Bytes, vectored: bool) -> Self {
        let start = body.as_ptr() as usize;
        Self { conn, body: start..start + body.len(), vectored, seen: Arc::default() }
    }

    /// Notes what `written` bytes of these slices were.
    fn note(&self, slices: &[IoSlice<'_>], written: usize) {
        let mut seen = self.seen.lock().unwrap();
        seen.most_slices = seen.most_slices.max(slices.len());
        let mut left = written;
        for slice in slices {
            let taken = slice.len().min(left);
            left -= taken;
            if self.body.contains(&(slice.as_ptr() as usize)) {
                seen.uncopied += taken;
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.conn).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.note(&[IoSlice::new(bytes)], count);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.conn).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(count)) = written {
            self.note(slices, count);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored && self.conn.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}
