//! tonic: gRPC over HTTP/2, client and server. Without generated code: a message is bytes.

use std::convert::Infallible;
use std::io;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::channel::oneshot;
use futures::future::{BoxFuture, join};
use futures::{StreamExt, stream};
use hyper::Uri;
use hyper::http;
use hyper_util::rt::TokioIo;
use onionskin::connection::Layers;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::{Service, service_fn};

use crate::peers::{Conn, at_each_depth, pattern};
use crate::recipes::tonic_io::TonicIo;

#[test]
fn a_call_is_answered_by_a_handler_that_sees_the_layers() {
    at_each_depth(|client, server, depth| async move {
        let (done, until) = oneshot::channel::<()>();
        // A server whose incoming connections have ended closes those that it has.
        let incoming = stream::once(async { Ok::<_, io::Error>(TonicIo(server)) }).chain(stream::pending());
        let serve = Server::builder().serve_with_incoming_shutdown(Reverse, incoming, async {
            let _ = until.await;
        });
        let call = async move {
            let channel = Endpoint::from_static("http://localhost").connect_with_connector(once(client)).await.unwrap();
            let mut client = tonic::client::Grpc::new(channel);
            for length in [0, 10, 1_000_000] {
                client.ready().await.unwrap();
                let message = Bytes::from(pattern(length));
                let path = http::uri::PathAndQuery::from_static("/test.Test/Reverse");
                let answer: Response<Bytes> = client.unary(Request::new(message), path, Raw).await.unwrap();
                assert_eq!(answer.metadata().get("depth").unwrap().to_str().unwrap(), depth.to_string());
                let reversed: Vec<u8> = pattern(length).into_iter().rev().collect();
                assert!(answer.into_inner() == reversed);
            }
            drop(client);
            done.send(()).unwrap();
        };
        let (served, ()) = join(serve, call).await;
        served.unwrap();
    });
}

/// A connector for a connection that is there already.
fn once(conn: Conn) -> impl Service<Uri, Response = TokioIo<Conn>, Error = io::Error, Future: Send> + Send + 'static {
    let conn = Mutex::new(Some(conn));
    service_fn(move |_: Uri| {
        let conn = conn.lock().unwrap().take();
        async move { conn.map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()) }
    })
}

/// Says it backwards, and how deep it was said.
#[derive(Clone)]
struct Reverse;

impl Service<http::Request<Body>> for Reverse {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let handler = service_fn(|request: Request<Bytes>| async move {
            let depth = request.extensions().get::<Layers>().map_or(0, Layers::len);
            let mut message = request.into_inner().to_vec();
            message.reverse();
            let mut answer = Response::new(Bytes::from(message));
            answer.metadata_mut().insert("depth", depth.into());
            Ok::<_, Status>(answer)
        });
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(handler, request).await) })
    }
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
