//! The states of a stream: a state machine without I/O, without a clock and without chance. All three come in from outside.
//!
//! # The problem
//!
//! A stream is asked for, is reached or is not, stands and is lost, waits and is tried again; and meanwhile messages are sent,
//! acknowledged and dropped, and times run out. Where both kinds of things are states of one machine, each new event needs to know all
//! others: an acknowledgement hides that the stream stands, a time that runs out that it does not. So here a **state** is what
//! the connection is, and nothing else, and there are six. Everything else is an [`Event`](super::Event) beside them.
//!
//! ```text
//!                     asked for: connect, or a message
//!      ┌──────┐ ───────────────────────────────────────────► ┌────────────┐  reached   ┌───────────┐
//!      │ Idle │                                              │ Connecting │ ─────────► │ Connected │
//!      └──────┘ ◄──────────────── done, disconnected ─────── └────────────┘            └───────────┘
//!         ▲  ▲                                                 │   ▲    │                │    │
//!         │  └───────── done, disconnected, lost and opportunistic ─────┼────────────────┘    │ lost
//!         │                                                    │ failed │ due, or asked for   │
//!         │                                                    ▼   │    │                     │
//!         │                                              ┌─────────┴─┐  │                     │
//!         └──────────────── disconnected ─────────────── │  Backoff  │ ◄┼─────────────────────┘  while failures are concealed
//!                                                        └───────────┘  │
//!      ┌────────┐                                              │        │
//!      │ Failed │ ◄─────── no failure is concealed any more, or all was to be done by now
//!      └────────┘ ───────► asked for: Connecting, from the beginning
//!
//!      from everywhere:  closed ──► Closed
//! ```
//!
//! # The rules
//!
//! - **Total.** Every input is answered in every state. What comes too late (a timer that went off, an attempt that ended when it
//!   was given up already) is nothing.
//! - **Failures in a row are counted**, and each is followed by the next delay of the table. A connection that lasted for
//!   `stable_ms` ends the row; so does being asked for by hand.
//! - **Failed is told once**, however it comes to it, and is left when somebody asks.
//! - **Jitter only adds**, so that nobody comes earlier than the table says.

mod schedule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use super::policy::Retry;

/// What the connection of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// There is none, and nobody asks for one.
    Idle,
    /// It is being opened.
    Connecting,
    /// It stands.
    Connected,
    /// An attempt has failed, or it was lost: the next attempt waits for its time.
    Backoff,
    /// All retries failed: nothing happens until somebody asks.
    Failed,
    /// The stream is closed for good.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
            Self::Closed => "closed",
        })
    }
}

/// The state machine of one stream.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    retry: Option<Retry>,
    is_opportunistic: bool,
    standing: Standing,
    /// Failures in a row.
    failures: u32,
    /// Attempts since it was asked for, or last stood.
    attempts: u32,
}

/// The state, with the times that belong to it.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Idle,
    Connecting,
    Connected { since: Instant },
    Backoff { until: Instant },
    Failed,
    Closed,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The program asks for a connection.
    Connect,
    /// A message waits.
    Send,
    /// The attempt has come to a connection that stands.
    Established,
    /// The attempt has failed, or the connection is lost.
    Failed {
        /// How long the peer asks to wait at least.
        retry_after: Option<Duration>,
    },
    /// All that was asked for is done.
    Done,
    /// The program wants no connection.
    Disconnect,
    /// All was to be done by now.
    OutOfTime,
    /// A time is over: perhaps that of the machine.
    Due,
    /// The program wants no stream.
    Close,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Connecting(u32),
    Connected,
    Unreachable,
    Disconnected,
    Backoff(Duration),
    AllRetriesFailed,
    Closed,
}

impl Machine {
    pub(super) fn new(retry: Option<Retry>, is_opportunistic: bool) -> Self {
        Self { retry, is_opportunistic, standing: Standing::Idle, failures: 0, attempts: 0 }
    }

    /// Goes by another table from the next failure on.
    pub(super) fn set_retry(&mut self, retry: Option<Retry>, is_opportunistic: bool) {
        (self.retry, self.is_opportunistic) = (retry, is_opportunistic);
    }

