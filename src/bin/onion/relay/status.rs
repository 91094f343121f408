//! `--status`: an HTTP/1.1 server of one page, for Prometheus to fetch the metrics from.
//!
//! It is not to cost the relays anything, whoever talks to it: it runs in one task, answers so many at a time and no more,
//! gives each a few seconds for everything, reads one small request of each and says goodbye. What comes beyond that waits in the
//! queue of the system, and is refused when that is full.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, pending, select};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{FuturesUnordered, StreamExt};
use onionskin::Connection;
use onionskin::endpoint::{BaseTransport, Endpoint, Incoming, Listener};
use onionskin::runtime::{Runtime, Socket};

use super::metrics::Metrics;
use crate::failure::Failure;
use crate::leave::leave;
use crate::open;

/// Where the metrics are served: a port of the loopback address, an address, or an endpoint.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    let is_endpoint = TRANSPORTS.iter().any(|transport| text.starts_with(transport));
    let full = match text {
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("tcp:127.0.0.1:{port}"),
        endpoint if is_endpoint => endpoint.to_owned(),
        address => format!("tcp:{address}"),
    };
    let endpoint = open::parse(&full).map_err(|error| error.at("status"))?;
    match endpoint.transport {
        BaseTransport::Stdio => {
            Err(Failure::usage("status: standard input and output are no place to ask again and again"))
        }
        _ => Ok(endpoint),
    }
}

/// A server that shows metrics.
pub(super) struct Status {
    runtime: &'static dyn Runtime,
    listener: Listener,
    metrics: Arc<Metrics>,
}

impl Status {
    pub(super) async fn open(
        runtime: &'static dyn Runtime,
        endpoint: &Endpoint,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        let listener = Listener::new(runtime, endpoint).await;
        let listener = listener.map_err(|error| Failure::from(error).at("status"))?;
        Ok(Self { runtime, listener, metrics: Arc::new(metrics) })
    }

    /// Where it listens, with the port that was picked.
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.listener.endpoint()
    }

    /// Answers for ever.
    pub(super) async fn run(self) {
        let mut answers = FuturesUnordered::<BoxFuture<'static, ()>>::new();
        loop {
            let accepted = match answers.len() {
                MAX_ANSWERS.. => pending().boxed(),
                _ => self.listener.accept().boxed(),
            };
            let answered = async {
                match answers.next().await {
                    Some(()) => {}
                    None => pending().await,
                }
            };
            match select(accepted, Box::pin(answered)).await {
                Either::Left((Ok(incoming), _)) => answers.push(self.answer(incoming)),
                Either::Left((Err(error), _)) => {
                    log::debug!("status: cannot accept a connection: {error}");
                    if self.listener.has_ended() {
                        return;
                    }
                    self.runtime.sleep_until(self.runtime.now() + PAUSE).await;
                }
                Either::Right(_) => {}
            }
        }
    }

    fn answer(&self, incoming: Incoming) -> BoxFuture<'static, ()> {
        let (runtime, metrics) = (self.runtime, Arc::clone(&self.metrics));
        let peer = incoming.addresses().to_string();
        let exchange = async move {
            let mut connection = match incoming.ready().await {
                Ok(connection) => connection,
                Err(error) => return log::debug!("status: {peer}: {error}"),
            };
            let answer = Answer::to(read_request(&mut connection).await, &metrics);
            match connection.write_all(&answer.bytes()).await {
                Ok(()) => leave(connection).await,
                Err(error) => log::debug!("status: {peer}: {error}"),
            }
        };
        let late = runtime.sleep_until(runtime.now() + PATIENCE);
        select(exchange.boxed(), late).map(drop).boxed()
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    /// With whether only the head of the answer is wanted.
    Page {
        path: String,
        head: bool,
    },
    OtherMethod,
    TooLarge,
    Wrong,
}

async fn read_request(connection: &mut Connection<Socket>) -> Request {
    let mut buffer = [0; MAX_REQUEST];
    let mut filled = 0;
    loop {
        match connection.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return Request::Wrong,
            Ok(count) => filled += count,
        }
        match Request::parse(&buffer[..filled]) {
            None if filled == buffer.len() => return Request::TooLarge,
            None => {}
            Some(request) => return request,
        }
    }
}

impl Request {
    /// `None` if there is more to come.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Partial) => return None,
            Err(httparse::Error::TooManyHeaders) => return Some(Self::TooLarge),
            Err(_) => return Some(Self::Wrong),
            Ok(httparse::Status::Complete(_)) => {}
        }
        let path = request.path.unwrap_or_default();
        let path = path.split_once('?').map_or(path, |(path, _)| path).to_owned();
        Some(match request.method {
            Some("GET") => Self::Page { path, head: false },
            Some("HEAD") => Self::Page { path, head: true },
            _ => Self::OtherMethod,
        })
    }
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
    /// Whether the body is left out.
    head: bool,
}

impl Answer {
    fn to(request: Request, metrics: &Metrics) -> Self {
        let (status, body, head) = match request {
            Request::Page { path, head } if path == METRICS => {
                return Self { status: "200 OK", kind: PROMETHEUS, body: metrics.text(), head };
            }
            Request::Page { head, .. } => ("404 Not Found", "the metrics are at /metrics\n", head),
            Request::OtherMethod => ("405 Method Not Allowed", "there is nothing here but to GET\n", false),
            Request::TooLarge => ("431 Request Header Fields Too Large", "the request is too large\n", false),
            Request::Wrong => ("400 Bad Request", "that is no request of HTTP/1.1\n", false),
        };
        Self { status, kind: "text/plain; charset=utf-8", body: body.to_owned(), head }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { status, kind, body, head } = self;
        let allow = if status.starts_with("405") { "allow: GET, HEAD\r\n" } else { "" };
        let length = body.len();
        let body = if *head { "" } else { body };
        format!("HTTP/1.1 {status}\r\n{allow}content-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .into_bytes()
    }
}

const METRICS: &str = "/metrics";

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What an endpoint begins with, where everything else is an address.
const TRANSPORTS: [&str; 5] = ["tcp:", "unix:", "fd:", "systemd:", "stdio"];

/// How many are answered at a time.
const MAX_ANSWERS: usize = 4;

/// How long one may take for everything, its handshakes included.
const PATIENCE: Duration = Duration::from_secs(5);

/// When nobody can be accepted.
const PAUSE: Duration = Duration::from_millis(500);

/// Of its line and headers, in bytes.
const MAX_REQUEST: usize = 4096;

const MAX_HEADERS: usize = 64;
