//! What can be chosen for each TLS layer by itself.

use std::time::Duration;

/// What becomes of the connection when a handshake fails. In both cases the alert is sent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The connection is lost.
    #[default]
    Lose,
    /// The layer alone is peeled and the application decides. What the peer said instead of TLS can be read then;
    /// what was written for TLS is dropped.
    Peel,
}

/// What happens when the peer closes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnPeerClose {
    /// The application sees the end and decides: it stops the layer, which answers, or it drops the connection.
    #[default]
    Hold,
    /// The close_notify is answered and the layer is peeled by itself. The application still sees the end, and
    /// must still say that it goes on; until then what it writes is refused.
    ///
    /// So what arrives in one segment with the close_notify can no longer be answered inside the layer. Where the peer may
    /// ask something last and wait for the answer, [`Hold`](Self::Hold) is the one to take.
    Peel,
}

/// The options of one layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) on_failure: OnFailure,
    pub(super) on_peer_close: OnPeerClose,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
            on_failure: OnFailure::default(),
            on_peer_close: OnPeerClose::default(),
        }
    }
}

/// How long a handshake may take unless set.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