    pub(super) fn state(&self) -> State {
        match self.standing {
            Standing::Idle => State::Idle,
            Standing::Connecting => State::Connecting,
            Standing::Connected { .. } => State::Connected,
            Standing::Backoff { .. } => State::Backoff,
            Standing::Failed => State::Failed,
            Standing::Closed => State::Closed,
        }
    }

    /// When [`Input::Due`] is next worth it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.standing {
            Standing::Backoff { until } => Some(until),
            _ => None,
        }
    }

    /// Goes on, and returns what is to be told, in its order.
    pub(super) fn handle(&mut self, input: Input, now: Instant, random: impl FnOnce() -> u32) -> Vec<Output> {
        use Standing::{Backoff, Closed, Connected, Connecting, Failed, Idle};
        let mut told = Vec::new();
        match (self.standing, input) {
            (standing @ (Idle | Connecting | Connected { .. } | Backoff { .. } | Failed), Input::Close) => {
                if let Connected { .. } = standing {
                    told.push(Output::Disconnected);
                }
                self.standing = Closed;
                told.push(Output::Closed);
            }
            (Idle | Failed, Input::Connect | Input::Send) => {
                (self.failures, self.attempts) = (0, 0);
                self.attempt(&mut told);
            }

            (Connecting, Input::Established) => {
                self.standing = Connected { since: now };
                self.attempts = 0;
                if self.stable_after().is_zero() {
                    self.failures = 0;
                }
                told.push(Output::Connected);
            }
            (Connecting, Input::Failed { retry_after }) => {
                told.push(Output::Unreachable);
                self.fail(retry_after, now, random, &mut told);
            }
            (Connected { since }, Input::Failed { retry_after }) => {
                told.push(Output::Disconnected);
                if now.saturating_duration_since(since) >= self.stable_after() {
                    self.failures = 0;
                }
                if self.is_opportunistic {
                    self.standing = Idle;
                } else {
                    self.fail(retry_after, now, random, &mut told);
                }
            }
            (Connecting, Input::Connect) => self.failures = 0,
            (Connecting, Input::OutOfTime) => {
                told.push(Output::Unreachable);
                self.give_up(&mut told);
            }
            (Connected { .. }, Input::OutOfTime) => {
                told.push(Output::Disconnected);
                self.give_up(&mut told);
            }
            (Connecting | Connected { .. }, Input::Done | Input::Disconnect) | (Backoff { .. }, Input::Disconnect) => {
                self.standing = Idle;
                told.push(Output::Disconnected);
            }

            (Backoff { .. }, Input::Connect) => {
                self.failures = 0;
                self.attempt(&mut told);
            }
            (Backoff { until }, Input::Due) if until <= now => self.attempt(&mut told),
            (Backoff { .. }, Input::OutOfTime) => self.give_up(&mut told),

            // What comes too late, or asks for what there is.
            (Idle | Failed | Closed | Backoff { .. }, _)
            | (Connecting, Input::Send | Input::Due)
            | (Connected { .. }, Input::Connect | Input::Send | Input::Established | Input::Due) => {}
        }
        told
    }

    fn attempt(&mut self, told: &mut Vec<Output>) {
        self.standing = Standing::Connecting;
        self.attempts = self.attempts.saturating_add(1);
        told.push(Output::Connecting(self.attempts));
    }

    fn fail(
        &mut self,
        retry_after: Option<Duration>,
        now: Instant,
        random: impl FnOnce() -> u32,
        told: &mut Vec<Output>,
    ) {
        self.failures = self.failures.saturating_add(1);
        let retry = self.retry.as_ref();
        match retry.and_then(|retry| schedule::delay(retry, self.failures, retry_after, random())) {
            Some(delay) => {
                self.standing = Standing::Backoff { until: now + delay };
                told.push(Output::Backoff(delay));
            }
            None => self.give_up(told),
        }
    }

    fn give_up(&mut self, told: &mut Vec<Output>) {
        self.standing = Standing::Failed;
        told.push(Output::AllRetriesFailed);
    }

    fn stable_after(&self) -> Duration {
        self.retry.as_ref().map_or(Duration::ZERO, |retry| retry.stable_after)
    }
}
