//! Where the futures of a side run: on a runtime, or on threads of their own that block.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{FutureExt, try_join_all};
use futures::task::noop_waker_ref;
use onionskin::runtime::{self, Runtime};
use rustix::event::{PollFd, PollFlags, poll};

use super::Result;

/// Where futures run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    Runtime(&'static dyn Runtime),
    /// A future blocks inside its poll, or says by [`wait_for`] what it waits for.
    Thread,
}

impl Home {
    /// Runs one future on this thread.
    pub(crate) fn block_on<T>(self, future: impl Future<Output = Result<T>>) -> Result<T> {
        match self {
            Self::Runtime(runtime) => runtime::block_on(runtime, future),
            Self::Thread => block_on_socket(future),
        }
    }

    /// Runs all of them at once, and waits for the last.
    pub(crate) fn all<F, T>(self, futures: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        match self {
            Self::Runtime(runtime) => {
                let start = |future: F| {
                    let (task, handle) = future.remote_handle();
                    runtime.spawn(Box::pin(task));
                    handle
                };
                let handles: Vec<_> = futures.into_iter().map(start).collect();
                runtime::block_on(runtime, try_join_all(handles))
            }
            Self::Thread => {
                let start = |future: F| std::thread::spawn(|| block_on_socket(future));
                let threads: Vec<_> = futures.into_iter().map(start).collect();
                threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect()
            }
        }
    }
}

/// Says that the future on this thread waits until `socket` is ready for this.
pub(crate) fn wait_for(socket: &Arc<TcpStream>, flags: PollFlags) {
    WAITING.with_borrow_mut(|waiting| {
        let before = waiting.take().map_or(PollFlags::empty(), |(_, before)| before);
        *waiting = Some((Arc::clone(socket), before | flags));
    });
}

fn block_on_socket<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            return result;
        }
        let waiting = WAITING.with_borrow_mut(Option::take);
        let (socket, flags) = waiting.ok_or_else(|| io::Error::other("a future waits for nothing"))?;
        poll(&mut [PollFd::new(&*socket, flags)], None)?;
    }
}

thread_local! {
    static WAITING: RefCell<Option<(Arc<TcpStream>, PollFlags)>> = const { RefCell::new(None) };
}
