//! What has happened in a pool, one by one and in numbers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::PoolError;
use super::key::Key;

/// Something that has happened in a [`Pool`](super::Pool).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was opened, in this time.
    Opened {
        /// To whom.
        key: &'a Key,
        /// How long it took, handshakes and proxies included.
        took: Duration,
    },
    /// None could be opened, or had.
    Failed {
        /// To whom.
        key: &'a Key,
        /// Why.
        error: &'a PoolError,
    },
    /// One that was idle was given out again.
    Reused {
        /// To whom.
        key: &'a Key,
        /// How long it was idle.
        idle: Duration,
        /// How often it was given out before.
        uses: u32,
    },
    /// Somebody waits, because as many as there may be are open.
    Waiting {
        /// For whom.
        key: &'a Key,
    },
    /// One was given back, and is idle.
    GivenBack {
        /// To whom.
        key: &'a Key,
    },
    /// A proxy of HTTP/2 goes away (GOAWAY). The tunnels over that connection to it go on, those that are idle can be used again, and
    /// new ones are opened over another connection.
    GoingAway {
        /// To whom the tunnels lead.
        key: &'a Key,
    },
    /// One is not used again.
    Dismissed {
        /// To whom.
        key: &'a Key,
        /// Why.
        why: Dismissal,
    },
}

/// Why a connection is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dismissal {
    /// Bytes came that nobody had asked for, or were not read before it was given back.
    Data,
    /// A layer, or the socket, has ended in either direction.
    Ended,
    /// It was lost: a reset, an alert, an end without a close_notify.
    Lost,
    /// Something written had not left when it was given back.
    Unsent,
    /// It has other layers than those that it was opened with.
    Changed,
    /// It was idle for as long as one may be.
    IdleTime,
    /// It is as old as one may become.
    Age,
    /// It was given out as often as one may be.
    Uses,
    /// There were too many: this one was idle for the longest.
    Crowded,
    /// The files were read again.
    Outdated,
    /// The pool was closed.
    Closed,
    /// It was taken out of the pool.
    Detached,
    /// It was not given back.
    Dropped,
}

impl fmt::Display for Dismissal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "bytes came unasked",
            Self::Ended => "it has ended",
            Self::Lost => "it was lost",
            Self::Unsent => "something had not left",
            Self::Changed => "its layers are others",
            Self::IdleTime => "idle for too long",
            Self::Age => "too old",
            Self::Uses => "used often enough",
            Self::Crowded => "others were idle for less long",
            Self::Outdated => "the files were read again",
            Self::Closed => "the pool was closed",
            Self::Detached => "it is no longer of the pool",
            Self::Dropped => "it was not given back",
        })
    }
}

/// A [`Pool`](super::Pool) in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// How many are idle now.
    pub idle: usize,
    /// How many are open now: idle, in use, being opened or being closed.
    pub open: usize,
    /// How many wait now.
    pub waiting: usize,
    /// How many were opened so far.
    pub opened: u64,
    /// How often none could be had.
    pub failed: u64,
    /// How often one that was idle was given out.
    pub reused: u64,
    /// How many were thrown away because somebody had spoken, ended or broken them while they were idle or when they were given back.
    pub disturbed: u64,
    /// How many were closed for any other reason.
    pub retired: u64,
    /// How many were dropped and not given back.
    pub dropped: u64,
    /// How many connections with tunnels in them were left by their proxy (GOAWAY).
    pub gone_away: u64,
}

#[derive(Default)]
pub(super) struct Tally {
    opened: AtomicU64,
    failed: AtomicU64,
    reused: AtomicU64,
    disturbed: AtomicU64,
    retired: AtomicU64,
    dropped: AtomicU64,
    gone_away: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, event: &Event<'_>) {
        let counter = match event {
            Event::Opened { .. } => &self.opened,
            Event::Failed { .. } => &self.failed,
            Event::Reused { .. } => &self.reused,
            Event::Waiting { .. } | Event::GivenBack { .. } => return,
            Event::GoingAway { .. } => &self.gone_away,
            Event::Dismissed { why, .. } => match why {
                Dismissal::Data | Dismissal::Ended | Dismissal::Lost | Dismissal::Unsent => &self.disturbed,
                Dismissal::Dropped => &self.dropped,
                _ => &self.retired,
            },
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, idle: usize, open: usize, waiting: usize) -> Statistics {
        Statistics {
            idle,
            open,
            waiting,
            opened: self.opened.load(Relaxed),
            failed: self.failed.load(Relaxed),
            reused: self.reused.load(Relaxed),
            disturbed: self.disturbed.load(Relaxed),
            retired: self.retired.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            gone_away: self.gone_away.load(Relaxed),
        }
    }
}
