//! How large records are: small ones first, full ones once bytes flow.
//!
//! A record can be opened only when all of it has come. On a connection that has just begun to send, or does so again after
//! a pause, TCP sends a few segments and waits for their acknowledgement; a full record is spread over twelve, and the far
//! end would have nothing to work with until the last. A record that fits into one segment can be read when that arrives.
//! Later records are full, because then there is always another on its way, and each costs a header and a tag.
//!
//! Only a layer right below the application does this. What the others get is a unit of the layer above, a record most of the
//! time, which must not be cut.

use std::time::{Duration, Instant};

/// How far a flow of bytes has come, on the way out of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nothing has been sent yet, or nothing for a while.
    Paused,
    /// So many bytes have been sent in small records.
    Starting {
        sent: usize,
        last: Instant,
    },
    Flowing {
        last: Instant,
    },
}

impl Pace {
    /// The most that a record carries now.
    pub(super) fn record(&mut self, now: Instant) -> usize {
        if let Self::Starting { last, .. } | Self::Flowing { last } = *self
            && now.saturating_duration_since(last) >= PAUSE
        {
            *self = Self::Paused;
        }
        match self {
            Self::Paused | Self::Starting { .. } => ONE_SEGMENT,
            Self::Flowing { .. } => usize::MAX,
        }
    }

    /// A record with so many bytes has been sent.
    pub(super) fn sent(&mut self, count: usize, now: Instant) {
        let before = match *self {
            Self::Paused => 0,
            Self::Starting { sent, .. } => sent,
            Self::Flowing { .. } => INITIAL_WINDOW,
        };
        let sent = before + count;
        *self = if sent < INITIAL_WINDOW { Self::Starting { sent, last: now } } else { Self::Flowing { last: now } };
    }
}

/// Fits into a segment of a path with an MTU of 1,500 bytes, with the headers of five layers, IPv6 and TCP's options.
const ONE_SEGMENT: usize = 1300;

/// What TCP sends before it has heard of the far end (RFC 6928: ten segments), in whole records.
const INITIAL_WINDOW: usize = 10 * ONE_SEGMENT;

/// A flow that has paused for so long begins anew, as TCP's own does after a time of this order (RFC 5681 section 4.1).
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_small_until_bytes_flow_and_again_after_a_pause() {
        let start = Instant::now();
        let mut pace = Pace::Paused;
        let small = |pace: &mut Pace, now| {
            let mut count = 0;
            while pace.record(now) == ONE_SEGMENT {
                pace.sent(ONE_SEGMENT, now);
                count += 1;
            }
            count
        };
        assert_eq!(small(&mut pace, start), 10);
        let soon = start + PAUSE - Duration::from_millis(1);
        pace.sent(16_384, soon);
        assert_eq!(small(&mut pace, soon + PAUSE - Duration::from_millis(1)), 0);
        assert_eq!(small(&mut pace, soon + PAUSE), 10);
    }

    #[test]
    fn short_messages_are_no_flow_until_there_are_many() {
        let now = Instant::now();
        let mut pace = Pace::Paused;
        for _ in 0..100 {
            pace.sent(64, now);
        }
        assert_eq!(pace.record(now), ONE_SEGMENT);
        assert_eq!(Pace::Starting { sent: 6400, last: now }, pace);
    }
}
