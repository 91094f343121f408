//! The request that becomes a WebSocket (RFC 6455, section 4).
//!
//! hyper sends it and reads the answer, so that a server that refuses is understood as in HTTP, and what comes behind the answer is
//! not lost: hyper gives it back with the connection.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{Either, select};
use http::header::{
    CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;

use super::super::super::policy::{Protocol, StreamPolicy};
use super::super::super::{Error, ErrorKind};
use super::super::attempt::until_close;
use super::super::http::{fault, request, retry_after, tell_head};
use super::super::{Attempt, Ending, Port};
use super::{WebSocket, shown};
use crate::connection::Connection;
use crate::http::HyperIo;
use crate::runtime::Socket;

/// Opens a connection and makes a WebSocket of it. What speaks over it may demand a subprotocol.
pub(in crate::streams::protocol) async fn open(
    attempt: &Attempt,
    port: &Port,
    demanded: Option<&str>,
) -> Result<WebSocket, Ending> {
    let policy = attempt.policy()?;
    let destination = attempt.destination()?;
    let subprotocol = demanded.or(policy.ws.subprotocol.as_deref());
    let key = key(attempt);
    let uri = request::uri(attempt, policy, &destination, &attempt.values)?;
    let mut request = Request::new(String::new());
    *request.headers_mut() = fields(attempt, policy, subprotocol, &key)?;
    let host = uri.authority().map_or("localhost", |authority| authority.as_str());
    request.headers_mut().insert(HOST, HeaderValue::from_str(host).map_err(|_| unusable())?);
    *request.uri_mut() =
        uri.path_and_query().map_or_else(|| "/".parse(), |path| path.as_str().parse()).map_err(|_| unusable())?;

    let connection = attempt.open_to(&destination, port).await?;
    let timer = &attempt.shared.timer;
    let patience = timer.now().checked_add(PATIENCE).map(|deadline| timer.sleep_until(deadline));
    let late = async {
        match patience {
            Some(patience) => patience.await,
            None => std::future::pending().await,
        }
    };
    let asking = until_close(port, ask(connection, request, policy, attempt, port));
    let (connection, read, head) = match select(pin!(asking), Box::pin(late)).await {
        Either::Left((answer, _)) => answer?,
        Either::Right(_) => return Err(Error::from(ErrorKind::Silent(PATIENCE)).into()),
    };
    check(&head, subprotocol, &key)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    Ok(WebSocketStream::from_partially_read(connection, read, Role::Client, Some(config)).await)
}

/// Sends the request. If the answer is 101, the connection comes back, with what was read behind the answer, and its fields.
async fn ask(
    connection: Connection<Socket>,
    request: Request<String>,
    policy: &StreamPolicy,
    attempt: &Attempt,
    port: &Port,
) -> Result<(Connection<Socket>, Vec<u8>, HeaderMap), Ending> {
    let fault = |error: hyper::Error| fault(&error, Protocol::Ws);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, mut driver) = builder.handshake(HyperIo(connection)).await.map_err(fault)?;
    let mut asking = pin!(sender.send_request(request));
    let mut is_driven = false;
    let answer: Response<Incoming> = poll_fn(|cx| {
        if !is_driven && let std::task::Poll::Ready(outcome) = driver.poll_without_shutdown(cx) {
            is_driven = true;
            if let Err(error) = outcome {
                // The request, if it waits for an answer, is told the same.
                log::debug!("the handshake of a WebSocket: {error}");
            }
        }
        asking.as_mut().poll(cx)
    })
    .await
    .map_err(fault)?;
    let (head, _) = answer.into_parts();
    let status = head.status.as_u16();
    tell_head(status, &head.headers, policy, port);
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        if let Some(retry_after) = retry_after(head.status, &head.headers, attempt.shared.now_of_day()) {
            return Err(Ending::Failed { error: ErrorKind::Status(status).into(), retry_after: Some(retry_after) });
        }
        return Err(Error::refused(Protocol::Ws, format!("the answer to the handshake is {}", head.status)).into());
    }
    if !is_driven {
        poll_fn(|cx| driver.poll_without_shutdown(cx)).await.map_err(fault)?;
    }
    let parts = driver.into_parts();
    Ok((parts.io.0, parts.read_buf.to_vec(), head.headers))
}

fn fields(attempt: &Attempt, policy: &StreamPolicy, subprotocol: Option<&str>, key: &str) -> Result<HeaderMap, Error> {
    let mut fields = request::fields(attempt, policy, &attempt.values)?;
    let mut set = |name: HeaderName, value: &str| {
        fields.insert(name, HeaderValue::from_str(value).map_err(|_| unusable())?);
        Ok::<_, Error>(())
    };
    set(CONNECTION, "Upgrade")?;
    set(UPGRADE, "websocket")?;
    set(SEC_WEBSOCKET_VERSION, "13")?;
    set(SEC_WEBSOCKET_KEY, key)?;
    if let Some(subprotocol) = subprotocol {
        set(SEC_WEBSOCKET_PROTOCOL, subprotocol)?;
    }
    Ok(fields)
}

/// Whether the answer is that of a WebSocket, for this key, and with the subprotocol that was asked for (RFC 6455, section 4.1).
fn check(fields: &HeaderMap, subprotocol: Option<&str>, key: &str) -> Result<(), Error> {
    let wrong = |how: String| Err(Error::broken(Protocol::Ws, how));
    let has = |name: HeaderName, token: &str| {
        let values = fields.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
    };
    if !has(CONNECTION, "upgrade") || !has(UPGRADE, "websocket") {
        return wrong("the answer is 101, and not for a WebSocket".to_owned());
    }
    let accept = fields.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return wrong("the answer is not for this handshake (Sec-WebSocket-Accept)".to_owned());
    }
    if fields.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return wrong("the answer agrees to an extension, and none was asked for".to_owned());
    }
    let mut answered = fields.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let first = answered.next().map(|value| value.to_str().unwrap_or_default());
    if answered.next().is_some() || first != subprotocol {
        return wrong(format!("the subprotocol is {}, and {} was asked for", shown(first), shown(subprotocol)));
    }
    Ok(())
}

/// A key that was not used before: it protects from caches, and is no secret.
fn key(attempt: &Attempt) -> String {
    let mut key = [0; 16];
    for four in key.chunks_exact_mut(4) {
        four.copy_from_slice(&attempt.shared.random.next().to_be_bytes());
    }
    STANDARD.encode(key)
}

fn unusable() -> Error {
    ErrorKind::Unsupported("a field of the handshake that is no value of HTTP".to_owned()).into()
}

/// How long the answer to the handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// So long is the head of the answer at most.
const MAX_HEAD: usize = 64 * 1024;

/// So long is a message that arrives at most, and so much is read at a time.
const MAX_MESSAGE: usize = 16 << 20;
const READ_BUFFER: usize = 8 * 1024;
