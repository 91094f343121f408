//! Who is to be woken when the socket, or the clock, is ready.
//!
//! A reader and a writer may wait on one connection in two tasks. A socket remembers one waker for each direction,
//! and TLS mixes the directions: a read may have to send (a key update), a write may have to read first (a
//! handshake). If each task gave the socket its own waker, one would take the other's place and that task would
//! sleep for ever. So the socket gets one waker that stands for both.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures::task::AtomicWaker;

/// The tasks that wait on one connection.
#[derive(Debug)]
pub(crate) struct Wakers {
    tasks: Arc<Tasks>,
    both: Waker,
}

/// Which half of the connection a task uses: one reads, one writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Reader,
    Writer,
}

#[derive(Debug, Default)]
struct Tasks {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wakers {
    pub(crate) fn new() -> Self {
        let tasks = Arc::new(Tasks::default());
        Self { both: Waker::from(Arc::clone(&tasks)), tasks }
    }

    pub(crate) fn register(&self, half: Half, cx: &Context<'_>) {
        self.tasks.slot(half).register(cx.waker());
    }

    /// The waker that stands for both.
    pub(crate) fn both(&self) -> Waker {
        self.both.clone()
    }

    /// Wakes the task that is not the one of `half`, because what that one did may concern it.
    pub(crate) fn wake_other(&self, half: Half) {
        self.tasks.slot(half.other()).wake();
    }
}

impl Half {
    fn other(self) -> Self {
        match self {
            Self::Reader => Self::Writer,
            Self::Writer => Self::Reader,
        }
    }
}

impl Tasks {
    fn slot(&self, half: Half) -> &AtomicWaker {
        match half {
            Half::Reader => &self.reader,
            Half::Writer => &self.writer,
        }
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}
