//! An executor that takes the same course each time and knows when it is stuck.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::{FusedFuture, FutureExt, LocalBoxFuture};

/// One task. It is polled only when its own waker was called, so a wake that goes to another task is no help to it.
pub(crate) struct Task<'a, T> {
    future: futures::future::Fuse<LocalBoxFuture<'a, T>>,
    woken: Arc<Woken>,
    output: Option<T>,
}

struct Woken(AtomicBool);

impl<'a, T> Task<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self { future: future.boxed_local().fuse(), woken: Arc::new(Woken(AtomicBool::new(true))), output: None }
    }

    /// Runs this task alone until it waits for something that does not come by itself, or is done.
    pub(crate) fn run(&mut self) -> Option<T> {
        run(&mut [self]);
        self.output.take()
    }

    /// What came of it, once it is done.
    pub(crate) fn output(&mut self) -> Option<T> {
        self.output.take()
    }
}

pub(crate) trait Step {
    /// Polls once if woken; whether it was.
    fn step(&mut self) -> bool;
}

impl<T> Step for Task<'_, T> {
    fn step(&mut self) -> bool {
        if self.future.is_terminated() || !self.woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        if let Poll::Ready(output) = self.future.poll_unpin(&mut Context::from_waker(&waker)) {
            self.output = Some(output);
        }
        true
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs tasks in turns until all are done or wait for something that does not come.
pub(crate) fn run(tasks: &mut [&mut dyn Step]) {
    for _ in 0..MAX_ROUNDS {
        // All of them, whoever was the first.
        if tasks.iter_mut().fold(false, |progress, task| task.step() | progress) {
            continue;
        }
        return;
    }
    panic!("the tasks keep each other busy for ever");
}

/// Runs one future to its end.
#[track_caller]
pub(crate) fn alone<T>(future: impl Future<Output = T>) -> T {
    Task::new(future).run().expect("the task is not stuck")
}

/// Runs two futures, in two tasks, to their ends.
#[track_caller]
pub(crate) fn both<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> (A, B) {
    let (mut left, mut right) = (Task::new(left), Task::new(right));
    run(&mut [&mut left, &mut right]);
    match (left.output(), right.output()) {
        (Some(left), Some(right)) => (left, right),
        (left, right) => {
            panic!("stuck: left is done: {}, right is done: {}", left.is_some(), right.is_some())
        }
    }
}

/// Polls `future` at most `polls` times and then drops it.
pub(crate) async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    let give_up = futures::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    give_up.await
}

/// More rounds than any test takes.
const MAX_ROUNDS: usize = 20_000_000;
