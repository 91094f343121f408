//! Steps through proxies of HTTP/2, and which HTTP is spoken with whom. The proxy is made of h2, and speaks HTTP/1.1 too.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, join, select};
use futures::io::{AsyncRead, AsyncWrite};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use http::Response;
use onionskin::Connection;
use onionskin::endpoint::{Connector, Endpoint, Listener, OpenError, OpenErrorKind};
use onionskin::pool::{Limits, Pool};
use onionskin::runtime::{Runtime, Socket};
use onionskin::tunnel::{ErrorKind, TunnelProtocol};

use crate::{Files, connect, on_every_runtime, origin};

/// What a proxy was asked, each with the number of its connection and whether somebody has said who he is.
type Asked = Arc<Mutex<Vec<(usize, TunnelProtocol, bool)>>>;

#[derive(Clone)]
struct Proxy {
    runtime: &'static dyn Runtime,
    known: HashMap<&'static str, SocketAddr>,
    /// Speaks HTTP/2 where nothing was agreed on.
    prior: bool,
    wants_login: bool,
    /// Says in HTTP/2 what h2 does not bear.
    says_length: bool,
    hangs: bool,
    asked: Asked,
}

impl Proxy {
    fn new(runtime: &'static dyn Runtime, known: HashMap<&'static str, SocketAddr>) -> Self {
        let (prior, wants_login, says_length, hangs, asked) = Default::default();
        Self { runtime, known, prior, wants_login, says_length, hangs, asked }
    }

    /// Listens at `tcp:localhost:0` with these steps, for ever. Returns the port.
    async fn open(&self, steps: &str) -> u16 {
        let endpoint = format!("tcp:localhost:0{steps}").parse().unwrap();
        let listener = Listener::new(self.runtime, &endpoint).await.unwrap();
        let port = listener.local_address().port().unwrap();
        let here = self.clone();
        self.runtime.spawn(Box::pin(async move {
            for number in 0.. {
                let Ok(near) = listener.accept().await.unwrap().ready().await else { continue };
                let serving = here.clone().serve(near, number);
                here.runtime.spawn(async move { drop(serving.await) }.boxed());
            }
        }));
        port
    }

    async fn serve(self, near: Connection<Socket>, number: usize) -> Result<(), Box<dyn std::error::Error>> {
        let agreed = near.layers().tls().last().map(|tls| tls.alpn.clone());
        match agreed.flatten().as_deref() {
            Some(b"h2") => self.serve_http2(near, number).await,
            None if self.prior => self.serve_http2(near, number).await,
            _ => self.serve_http1(near, number).await,
        }
    }

    async fn serve_http1(self, mut near: Connection<Socket>, number: usize) -> Result<(), Box<dyn std::error::Error>> {
        let request = String::from_utf8(near.read_line().await?.ok_or("no request")?)?;
        let mut has_told = false;
        while let Some(line) = near.read_line().await?.filter(|line| !line.is_empty()) {
            has_told |= line.starts_with(b"Proxy-Authorization: ");
        }
        self.asked.lock().unwrap().push((number, TunnelProtocol::Http1, has_told));
        let host = request.split([' ', ':']).nth(1).ok_or("no host")?;
        let far = self.runtime.connect_tcp(*self.known.get(host).ok_or("nobody")?).await?;
        near.send_all(b"HTTP/1.1 200 Well\r\n\r\n").await?;
        near.bridge(far).await?;
        Ok(())
    }

    async fn serve_http2(self, near: Connection<Socket>, number: usize) -> Result<(), Box<dyn std::error::Error>> {
        let mut server = h2::server::handshake(Io(near)).await?;
        let mut held = Vec::new();
        while let Some(request) = server.accept().await {
            let (request, mut respond) = request?;
            let has_told = request.headers().contains_key("proxy-authorization");
            self.asked.lock().unwrap().push((number, TunnelProtocol::Http2, has_told));
            if self.hangs {
                held.push((request, respond));
                continue;
            }
            if self.wants_login && !has_told {
                let answer = Response::builder().status(407).header("proxy-authenticate", "Basic realm=a").body(())?;
                respond.send_response(answer, true)?;
                continue;
            }
            let mut answer = Response::builder();
            if self.says_length {
                answer = answer.header("content-length", "0");
            }
            let far = request.uri().host().and_then(|host| self.known.get(host)).ok_or("nobody")?;
            let far = self.runtime.connect_tcp(*far).await?;
            let mut send = respond.send_response(answer.body(())?, false)?;
            let mut receive = request.into_body();
            let (mut far_reader, mut far_writer) = far.split();
            let there = async move {
                while let Some(Ok(bytes)) = receive.data().await {
                    let _ = receive.flow_control().release_capacity(bytes.len());
                    if far_writer.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                let _ = far_writer.close().await;
            };
            let back = async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = far_reader.read(&mut buffer).await {
                    let _ = send.send_data(Bytes::copy_from_slice(&buffer[..count]), false);
                }
                let _ = send.send_data(Bytes::new(), true);
            };
            self.runtime.spawn(join(there, back).map(drop).boxed());
        }
        self.asked.lock().unwrap().push((number, TunnelProtocol::Http2, false));
        Ok(())
    }

