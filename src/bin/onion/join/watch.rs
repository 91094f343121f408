//! How long nothing may pass between two sides.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use onionskin::runtime::Timer;

use crate::waiting::Limit;

/// Runs out when nothing has passed for too long: one limit while both sides may say something, another once one has ended.
///
/// An alarm is set once and set again only when it has gone off too early, so bytes that pass cost a look at the clock.
pub(super) struct Watch {
    timer: &'static dyn Timer,
    idle: Limit,
    half_closed: Limit,
    seen: Seen,
    since: Instant,
    alarm: Option<(Instant, BoxFuture<'static, ()>)>,
    /// If it has run out before and nothing has passed since: how many bytes were on their way then.
    unsent: Option<usize>,
    /// When the side that has ended is to be looked at again.
    look: Option<BoxFuture<'static, ()>>,
}

/// What is compared to find out whether something has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    pub(super) is_half_closed: bool,
}

impl Watch {
    pub(super) fn new(timer: &'static dyn Timer, idle: Limit, half_closed: Limit) -> Self {
        Self {
            timer,
            idle,
            half_closed,
            seen: Seen::default(),
            since: timer.now(),
            alarm: None,
            unsent: None,
            look: None,
        }
    }

    /// Whether nothing has happened for the limit that it returns. A receiver that takes what is on its way to it, however
    /// slowly, is something: `unsent` tells how much there is, and is asked only when the time is over.
    pub(super) fn poll_over(
        &mut self,
        seen: Seen,
        unsent: impl FnOnce() -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<Duration> {
        let Limit(Some(limit)) = (if seen.is_half_closed { self.half_closed } else { self.idle }) else {
            return Poll::Pending;
        };
        if seen != self.seen {
            (self.seen, self.since, self.unsent) = (seen, self.timer.now(), None);
        }
        ready!(self.poll_until(self.since + limit, cx));
        let unsent = unsent();
        if unsent == 0 || self.unsent.is_some_and(|before| unsent >= before) {
            return Poll::Ready(limit);
        }
        (self.unsent, self.since) = (Some(unsent), self.timer.now());
        ready!(self.poll_until(self.since + limit, cx));
        Poll::Ready(limit)
    }

    /// Whether to look at the side that has ended: nobody reads from it any more, so nothing wakes anybody when it is reset.
    pub(super) fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer;
        let look = self.look.get_or_insert_with(|| timer.sleep_until(timer.now() + LOOK));
        ready!(look.as_mut().poll(cx));
        self.look = None;
        Poll::Ready(())
    }

    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (at, alarm) = match &mut self.alarm {
                // One that goes off later than that is of no use.
                Some((at, alarm)) if *at <= deadline => (*at, alarm),
                other => {
                    let (at, alarm) = other.insert((deadline, self.timer.sleep_until(deadline)));
                    (*at, alarm)
                }
            };
            ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
            if at >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

/// How often a side that has ended is looked at.
const LOOK: Duration = Duration::from_secs(1);
