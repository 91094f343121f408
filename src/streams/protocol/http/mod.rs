//! HTTP/1.1 and HTTP/2: each message is a request, and its answer is what is received.
//!
//! ```text
//!      message ──▶ request ──▶ head of the answer ──▶ pieces of its body ──▶ acknowledged, or refused by its status
//!                     │              │
//!                     │              └── 429 and 503 ask to come again: it waits, and is sent again
//!                     └── connection: the one of the last time, one that other streams use too (HTTP/2), or a new one
//! ```
//!
//! The stream stands from the head of an answer to its end. What was sent over a connection that turns out to be over is sent
//! again over a new one if the peer cannot have begun with it, or if it does no harm twice (an idempotent method, RFC 9110
//! section 9.2.2); otherwise it is lost, and nobody knows.

// | file | idea |
// |---|---|
// | `request.rs` | from a policy, values and a message to a request |
// | `body.rs` | the body of a request, whole or in pieces |
// | `client.rs` | connections with HTTP on them, kept and shared |
// | `retry_after.rs` | how long a server asks to wait |

mod body;
mod client;
pub(super) mod request;
mod retry_after;

use futures::future::{BoxFuture, Either, select};
use http::{Method, Response};
use hyper::body::{Body as _, Incoming};
use std::pin::{Pin, pin};

use self::body::Body;
pub(in crate::streams) use self::client::SharedClients;
pub(super) use self::client::fault;
use self::client::{Client, NotSent};
pub(super) use self::retry_after::retry_after;
use super::super::mailbox::Outgoing;
use super::super::message::{Delivery, Message};
use super::super::policy::StreamPolicy;
use super::super::{Error, ErrorKind, Event};
use super::attempt::until_close;
use super::{Attempt, Ending, Port, Speaker};

/// A stream of HTTP, with the connection that it keeps from one request to the next.
#[derive(Default)]
pub(super) struct Http {
    kept: Option<Client>,
}

impl Speaker for Http {
    fn speak<'s>(&'s mut self, attempt: &'s Attempt, port: &'s Port) -> BoxFuture<'s, Ending> {
        Box::pin(async move {
            match self.transaction(attempt, port).await {
                Ok(()) => Ending::Done,
                Err(ending) => ending,
            }
        })
    }

    fn is_transactional(&self) -> bool {
        true
    }
}

impl Http {
    /// One request and its answer.
    async fn transaction(&mut self, attempt: &Attempt, port: &Port) -> Result<(), Ending> {
        let policy = attempt.policy()?;
        let destination = attempt.destination()?;
        let mut client = client::open(self.kept.take(), &destination, policy, attempt, port).await?;
        // What was asked for may have been done, or taken back, meanwhile.
        let Some(outgoing) = next_message(policy, port) else {
            self.kept = Some(client);
            return Ok(());
        };
        // One in pieces cannot be: those that were taken are gone.
        let can_be_sent_again = outgoing.message.is_last;
        let mut again_at_once = 0..MOST_AGAIN;
        loop {
            let (request, pieces) = match request::of(attempt, policy, &destination, &outgoing) {
                Ok(request) => request,
                Err(error) => {
                    port.settle(outgoing.id, Err(error));
                    self.kept = Some(client);
                    return Ok(());
                }
            };
            let is_idempotent = is_idempotent(request.method()) && can_be_sent_again;
            let is_new = client.is_new();
            let answering = client.send(request);
            let feeding = async {
                match pieces {
                    Some(pieces) => pieces.feed(port).await,
                    None => std::future::pending().await,
                }
            };
            // An answer may come before the body is sent, and the body is sent on then; but what was answered need not be.
            let sent = until_close(port, async {
                match select(pin!(answering), pin!(feeding)).await {
                    Either::Left((answer, _)) => Ok(answer),
                    Either::Right(((), answering)) => Ok(answering.await),
                }
            })
            .await?;
            let answer = match sent {
                Ok(answer) => answer,
                Err(NotSent { error, is_untouched })
                    if !is_new
                        && (is_untouched && can_be_sent_again || is_idempotent)
                        && again_at_once.next().is_some() =>
                {
                    log::debug!(
                        "stream {}: sent again at once, over another connection if this one is over: {error}",
                        attempt.name
                    );
                    client = match client::open(None, &destination, policy, attempt, port).await {
                        Ok(client) => client,
                        Err(ending) => {
                            port.put_back(outgoing);
                            return Err(ending);
                        }
                    };
                    continue;
                }
                Err(NotSent { error, is_untouched }) => {
                    if is_untouched && can_be_sent_again || is_idempotent {
                        port.put_back(outgoing);
                    }
                    return Err(error.into());
                }
            };
            let retry_after = retry_after(answer.status(), answer.headers(), attempt.shared.now_of_day());
            if let Some(retry_after) = retry_after {
                let error = ErrorKind::Status(answer.status().as_u16());
                if can_be_sent_again {
                    port.put_back(outgoing);
                }
                return Err(Ending::Failed { error: error.into(), retry_after: Some(retry_after) });
            }
            self.receive(answer, &outgoing, policy, port, is_idempotent).await?;
            self.kept = client.keep();
            return Ok(());
        }
    }

