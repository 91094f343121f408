//! How long the opening of a connection may take, phase by phase.
//!
//! ```text
//!   resolve-timeout   connect-timeout    timeout of a proxy   handshake-timeout    the phase
//!   ├───────────────┤├─────────────────┤├───────────────────┤├──────────────────┤
//!   ├─────────── timeout ──────────────┤                                            resolving and connecting
//!   ├────────────────────────────── total-timeout ──────────────────────────────┤   all of it, going another way too
//! ```
//!
//! Each phase has a limit of its own, which counts from its own beginning: no time is counted twice, and no phase is given what
//! another one has left. What ends first is told, by the name of its key.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{self, Either};

use super::arguments::Arguments;
use super::error::ParseError;
use super::grammar::Word;
use crate::runtime::Timer;

/// How long a client may take to open a connection, beside the `timeout` of `tcp` and the limits that steps have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Deadlines {
    /// `resolve-timeout`: to find the addresses of a name. Without it, as long as `timeout` allows.
    pub resolve: Option<NonZeroU32>,
    /// `connect-timeout`: to reach one of them, from when they are known. Without it, as long as `timeout` allows.
    pub connect: Option<NonZeroU32>,
    /// `total-timeout`: for all of it, from the name to the last handshake.
    pub total: Option<NonZeroU32>,
}

impl Deadlines {
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            resolve: arguments.key(RESOLVE, Word::seconds)?.flatten(),
            connect: arguments.key(CONNECT, Word::seconds)?.flatten(),
            total: arguments.key(TOTAL, Word::seconds)?.flatten(),
        })
    }

    /// As [`read`](Self::read), for a transport that has no name to resolve.
    pub(super) fn read_total(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self { total: arguments.key(TOTAL, Word::seconds)?.flatten(), ..Self::default() })
    }

    /// The first key that is set.
    pub(super) fn key(&self) -> Option<&'static str> {
        let keys = [(RESOLVE, self.resolve), (CONNECT, self.connect), (TOTAL, self.total)];
        keys.into_iter().find_map(|(key, limit)| limit.map(|_| key))
    }
}

/// As the keys stand behind a transport.
impl fmt::Display for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, limit) in [(RESOLVE, self.resolve), (CONNECT, self.connect), (TOTAL, self.total)] {
            limit.iter().try_for_each(|seconds| write!(f, ":{key}={seconds}"))?;
        }
        Ok(())
    }
}

/// When to give up, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    at: Instant,
    pub(super) after: Duration,
    pub(super) of: LimitOf,
}

/// Which limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitOf {
    /// Resolving and connecting, taken together.
    Reaching,
    Resolving,
    Connecting,
    Everything,
}

impl Limit {
    /// From now on.
    pub(super) fn new(now: Instant, after: impl Into<Option<Duration>>, of: LimitOf) -> Option<Self> {
        let after = after.into()?;
        // What lies beyond the end of the clock is never.
        Some(Self { at: now.checked_add(after)?, after, of })
    }

    pub(super) fn seconds(now: Instant, after: Option<NonZeroU32>, of: LimitOf) -> Option<Self> {
        Self::new(now, after.map(|seconds| Duration::from_secs(seconds.get().into())), of)
    }
}

impl From<Limit> for io::Error {
    fn from(limit: Limit) -> Self {
        let after = limit.after;
        let message = match limit.of {
            LimitOf::Reaching => format!("no answer within {after:?}"),
            LimitOf::Resolving => format!("no answer within {after:?} ({RESOLVE})"),
            LimitOf::Connecting => format!("no answer within {after:?} ({CONNECT})"),
            LimitOf::Everything => format!("not done within {after:?} ({TOTAL})"),
        };
        Self::new(io::ErrorKind::TimedOut, message)
    }
}

/// What comes of `work`, or the first of these limits if that is over before.
pub(super) async fn within<T>(
    timer: &(impl Timer + ?Sized),
    limits: &[Option<Limit>],
    work: impl Future<Output = T>,
) -> Result<T, Limit> {
    let Some(first) = limits.iter().flatten().min_by_key(|limit| limit.at) else { return Ok(work.await) };
    match future::select(pin!(work), timer.sleep_until(first.at)).await {
        Either::Left((outcome, _)) => Ok(outcome),
        Either::Right(_) => Err(*first),
    }
}

const RESOLVE: &str = "resolve-timeout";
const CONNECT: &str = "connect-timeout";
const TOTAL: &str = "total-timeout";
