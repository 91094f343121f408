//! Two ends of a local connection: one for a crate that takes a socket of the standard library, one for us.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::{Runtime, Socket};

/// Two ends of one TCP connection over the loopback interface (127.0.0.1): a stream of the standard library, in blocking
/// mode, for a crate that takes no other, and a socket of `runtime`, for [`Connection::bridge`](crate::Connection::bridge).
///
/// Why TCP and not a pair of Unix sockets: a TCP connection can be [reset](Socket::reset), so a loss is no end of file at the
/// other end.
///
/// Nobody else gets at either end: the port is open for the moment that this call takes, and of those who connect only our own
/// end is taken.
///
/// # Errors
///
/// As the system reports them.
pub fn tcp_pair(runtime: &dyn Runtime) -> io::Result<(TcpStream, Socket)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // This does not wait: it is in the queue of the listener before anybody accepts.
    let theirs = TcpStream::connect(listener.local_addr()?)?;
    theirs.set_nodelay(true)?;
    let address = theirs.local_addr()?;
    loop {
        let (ours, peer) = listener.accept()?;
        if peer == address {
            return Ok((theirs, runtime.adopt_tcp(ours)?));
        }
        log::warn!("{peer} has connected to a port that was meant for this process");
    }
}
