//! From a transport to a socket, and to a listener.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::deadlines::{Limit, LimitOf, within};
use super::open_error::OpenErrorKind;
use super::{BaseTransport, Endpoint, happy_eyeballs};
use crate::connection::Timing;
use crate::runtime::{KeepAlive, ListeningSocket, Runtime, Socket, TcpOptions};

/// Reaches the peer: first its addresses, and then one of them.
pub(super) async fn connect(
    runtime: &dyn Runtime,
    endpoint: &Endpoint,
    timeout: Option<Duration>,
    total: Option<Limit>,
) -> Result<(Socket, Timing), OpenErrorKind> {
    let Endpoint { transport, deadlines, .. } = endpoint;
    let (begun, mut timing) = (runtime.now(), Timing::default());
    let reaching = Limit::new(begun, timeout, LimitOf::Reaching);
    let unresolved = |error| OpenErrorKind::Resolve(transport.clone(), Arc::new(error));
    let failed = |error| OpenErrorKind::Connect(transport.clone(), Arc::new(error));
    let BaseTransport::Tcp { host, port, keep_alive, .. } = transport else {
        let reached = within(runtime, &[reaching, total], reach(runtime, transport)).await;
        let socket = reached.map_err(|limit| out_of_time(limit, "connecting", failed))?.map_err(failed)?;
        timing.connect = Some(runtime.now().saturating_duration_since(begun));
        return Ok((socket, timing));
    };
    let resolving = Limit::seconds(begun, deadlines.resolve, LimitOf::Resolving);
    let addresses = within(runtime, &[resolving, reaching, total], runtime.resolve(host, *port)).await;
    let addresses = addresses.map_err(|limit| out_of_time(limit, "resolving", unresolved))?.map_err(unresolved)?;
    let resolved = runtime.now();
    timing.resolve = Some(resolved.saturating_duration_since(begun));
    let connecting = Limit::seconds(resolved, deadlines.connect, LimitOf::Connecting);
    let reached = happy_eyeballs::connect_to_one(runtime, addresses, &endpoint.tcp);
    let reached = within(runtime, &[connecting, reaching, total], reached).await;
    let socket = reached.map_err(|limit| out_of_time(limit, "connecting", failed))?.map_err(failed)?;
    timing.connect = Some(runtime.now().saturating_duration_since(resolved));
    ask(&socket, *keep_alive).map_err(failed)?;
    Ok((socket, timing))
}

/// The limit of a phase is a failure of that phase, and the limit of all phases is none.
fn out_of_time(limit: Limit, phase: &str, failed: impl FnOnce(io::Error) -> OpenErrorKind) -> OpenErrorKind {
    match limit.of {
        LimitOf::Everything => OpenErrorKind::OutOfTime { after: limit.after, during: phase.to_owned() },
        _ => failed(limit.into()),
    }
}

async fn reach(runtime: &dyn Runtime, transport: &BaseTransport) -> io::Result<Socket> {
    match transport {
        #[cfg(unix)]
        BaseTransport::Unix { path } => runtime.connect_unix(path.clone()).await,
        other => local::connect(runtime, other).await,
    }
}

/// Has the system ask whether the peer is still there, if that is to be otherwise than usual.
///
/// # Errors
///
/// For times that the system does not take.
fn ask(socket: &Socket, keep_alive: Option<KeepAlive>) -> io::Result<()> {
    match keep_alive {
        Some(usual) if usual == KeepAlive::default() => Ok(()),
        // Where there is nobody who would ask, there is nothing to be switched off.
        None => socket.set_keep_alive(None).or_else(|error| match error.kind() {
            io::ErrorKind::Unsupported => Ok(()),
            _ => Err(error),
        }),
        other => socket.set_keep_alive(other),
    }
}

/// Asks the system again for what a socket that was accepted need not have from its listener.
pub(super) fn ask_accepted(socket: &Socket, keep_alive: Option<KeepAlive>, options: &TcpOptions) -> io::Result<()> {
    ask(socket, keep_alive)?;
    match options.dscp.is_some() || options.user_timeout.is_some() {
        true => socket.set_tcp_options(options),
        false => Ok(()),
    }
}

pub(super) async fn listen(runtime: &dyn Runtime, endpoint: &Endpoint) -> io::Result<ListeningSocket> {
    match &endpoint.transport {
        BaseTransport::Tcp { host, port, .. } => listen_tcp(runtime, host, *port, &endpoint.tcp).await,
        #[cfg(unix)]
        BaseTransport::Unix { path } => runtime.listen_unix(path.clone()).await,
        other => local::listen(runtime, other),
    }
}

/// Listens at the first address of the name that can be had.
async fn listen_tcp(runtime: &dyn Runtime, host: &str, port: u16, options: &TcpOptions) -> io::Result<ListeningSocket> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in runtime.resolve(host, port).await? {
        match runtime.listen_tcp_with(address, options.clone()).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unsupported(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// What this process and its system have, and a runtime need not know.
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod local {
    use super::*;
    use crate::endpoint::SystemdSocket;
    #[cfg(target_os = "linux")]
    use crate::runtime::abstract_unix;
    use crate::runtime::inherited::{self, Inherited};
    use crate::runtime::stdio;

    pub(super) async fn connect(runtime: &dyn Runtime, transport: &BaseTransport) -> io::Result<Socket> {
        match transport {
            #[cfg(target_os = "linux")]
            BaseTransport::Abstract { name } => abstract_unix::connect(runtime, name).await,
            BaseTransport::Stdio => stdio::connect(runtime),
            other => handed_down(runtime, other)?.connected(),
        }
    }

    pub(super) fn listen(runtime: &dyn Runtime, transport: &BaseTransport) -> io::Result<ListeningSocket> {
        match transport {
            #[cfg(target_os = "linux")]
            BaseTransport::Abstract { name } => abstract_unix::listen(runtime, name),
            BaseTransport::Stdio => stdio::listen(runtime),
            other => handed_down(runtime, other).map(Inherited::listener),
        }
    }

    fn handed_down(runtime: &dyn Runtime, transport: &BaseTransport) -> io::Result<Inherited> {
        match transport {
            BaseTransport::Descriptor { number } => inherited::descriptor(runtime, *number),
            BaseTransport::Systemd(SystemdSocket::Index(index)) => {
                inherited::systemd_at(runtime, usize::try_from(*index).unwrap_or(usize::MAX))
            }
            BaseTransport::Systemd(SystemdSocket::Name(name)) => inherited::systemd_named(runtime, name),
            BaseTransport::Abstract { .. } => Err(unsupported(
                r"only Linux has abstract sockets: write a path (\@ for a file whose name begins with @)",
            )),
            BaseTransport::Tcp { .. } | BaseTransport::Unix { .. } | BaseTransport::Stdio => {
                Err(unsupported("this transport is not handed down"))
            }
        }
    }
}

#[cfg(not(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio"))))]
mod local {
    use super::*;

    pub(super) async fn connect(_: &dyn Runtime, _: &BaseTransport) -> io::Result<Socket> {
        Err(unsupported(NOT_HERE))
    }

    pub(super) fn listen(_: &dyn Runtime, _: &BaseTransport) -> io::Result<ListeningSocket> {
        Err(unsupported(NOT_HERE))
    }

    const NOT_HERE: &str = "this transport needs Unix, and a runtime that is built in";
}