    fn asked(&self) -> Vec<(usize, TunnelProtocol, bool)> {
        self.asked.lock().unwrap().clone()
    }
}

/// The traits that h2 asks for.
struct Io(Connection<Socket>);

impl tokio::io::AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let most = buffer.remaining().min(bytes.len());
        let read = AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut bytes[..most]);
        read.map_ok(|count| buffer.put_slice(&bytes[..count]))
    }
}

impl tokio::io::AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.0), cx)
    }
}

#[track_caller]
fn tunnel_error(result: Result<Connection<Socket>, OpenError>) -> onionskin::tunnel::Error {
    match result.unwrap_err().kind() {
        OpenErrorKind::Tunnel(error) => error.tunnel_error().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

/// As it stands in the string, and what is found there.
#[test]
fn t22_what_tls_has_agreed_on_is_spoken_and_what_is_demanded_must_be_agreed_on() {
    let files = Files::new("http2-t22");
    let (ca, identity) = (files.ca(), files.identity("localhost"));
    on_every_runtime(async |runtime| {
        let known = HashMap::from([("a.example", origin(runtime, "").await)]);
        let proxy = Proxy::new(runtime, known.clone());
        let both = proxy.open(&format!("+tls:{identity}:alpn=h2,http/1.1")).await;
        let old = proxy.open(&format!("+tls:{identity}:alpn=http/1.1")).await;
        let silent = proxy.open(&format!("+tls:{identity}")).await;
        let clear = proxy.open("").await;
        let prior = Proxy { prior: true, ..Proxy::new(runtime, known) };
        let prior = prior.open("").await;
        let tls = format!("+tls:{ca}");
        use TunnelProtocol::{Http1, Http2};
        for (port, tls, version, spoken) in [
            (both, &*tls, "", Http2),
            (both, &tls, ":version=auto", Http2),
            (both, &tls, ":version=2", Http2),
            (both, &tls, ":version=1", Http1),
            (both, &format!("{tls}:alpn=http/1.1"), "", Http1),
            (old, &tls, "", Http1),
            (silent, &tls, "", Http1),
            (clear, "", "", Http1),
            (prior, "", ":version=2", Http2),
        ] {
            let endpoint = format!("tcp:localhost:{port}{tls}+connect:a.example:1{version}");
            let conn = connect(runtime, &endpoint).await.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
            assert_eq!(conn.route()[0].protocol, Some(spoken), "{endpoint}");
            assert_eq!(conn.route()[0].stream.is_some(), spoken == Http2);
        }
        for (port, tls, version) in [
            (silent, &*tls, ":version=2"),
            (both, &format!("{tls}:alpn=http/1.1"), ":version=2"),
            (both, &format!("{tls}:alpn=h2"), ":version=1"),
        ] {
            let error = tunnel_error(
                connect(runtime, &format!("tcp:localhost:{port}{tls}+connect:a.example:1{version}")).await,
            );
            assert!(
                matches!(error.kind(), ErrorKind::Unsupported(_)) && error.to_string().contains("has agreed on"),
                "{error}"
            );
        }
        // It has neither, and says so in TLS.
        let error =
            connect(runtime, &format!("tcp:localhost:{old}{tls}+connect:a.example:1:version=2")).await.unwrap_err();
        assert!(error.connection_error().is_some(), "{error}");
        // A proxy that speaks HTTP/1.1 only, spoken to in HTTP/2.
        let error =
            tunnel_error(connect(runtime, &format!("tcp:localhost:{clear}+connect:a.example:1:version=2")).await);
        assert_eq!(error.protocol(), Http2, "{error}");
        let error =
            connect(runtime, &format!("tcp:localhost:{clear}+connect:a.example:1:version=2")).await.unwrap_err();
        assert!(error.to_string().starts_with("hop 1 of the route, to tcp a.example:1: http2 proxy"), "{error}");
    });
}

/// Streams in streams, with TLS to each and to the target, all of it in the route and in the drawing.
#[test]
fn a_route_through_http2_tells_of_every_hop() {
    let files = Files::new("http2-chain");
    let ca = files.ca();
    on_every_runtime(async |runtime| {
        let far = origin(runtime, &format!("+tls:{}", files.identity("inner.example"))).await;
        let second = Proxy::new(runtime, HashMap::from([("inner.example", far)]));
        let second = second.open(&format!("+tls:{}:alpn=h2", files.identity("outer.example"))).await;
        let first = Proxy::new(runtime, HashMap::from([("outer.example", SocketAddr::new(far.ip(), second))]));
        let first = first.open(&format!("+tls:{}:alpn=h2", files.identity("localhost"))).await;
        let endpoint = format!(
            "tcp:localhost:{first}+tls:{ca}+connect:outer.example:443+tls:{ca}+connect:inner.example:443+tls:{ca}"
        );
        let conn = connect(runtime, &endpoint).await.unwrap();
        let hops = conn.route();
        let streams: Vec<_> = hops.iter().map(|hop| (hop.protocol, hop.stream)).collect();
        assert_eq!(streams, [(Some(TunnelProtocol::Http2), Some(1)); 2]);
        let names: Vec<_> = hops.iter().map(|hop| hop.tls[0].server_name.clone().unwrap()).collect();
        assert_eq!(names, ["localhost", "outer.example"]);
        assert_eq!(hops[1].tls[0].alpn.as_deref(), Some(&b"h2"[..]));
        let (line, drawing) = (conn.to_string(), format!("{conn:#}"));
        let name = format!("tcp inner.example:443 via tcp localhost:{first}, tcp outer.example:443 [http2#1, http2#1]");
        assert!(line.starts_with(&name), "{line}");
        for piece in ["\"inner.example\"", "\"outer.example\"", "\"localhost\"", "hop 1  ", "hop 2  "] {
            assert_eq!(drawing.matches(piece).count(), 1, "{piece}: {drawing}");
        }
        // TLS behind the tunnel is that of the target, and of nobody else.
        let wrong = endpoint.replace("connect:inner.example", "connect:outer.example");
        assert!(connect(runtime, &wrong).await.is_err());
    });
}

/// Answers each line of everybody who has connected.
async fn patient_origin(runtime: &'static dyn Runtime, steps: &str) -> SocketAddr {
    let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{steps}").parse().unwrap()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    runtime.spawn(Box::pin(async move {
        while let Ok(incoming) = listener.accept().await {
            let answers = async move {
                let mut conn = incoming.ready().await?;
                while let Some(line) = conn.read_line().await? {
                    conn.write_line(line).await?;
                }
                Ok::<_, io::Error>(())
            };
            runtime.spawn(answers.map(drop).boxed());
        }
    }));
    address
}

