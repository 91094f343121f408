//! What a stream says of WebSocket, beside the request that it begins with.

/// The part of a stream that is about WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ws {
    /// `ws_subprotocol`: what a client offers, and a server answers if it was offered.
    pub subprotocol: Option<String>,
    /// `ws_binary`: messages are binary; text unless set.
    pub binary: bool,
    /// `ws_over_h2`: over HTTP/2 (RFC 8441) instead of an upgrade of HTTP/1.1. Of MQTT over WebSocket too.
    pub over_h2: bool,
}
