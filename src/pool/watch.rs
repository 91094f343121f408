//! The one task that looks after all that are idle.
//!
//! Each connection has a waker of its own, which says its number. While it is idle that is the waker of its socket, so the task
//! looks at those that something has come over and at no other; and it sleeps until the time of the next one is over. It
//! begins with the first that is idle and ends with the last, or with the pool.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use super::Shared;
use super::event::Dismissal;
use super::shelf::ItemNumber;
use crate::driver::Alarm;

/// Looks after whatever is idle in this pool, until nothing is.
pub(super) async fn watch(shared: Weak<Shared>) {
    let mut alarm = None;
    poll_fn(move |cx| match shared.upgrade() {
        Some(shared) => {
            let alarm = alarm.get_or_insert_with(|| Alarm::new(Arc::clone(&shared.timer)));
            look_after(&shared, alarm, cx)
        }
        None => Poll::Ready(()),
    })
    .await;
}

fn look_after(shared: &Arc<Shared>, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<()> {
    shared.woken.task.register(cx.waker());
    loop {
        for number in shared.woken.drain() {
            if let Some(item) = shared.shelf.pick(number) {
                shared.rest(item);
            }
        }
        while let Some(item) = shared.shelf.overdue(alarm.now()) {
            let why = shared.shelf.check(&item, alarm.now()).err().unwrap_or(Dismissal::IdleTime);
            shared.dismiss(item, why);
        }
        match shared.shelf.next_deadline() {
            Some(deadline) if alarm.is_due(Some(deadline), cx) => {}
            Some(_) => return Poll::Pending,
            None => return Poll::Ready(()),
        }
    }
}

/// The numbers of those that something has come over.
#[derive(Default)]
pub(super) struct Woken {
    numbers: Mutex<Vec<ItemNumber>>,
    task: AtomicWaker,
}

impl Woken {
    pub(super) fn wake_task(&self) {
        self.task.wake();
    }

    /// The bell of the connection with this number.
    pub(super) fn bell(self: &Arc<Self>, number: ItemNumber) -> Arc<Bell> {
        Arc::new(Bell { woken: Arc::clone(self), number, has_rung: AtomicBool::new(false) })
    }

    fn note(&self, number: ItemNumber) {
        self.numbers().push(number);
        self.task.wake();
    }

    fn drain(&self) -> Vec<ItemNumber> {
        std::mem::take(&mut *self.numbers())
    }

    fn numbers(&self) -> MutexGuard<'_, Vec<ItemNumber>> {
        self.numbers.lock().expect("nothing panics while it notes a number")
    }
}

/// What rings when something comes over a connection: once, until it is listened to again. So what is in use, and has no
/// more to do with the task, is noted once at most.
pub(super) struct Bell {
    woken: Arc<Woken>,
    number: ItemNumber,
    has_rung: AtomicBool,
}

impl Bell {
    /// The waker of a connection that is to be idle.
    pub(super) fn listen(self: &Arc<Self>) -> Waker {
        self.has_rung.store(false, Ordering::SeqCst);
        Waker::from(Arc::clone(self))
    }

    /// Rings again if it has rung before there was anybody to hear it.
    pub(super) fn ring_if_unheard(&self) {
        if self.has_rung.load(Ordering::SeqCst) {
            self.woken.note(self.number);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.has_rung.swap(true, Ordering::SeqCst) {
            self.woken.note(self.number);
        }
    }
}
