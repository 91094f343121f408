//! What is counted. Every number is one that only grows, and may be read at any time by whoever shows it.
//!
//! The two lists below are the only places that know every outcome and every class: the log, the summary and the metrics take
//! theirs from them. A new way to end is a line there, and the place where it happens.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{End, Side};

/// An enum of which each variant has a word, for people and, with underscores, for programs.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$meaning])* $variant,)*
        }

        impl $name {
            /// Each of them, in the order in which they are told.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(crate) fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// How a connection ended.
    Outcome {
        /// Both sides have ended, and each was sent the other's end.
        Graceful = "ended",
        /// The sides were not joined.
        Failed = "not joined",
        /// The sides were joined, and one was lost.
        Lost = "lost",
        /// By us, when there was no more patience.
        Aborted = "aborted",
        /// By us, since its peer had as many already as one may have.
        TurnedAway = "turned away",
        /// A client of PostgreSQL wanted a query cancelled, the server was told so, and both have ended.
        Cancel = "cancel request passed on",
        /// Both sides have ended, but one without a close_notify: nothing proves that it had said all.
        Truncated = "truncated",
        /// The same in a protocol in which it is the custom, which proves as little.
        TruncatedByCustom = "truncated by custom",
    }
}

words! {
    /// What was wrong with a side that failed or was lost.
    Class {
        /// The peer's certificate was not accepted.
        Certificate = "certificate",
        /// The peer refused us, by an alert or its like.
        Refused = "refused",
        /// The peer does not speak what it should, as plaintext where TLS was due.
        NotSpoken = "not spoken",
        /// The peer broke the rules of a protocol.
        Protocol = "protocol",
        /// The peer took too long.
        Timeout = "timeout",
        /// The stream ended before the layers in it did.
        Truncated = "truncated",
        /// A limit would have been passed.
        Limit = "limit",
        /// Nobody could be connected to.
        Unreachable = "unreachable",
        /// The system reported an error of the socket, such as a reset.
        Socket = "socket",
        Other = "other",
    }
}

/// What a relay has done so far, or a proxy.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    accepted: AtomicU64,
    ended: [AtomicU64; Outcome::ALL.len()],
    handshakes: [AtomicU64; Side::ALL.len()],
    failures: [[AtomicU64; Class::ALL.len()]; Side::ALL.len()],
    bytes: [AtomicU64; Side::ALL.len()],
}

impl Tally {
    /// Counts a connection, and says which one it is, beginning with 1.
    pub(crate) fn begin(&self) -> u64 {
        self.accepted.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn end(&self, end: &End) {
        self.ended[end.outcome as usize].fetch_add(1, Relaxed);
        if let Some(loss) = &end.loss {
            self.failures[loss.side as usize][loss.class as usize].fetch_add(1, Relaxed);
        }
    }

    /// Counts the handshakes that were done when `side` was opened.
    pub(crate) fn add_handshakes(&self, side: Side, count: usize) {
        self.handshakes[side as usize].fetch_add(count as u64, Relaxed);
    }

    /// Counts bytes that came from `side`, and were taken by the other.
    pub(crate) fn add_bytes(&self, side: Side, count: usize) {
        self.bytes[side as usize].fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// How many have not ended.
    pub(crate) fn live(&self) -> u64 {
        // An end counts behind its beginning, so this order never finds more ends than beginnings.
        let ended: u64 = Outcome::ALL.iter().map(|&outcome| self.ended(outcome)).sum();
        self.accepted().saturating_sub(ended)
    }

    /// How many have ended in this way.
    pub(crate) fn ended(&self, outcome: Outcome) -> u64 {
        self.ended[outcome as usize].load(Relaxed)
    }

    /// How many have ended in each of these ways: those that there are where this is told.
    pub(crate) fn told(&self, outcomes: &[Outcome]) -> String {
        let ended: Vec<_> = outcomes.iter().map(|&outcome| format!("{} {outcome}", self.ended(outcome))).collect();
        format!("{} accepted: {}", self.accepted(), ended.join(", "))
    }

    pub(crate) fn handshakes(&self, side: Side) -> u64 {
        self.handshakes[side as usize].load(Relaxed)
    }

    pub(crate) fn failures(&self, side: Side, class: Class) -> u64 {
        self.failures[side as usize][class as usize].load(Relaxed)
    }

    pub(crate) fn bytes(&self, side: Side) -> u64 {
        self.bytes[side as usize].load(Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(Outcome::ALL))
    }
}
