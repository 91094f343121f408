//! One deadline at a time, on the clock of a [`Timer`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Instant;

use futures::future::BoxFuture;

use crate::runtime::Timer;

/// A clock, and the alarm that is set on it.
pub(crate) struct Alarm {
    timer: Arc<dyn Timer>,
    /// Behind a mutex that nobody ever locks: it makes the future `Sync`, and `get_mut` needs no lock.
    set: Option<(Instant, Mutex<BoxFuture<'static, ()>>)>,
}

impl Alarm {
    pub(crate) fn new(timer: Arc<dyn Timer>) -> Self {
        Self { timer, set: None }
    }

    /// Another alarm on the same clock.
    pub(crate) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.timer))
    }

    pub(crate) fn timer(&self) -> Arc<dyn Timer> {
        Arc::clone(&self.timer)
    }

    pub(crate) fn now(&self) -> Instant {
        self.timer.now()
    }

    /// Whether `deadline` has passed. If not, the task is woken when it has; no deadline takes the alarm back.
    ///
    /// A deadline that moves on, as one does with every byte of a peer that is to be heard of, leaves the alarm as it is set: it goes
    /// off too early once, and is set again then.
    pub(crate) fn is_due(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = deadline else {
            self.set = None;
            return false;
        };
        loop {
            if deadline <= self.now() {
                self.set = None;
                return true;
            }
            let alarm = match &mut self.set {
                Some((set, alarm)) if *set <= deadline => alarm,
                _ => &mut self.set.insert((deadline, Mutex::new(self.timer.sleep_until(deadline)))).1,
            };
            let alarm = alarm.get_mut().unwrap_or_else(PoisonError::into_inner);
            if alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            // A future that is done may not be polled again. If it was early, the next one is not.
            self.set = None;
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("deadline", &self.set.as_ref().map(|(set, _)| set)).finish_non_exhaustive()
    }
}