/// TLS with the target, behind tunnels of one connection, two proxies deep; and each by itself where nobody has said so.
#[test]
fn p9_whoever_shares_has_tunnels_in_one_connection_with_tls_behind_them() {
    let files = Files::new("http2-sharing");
    let ca = files.ca();
    on_every_runtime(async |runtime| {
        let far = patient_origin(runtime, &format!("+tls:{}", files.identity("inner.example"))).await;
        let last = Proxy::new(runtime, HashMap::from([("inner.example", far)]));
        let port = last.open(&format!("+tls:{}:alpn=h2", files.identity("outer.example"))).await;
        let first = Proxy::new(runtime, HashMap::from([("outer.example", SocketAddr::new(far.ip(), port))]));
        let port = first.open(&format!("+tls:{}:alpn=h2", files.identity("localhost"))).await;
        let endpoint: Endpoint = format!(
            "tcp:localhost:{port}+tls:{ca}+connect:outer.example:443+tls:{ca}+connect:inner.example:443+tls:{ca}"
        )
        .parse()
        .unwrap();
        let connections = || -> Vec<_> { last.asked().into_iter().map(|(number, ..)| number).collect() };
        let streams = |conn: &Connection<Socket>| (conn.route()[0].stream, conn.route()[1].stream);
        let talks = async |conn: &mut Connection<Socket>| {
            conn.write_line("hello").await.unwrap();
            assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
        };

        // A connector that shares.
        let connector = Connector::new(runtime, &endpoint).unwrap().sharing(None);
        let mut held = Vec::new();
        for number in [1, 3, 5] {
            let mut conn = connector.connect().await.unwrap();
            assert_eq!(streams(&conn), (Some(1), Some(number)));
            assert_eq!(conn.layers().tls().last().unwrap().server_name.as_deref(), Some("inner.example"));
            talks(&mut conn).await;
            held.push(conn);
        }
        assert_eq!((connections(), first.asked().len()), (vec![0, 0, 0], 1));

        // The control: one that does not.
        let alone = Connector::new(runtime, &endpoint).unwrap();
        for _ in 0..2 {
            let mut conn = alone.connect().await.unwrap();
            assert_eq!(streams(&conn), (Some(1), Some(1)));
            talks(&mut conn).await;
            held.push(conn);
        }
        assert_eq!(connections(), [0, 0, 0, 1, 2]);

        // And a pool, for what is in use at a time.
        let pool = Pool::new(runtime, Limits::default());
        let peer = pool.peer(endpoint).unwrap();
        let (mut one, mut other) = (peer.take().await.unwrap(), peer.take().await.unwrap());
        assert_eq!((streams(&one), streams(&other)), ((Some(1), Some(1)), (Some(1), Some(3))));
        talks(&mut one).await;
        talks(&mut other).await;
        assert_eq!(connections(), [0, 0, 0, 1, 2, 3, 3]);
    });
}

