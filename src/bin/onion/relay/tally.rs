//! How many connections there are, and how those that were have ended.
//!
//! The list below is the only place that knows every outcome: the log, the summary and the counters take
//! theirs from it. A new way to end is a line there, and the place where it happens.

use std::fmt;

use super::passage::End;

/// An enum of the outcomes, with the word that the log has for each.
macro_rules! outcomes {
    ($($(#[$meaning:meta])* $outcome:ident = $word:literal,)*) => {
        /// How a connection ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Outcome {
            $($(#[$meaning])* $outcome,)*
        }

        impl Outcome {
            /// Each of them, in the order in which they are told.
            pub(super) const ALL: &[Self] = &[$(Self::$outcome),*];

            pub(super) fn word(self) -> &'static str {
                match self {
                    $(Self::$outcome => $word,)*
                }
            }
        }
    };
}

outcomes! {
    /// Both sides have ended, and each was told of the other's end.
    InOrder = "ended",
    /// The sides were not joined.
    Failed = "not joined",
    /// The sides were joined, and one was lost.
    Lost = "lost",
    /// By us, when there was no more patience.
    Aborted = "aborted",
}

/// What the relay has done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) live: usize,
    ended: [u64; Outcome::ALL.len()],
}

impl Tally {
    pub(super) fn begin(&mut self) {
        self.accepted += 1;
        self.live += 1;
    }

    pub(super) fn end(&mut self, end: &End) {
        self.live -= 1;
        self.ended[end.outcome as usize] += 1;
    }

    /// How many have ended in this way.
    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.ended[outcome as usize]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accepted", self.accepted)?;
        let mut mark = ": ";
        for &outcome in Outcome::ALL {
            write!(f, "{mark}{} {outcome}", self.count(outcome))?;
            mark = ", ";
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
