//! Connections with HTTP on them: kept from one request to the next, and with HTTP/2 shared by all streams to the same place.
//!
//! What is the same place is told by the whole endpoint, with every step, name, pin, certificate and protocol in it, as in
//! [`pool::Key`](crate::pool::Key).

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::lock::Mutex as AsyncMutex;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};

use super::super::super::policy::{Destination, Protocol, StreamPolicy};
use super::super::super::{Error, ErrorKind};
use super::super::attempt::until_close;
use super::super::{Attempt, Ending, Port};
use super::Body;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::http::{Background, HyperIo, connection_error, drive};
use crate::runtime::{Runtime, Socket};

/// A connection that requests can be sent over, one at a time.
pub(super) struct Client {
    endpoint: Endpoint,
    protocol: Protocol,
    sender: Sender,
    is_new: bool,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(Arc<http2::SendRequest<Body>>),
}

/// Why there is no answer.
pub(super) struct NotSent {
    pub(super) error: Error,
    /// Whether the peer cannot have begun with it.
    pub(super) is_untouched: bool,
}

/// The connection that was kept, if it leads there and still lives; one that other streams use; or a new one.
pub(super) async fn open(
    kept: Option<Client>,
    destination: &Destination,
    policy: &StreamPolicy,
    attempt: &Attempt,
    port: &Port,
) -> Result<Client, Ending> {
    let (endpoint, protocol) = (&destination.endpoint, policy.protocol);
    if let Some(kept) = kept
        && kept.endpoint == *endpoint
        && kept.protocol == protocol
        && !kept.is_closed()
    {
        return Ok(Client { is_new: false, ..kept });
    }
    let runtime = attempt.shared.runtime;
    let client = |sender, is_new| Client { endpoint: endpoint.clone(), protocol, sender, is_new };
    if protocol == Protocol::H1 {
        let connection = attempt.open_to(destination, port).await?;
        return Ok(client(Sender::Http1(http1(connection, runtime).await?), true));
    }
    let slot = attempt.shared.clients.slot(endpoint);
    let mut carrier = until_close(port, async { Ok(slot.lock().await) }).await?;
    if let Some(sender) = carrier.upgrade().filter(|sender| !sender.is_closed()) {
        return Ok(client(Sender::Http2(sender), false));
    }
    let connection = attempt.open_to(destination, port).await?;
    if destination.is_tls && agreed_on(&connection).as_deref() != Some(b"h2") {
        return Err(Error::refused(protocol, "it does not agree to HTTP/2 (ALPN)").into());
    }
    let sender = Arc::new(http2(connection, runtime).await?);
    *carrier = Arc::downgrade(&sender);
    Ok(client(Sender::Http2(sender), true))
}

impl Client {
    /// Whether nothing was ever sent over it by this stream, nor over it by another.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Sends a request with an absolute URI, and waits for the head of its answer.
    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, NotSent> {
        let protocol = self.protocol;
        let not_sent = |error: &hyper::Error, is_untouched| NotSent { error: fault(error, protocol), is_untouched };
        match &mut self.sender {
            Sender::Http1(sender) => {
                name_host(&mut request);
                sender.ready().await.map_err(|error| not_sent(&error, true))?;
                sender.try_send_request(request).await.map_err(|mut error| {
                    let is_untouched = error.take_message().is_some();
                    not_sent(error.error(), is_untouched)
                })
            }
            Sender::Http2(sender) => {
                let mut sender = http2::SendRequest::clone(sender);
                sender.ready().await.map_err(|error| not_sent(&error, true))?;
                sender.try_send_request(request).await.map_err(|mut error| {
                    let is_untouched = error.take_message().is_some() || is_not_processed(error.error());
                    not_sent(error.error(), is_untouched)
                })
            }
        }
    }

    /// The same for the next request, if there can be one.
    pub(super) fn keep(self) -> Option<Self> {
        (!self.is_closed()).then_some(self)
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

async fn http1(
    connection: Connection<Socket>,
    runtime: &'static dyn Runtime,
) -> Result<http1::SendRequest<Body>, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS);
    let (sender, driver) = builder.handshake(HyperIo(connection)).await.map_err(|error| fault(&error, Protocol::H1))?;
    drive(runtime, driver, ());
    Ok(sender)
}

async fn http2(
    connection: Connection<Socket>,
    runtime: &'static dyn Runtime,
) -> Result<http2::SendRequest<Body>, Error> {
    let mut builder = http2::Builder::new(Background(runtime));
    builder.max_header_list_size(MAX_HEAD as u32).initial_stream_window_size(WINDOW).max_send_buf_size(WINDOW as usize);
    builder.initial_connection_window_size(CONNECTION_WINDOW);
    let (sender, driver) = builder.handshake(HyperIo(connection)).await.map_err(|error| fault(&error, Protocol::H2))?;
    drive(runtime, driver, ());
    Ok(sender)
}

/// What TLS, the innermost layer, has agreed on.
fn agreed_on(connection: &Connection<Socket>) -> Option<Vec<u8>> {
    connection.layers().iter().last().and_then(|layer| layer.tls.as_ref()).and_then(|tls| tls.alpn.clone())
}

/// What an error of hyper is to a stream.
pub(in crate::streams::protocol) fn fault(error: &hyper::Error, protocol: Protocol) -> Error {
    if let Some(error) = connection_error(error) {
        return error.clone().into();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return ErrorKind::Ended.into();
    }
    let mut how = error.to_string();
    if let Some(cause) = error.source() {
        if cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return ErrorKind::Ended.into();
        }
        how = format!("{how}: {cause}");
    }
    Error::broken(protocol, how)
}

/// Whether HTTP/2 says that nothing was done for the request: the stream was refused, or is above the last one of a connection that
/// goes away (RFC 9113, section 8.7).
fn is_not_processed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.reason() == Some(h2::Reason::REFUSED_STREAM)
            || cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}

/// Moves the authority of the URI to where HTTP/1.1 has it.
fn name_host(request: &mut Request<Body>) {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().insert(HOST, authority);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
}

/// Connections of HTTP/2 that streams share, by the endpoints that they lead to. One that no stream uses any more closes.
#[derive(Default)]
pub(in crate::streams) struct SharedClients(Mutex<HashMap<Endpoint, Arc<Slot>>>);

/// Is locked by who opens a connection, so that others to the same place wait for it.
type Slot = AsyncMutex<Weak<http2::SendRequest<Body>>>;

impl SharedClients {
    fn slot(&self, endpoint: &Endpoint) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(endpoint) {
            return Arc::clone(slot);
        }
        if slots.len() >= SWEEP_AT && slots.len().is_power_of_two() {
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_none_or(|it| it.strong_count() > 0)
            });
        }
        let slot = Arc::new(Slot::new(Weak::new()));
        slots.insert(endpoint.clone(), Arc::clone(&slot));
        slot
    }
}

impl fmt::Debug for SharedClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedClients").finish_non_exhaustive()
    }
}

/// So long is the head of an answer at most, and so many fields it has.
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;

/// So much of a body may be on its way to a stream of HTTP/2, and to all of one connection.
const WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// With so many places those that nobody uses any more are taken out.
const SWEEP_AT: usize = 64;
