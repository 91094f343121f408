//! Unix sockets in the abstract namespace of Linux: a name instead of a file, gone with the last socket that has it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use super::{ListeningSocket, Runtime, Socket};

/// Connects to the socket with this name.
///
/// # Errors
///
/// `ConnectionRefused` if nobody listens there; `InvalidInput` for a name of more than 107 bytes.
pub(crate) async fn connect(runtime: &dyn Runtime, name: &str) -> io::Result<Socket> {
    let address = SocketAddr::from_abstract_name(name)?;
    // It waits while the queue of the listener is full, and a non-blocking socket is not told when that changes.
    let stream = blocking::unblock(move || UnixStream::connect_addr(&address)).await?;
    runtime.adopt_unix(stream)
}

/// Listens at this name.
///
/// # Errors
///
/// `AddrInUse` if somebody listens there already; `InvalidInput` for a name of more than 107 bytes.
pub(crate) fn listen(runtime: &dyn Runtime, name: &str) -> io::Result<ListeningSocket> {
    runtime.adopt_unix_listener(UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?)
}