/// On the same connection: a refusal is the end of one stream.
#[test]
fn h7_a_password_is_said_to_a_proxy_of_http2_that_asks_for_it() {
    let files = Files::new("http2-h7");
    std::fs::write(files.path("password"), "peel\n").unwrap();
    on_every_runtime(async |runtime| {
        let known = HashMap::from([("a.example", origin(runtime, "").await)]);
        let proxy = Proxy { wants_login: true, ..Proxy::new(runtime, known) };
        let port = proxy.open(&format!("+tls:{}:alpn=h2", files.identity("localhost"))).await;
        let through = format!("tcp:localhost:{port}+tls:{}+connect:a.example:1", files.ca());
        let login = format!("{through}:user=onion:password-file={}", files.path("password"));
        let connector = Connector::new(runtime, &login.parse().unwrap()).unwrap();
        for streams in [3, 1] {
            let conn = connector.connect().await.unwrap();
            assert_eq!(conn.route()[0].stream, Some(streams));
        }
        let said = proxy.asked().into_iter().filter(|(number, ..)| *number == 0).map(|(.., told)| told);
        assert_eq!(said.take(2).collect::<Vec<_>>(), [false, true]);
        let error = tunnel_error(connect(runtime, &through).await);
        assert!(matches!(error.kind(), ErrorKind::AuthRequired(_)), "{error}");
    });
}

/// What cannot be borne is named where HTTP/2 was demanded, and otherwise there is another HTTP.
#[test]
fn t4_a_length_in_http2_is_named_or_gone_round() {
    let files = Files::new("http2-t4");
    on_every_runtime(async |runtime| {
        let known = HashMap::from([("a.example", origin(runtime, "").await)]);
        let proxy = Proxy { says_length: true, ..Proxy::new(runtime, known) };
        let port = proxy.open(&format!("+tls:{}:alpn=h2,http/1.1", files.identity("localhost"))).await;
        let through = format!("tcp:localhost:{port}+tls:{}+connect:a.example:1", files.ca());
        let error = tunnel_error(connect(runtime, &format!("{through}:version=2")).await);
        assert!(matches!(error.kind(), ErrorKind::Http2(_)), "{error}");
        let conn = connect(runtime, &through).await.unwrap();
        assert_eq!(conn.route()[0].protocol, Some(TunnelProtocol::Http1));
        let asked: Vec<_> = proxy.asked().iter().map(|(number, protocol, _)| (*number, *protocol)).collect();
        assert!(
            asked.contains(&(1, TunnelProtocol::Http2)) && asked.contains(&(2, TunnelProtocol::Http1)),
            "{asked:?}"
        );
    });
}

#[test]
fn h17_who_is_dropped_while_a_stream_is_asked_for_closes_its_socket() {
    on_every_runtime(async |runtime| {
        let proxy = Proxy { prior: true, hangs: true, ..Proxy::new(runtime, HashMap::new()) };
        let port = proxy.open("").await;
        let endpoint = format!("tcp:localhost:{port}+connect:a.example:1:version=2");
        let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
        let wait = async |count: usize| {
            while proxy.asked().len() < count {
                runtime.sleep_until(runtime.now() + Duration::from_millis(1)).await;
            }
        };
        match select(connector.connect().boxed(), wait(1).boxed_local()).await {
            Either::Left((result, _)) => panic!("{result:?}"),
            Either::Right(((), connecting)) => drop(connecting),
        }
        // The server has come to the end of its connection, which it notes.
        let gone = select(wait(2).boxed_local(), runtime.sleep_until(runtime.now() + Duration::from_secs(60))).await;
        assert!(matches!(gone, Either::Left(_)), "the socket is still open");
    });
}
