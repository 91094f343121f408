//! Opening a socket of TCP: what comes before a runtime waits for it, and what behind.
//!
//! Options are asked for between the making of a socket and its use, and the local end of an attempt is known only while the
//! socket is there. No runtime lets one in between, so the socket is made here and begins to connect; a runtime waits until it
//! can be written to, and [`connected`] looks at what has come of it.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{ConnectError, TcpOptions, tcp_options};

/// Begins to connect, in non-blocking mode: it has come to an end when the stream can be written to.
pub(super) fn connecting(to: SocketAddr, options: &TcpOptions) -> io::Result<TcpStream> {
    let Some(ports) = &options.bind_ports else { return attempt(to, options, 0).map_err(Missed::into_error) };
    let mut last = None;
    for port in beginning_anywhere(ports) {
        match attempt(to, options, port) {
            Err(Missed::Port(error)) => last = Some(error),
            begun => return begun.map_err(Missed::into_error),
        }
    }
    let (first, end) = (ports.start(), ports.end());
    Err(match last {
        Some(error) => io::Error::new(error.kind(), format!("none of the ports {first} to {end} is free: {error}")),
        None => io::Error::new(io::ErrorKind::InvalidInput, format!("there are no ports from {first} to {end}")),
    })
}

/// Why an attempt has not begun.
enum Missed {
    /// Somebody has the local port, or has had it a moment ago: another may do.
    Port(io::Error),
    Else(io::Error),
}

impl Missed {
    fn into_error(self) -> io::Error {
        match self {
            Self::Port(error) | Self::Else(error) => error,
        }
    }
}

impl From<io::Error> for Missed {
    fn from(error: io::Error) -> Self {
        Self::Else(error)
    }
}

fn attempt(to: SocketAddr, options: &TcpOptions, port: u16) -> Result<TcpStream, Missed> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    tcp_options::apply(options, &SockRef::from(&socket), to.is_ipv6())?;
    if options.bind.is_some() || port != 0 {
        let any = || if to.is_ipv6() { [0_u16; 8].into() } else { [0_u8; 4].into() };
        let local = SocketAddr::new(options.bind.unwrap_or_else(any), port);
        socket.bind(&local.into()).map_err(|error| {
            let words = format!("cannot be at {local}: {error}");
            let named = ConnectError::wrap(&error, words, Some(local));
            if error.kind() == io::ErrorKind::AddrInUse { Missed::Port(named) } else { Missed::Else(named) }
        })?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if !is_under_way(&error) => {
            let failed = of_attempt(&error, &SockRef::from(&socket));
            // With this port it has a connection to there already.
            let is_taken = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable);
            Err(if is_taken { Missed::Port(failed) } else { Missed::Else(failed) })
        }
        _ => Ok(socket.into()),
    }
}

/// Whether it is known already what has come of it, so that nobody has to wait. Through the loopback a listener's system answers before
/// the call that connects has returned: to be told of that by a runtime takes two calls of the system and often another thread.
/// Farther away it is never so.
pub(super) fn is_settled(stream: &TcpStream, to: SocketAddr) -> bool {
    to.ip().to_canonical().is_loopback() && stream.peer_addr().is_ok()
}

/// What has come of it.
pub(super) fn connected(socket: &SockRef<'_>) -> io::Result<()> {
    socket.take_error()?.map_or(Ok(()), |error| Err(of_attempt(&error, socket)))
}

#[cfg(unix)]
fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

#[cfg(not(unix))]
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// The ports of a range, each once, so that attempts at the same time do not all begin with the same one.
fn beginning_anywhere(ports: &RangeInclusive<u16>) -> impl Iterator<Item = u16> + use<> {
    let (first, count) = (u32::from(*ports.start()), u32::try_from(ports.clone().count()).unwrap_or(0));
    let start = RandomState::new().hash_one(count) as u32 % count.max(1);
    (0..count).filter_map(move |step| u16::try_from(first + (start + step) % count).ok())
}

/// Listens at `at`, in non-blocking mode.
pub(super) fn listen(at: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    tcp_options::apply(options, &SockRef::from(&socket), at.is_ipv6())?;
    // Connections of a server that has gone linger on, and are no reason to keep its successor from its port. Windows would let
    // anybody take it.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn of_attempt(error: &io::Error, socket: &SockRef<'_>) -> io::Error {
    let local = socket.local_addr().ok().and_then(|local| local.as_socket());
    ConnectError::wrap(error, error.to_string(), local.filter(|local| local.port() != 0))
}

/// As the standard library has it.
const BACKLOG: i32 = 128;
