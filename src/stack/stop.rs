//! How a layer is to be stopped, and how the stop went.

use std::time::Duration;

/// Options of a stop.
///
/// By default our close_notify leaves at once, behind the bytes already written; then the peer has five
/// seconds from then on to send its own, and a peer that does not is a lost connection.
///
/// ```
/// use std::time::Duration;
/// use onionskin::stack::Stop;
///
/// let patient = Stop::new().after_peer(Duration::from_millis(150)).timeout(Some(Duration::from_secs(30)));
/// # let _ = patient;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    goes_first: GoesFirst,
    timeout: Option<Duration>,
    on_timeout: OnTimeout,
    lenient: bool,
    writes_at_once: bool,
}

impl Stop {
    /// The default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the peer go first: our close_notify leaves when the peer's has come, or when `grace` is over.
    ///
    /// For whoever has just answered a command to stop: real clients differ in who closes first.
    /// [`GRACE`](Self::GRACE) is a good value. A grace longer than the [`timeout`](Self::timeout) ends with it.
    #[must_use]
    pub fn after_peer(mut self, grace: Duration) -> Self {
        self.goes_first = GoesFirst::Peer(grace);
        self
    }

    /// Cuts without any close_notify, for protocols that have none (TDS with ENCRYPT_OFF).
    ///
    /// Refused unless the handshake is done and the bytes received end at a record boundary. It gives up
    /// what a close_notify is for: nothing tells a cut by the peer from one by an attacker.
    #[must_use]
    pub fn abandon(mut self) -> Self {
        self.goes_first = GoesFirst::Nobody;
        self
    }

    /// How long the peer may take to answer; `None` waits for ever. Five seconds unless set.
    ///
    /// It begins when all that was written before has left the stack, and our close_notify with it; with
    /// [`after_peer`](Self::after_peer), the grace is a part of it. A peer that takes nothing of that for half a minute (or
    /// for the timeout, if that is longer) is not waited for either.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// What happens when the timeout is over.
    #[must_use]
    pub fn on_timeout(mut self, on_timeout: OnTimeout) -> Self {
        self.on_timeout = on_timeout;
        self
    }

    /// Accepts a peer that leaves its close_notify out: at a record boundary, bytes that cannot be a TLS
    /// record, or end of file, end the layer. The stop then reports [`PeerAnswer::Missing`].
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Sends writes made after the stop right behind our close_notify, as bytes of the layer below, instead
    /// of keeping them until the peer's close_notify has come.
    ///
    /// For protocols that announce the change in band and go on in the same segment. The peer must expect it.
    #[must_use]
    pub fn writes_at_once(mut self) -> Self {
        self.writes_at_once = true;
        self
    }

    /// The usual grace of [`after_peer`](Self::after_peer).
    pub const GRACE: Duration = Duration::from_millis(150);
}

/// What was asked for, as a layer reads it.
impl Stop {
    /// Who says first that it is over: [`after_peer`](Self::after_peer) and [`abandon`](Self::abandon) say so.
    #[must_use]
    pub fn goes_first(&self) -> GoesFirst {
        self.goes_first
    }

    /// How long the peer may take to answer, if there is a limit: the [`timeout`](Self::timeout).
    #[must_use]
    pub fn answer_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// What happens to a peer that has not answered by then: see [`on_timeout`](Self::on_timeout).
    #[must_use]
    pub fn without_answer(&self) -> OnTimeout {
        self.on_timeout
    }

    /// Whether the peer may leave its end out: see [`lenient`](Self::lenient).
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Whether what is written behind the stop leaves without waiting for the peer's end: see
    /// [`writes_at_once`](Self::writes_at_once).
    #[must_use]
    pub fn lets_writes_through(&self) -> bool {
        self.writes_at_once
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            goes_first: GoesFirst::Us,
            timeout: Some(Duration::from_secs(5)),
            on_timeout: OnTimeout::Lose,
            lenient: false,
            writes_at_once: false,
        }
    }
}

/// What a stop does when the peer has not answered in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnTimeout {
    /// The connection is lost.
    #[default]
    Lose,
    /// The layer is peeled all the same, if everything written before the stop has left through it. What
    /// the peer still sends through the layer then shows as bytes of the layer below.
    Peel,
}

/// How the peer took its part in a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAnswer {
    /// The peer sent its close_notify, or what its protocol has for that.
    CloseNotify,
    /// The peer sent no close_notify, which [`Stop::lenient`] or the layer's protocol allowed.
    Missing,
    /// The peer did not answer in time, which [`OnTimeout::Peel`] allowed.
    TimedOut,
    /// None was waited for: the layer was cut with [`Stop::abandon`].
    Abandoned,
    /// None was needed: the layer had done what it was for and left by itself, or was taken out
    /// ([`Stack::remove`](super::Stack::remove)).
    NotNeeded,
}

/// Who says first that a layer is over: in TLS, whose close_notify leaves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoesFirst {
    /// We do, and our end leaves at once.
    Us,
    /// The peer does, if it takes no longer than this; then we do: [`Stop::after_peer`].
    Peer(Duration),
    /// Nobody ends, the layer is cut: [`Stop::abandon`]. A layer that needs an end refuses such a stop.
    Nobody,
}
