//! Streams of HTTP/2, and many of them over one connection.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use onionskin::endpoint::Listener;
use onionskin::http::HyperIo;
use onionskin::http::http::{Request, Response};
use onionskin::http::hyper::body::{Bytes, Incoming};
use onionskin::http::hyper::rt::Executor;
use onionskin::http::hyper::server::conn::http2;
use onionskin::http::hyper::service::service_fn;
use onionskin::runtime::Runtime;
use onionskin::streams::policy::Policy;
use onionskin::streams::{Delivery, Streams};

use crate::world::{World, runtime};

#[derive(Clone)]
struct Background(&'static dyn Runtime);

impl<F: Future + Send + 'static> Executor<F> for Background {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(async move {
            task.await;
        }));
    }
}

/// A server that answers with what it was asked: the path and the body. It counts connections.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// The given number of requests at a time on one connection.
    fn new(most: u32) -> Self {
        let listener = block_on(Listener::new(runtime(), &"tcp:127.0.0.1:0".parse().unwrap())).unwrap();
        let port = listener.local_address().port().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        runtime().spawn(Box::pin(async move {
            while let Ok(incoming) = listener.accept().await {
                let connection = incoming.ready().await.unwrap();
                count.fetch_add(1, SeqCst);
                let mut builder = http2::Builder::new(Background(runtime()));
                builder.max_concurrent_streams(most);
                let serving = builder.serve_connection(HyperIo(connection), service_fn(echo));
                runtime().spawn(Box::pin(async move { drop(serving.await) }));
            }
        }));
        Self { port, connections }
    }

    fn stream(&self) -> String {
        let port = self.port;
        format!(
            r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "h2", "http_method": "POST", "http_url": "/in""#
        )
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let authority = request.uri().authority().expect("HTTP/2 has one").to_string();
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = [authority.as_bytes(), path.as_bytes(), b"=", &body].concat();
    Ok(Response::new(Full::new(answer.into())))
}

#[test]
fn a_message_is_a_request_over_a_connection_that_is_used_again() {
    let server = Server::new(100);
    let mut world = World::new(r#""conceal": 0"#, &server.stream());
    for text in ["one", "two"] {
        assert_eq!(block_on(world.stream.send(text)).unwrap(), Delivery::Acknowledged);
        let message = block_on(world.stream.receive()).unwrap().unwrap();
        assert_eq!(message.payload, format!("127.0.0.1:{}/in={text}", server.port));
        assert!(message.is_first && message.is_last);
    }
    world.expect(&["connecting 1", "connected", "acknowledged #1", "disconnected", "connecting 1", "connected"]);
    assert_eq!(server.connections.load(SeqCst), 1);
}

/// The server takes 50 at a time: the others wait for their turn.
#[test]
fn a_thousand_streams_share_one_connection_and_each_gets_its_answer() {
    let server = Server::new(50);
    let policy = format!(r#"{{ "s": {{ "it": {{ {} }} }} }}"#, server.stream());
    let streams = Streams::new(Policy::read(&policy).unwrap(), runtime()).unwrap();
    let all: Vec<_> = (0..1000).map(|_| streams.open("it").unwrap()).collect();
    block_on(join_all(all.iter().enumerate().map(async |(number, stream)| {
        let text = format!("{number}:").repeat(100);
        assert_eq!(stream.send(text.clone()).await.unwrap(), Delivery::Acknowledged);
        let mut received = Vec::new();
        loop {
            let message = stream.receive().await.unwrap().unwrap();
            received.extend_from_slice(&message.payload);
            if message.is_last {
                break;
            }
        }
        assert!(received.ends_with(text.as_bytes()), "{number}");
    })));
    assert_eq!(server.connections.load(SeqCst), 1);
}

#[test]
fn one_that_does_not_read_its_answer_holds_up_no_other() {
    let server = Server::new(50);
    let policy = format!(r#"{{ "s": {{ "it": {{ {}, "client_buflen": 8000000 }} }} }}"#, server.stream());
    let streams = Streams::new(Policy::read(&policy).unwrap(), runtime()).unwrap();
    let slow = streams.open("it").unwrap();
    let sending = block_on(slow.enqueue(vec![7; 4 << 20])).unwrap();
    let first = block_on(slow.receive()).unwrap().unwrap();
    assert!(!first.is_last);
    let quick = streams.open("it").unwrap();
    for _ in 0..100 {
        assert_eq!(block_on(quick.send("x")).unwrap(), Delivery::Acknowledged);
        block_on(quick.receive()).unwrap().unwrap();
    }
    assert_eq!(server.connections.load(SeqCst), 1);
    let mut len = first.payload.len();
    loop {
        let message = block_on(slow.receive()).unwrap().unwrap();
        len += message.payload.len();
        if message.is_last {
            break;
        }
    }
    assert!(len > 4 << 20);
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
}

/// Another trust, another proxy, another name: nothing of one is used for the other.
#[test]
fn what_differs_in_anything_that_is_security_shares_nothing() {
    let server = Server::new(50);
    let other = server.stream().replace("127.0.0.1", "localhost");
    let policy = format!(
        r#"{{ "s": {{ "a": {{ {0} }}, "b": {{ {0} }}, "c": {{ {other} }}, "d": {{ {0}, "dscp": 10 }} }} }}"#,
        server.stream()
    );
    let streams = Streams::new(Policy::read(&policy).unwrap(), runtime()).unwrap();
    let all: Vec<_> = ["a", "b", "c", "d"].map(|name| streams.open(name).unwrap()).into_iter().collect();
    for (stream, connections) in all.iter().zip([1, 1, 2, 3]) {
        block_on(stream.send("x")).unwrap();
        assert_eq!(server.connections.load(SeqCst), connections, "{}", stream.name());
    }
}

/// A server of a few bytes. It answers the first request, refuses so many that follow (RFC 9113, section 8.7), and answers again.
/// It counts requests.
fn refuses(most: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        while let Ok((peer, _)) = listener.accept() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || refuse(peer, most, &count));
        }
    });
    (port, asked)
}

