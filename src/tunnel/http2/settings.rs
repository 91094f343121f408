//! What can be set about a connection of many tunnels.

use std::time::Duration;

/// Times and sizes of a connection of HTTP/2. The defaults are good for most.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) stream_window: u32,
    pub(super) max_head: u32,
    pub(super) max_tunnels: u32,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) settings_timeout: Option<Duration>,
    pub(super) answer_timeout: Option<Duration>,
    pub(super) ping_after: Option<Duration>,
    pub(super) ping_timeout: Duration,
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stream_window: 1 << 20,
            max_head: 16 * 1024,
            max_tunnels: 100,
            idle_timeout: Some(Duration::from_secs(300)),
            settings_timeout: Some(Duration::from_secs(10)),
            answer_timeout: Some(Duration::from_secs(30)),
            ping_after: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(10),
        }
    }

    /// So much may come in a tunnel before anybody reads it (flow control window, RFC 9113, section 5.2); 1 MiB unless set, and
    /// between 16 KiB and 16 MiB. Room is given back in quarters of it, and at half at the latest. That of the whole connection is sixteen of these, and grows with the tunnels, so that a tunnel
    /// that nobody reads holds up no other.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.clamp(1 << 14, 1 << 24);
        self
    }

    /// A server has so many tunnels over one connection at most (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113, section 5.1.2), and
    /// refuses others such that the client may ask again; 100 unless set.
    #[must_use]
    pub fn max_tunnels(mut self, tunnels: u32) -> Self {
        self.max_tunnels = tunnels;
        self
    }

    /// The longest head of a request or an answer (SETTINGS_MAX_HEADER_LIST_SIZE, RFC 9113, section 6.5.2, which counts 32 bytes more for
    /// each field); 16,384 bytes unless set.
    #[must_use]
    pub fn max_head(mut self, bytes: u32) -> Self {
        self.max_head = bytes;
        self
    }

    /// When there has been no tunnel for so long, and nothing has come, a server ends the connection; 5 minutes unless set, `None`
    /// never.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// In this time the peer is to begin to speak HTTP/2, and to accept how we do; 10 s unless set, `None` for ever.
    #[must_use]
    pub fn settings_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings_timeout = timeout;
        self
    }

    /// In this time a proxy is to answer who asks for a tunnel; 30 s unless set, `None` for ever.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// When nothing has come for so long while there are tunnels, the peer is asked whether it is still there (PING, RFC 9113,
    /// section 6.7); 30 s unless set, `None` never.
    #[must_use]
    pub fn ping_after(mut self, silence: Option<Duration>) -> Self {
        self.ping_after = silence;
        self
    }

    /// If nothing comes within this time after that, the connection is lost; 10 s unless set.
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.ping_timeout = timeout;
        self
    }

    /// The number of stream windows that the connection has from the start.
    pub(super) fn windows(&self) -> u32 {
        16
    }

    /// So many stream windows, as far as a window can be (RFC 9113, section 6.9.1).
    pub(super) fn window(&self, streams: u32) -> u32 {
        self.stream_window.saturating_mul(streams).min((1 << 31) - 1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}
