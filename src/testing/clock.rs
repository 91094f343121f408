//! Time that passes only when a test says so.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::runtime::Timer;

/// A clock that stands still until [`advance`](Self::advance). Clones show the same time.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use onionskin::Connection;
/// use onionskin::testing::{Clock, Cut, wire};
///
/// let clock = Clock::new();
/// let (socket, _peer) = wire(Cut::Whole, 1024);
/// let conn = Connection::with_timer(socket, Arc::new(clock.clone()));
/// clock.advance(Duration::from_secs(3600)); // and nobody had to wait
/// # drop(conn);
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Face>>);

#[derive(Debug)]
struct Face {
    now: Instant,
    /// Whom to wake and when; the number keeps alarms of the same time apart.
    alarms: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
}

impl Clock {
    /// A clock that shows some time.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Face { now: Instant::now(), alarms: BTreeMap::new(), next_number: 0 })))
    }

    /// Lets time pass, and wakes whoever waited for a moment up to then.
    pub fn advance(&self, by: Duration) {
        let mut face = self.face();
        let now = face.now + by;
        face.now = now;
        let later = face.alarms.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut face.alarms, later);
        drop(face);
        due.into_values().for_each(Waker::wake);
    }

    /// How long until the next alarm that somebody waits for, if anybody does.
    #[must_use]
    pub fn until_next_alarm(&self) -> Option<Duration> {
        let face = self.face();
        let (&(deadline, _), _) = face.alarms.first_key_value()?;
        Some(deadline.saturating_duration_since(face.now))
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.0.lock().expect("nothing panics while it holds the clock")
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.face().now
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let mut face = self.face();
        let number = face.next_number;
        face.next_number += 1;
        drop(face);
        Box::pin(Alarm { clock: self.clone(), key: (deadline, number) })
    }
}

struct Alarm {
    clock: Clock,
    key: (Instant, u64),
}

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut face = self.clock.face();
        if face.now >= self.key.0 {
            return Poll::Ready(());
        }
        face.alarms.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clock.face().alarms.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_alarm_rings_when_its_time_has_come_and_not_before() {
        let clock = Clock::new();
        let mut alarm = clock.sleep_until(clock.now() + Duration::from_secs(10));
        assert_eq!((&mut alarm).now_or_never(), None);
        assert_eq!(clock.until_next_alarm(), Some(Duration::from_secs(10)));
        clock.advance(Duration::from_secs(9));
        assert_eq!((&mut alarm).now_or_never(), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!((&mut alarm).now_or_never(), Some(()));
    }

    #[test]
    fn a_dropped_alarm_is_forgotten() {
        let clock = Clock::new();
        let mut alarm = clock.sleep_until(clock.now() + Duration::from_secs(10));
        assert_eq!((&mut alarm).now_or_never(), None);
        drop(alarm);
        assert_eq!(clock.until_next_alarm(), None);
    }
}
