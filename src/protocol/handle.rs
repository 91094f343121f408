//! A connection as other tasks and threads see it.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;

use super::{Producer, Result, Transport};
use crate::stack::with_chain;

/// A way to a connection from other tasks and threads. Cheap to clone; got from [`Transport::handle`].
///
/// What it asks for is done in the order in which it was asked, between two callbacks of the protocol.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

/// Why a [`Handle`] did not take what it was given.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The connection is over.
    Over,
    /// So much waits to be sent that no more is taken: wait for [`Handle::writable`].
    Full,
    /// More than the write limit at once: write it in pieces.
    TooLong,
}

impl Handle {
    /// Writes `bytes`, all or nothing, as [`Transport::write`] does.
    ///
    /// # Errors
    ///
    /// When the connection is over; when `bytes` are more than the write limit, or would be with what waits already.
    pub fn write(&self, bytes: impl Into<Vec<u8>>) -> Result<(), HandleError> {
        let bytes = bytes.into();
        let mut inbox = self.0.inbox();
        if inbox.is_closed {
            return Err(HandleError::Over);
        }
        if bytes.len() > inbox.limit {
            return Err(HandleError::TooLong);
        }
        if inbox.written + inbox.waiting + bytes.len() > inbox.limit {
            return Err(HandleError::Full);
        }
        inbox.written += bytes.len();
        inbox.commands.push_back(Command::Write(bytes));
        drop(inbox);
        self.0.waker.wake();
        Ok(())
    }

    /// Waits until less than the high water mark waits to be sent.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    ///
    /// # Cancellation
    ///
    /// Changes nothing.
    pub async fn writable(&self) -> Result<(), HandleError> {
        let mut waiting = Waiting { shared: &self.0, number: None };
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// Has `command` run on the connection's own task, with its transport.
    ///
    /// # Errors
    ///
    /// When the connection is over. One that is lost later drops the command without running it.
    pub fn call(&self, command: impl FnOnce(&mut Transport<'_>) -> Result + Send + 'static) -> Result<(), HandleError> {
        self.push(Command::Call(Box::new(command)))
    }

    /// As [`Transport::close`]. Nothing happens if the connection is over.
    pub fn close(&self) {
        let _ = self.call(|transport| {
            transport.close();
            Ok(())
        });
    }

    /// As [`Transport::half_close`]. Nothing happens if the connection is over.
    pub fn half_close(&self) {
        let _ = self.call(|transport| {
            transport.half_close();
            Ok(())
        });
    }

    /// As [`Transport::abort`]. Nothing happens if the connection is over.
    pub fn abort(&self) {
        let _ = self.call(|transport| {
            transport.abort();
            Ok(())
        });
    }

    /// As [`Transport::pause_producing`]. Nothing happens if the connection is over.
    pub fn pause_producing(&self) {
        let _ = self.call(|transport| {
            transport.pause_producing();
            Ok(())
        });
    }

    /// As [`Transport::resume_producing`]. Nothing happens if the connection is over.
    pub fn resume_producing(&self) {
        let _ = self.call(|transport| {
            transport.resume_producing();
            Ok(())
        });
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.inbox().is_closed
    }

    /// Tells the protocol that the server stops.
    pub(crate) fn request_stop(&self) {
        let _ = self.push(Command::StopRequested);
    }

    pub(super) fn new(limit: usize, high: usize) -> Self {
        let inbox = Inbox { limit, high, ..Inbox::default() };
        Self(Arc::new(Shared { inbox: Mutex::new(inbox), waker: AtomicWaker::new() }))
    }

    pub(super) fn next(&self) -> Option<Command> {
        let mut inbox = self.0.inbox();
        let command = inbox.commands.pop_front()?;
        if let Command::Write(bytes) = &command {
            inbox.written -= bytes.len();
            // Until the connection says how much waits: who writes meanwhile must not find room that is taken.
            inbox.waiting += bytes.len();
        }
        Some(command)
    }

    pub(super) fn register(&self, cx: &Context<'_>) {
        self.0.waker.register(cx.waker());
    }

    pub(super) fn set_limits(&self, limit: usize, high: usize) {
        let mut inbox = self.0.inbox();
        (inbox.limit, inbox.high) = (limit, high);
    }

    /// Says how much waits to be sent in the connection.
    pub(super) fn set_waiting(&self, waiting: usize) {
        let mut inbox = self.0.inbox();
        inbox.waiting = waiting;
        if inbox.is_full() {
            return;
        }
        let writers = std::mem::take(&mut inbox.writers);
        drop(inbox);
        writers.into_values().for_each(Waker::wake);
    }

    pub(super) fn disconnect(&self) {
        let mut inbox = self.0.inbox();
        inbox.is_closed = true;
        // What a command holds, or a waker does, may use a handle of this very connection: so not under the lock.
        let commands = std::mem::take(&mut inbox.commands);
        let writers = std::mem::take(&mut inbox.writers);
        drop(inbox);
        drop(commands);
        writers.into_values().for_each(Waker::wake);
    }

    fn push(&self, command: Command) -> Result<(), HandleError> {
        let mut inbox = self.0.inbox();
        if inbox.is_closed {
            return Err(HandleError::Over);
        }
        inbox.commands.push_back(command);
        drop(inbox);
        self.0.waker.wake();
        Ok(())
    }
}

/// Reads no more from this connection while the one that it is registered with is full, and aborts it when that one is
/// over: what is still to be read can no longer be passed on, and a graceful close would tell the peer that it was.
///
/// It is never done by itself: unregister it before the other connection is to be closed, because
/// [`Transport::close`] waits for that.
impl Producer for Handle {
    fn resume_producing(&mut self, _transport: &mut Transport<'_>) -> Result {
        Self::resume_producing(self);
        Ok(())
    }

    fn pause_producing(&mut self) {
        Self::pause_producing(self);
    }

    fn stop_producing(&mut self) {
        self.abort();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Over => "the connection is over",
            Self::Full => "too much waits to be sent: wait until there is room",
            Self::TooLong => "more than the write limit at once: write it in pieces",
        })
    }
}

