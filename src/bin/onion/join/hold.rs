//! An end that is not passed on yet.
//!
//! Where LISTEN is standard input, from a pipe or a file, its end says that there is nothing more to send, and not that nothing
//! more is to be heard; but many servers take it for that (`waiting.rs`). So it is kept back until the server has ended too,
//! or has been silent for so long that it seems to wait for us.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use onionskin::runtime::Timer;

use crate::waiting::{Limit, Quiet};

/// Keeps the end of one way back for the sake of the other.
pub(crate) struct Hold {
    quiet: Quiet,
    /// How many bytes had passed in each way when that was last looked at.
    asked: u64,
    answered: u64,
    /// Whether something has come back since something was last sent.
    is_answered: bool,
    has_run_out: bool,
}

impl Hold {
    pub(crate) fn new(timer: &'static dyn Timer, limit: Limit) -> Self {
        Self { quiet: Quiet::new(timer, limit), asked: 0, answered: 0, is_answered: true, has_run_out: false }
    }

    /// So many bytes have been sent and have come back by now.
    pub(crate) fn look(&mut self, asked: u64, answered: u64) {
        if asked > self.asked {
            self.is_answered = false;
        }
        if answered > self.answered {
            self.is_answered = true;
        }
        if (asked, answered) != (self.asked, self.answered) {
            self.quiet.restart();
        }
        (self.asked, self.answered) = (asked, answered);
    }

    /// Whether the server has been silent for too long; `unsent` is how much is on its way to it.
    pub(crate) fn poll_over(&mut self, unsent: impl FnOnce() -> usize, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.quiet.poll_over(unsent, cx));
        self.has_run_out = true;
        Poll::Ready(())
    }

    /// How long nothing came for what was sent last, if the end was passed on all the same.
    pub(crate) fn unanswered(&self) -> Option<Duration> {
        (self.has_run_out && !self.is_answered).then(|| self.quiet.limit())
    }
}
