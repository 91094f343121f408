//! What happens to a stream.

use std::fmt;
use std::time::Duration;

use super::message::{Delivery, MessageId};
use super::{Error, State};

/// What happens to a stream, in the order in which it does.
///
/// The state and the events are two things: [`Stream::state`](super::Stream::state) is one of six, and an acknowledgement or a
/// dropped message changes none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An attempt begins: the how-maniest since it last stood, or was asked for.
    Connecting(u32),
    /// The stream stands. In HTTP: the head of the answer is there.
    Connected,
    /// What the status of HTTP is called in the policy (`http_resp_map`). Before [`Connected`](Self::Connected).
    Status(u32),
    /// A named value has arrived in a field of the head, or has changed.
    Value(String),
    /// The attempt has failed.
    Unreachable(Error),
    /// A stream that stood does so no more. `None` if all was done, or it was asked to.
    Disconnected(Option<Error>),
    /// It is tried again after this time.
    Backoff(Duration),
    /// It is not tried again until somebody asks for it: told once, however it comes to that.
    AllRetriesFailed(Error),
    /// What became of a message.
    Delivered(MessageId, Delivery),
    /// A message that was to be sent is not delivered, or nobody knows.
    Undelivered(MessageId, Error),
    /// So many events were forgotten, because nobody took them.
    Missed(u64),
    /// The stream is closed: nothing follows.
    Closed,
}

impl Event {
    /// The state that the stream is in behind this event, where it changes it.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        Some(match self {
            Self::Connecting(_) => State::Connecting,
            Self::Connected => State::Connected,
            Self::Backoff(_) => State::Backoff,
            Self::AllRetriesFailed(_) => State::Failed,
            Self::Closed => State::Closed,
            _ => return None,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(attempt) => write!(f, "connecting (attempt {attempt})"),
            Self::Connected => f.write_str("connected"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Value(name) => write!(f, "value {name}"),
            Self::Unreachable(error) => write!(f, "unreachable: {error}"),
            Self::Disconnected(None) => f.write_str("disconnected"),
            Self::Disconnected(Some(error)) => write!(f, "disconnected: {error}"),
            Self::Backoff(time) => write!(f, "waiting {time:?} before the next attempt"),
            Self::AllRetriesFailed(error) => write!(f, "all retries failed: {error}"),
            Self::Delivered(id, Delivery::Sent) => write!(f, "message {id} sent"),
            Self::Delivered(id, Delivery::Acknowledged) => write!(f, "message {id} acknowledged"),
            Self::Delivered(id, Delivery::Refused(status)) => write!(f, "message {id} refused: {status}"),
            Self::Undelivered(id, error) => write!(f, "message {id} not delivered: {error}"),
            Self::Missed(count) => write!(f, "{count} events were missed"),
            Self::Closed => f.write_str("closed"),
        }
    }
}
