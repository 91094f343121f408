//! From a transport to a socket, and to a listener.

use std::io;
use std::time::Duration;

use futures::future::{self, Either};

use super::{SystemdSocket, Transport, happy_eyeballs};
use crate::runtime::{Listener, Runtime, Socket};

/// Reaches the peer, in `timeout` if that is given.
pub(super) async fn connect(
    runtime: &dyn Runtime,
    transport: &Transport,
    timeout: Option<Duration>,
) -> io::Result<Socket> {
    let connecting = Box::pin(reach(runtime, transport));
    let Some(timeout) = timeout else {
        return connecting.await;
    };
    match future::select(connecting, runtime.sleep_until(runtime.now() + timeout)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}"))),
    }
}

async fn reach(runtime: &dyn Runtime, transport: &Transport) -> io::Result<Socket> {
    match transport {
        Transport::Tcp { host, port, .. } => happy_eyeballs::connect(runtime, host, *port).await,
        #[cfg(unix)]
        Transport::Unix { path } => runtime.connect_unix(path.clone()).await,
        #[cfg(not(unix))]
        Transport::Unix { .. } => Err(unsupported("there are no Unix sockets on this system")),
        Transport::Abstract { name } => local::connect_abstract(runtime, name).await,
        Transport::Stdio => local::connect_stdio(runtime),
        Transport::Descriptor { number } => local::connect_descriptor(runtime, *number),
        Transport::Systemd(socket) => local::connect_systemd(runtime, socket),
    }
}

pub(super) async fn listen(runtime: &dyn Runtime, transport: &Transport) -> io::Result<Listener> {
    match transport {
        Transport::Tcp { host, port, .. } => listen_tcp(runtime, host, *port).await,
        #[cfg(unix)]
        Transport::Unix { path } => runtime.listen_unix(path.clone()).await,
        #[cfg(not(unix))]
        Transport::Unix { .. } => Err(unsupported("there are no Unix sockets on this system")),
        Transport::Abstract { name } => local::listen_abstract(runtime, name),
        Transport::Stdio => local::listen_stdio(runtime),
        Transport::Descriptor { number } => local::listen_descriptor(runtime, *number),
        Transport::Systemd(socket) => local::listen_systemd(runtime, socket),
    }
}

/// Listens at the first address of the name that can be had.
async fn listen_tcp(runtime: &dyn Runtime, host: &str, port: u16) -> io::Result<Listener> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in runtime.resolve(host, port).await? {
        match runtime.listen_tcp(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What the system of this process has, and the network has not.
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod local {
    use super::*;
    #[cfg(target_os = "linux")]
    use crate::runtime::abstract_unix;
    use crate::runtime::inherited::{self, Inherited};
    use crate::runtime::stdio;

    pub(super) fn connect_stdio(runtime: &dyn Runtime) -> io::Result<Socket> {
        stdio::connect(runtime)
    }

    pub(super) fn listen_stdio(runtime: &dyn Runtime) -> io::Result<Listener> {
        stdio::listen(runtime)
    }

    pub(super) fn connect_descriptor(runtime: &dyn Runtime, number: u32) -> io::Result<Socket> {
        inherited::descriptor(runtime, number)?.connected()
    }

    pub(super) fn listen_descriptor(runtime: &dyn Runtime, number: u32) -> io::Result<Listener> {
        inherited::descriptor(runtime, number).map(Inherited::listener)
    }

    pub(super) fn connect_systemd(runtime: &dyn Runtime, socket: &SystemdSocket) -> io::Result<Socket> {
        systemd(runtime, socket)?.connected()
    }

    pub(super) fn listen_systemd(runtime: &dyn Runtime, socket: &SystemdSocket) -> io::Result<Listener> {
        systemd(runtime, socket).map(Inherited::listener)
    }

    fn systemd(runtime: &dyn Runtime, socket: &SystemdSocket) -> io::Result<Inherited> {
        match socket {
            SystemdSocket::Index(index) => {
                inherited::systemd_at(runtime, usize::try_from(*index).unwrap_or(usize::MAX))
            }
            SystemdSocket::Name(name) => inherited::systemd_named(runtime, name),
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) async fn connect_abstract(runtime: &dyn Runtime, name: &str) -> io::Result<Socket> {
        abstract_unix::connect(runtime, name).await
    }

    #[cfg(target_os = "linux")]
    pub(super) fn listen_abstract(runtime: &dyn Runtime, name: &str) -> io::Result<Listener> {
        abstract_unix::listen(runtime, name)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) async fn connect_abstract(_: &dyn Runtime, _: &str) -> io::Result<Socket> {
        Err(unsupported(NOT_LINUX))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn listen_abstract(_: &dyn Runtime, _: &str) -> io::Result<Listener> {
        Err(unsupported(NOT_LINUX))
    }

    #[cfg(not(target_os = "linux"))]
    const NOT_LINUX: &str = r"only Linux has abstract sockets: write a path (\@ for a file whose name begins with @)";
}

#[cfg(not(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio"))))]
mod local {
    use super::*;

    pub(super) fn connect_stdio(_: &dyn Runtime) -> io::Result<Socket> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn listen_stdio(_: &dyn Runtime) -> io::Result<Listener> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn connect_descriptor(_: &dyn Runtime, _: u32) -> io::Result<Socket> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn listen_descriptor(_: &dyn Runtime, _: u32) -> io::Result<Listener> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn connect_systemd(_: &dyn Runtime, _: &SystemdSocket) -> io::Result<Socket> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn listen_systemd(_: &dyn Runtime, _: &SystemdSocket) -> io::Result<Listener> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) async fn connect_abstract(_: &dyn Runtime, _: &str) -> io::Result<Socket> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn listen_abstract(_: &dyn Runtime, _: &str) -> io::Result<Listener> {
        Err(unsupported(NOT_HERE))
    }

    const NOT_HERE: &str = "this transport needs Unix, and a runtime that is built in";
}

#[cfg(not(all(target_os = "linux", any(feature = "async-std", feature = "smol", feature = "tokio"))))]
fn unsupported(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message)
}
