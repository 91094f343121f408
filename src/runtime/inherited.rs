//! Sockets that the parent process has opened and handed down: by number, or as systemd does it.
//!
//! A descriptor with a number is nobody's until somebody claims it, and to claim it is `unsafe` in Rust: two owners
//! would close it under each other. The crate does without. Descriptors 0, 1 and 2 are copied through the standard
//! library, the other ones through `pidfd_getfd`, which Linux has since 5.6; the sockets of `LISTEN_FDS` come from the
//! crate listenfd. A copy shares the connection with the original, which stays open. So a connection that was copied
//! is shut down when its socket is dropped: the peer cannot tell the difference.

use std::env;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketType, getpeername, getsockname, sockopt};

use super::{ListeningSocket, Runtime, Socket, single};

/// What a descriptor turned out to be.
#[derive(Debug)]
pub(crate) enum Inherited {
    Listening(ListeningSocket),
    Connected(Socket),
}

impl Inherited {
    /// The connection.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is a socket that listens.
    pub(crate) fn connected(self) -> io::Result<Socket> {
        match self {
            Self::Connected(socket) => Ok(socket),
            Self::Listening(_) => Err(invalid("the socket listens: a client needs one that is connected")),
        }
    }

    /// A listener: for a connection, one that has it and no other.
    pub(crate) fn listener(self) -> ListeningSocket {
        match self {
            Self::Listening(listener) => listener,
            Self::Connected(socket) => single::listener(socket),
        }
    }
}

/// The socket with this number.
///
/// # Errors
///
/// When there is no such descriptor, it is no stream socket, or it cannot be copied without `unsafe`.
pub(crate) fn descriptor(runtime: &dyn Runtime, number: u32) -> io::Result<Inherited> {
    let copy = copy(number)?;
    let guard = copy.try_clone()?;
    Ok(match open(runtime, copy)? {
        Inherited::Connected(socket) => Inherited::Connected(socket.holding(ShutdownOnDrop(guard))),
        listening => listening,
    })
}

/// The socket that systemd has passed at this place, counted from 0.
///
/// # Errors
///
/// `NotFound` if there is none, `AddrInUse` if it has been taken before.
pub(crate) fn systemd_at(runtime: &dyn Runtime, index: usize) -> io::Result<Inherited> {
    let mut passed = passed();
    let count = passed.check_any()?;
    if index >= count {
        return Err(not_found(format!("systemd passed {count}, the first is systemd:0")));
    }
    let socket = passed.take(index)?;
    drop(passed);
    open(runtime, socket.ok_or_else(|| taken(&format!("socket {index}")))?)
}

/// The first socket with this name that has not been taken: `FileDescriptorName=` in the unit.
///
/// # Errors
///
/// As [`systemd_at`].
pub(crate) fn systemd_named(runtime: &dyn Runtime, name: &str) -> io::Result<Inherited> {
    let mut passed = passed();
    let count = passed.check_any()?;
    let indexes: Vec<_> =
        (0..count).filter(|&index| passed.names.get(index).is_some_and(|found| found == name)).collect();
    if indexes.is_empty() {
        let names = passed.names.join(", ");
        return Err(not_found(format!("systemd passed no socket named {name:?}, but: {names}")));
    }
    for index in indexes {
        if let Some(socket) = passed.take(index)? {
            drop(passed);
            return open(runtime, socket);
        }
    }
    Err(taken(&format!("each socket named {name:?}")))
}

/// Finds out what `socket` is, and gives it to the runtime.
///
/// # Errors
///
/// `InvalidInput` if it is something else than a TCP or Unix stream socket.
pub(super) fn open(runtime: &dyn Runtime, socket: OwnedFd) -> io::Result<Inherited> {
    if sockopt::socket_type(&socket) != Ok(SocketType::STREAM) {
        return Err(invalid("the descriptor is no stream socket"));
    }
    let is_connected = getpeername(&socket).is_ok();
    match (getsockname(&socket)?.address_family(), is_connected) {
        (AddressFamily::INET | AddressFamily::INET6, true) => {
            runtime.adopt_tcp(TcpStream::from(socket)).map(Inherited::Connected)
        }
        (AddressFamily::INET | AddressFamily::INET6, false) => {
            runtime.adopt_tcp_listener(TcpListener::from(socket)).map(Inherited::Listening)
        }
        (AddressFamily::UNIX, true) => runtime.adopt_unix(UnixStream::from(socket)).map(Inherited::Connected),
        (AddressFamily::UNIX, false) => {
            runtime.adopt_unix_listener(UnixListener::from(socket)).map(Inherited::Listening)
        }
        _ => Err(invalid("the descriptor is neither a TCP nor a Unix socket")),
    }
}

fn copy(number: u32) -> io::Result<OwnedFd> {
    match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        2 => io::stderr().as_fd().try_clone_to_owned(),
        _ => copy_any(number),
    }
}

#[cfg(target_os = "linux")]
fn copy_any(number: u32) -> io::Result<OwnedFd> {
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let number = i32::try_from(number).map_err(|_| no_such_descriptor(u64::from(number)))?;
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(this_process, number, PidfdGetfdFlags::empty()).map_err(|error| match error {
        Errno::BADF => no_such_descriptor(number.unsigned_abs().into()),
        Errno::PERM | Errno::NOSYS => {
            let message = "this system does not let a process copy descriptors (pidfd_getfd): pass the socket as \
                           descriptor 0, or by LISTEN_FDS";
            io::Error::new(io::ErrorKind::Unsupported, message)
        }
        error => error.into(),
    })
}

#[cfg(not(target_os = "linux"))]
fn copy_any(_number: u32) -> io::Result<OwnedFd> {
    let message = "outside Linux only the descriptors 0, 1 and 2 can be had: pass the socket as descriptor 0";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Ends a connection of which another descriptor stays open.
struct ShutdownOnDrop(OwnedFd);

impl Drop for ShutdownOnDrop {
    fn drop(&mut self) {
        // The call does not care what kind of stream it is. A failure means that it has ended already.
        if let Ok(socket) = self.0.try_clone() {
            let _ = TcpStream::from(socket).shutdown(Shutdown::Both);
        }
    }
}

/// What systemd has passed, read once: listenfd removes the variables then, so that no child takes them for its own.
struct Passed {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Passed {
    fn read() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned).collect();
        Self { sockets: ListenFd::from_env(), names }
    }

    fn check_any(&self) -> io::Result<usize> {
        match self.sockets.len() {
            0 => Err(not_found(
                "no socket was passed: LISTEN_FDS and LISTEN_PID are not set for this process".to_owned(),
            )),
            count => Ok(count),
        }
    }

    /// `None` if it has been taken before.
    fn take(&mut self, index: usize) -> io::Result<Option<OwnedFd>> {
        // The crate asks for the family, and leaves the socket where it is if that is another one.
        let tcp = self.sockets.take_tcp_listener(index).map(|found| found.map(OwnedFd::from));
        tcp.or_else(|_| Ok(self.sockets.take_unix_listener(index)?.map(OwnedFd::from)))
    }
}

fn passed() -> MutexGuard<'static, Passed> {
    static PASSED: OnceLock<Mutex<Passed>> = OnceLock::new();
    PASSED.get_or_init(|| Mutex::new(Passed::read())).lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_such_descriptor(number: u64) -> io::Error {
    not_found(format!("this process has no descriptor {number}"))
}

fn not_found(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, message)
}

fn taken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("{what} of systemd has been taken already"))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
