//! What is spoken over a connection of a stream: one trait, and a file or folder for each protocol.
//!
//! ```text
//!      the program ──▶ mailbox ──▶ Port ──▶ ┌─────────┐
//!                                           │ Speaker │ ──▶ Attempt::open ──▶ a connection, all layers done
//!      the program ◀── mailbox ◀── Port ◀── └─────────┘
//! ```
//!
//! A [`Speaker`] lives as long as its stream, and speaks over one connection after the other: what a protocol has to remember
//! from one to the next (what is not acknowledged yet, a connection that can be used again) is its own. It takes messages
//! from its [`Port`] when it has room for them, and gives what arrives to it when there is room there (backpressure both ways).
//!
//! Whether, and when, there is another attempt is none of its business: it says how the last one [ended](Ending).

// | file | idea |
// |---|---|
// | `attempt.rs` | what one attempt goes by: the policy, the values, the way |
// | `port.rs` | the protocol's side of the mailbox |
// | `raw.rs` | bytes |
// | `http/` | HTTP/1.1 and HTTP/2 |
// | `ws/` | WebSocket |
// | `mqtt/` | MQTT, over a connection or over a WebSocket |

mod attempt;
mod http;
mod mqtt;
mod port;
mod raw;
mod ws;

use std::time::Duration;

use futures::future::BoxFuture;

pub(super) use self::attempt::Attempt;
pub(super) use self::http::SharedClients;
pub(super) use self::port::{Port, Wish};
use super::message::MessageId;
use super::policy::{Protocol, StreamPolicy};
use super::{Error, ErrorKind};

/// A protocol, as one stream speaks it.
pub(super) trait Speaker: Send {
    /// Opens a connection, or uses one that is open, and speaks until it ends, all is done, or [`Wish::Close`] was followed.
    ///
    /// It is dropped in the middle when a time is over: that aborts the connection.
    fn speak<'s>(&'s mut self, attempt: &'s Attempt, port: &'s Port) -> BoxFuture<'s, Ending>;

    /// Whether each message is an affair of its own that comes to an end: a request and its answer.
    fn is_transactional(&self) -> bool {
        false
    }

    /// Whether this message, which was taken and is not settled, is delivered over the next connection.
    fn keeps(&self, _id: MessageId) -> bool {
        false
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// All that was asked for is done, or closing was asked for and is.
    Done,
    /// It was not reached, or is lost.
    Failed {
        error: Error,
        /// How long the peer asks to wait before it is tried again.
        retry_after: Option<Duration>,
    },
}

impl<E: Into<Error>> From<E> for Ending {
    fn from(error: E) -> Self {
        Self::Failed { error: error.into(), retry_after: None }
    }
}

/// Who speaks the protocol of this stream.
pub(super) fn speaker(stream: &StreamPolicy) -> Result<Box<dyn Speaker>, Error> {
    if stream.is_server {
        return Err(ErrorKind::Unsupported("streams that are servers".to_owned()).into());
    }
    Ok(match stream.protocol {
        Protocol::Raw => Box::new(raw::Raw),
        Protocol::H1 | Protocol::H2 => {
            http::check(stream)?;
            Box::new(http::Http::default())
        }
        Protocol::Ws => {
            ws::check(stream)?;
            Box::new(ws::Ws)
        }
        Protocol::Mqtt => {
            mqtt::check(stream)?;
            Box::new(mqtt::Mqtt::default())
        }
    })
}
