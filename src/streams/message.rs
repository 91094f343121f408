//! What is sent and received.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A message, or a piece of one.
///
/// What a message is, is for the protocol: a message of WebSocket, a publication of MQTT, the body of a request or an answer of HTTP.
/// In `raw` there are none, and each piece of what arrives is one. The body of an answer comes in pieces as it arrives, of which the
/// first [is first](Self::is_first) and the last [is last](Self::is_last); it may be empty.
///
/// ```
/// use onionskin::streams::Message;
///
/// let message = Message::from("21.5");
/// assert!(message.is_text && message.is_first && message.is_last);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The bytes.
    pub payload: Bytes,
    /// Whether they are text: only WebSocket tells the two apart.
    pub is_text: bool,
    /// Whether a message begins with it.
    pub is_first: bool,
    /// Whether a message ends with it.
    pub is_last: bool,
    /// Where it was published (MQTT). One that is sent goes to the topic of the policy unless this says another.
    pub topic: Option<String>,
    /// The status of the answer (HTTP), on its first piece.
    pub status: Option<u16>,
    /// The fields of the answer (HTTP), on its first piece. Those of a message that is sent are added to what the policy says.
    pub fields: HeaderMap,
}

impl Message {
    /// A whole message of bytes.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            is_text: false,
            is_first: true,
            is_last: true,
            topic: None,
            status: None,
            fields: HeaderMap::new(),
        }
    }

    /// A whole message of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { is_text: true, ..Self::new(text.into()) }
    }

    /// The same to another topic (MQTT), or from it.
    #[must_use]
    pub fn on(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// The same with another field of HTTP.
    ///
    /// # Errors
    ///
    /// When that is no name of a field, or no value.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, http::Error> {
        self.fields.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        Ok(self)
    }

    /// As a piece of a message.
    #[must_use]
    pub fn piece(self, is_first: bool, is_last: bool) -> Self {
        Self { is_first, is_last, ..self }
    }
}

impl From<Vec<u8>> for Message {
    fn from(payload: Vec<u8>) -> Self {
        Self::new(payload)
    }
}

impl From<Bytes> for Message {
    fn from(payload: Bytes) -> Self {
        Self::new(payload)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// Which message of a stream: they count from 1, and none is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// It has left: the protocol has no acknowledgement (`raw`, `ws`, MQTT with QoS 0).
    Sent,
    /// The peer has acknowledged it: a status that is a success, PUBACK or PUBCOMP.
    Acknowledged,
    /// The peer has refused it, by this status of HTTP or reason code of MQTT 5.
    Refused(u16),
}

impl Delivery {
    /// Whether the peer has refused it.
    #[must_use]
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Refused(_))
    }
}
