//! How often a stream is tried again, and when.

use std::time::Duration;

/// When a stream that could not be opened, or was lost, is tried again.
///
/// ```
/// use std::time::Duration;
/// use onionskin::streams::policy::{Conceal, Retry};
///
/// let retry = Retry::new([1, 2, 5].map(Duration::from_secs)).conceal(Conceal::Always).jitter_percent(20);
/// assert_eq!(retry.backoff.len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// `backoff`: how long to wait after each failure in turn. The last one is repeated. Never empty: 3 seconds unless set.
    pub backoff: Vec<Duration>,
    /// `conceal`: how many failures in a row are followed by another attempt.
    pub conceal: Conceal,
    /// `jitterpc`: how many percent of the delay are added to it at most, at random; nothing is ever taken away. 30 unless set, and
    /// none with 0.
    pub jitter_percent: u8,
    /// `svalidping`: how long a connection may be silent before the peer is asked whether it is there; never unless set.
    pub ping_after: Option<Duration>,
    /// `svalidhup`: how long it may be silent before it is given up; as long as it likes unless set. Above `ping_after`.
    pub hang_up_after: Option<Duration>,
    /// `stable_ms`: how long a connection has to last before failures are counted from the beginning again; 0 unless set, which is
    /// at once.
    pub stable_after: Duration,
}

impl Retry {
    /// With these delays, and what each key is unless it is set. No delays stand for the one of 3 seconds.
    pub fn new(backoff: impl IntoIterator<Item = Duration>) -> Self {
        let backoff: Vec<_> = backoff.into_iter().collect();
        if backoff.is_empty() { Self::default() } else { Self { backoff, ..Self::default() } }
    }

    /// Sets how many failures in a row are followed by another attempt.
    #[must_use]
    pub fn conceal(self, conceal: Conceal) -> Self {
        Self { conceal, ..self }
    }

    /// Sets how many percent of the delay are added to it at most.
    #[must_use]
    pub fn jitter_percent(self, jitter_percent: u8) -> Self {
        Self { jitter_percent, ..self }
    }

    /// Sets how long a connection may be silent before the peer is asked, and before it is given up.
    #[must_use]
    pub fn validity(self, ping_after: Option<Duration>, hang_up_after: Option<Duration>) -> Self {
        Self { ping_after, hang_up_after, ..self }
    }

    /// Sets how long a connection has to last before failures are counted from the beginning again.
    #[must_use]
    pub fn stable_after(self, stable_after: Duration) -> Self {
        Self { stable_after, ..self }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            backoff: vec![STANDARD_DELAY],
            conceal: Conceal::Times(0),
            jitter_percent: STANDARD_JITTER,
            ping_after: None,
            hang_up_after: None,
            stable_after: Duration::ZERO,
        }
    }
}

/// How many failures in a row are followed by another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conceal {
    /// So many, and so one attempt more than that. With 0 the first failure is the last.
    Times(u16),
    /// All of them: `"always"`, or 65535 as libwebsockets writes it.
    Always,
}

/// The delay of libwebsockets where no table says one, and its jitter where no number says one.
const STANDARD_DELAY: Duration = Duration::from_secs(3);
const STANDARD_JITTER: u8 = 30;