impl fmt::Debug for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for HandleError {}

pub(super) enum Command {
    Write(Vec<u8>),
    Call(Box<dyn FnOnce(&mut Transport<'_>) -> Result + Send>),
    StopRequested,
}

struct Shared {
    inbox: Mutex<Inbox>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Inbox {
    commands: VecDeque<Command>,
    /// Bytes in those commands that are writes.
    written: usize,
    /// Bytes in the connection that wait to be sent.
    waiting: usize,
    limit: usize,
    high: usize,
    /// Who waits in [`Handle::writable`]; the numbers are never given out twice.
    writers: BTreeMap<u64, Waker>,
    next_writer: u64,
    is_closed: bool,
}

/// One call of [`Handle::writable`]. Its waker goes with it, so that calls that are given up leave nothing behind.
struct Waiting<'a> {
    shared: &'a Shared,
    number: Option<u64>,
}

impl Waiting<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), HandleError>> {
        let mut inbox = self.shared.inbox();
        if inbox.is_closed {
            return Poll::Ready(Err(HandleError::Over));
        }
        if !inbox.is_full() {
            return Poll::Ready(Ok(()));
        }
        let number = *self.number.get_or_insert(inbox.next_writer);
        inbox.next_writer = inbox.next_writer.max(number + 1);
        let before = inbox.writers.insert(number, cx.waker().clone());
        drop(inbox);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waker = self.number.and_then(|number| self.shared.inbox().writers.remove(&number));
        drop(waker);
    }
}

impl Inbox {
    fn is_full(&self) -> bool {
        self.written + self.waiting > self.high
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("nothing panics while it holds the inbox")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Protocol, Streaming};
    use crate::testing::StringTransport;

    type Written = Arc<Mutex<Vec<Result<(), HandleError>>>>;

    struct Full;

    impl Protocol for Full {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.set_write_limit(LIMIT);
            Ok(())
        }
    }

    /// Writes at once when it is resumed, three times, as another connection would on its own thread.
    struct Eager {
        handle: Handle,
        written: Written,
    }

    impl Producer for Eager {
        fn resume_producing(&mut self, _: &mut Transport<'_>) -> Result {
            let mut written = self.written.lock().unwrap();
            if written.len() < 3 {
                written.push(self.handle.write(vec![0; MORE_THAN_HALF]));
            }
            Ok(())
        }
    }

    #[test]
    fn who_is_resumed_finds_room() {
        let written = Written::default();
        let mut transport = StringTransport::new(Full);
        let eager = Eager { handle: transport.handle(), written: Arc::clone(&written) };
        transport.hold(true);
        transport.act(|_, transport| transport.register_producer(eager, Streaming::Push)).unwrap();
        assert_eq!(transport.handle().write(vec![0; MORE_THAN_HALF]), Err(HandleError::Full));
        transport.hold(false);
        assert_eq!(*written.lock().unwrap(), [Ok(()); 3]);
    }

    #[test]
    fn room_that_is_taken_is_not_found_again() {
        let written = Written::default();
        let mut transport = StringTransport::new(Full);
        transport.hold(true);
        let (handle, later) = (transport.handle(), Arc::clone(&written));
        transport.handle().write(vec![0; MORE_THAN_HALF]).unwrap();
        let write = move |_: &mut Transport<'_>| {
            later.lock().unwrap().push(handle.write(vec![0; MORE_THAN_HALF]));
            Ok(())
        };
        transport.handle().call(write).unwrap();
        transport.run();
        assert_eq!(*written.lock().unwrap(), [Err(HandleError::Full)]);
        assert!(transport.reason().is_none());
    }

    const LIMIT: usize = 128 * 1024;

    const MORE_THAN_HALF: usize = 100_000;
}
