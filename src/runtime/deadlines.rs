//! The timers of the runtimes on async-io: many deadlines, and one thread that waits for the first of them.
//!
//! A timer of async-io wakes the reactor when it is set, whenever it is due: a write to an event descriptor, and for whoever
//! polls the reactor a return, a new alarm and three more calls of the system. Of the deadlines of a connection (a handshake,
//! a silence, a connect) next to none is ever reached, and each is set behind others that come before it:
//!
//! ```text
//!    set at 20 s ─┐
//!    set at 60 s ─┼─▶ [ 3 s, 20 s, 60 s ] ──▶ one thread, asleep until 3 s
//!    set at 1 s ──┘         └ only one before that wakes it
//! ```
//!
//! One that is taken back leaves the thread asleep until then, and it finds nothing: that is once for as long as a deadline is
//! away, where the first of many short connections would be told of for each of them.
//!
//! So here setting a deadline and taking it back is an entry in a tree. The thread starts with the first deadline and stays:
//! it owns nothing that has to be closed. If the system refuses the thread, the runtime's own timer is taken.

use std::collections::btree_map::{BTreeMap, Entry};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

/// Is done at a deadline or soon after. Dropping it takes the deadline back.
#[derive(Debug)]
pub(super) struct Sleep {
    deadlines: &'static Deadlines,
    at: Instant,
    /// Its place among those that are due at the same time, once it has one.
    number: Option<u64>,
}

impl Sleep {
    /// `None` if there is no thread that would wake it.
    pub(super) fn until(deadline: Instant) -> Option<Self> {
        Some(Self { deadlines: Deadlines::running()?, at: deadline, number: None })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at <= Instant::now() {
            self.take_back();
            return Poll::Ready(());
        }
        let at = self.at;
        let mut set = self.deadlines.set();
        let number = *self.number.get_or_insert_with(|| {
            set.last += 1;
            set.last
        });
        let is_told = match set.thread {
            Thread::Awake => false,
            Thread::Asleep => true,
            Thread::AsleepUntil(first) => at < first,
        };
        match set.waiting.entry((at, number)) {
            Entry::Occupied(mut waiting) => waiting.get_mut().clone_from(cx.waker()),
            Entry::Vacant(place) => {
                place.insert(cx.waker().clone());
            }
        }
        if is_told {
            // Once is enough: it looks at all that there are then.
            set.thread = Thread::Awake;
        }
        drop(set);
        if is_told {
            self.deadlines.first_has_changed.notify_one();
        }
        Poll::Pending
    }
}

impl Sleep {
    fn take_back(&mut self) {
        if let Some(number) = self.number.take() {
            let waker = self.deadlines.set().waiting.remove(&(self.at, number));
            // The last owner of a task may be its waker: it is dropped without the lock.
            drop(waker);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.take_back();
    }
}

#[derive(Debug, Default)]
struct Deadlines {
    set: Mutex<Set>,
    first_has_changed: Condvar,
}

#[derive(Debug, Default)]
struct Set {
    waiting: BTreeMap<(Instant, u64), Waker>,
    /// The number that was given last.
    last: u64,
    thread: Thread,
}

/// What the thread does.
#[derive(Clone, Copy, Debug, Default)]
enum Thread {
    /// It has not looked yet, or will look again.
    #[default]
    Awake,
    Asleep,
    AsleepUntil(Instant),
}

impl Deadlines {
    /// Those of the process, whose thread runs.
    fn running() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<&'static Deadlines>> = OnceLock::new();
        *SHARED.get_or_init(|| {
            let shared: &'static Self = Box::leak(Box::default());
            let thread = thread::Builder::new().name("onionskin-deadlines".into()).stack_size(STACK_SIZE);
            match thread.spawn(|| shared.wake_whoever_is_due()) {
                Ok(_) => Some(shared),
                Err(error) => {
                    log::warn!("no thread for deadlines, so each wakes the reactor when it is set: {error}");
                    None
                }
            }
        })
    }

    /// Nothing that can panic runs under the lock, so what it guards is whole even when somebody has.
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_whoever_is_due(&self) {
        let mut set = self.set();
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            while let Some(first) = set.waiting.first_entry()
                && first.key().0 <= now
            {
                due.push(first.remove());
            }
            if !due.is_empty() {
                drop(set);
                for waker in due {
                    // A waker that panics is its task's affair, and not that of all others that wait here.
                    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
                }
                set = self.set();
                continue;
            }
            let first = set.waiting.first_key_value().map(|((at, _), _)| *at);
            set.thread = first.map_or(Thread::Asleep, Thread::AsleepUntil);
            set = match first {
                None => self.first_has_changed.wait(set).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let waited = self.first_has_changed.wait_timeout(set, at.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            set.thread = Thread::Awake;
        }
    }
}

/// It calls wakers, which put tasks into queues: no more than that is on its stack.
const STACK_SIZE: usize = 128 * 1024;
