//! Sockets, timers and tasks: the only place that names a runtime.
//!
//! The rest of the crate speaks to `&dyn Runtime` and to [`Socket`], so that one build can hold
//! several runtimes, or none. Each file below is one of them:
//!
//! | feature | type | readiness | timers | tasks run on |
//! |---|---|---|---|---|
//! | `async-std` (default) | `AsyncStd` | async-io | a thread of ours | async-std's global executor |
//! | `smol` | `Smol` | async-io | a thread of ours | smol's global executor |
//! | `tokio` | `Tokio` | tokio | tokio | the tokio runtime around the call, else one that the process shares |
//!
//! Where none is named, [`preferred`] says which is taken.
//!
//! Every method works on every thread, whatever executor polls the futures: a `Tokio` socket may be
//! awaited under `smol::block_on`, and the other way round.
//!
//! What is no affair of a runtime is in files of its own: sockets that a parent process has handed down, standard input
//! and output, and the abstract namespace of Linux. They reach the runtime through the `adopt` methods.
//!
//! Dropping a future that a runtime gave out cancels what it stands for. Nothing is lost: a
//! connection that was not yet accepted stays in the queue of the listener.

// | file | idea |
// |---|---|
// | `async_std.rs`, `smol.rs`, `tokio.rs` | the runtimes |
// | `deadlines.rs` | timers for those on async-io, which wake nobody when they are set |
// | `choice.rs` | which of them is taken where none is named |
// | `adapted.rs`, `listen.rs` | what their streams leave out, and what listening has in common |
// | `socket.rs`, `address.rs` | what all of them hand out, and its ends |
// | `stdio.rs`, `inherited.rs`, `single.rs`, `pair.rs` | sockets from elsewhere: standard input and output, of the parent process, one that is there already, two of our own |
// | `abstract_unix.rs`, `stale.rs` | names of Unix sockets: those without a file, and files that were left behind |
// | `tokio_io.rs` | tokio's I/O traits, for those who need them and no runtime |
// | `tcp_open.rs`, `tcp_options.rs`, `connect_error.rs` | how a socket of TCP is opened, what the system is asked to do for it, and what is known of one that is not |
// | `backlog.rs`, `keep_alive.rs` | what the system knows of a TCP peer |
// | `pipe.rs` | bytes that the system moves from one socket to another |

#[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(crate) mod abstract_unix;
#[cfg(any(feature = "async-std", feature = "smol"))]
mod adapted;
mod address;
#[cfg(feature = "async-std")]
mod async_std;
#[cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod backlog;
mod choice;
mod connect_error;
#[cfg(any(feature = "async-std", feature = "smol"))]
mod deadlines;
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(crate) mod inherited;
mod keep_alive;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod listen;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod pair;
mod pipe;
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod single;
#[cfg(feature = "smol")]
mod smol;
mod socket;
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod stale;
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(crate) mod stdio;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod tcp_open;
mod tcp_options;
#[cfg(test)]
mod tests;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(any(feature = "http2", feature = "tokio"))]
pub(crate) mod tokio_io;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Instant;

use futures::future::{BoxFuture, LocalBoxFuture};

pub use self::address::{Address, AddressError};
#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
pub use self::choice::{AlreadyInstalled, all, install, preferred};
pub use self::connect_error::ConnectError;
pub use self::keep_alive::KeepAlive;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
pub use self::pair::tcp_pair;
pub(crate) use self::pipe::Pipe;
#[cfg(feature = "smol")]
pub use self::smol::Smol;
pub use self::socket::{Accept, Carrier, ListeningSocket, Socket};
pub use self::tcp_options::TcpOptions;
#[cfg(feature = "tokio")]
pub use self::tokio::Tokio;

pub(crate) mod sealed {
    /// Whoever implements it knows [`Runtime`](super::Runtime) as it is today.
    pub trait Sealed {}
}

/// A clock and its alarm.
///
/// Apart from [`Runtime`], so that a connection over a socket of your own needs no more than this,
/// and a test can bring a virtual clock.
pub trait Timer: Debug + Send + Sync {
    /// The time on this clock.
    fn now(&self) -> Instant;

    /// Is done at `deadline` or soon after, never before; at once if `deadline` has passed.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;
}

impl<T: Timer + ?Sized> Timer for &T {
    fn now(&self) -> Instant {
        T::now(self)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        T::sleep_until(self, deadline)
    }
}

/// What the library asks of an async runtime.
///
/// The futures do nothing before they are polled, and cancel when they are dropped.
///
/// It is sealed: those that there are, `AsyncStd`, `Smol` and `Tokio`, are values without content and so live for ever, as
/// `&'static dyn Runtime`, which whatever outlives a call keeps ([`Connector`](crate::endpoint::Connector), for example). So a
/// method may be added here, or take a further argument, and no program breaks. For a socket of another runtime there is
/// [`Connection::with_timer`](crate::Connection::with_timer), which asks for a [`Timer`] only.
pub trait Runtime: Timer + sealed::Sealed {
    /// The name of the feature that brings this runtime: `async-std`, `smol`, `tokio`.
    fn name(&self) -> &'static str;

