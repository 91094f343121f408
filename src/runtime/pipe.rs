//! Bytes that go from one socket to another without being looked at: splice(2), through a pipe (zero-copy).
//!
//! A read and a write copy every byte out of the system and back. The system can also hand the pages over in which the bytes
//! stand, but only from or to a pipe:
//!
//! ```text
//!    socket ──fill──▶ [ pipe ] ──empty──▶ socket
//! ```
//!
//! A pipe costs two descriptors and, while bytes are in it, memory of the system. So it is had only for as long as there are bytes
//! to be moved: who is done drops it, and it waits among a few others for the next one. There is a limit to how many there are at
//! a time in the process, so that pipes do not use up the descriptors that connections need; behind it, and on every other system,
//! there is none, and bytes are copied.

#[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(crate) use self::linux::Pipe;
#[cfg(not(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio"))))]
pub(crate) use self::none::Pipe;

#[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::task::Poll;

    use rustix::io::Errno;
    use rustix::net::{RecvFlags, recv};
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

    use crate::runtime::Socket;

    /// A pipe of the system. When it is dropped empty, the next one gets it.
    #[derive(Debug)]
    pub(crate) struct Pipe {
        /// There until it is dropped.
        ends: Option<Ends>,
        held: usize,
    }

    #[derive(Debug)]
    struct Ends {
        reader: OwnedFd,
        writer: OwnedFd,
        _counted: Counted,
    }

    impl Pipe {
        /// An empty one, if there may be one more.
        pub(crate) fn obtain() -> Option<Self> {
            let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let ends = waiting.or_else(Ends::new)?;
            Some(Self { ends: Some(ends), held: 0 })
        }

        /// How many bytes are in it.
        pub(crate) fn len(&self) -> usize {
            self.held
        }

        /// Takes what has come over `from`, as much as there is room for: 0 is its end. `Pending` if nothing has come, or there is
        /// no room; nobody is woken when that changes.
        pub(crate) fn fill(&mut self, from: &mut Socket) -> Poll<io::Result<usize>> {
            let Some((ends, descriptor)) = self.ends.as_ref().zip(from.descriptor()) else { return unsupported() };
            let moved = attempt(|| splice(descriptor, None, &ends.writer, None, CAPACITY, flags()));
            if let Poll::Ready(Ok(count)) = moved {
                self.held += count;
            }
            moved
        }

        /// Hands to `to` what it takes. `Pending` if it takes nothing; nobody is woken when that changes.
        pub(crate) fn empty(&mut self, to: &mut Socket) -> Poll<io::Result<usize>> {
            let Some((ends, descriptor)) = self.ends.as_ref().zip(to.descriptor()) else { return unsupported() };
            let moved = attempt(|| splice(&ends.reader, None, descriptor, None, self.held, flags()));
            if let Poll::Ready(Ok(count)) = moved {
                self.held -= count;
            }
            moved
        }

        /// Takes bytes out to be looked at, as many as there are and have room in `space`.
        pub(crate) fn take(&mut self, space: &mut [u8]) -> io::Result<usize> {
            let Some(ends) = &self.ends else { return Ok(0) };
            let count = space.len().min(self.held);
            let count = rustix::io::retry_on_intr(|| rustix::io::read(&ends.reader, &mut space[..count]))?;
            self.held -= count;
            Ok(count)
        }

        /// Reads what has come over `from`, whatever its reactor has heard of that.
        pub(crate) fn look(from: &mut Socket, space: &mut [u8]) -> Poll<io::Result<usize>> {
            let Some(descriptor) = from.descriptor() else { return unsupported() };
            attempt(|| recv(descriptor, &mut *space, RecvFlags::DONTWAIT).map(|(count, _)| count))
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            let Some(ends) = self.ends.take().filter(|_| self.held == 0) else { return };
            let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() < MAX_WAITING {
                waiting.push(ends);
            }
        }
    }

    impl Ends {
        fn new() -> Option<Self> {
            if !survives_broken_pipe() {
                return None;
            }
            let counted = Counted::new()?;
            // Without a descriptor that is free, there is none for now.
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // Who has many may have none of that size, and goes on with a smaller one.
            let _ = fcntl_setpipe_size(writer.as_fd(), CAPACITY);
            Some(Self { reader, writer, _counted: counted })
        }
    }

    /// One of those that there may be.
    #[derive(Debug)]
    struct Counted;

    impl Counted {
        fn new() -> Option<Self> {
            let more = |count: usize| (count < MAX_PIPES).then_some(count + 1);
            COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            COUNT.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether this process outlives SIGPIPE, which a splice to a socket that its peer has closed raises, as a write to it can be
    /// told not to. Rust has it ignored, unless a program wants otherwise or is not Rust's.
    fn survives_broken_pipe() -> bool {
        static SURVIVES: OnceLock<bool> = OnceLock::new();
        *SURVIVES.get_or_init(|| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let has = |name: &str| {
                let set = status.lines().find_map(|line| line.strip_prefix(name));
                set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & SIGPIPE != 0)
            };
            has("SigIgn:") || has("SigCgt:")
        })
    }

    fn attempt(mut step: impl FnMut() -> rustix::io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            return match step() {
                Ok(count) => Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => Poll::Pending,
                Err(Errno::INTR) => continue,
                // What the system does not do for these two.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => unsupported(),
                Err(error) => Poll::Ready(Err(error.into())),
            };
        }
    }

    fn unsupported() -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn flags() -> SpliceFlags {
        SpliceFlags::MOVE | SpliceFlags::NONBLOCK
    }

    static WAITING: Mutex<Vec<Ends>> = Mutex::new(Vec::new());

    static COUNT: AtomicUsize = AtomicUsize::new(0);

    /// So many pipes wait for the next one who wants to move bytes.
    const MAX_WAITING: usize = 16;

    /// So many pipes there are at a time.
    const MAX_PIPES: usize = 64;

    /// What goes into one: of the memory of the system, which lets those who may not do everything have 64 MiB in all pipes.
    const CAPACITY: usize = 256 * 1024;

    /// Of the signals of a process in /proc/PID/status (proc_pid_status(5)).
    const SIGPIPE: u64 = 1 << 12;
}

/// No other system has this call.
#[cfg(not(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio"))))]
mod none {
    use std::io;
    use std::task::Poll;

    use crate::runtime::Socket;

    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Pipe {}

    impl Pipe {
        pub(crate) fn obtain() -> Option<Self> {
            None
        }

        pub(crate) fn len(&self) -> usize {
            match *self {}
        }

        pub(crate) fn fill(&mut self, _: &mut Socket) -> Poll<io::Result<usize>> {
            match *self {}
        }

        pub(crate) fn empty(&mut self, _: &mut Socket) -> Poll<io::Result<usize>> {
            match *self {}
        }

        pub(crate) fn take(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }

        pub(crate) fn look(_: &mut Socket, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }
}