/// Serves one connection, to its end.
fn refuse(mut peer: TcpStream, most: usize, asked: &AtomicUsize) -> Option<()> {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    peer.read_exact(&mut [0; 24]).ok()?;
    peer.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).ok()?;
    loop {
        let mut head = [0; 9];
        peer.read_exact(&mut head).ok()?;
        let [_, high, low, kind, flags, stream @ ..] = head;
        peer.read_exact(&mut vec![0; usize::from(high) << 8 | usize::from(low)]).ok()?;
        match kind {
            SETTINGS if flags == 0 => peer.write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).ok()?,
            HEADERS => {
                let number = asked.fetch_add(1, SeqCst);
                if (1..=most).contains(&number) {
                    peer.write_all(&[&[0, 0, 4, 3, 0], &stream[..], &[0, 0, 0, 7]].concat()).ok()?;
                } else {
                    // `:status: 200` of the static table, and the end of the answer.
                    peer.write_all(&[&[0, 0, 1, HEADERS, 5], &stream[..], &[0x88]].concat()).ok()?;
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_request_that_was_refused_is_sent_again_at_once_but_not_for_ever() {
    for (refused, is_late) in [(1, false), (3, false), (4, true)] {
        let (port, asked) = refuses(refused);
        let stream = format!(r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "h2", "http_method": "POST""#);
        let mut world = World::new(r#""backoff": [100], "conceal": 1"#, &stream);
        assert_eq!(block_on(world.stream.send("one")).unwrap(), Delivery::Acknowledged);
        world.expect(&["connecting 1", "connected", "acknowledged #1", "disconnected"]);
        let sending = block_on(world.stream.enqueue("two")).unwrap();
        if is_late {
            world.expect(&["connecting 1", "unreachable: h2: ", "backoff 100"]);
            assert_eq!(asked.load(SeqCst), 1 + refused, "then the delays of the policy count");
            world.wait(Duration::from_millis(100));
            world.expect(&["connecting 2", "connected", "acknowledged #2"]);
        } else {
            world.expect(&["connecting 1", "connected", "acknowledged #2"]);
        }
        assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
        assert_eq!(asked.load(SeqCst), 2 + refused);
    }
}

#[test]
fn pieces_that_a_refused_request_has_taken_are_never_left_out_of_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tx, rx) = std::sync::mpsc::channel::<String>();
    std::thread::spawn(move || -> Option<()> {
        let (mut peer, _) = listener.accept().ok()?;
        peer.read_exact(&mut [0; 24]).ok()?;
        peer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).ok()?;
        let (mut number, mut body) = (0, Vec::new());
        loop {
            let mut head = [0; 9];
            peer.read_exact(&mut head).ok()?;
            let [_, high, low, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
            peer.read_exact(&mut payload).ok()?;
            let ok = [&[0, 0, 1, 1, 5], &stream[..], &[0x88]].concat();
            match kind {
                4 if flags == 0 => peer.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).ok()?,
                1 => {
                    number += 1;
                    body.clear();
                    if number == 1 {
                        peer.write_all(&ok).ok()?;
                    }
                }
                0 if number > 1 => {
                    body.extend_from_slice(&payload);
                    if number == 2 && body.ends_with(b"two,") {
                        // REFUSED_STREAM, when two pieces are gone.
                        peer.write_all(&[&[0, 0, 4, 3, 0], &stream[..], &[0, 0, 0, 7]].concat()).ok()?;
                    }
                    if number > 2 && flags & 1 == 1 {
                        tx.send(String::from_utf8_lossy(&body).into_owned()).ok()?;
                        peer.write_all(&ok).ok()?;
                    }
                }
                _ => {}
            }
        }
    });
    let stream = format!(r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "h2", "http_method": "POST""#);
    let world = World::new(r#""backoff": [100], "conceal": 1"#, &stream);
    assert_eq!(block_on(world.stream.send("one")).unwrap(), Delivery::Acknowledged);
    let piece = |text: &str, first, last| onionskin::streams::Message::from(text).piece(first, last);
    let first = block_on(world.stream.enqueue(piece("one,", true, false))).unwrap();
    assert_eq!(block_on(world.stream.send(piece("two,", false, false))).unwrap(), Delivery::Sent);
    // Half a message is never acknowledged, and its rest is no request.
    assert!(block_on(first).is_err());
    assert!(rx.try_recv().is_err());
}