    /// Opens a TCP connection, with `TCP_NODELAY` set and [`KeepAlive`] at its standard times.
    ///
    /// # Errors
    ///
    /// As the system reports them, `ConnectionRefused` for example. There is no time limit other
    /// than the system's: race it against [`Timer::sleep_until`].
    fn connect_tcp(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Socket>> {
        self.connect_tcp_with(to, TcpOptions::default())
    }

    /// As [`connect_tcp`](Self::connect_tcp), with what the system is asked for besides.
    ///
    /// # Errors
    ///
    /// As there; when the system refuses an option. [`ConnectError`] has the local end of an attempt that failed.
    fn connect_tcp_with(&self, to: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<Socket>>;

    /// Listens for TCP connections. Port 0 picks a free one: see [`ListeningSocket::local_address`].
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody listens there already, and whatever else the system reports.
    fn listen_tcp(&self, at: SocketAddr) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        self.listen_tcp_with(at, TcpOptions::default())
    }

    /// As [`listen_tcp`](Self::listen_tcp), with what the system is asked for besides. An accepted socket may not have all of it
    /// from its listener: [`Socket::set_tcp_options`] asks for it again.
    ///
    /// # Errors
    ///
    /// As there; when the system refuses an option.
    fn listen_tcp_with(&self, at: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<ListeningSocket>>;

    /// Connects to the Unix socket at `to`.
    ///
    /// # Errors
    ///
    /// `NotFound` without such a file, `ConnectionRefused` if nobody listens there.
    #[cfg(unix)]
    fn connect_unix(&self, to: PathBuf) -> BoxFuture<'static, io::Result<Socket>>;

    /// Creates a Unix socket at `at` and listens there.
    ///
    /// The file is removed when the listener is dropped, unless another has taken its place. A socket that a process which
    /// was killed has left behind, so that a connection to it is refused, is replaced.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody listens there, and if the path exists and is not a socket: no such file is ever touched.
    #[cfg(unix)]
    fn listen_unix(&self, at: PathBuf) -> BoxFuture<'static, io::Result<ListeningSocket>>;

    /// Takes a connection that was opened elsewhere, with `TCP_NODELAY` set and [`KeepAlive`] at its standard times.
    ///
    /// The socket becomes non-blocking, also for everybody else who has a descriptor of it.
    ///
    /// # Errors
    ///
    /// When it is not connected, and as the system reports them.
    fn adopt_tcp(&self, stream: TcpStream) -> io::Result<Socket>;

    /// Takes a listener that was opened elsewhere. Otherwise as [`adopt_tcp`](Self::adopt_tcp).
    ///
    /// # Errors
    ///
    /// As the system reports them.
    fn adopt_tcp_listener(&self, listener: TcpListener) -> io::Result<ListeningSocket>;

    /// Takes a connection over a Unix socket that was opened elsewhere. Otherwise as [`adopt_tcp`](Self::adopt_tcp).
    ///
    /// # Errors
    ///
    /// When it is not connected, and as the system reports them.
    #[cfg(unix)]
    fn adopt_unix(&self, stream: UnixStream) -> io::Result<Socket>;

    /// Takes a listener that was opened elsewhere, and leaves its file alone. Otherwise as
    /// [`adopt_tcp`](Self::adopt_tcp).
    ///
    /// # Errors
    ///
    /// As the system reports them.
    #[cfg(unix)]
    fn adopt_unix_listener(&self, listener: UnixListener) -> io::Result<ListeningSocket>;

    /// Looks up the addresses of `host`, in the order of preference that the system gives.
    ///
    /// `host` is a name, an IPv4 address or an IPv6 address without brackets.
    ///
    /// # Errors
    ///
    /// An unknown name is an error; an answer is never empty.
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

    /// Starts `task` in the background. It runs to its end, or to the end of the process.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs `future` on this thread until it is done.
    ///
    /// The free function [`block_on`] does the same for a future with a result.
    ///
    /// # Panics
    ///
    /// Some runtimes panic when this is called from inside async code, where it would hold up
    /// every other task of the thread.
    fn block_on(&self, future: LocalBoxFuture<'_, ()>);
}

/// Runs `future` on this thread until it is done, and returns its result.
///
/// ```
/// # if let Some(runtime) = onionskin::runtime::preferred() {
/// let answer = onionskin::runtime::block_on(runtime, async { 6 * 7 });
/// assert_eq!(answer, 42);
/// # }
/// ```
///
/// # Panics
///
/// As [`Runtime::block_on`].
pub fn block_on<F: Future>(runtime: &dyn Runtime, future: F) -> F::Output {
    let mut output = None;
    runtime.block_on(Box::pin(async { output = Some(future.await) }));
    output.expect("a runtime's block_on returns when the future is done")
}

/// Does `work`, which may have to wait for a disk or a network file system, on a thread where it holds up nobody.
///
/// Dropping the future does not end the work, only the wait for it.
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
pub(crate) async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    blocking::unblock(work).await
}

/// Without a runtime there is no pool of threads.
#[cfg(not(any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(crate) async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = futures::channel::oneshot::channel();
    std::thread::spawn(move || drop(done.send(work())));
    result.await.expect("the work does not panic")
}

/// The clock of the [`preferred`] runtime.
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
pub(crate) fn preferred_timer() -> std::sync::Arc<dyn Timer> {
    std::sync::Arc::new(preferred().expect("a runtime is compiled in"))
}

/// Holds every implementation to the promise in [`Runtime::resolve`].
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
fn some_address(host: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        let message = format!("the host {host:?} has no address");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(found)
}