    /// Gives the program an answer, and settles what it is the answer to.
    async fn receive(
        &mut self,
        answer: Response<Incoming>,
        outgoing: &Outgoing,
        policy: &StreamPolicy,
        port: &Port,
        is_idempotent: bool,
    ) -> Result<(), Ending> {
        let (head, mut body) = answer.into_parts();
        let status = head.status.as_u16();
        tell_head(status, &head.headers, policy, port);
        port.connected();
        let mut next = Message { status: Some(status), fields: head.headers, ..Message::new("") }.piece(true, false);
        loop {
            let frame = futures::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let frame = until_close(port, async { Ok(frame.await) }).await?;
            let data = match frame {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(data),
                    // Trailers are nothing that a policy knows of.
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    if is_idempotent {
                        port.put_back(outgoing.clone());
                    }
                    return Err(fault(&error, policy.protocol).into());
                }
            };
            let is_over = data.is_none() || body.is_end_stream();
            until_close(port, async {
                port.room().await;
                Ok(())
            })
            .await?;
            let rest = Message::new("").piece(false, false);
            let piece = std::mem::replace(&mut next, rest);
            let (payload, is_first) = (data.unwrap_or_default(), piece.is_first);
            port.give(Message { payload, ..piece }.piece(is_first, is_over));
            if is_over {
                break;
            }
        }
        let is_success = policy.http.is_success(status);
        port.settle(outgoing.id, Ok(if is_success { Delivery::Acknowledged } else { Delivery::Refused(status) }));
        Ok(())
    }
}

/// The next message that begins. Pieces of one that was answered or lost before they were sent are told so, for they are no request.
fn next_message(policy: &StreamPolicy, port: &Port) -> Option<Outgoing> {
    loop {
        let outgoing = port.take_or_begin()?;
        if outgoing.message.is_first {
            return Some(outgoing);
        }
        let said = "the message was answered, or lost, before this piece of it";
        port.settle(outgoing.id, Err(Error::refused(policy.protocol, said)));
    }
}

/// What the policy wants to know of the head of an answer.
pub(super) fn tell_head(status: u16, fields: &http::HeaderMap, policy: &StreamPolicy, port: &Port) {
    if let Some(name) = policy.http.response_map.get(&status) {
        port.tell(Event::Status(*name));
    }
    for (name, field) in &policy.values {
        let value = field.as_ref().and_then(|field| fields.get(field));
        if let Some(Ok(value)) = value.map(|value| value.to_str()) {
            port.set_value(name, value.to_owned());
        }
    }
}

/// What does the same when it is done twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

/// What this version does not do of what a policy may ask for.
pub(super) fn check(policy: &StreamPolicy) -> Result<(), Error> {
    let http = &policy.http;
    for (is_asked, key) in [
        (http.follow_redirects, "allow_redirects"),
        (http.redirect_is_portal, "http_fail_redirect"),
        (http.cookies, "http_cookies"),
        (http.multipart_in, "http_multipart_ss_in"),
        (http.long_poll, "long_poll"),
    ] {
        if is_asked {
            return Err(
                ErrorKind::Unsupported(format!("{key} of streams that speak {}", policy.protocol.name())).into()
            );
        }
    }
    Ok(())
}

/// So often is a request sent again at once, without the delays of the policy. A server of HTTP/2 may refuse each of them, and its
/// connection lives on.
const MOST_AGAIN: usize = 3;
