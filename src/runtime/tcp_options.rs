//! What the system is asked to do for a socket of TCP.
//!
//! Whether it is still there is asked of every peer, which has a file of its own; all else here is as the system has it unless
//! it is set. What an option does is written in tcp(7), ip(7) and socket(7) of Linux; which system has which option, at the
//! field. One that this system lacks is an error and is never passed over: whoever asks for it relies on it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What the system is asked to do for a socket of TCP. The default asks for nothing.
///
/// ```
/// use onionskin::runtime::TcpOptions;
///
/// let mut options = TcpOptions::default();
/// options.bind = Some([127, 0, 0, 2].into());
/// options.dscp = Some(46);
/// assert_ne!(options, TcpOptions::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TcpOptions {
    /// The local address of a client. Only addresses of its family are connected to.
    pub bind: Option<IpAddr>,
    /// The local ports of a client, of which one that is free is taken, beginning anywhere in the range.
    pub bind_ports: Option<RangeInclusive<u16>>,
    /// How long what was sent may go without being acknowledged before the connection fails (RFC 5482), in milliseconds; and
    /// with keep-alive, how long a silent peer may leave its questions unanswered. On Linux, Android and Fuchsia.
    pub user_timeout: Option<Duration>,
    /// How many bytes the system holds that came and have not been read: Linux makes twice as much of it, at most what
    /// `net.core.rmem_max` allows, and no longer adapts it.
    pub receive_buffer: Option<u32>,
    /// How many bytes the system holds that were written and have not been acknowledged. As the other one.
    pub send_buffer: Option<u32>,
    /// The differentiated services code point of what is sent (RFC 2474), 0 to 63: 46 is EF, 10 is AF11. Over IPv6 on Unix.
    pub dscp: Option<u8>,
    /// Has a client send its first bytes with the first packet (RFC 7413), to a server that it knows. Then nobody is connected
    /// to until the first bytes are written, so it is for protocols in which the client speaks first, as it does in TLS. On Linux.
    pub fast_open: bool,
    /// Lets several sockets listen at the same address, all of the same user: new connections are spread over them. On Unix
    /// without Solaris.
    pub reuse_port: bool,
}

#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
pub(super) use system::{apply, apply_connected, read};

#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod system {
    use std::io;

    use socket2::SockRef;

    use super::*;

    /// Asks for all that must be asked before the socket connects or listens.
    ///
    /// # Errors
    ///
    /// With the option that the system does not take.
    pub(in crate::runtime) fn apply(options: &TcpOptions, socket: &SockRef<'_>, is_ipv6: bool) -> io::Result<()> {
        let TcpOptions { receive_buffer, send_buffer, fast_open, reuse_port, .. } = options;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(size(*bytes)).map_err(refused("a receive buffer of this size"))?;
        }
        if let Some(bytes) = send_buffer {
            socket.set_send_buffer_size(size(*bytes)).map_err(refused("a send buffer of this size"))?;
        }
        if *fast_open {
            set_fast_open(socket).map_err(refused("TCP fast open"))?;
        }
        if *reuse_port {
            set_reuse_port(socket).map_err(refused("several listeners at one address"))?;
        }
        ask(options, socket, is_ipv6)
    }

    /// Asks for all that a socket which was accepted need not have from its listener.
    pub(in crate::runtime) fn apply_connected(options: &TcpOptions, socket: &SockRef<'_>) -> io::Result<()> {
        if options.dscp.is_none() && options.user_timeout.is_none() {
            return Ok(());
        }
        ask(options, socket, is_ipv6(socket)?)
    }

    fn ask(options: &TcpOptions, socket: &SockRef<'_>, is_ipv6: bool) -> io::Result<()> {
        if let Some(dscp) = options.dscp {
            // The two bits below are those of explicit congestion notification (RFC 3168), which the system sets.
            let class = u32::from(dscp) << 2;
            let set = match is_ipv6 {
                _ if dscp > 63 => Err(io::ErrorKind::InvalidInput.into()),
                true => set_class(socket, class),
                false => socket.set_tos_v4(class),
            };
            set.map_err(refused("this code point (DSCP)"))?;
        }
        if let (Some(dscp), true) = (options.dscp, is_ipv6) {
            // Over IPv4 too, if it should be that; a socket that is for IPv6 alone has no use for it, and may say so.
            let _ = socket.set_tos_v4(u32::from(dscp) << 2);
        }
        if let Some(time) = options.user_timeout {
            set_user_timeout(socket, time).map_err(refused("a user timeout"))?;
        }
        Ok(())
    }

    /// What is so now. What only matters before a socket is connected is left out.
    pub(in crate::runtime) fn read(socket: &SockRef<'_>) -> io::Result<TcpOptions> {
        let local = socket.local_addr()?.as_socket();
        let is_ipv6 = is_ipv6(socket)?;
        let bytes = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let class = if is_ipv6 { class(socket) } else { socket.tos_v4() };
        Ok(TcpOptions {
            bind: local.map(|local| local.ip()),
            bind_ports: local.map(|local| local.port()..=local.port()),
            user_timeout: user_timeout(socket)?,
            receive_buffer: Some(bytes(socket.recv_buffer_size()?)),
            send_buffer: Some(bytes(socket.send_buffer_size()?)),
            dscp: class.ok().map(|class| u8::try_from((class & 0xff) >> 2).unwrap_or(0)),
            fast_open: fast_open(socket),
            reuse_port: reuse_port(socket),
        })
    }

    fn is_ipv6(socket: &SockRef<'_>) -> io::Result<bool> {
        Ok(socket.local_addr()?.is_ipv6())
    }

    fn refused(what: &'static str) -> impl Fn(io::Error) -> io::Error {
        move |error| io::Error::new(error.kind(), format!("the system does not give {what}: {error}"))
    }

    fn size(bytes: u32) -> usize {
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    #[cfg(unix)]
    fn set_class(socket: &SockRef<'_>, class: u32) -> io::Result<()> {
        socket.set_tclass_v6(class)
    }

    #[cfg(unix)]
    fn class(socket: &SockRef<'_>) -> io::Result<u32> {
        socket.tclass_v6()
    }

    #[cfg(not(unix))]
    fn set_class(_: &SockRef<'_>, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(unix))]
    fn class(_: &SockRef<'_>) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    fn set_user_timeout(socket: &SockRef<'_>, time: Duration) -> io::Result<()> {
        socket.set_tcp_user_timeout(Some(time))
    }

    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    fn user_timeout(socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
        socket.tcp_user_timeout()
    }

    #[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
    fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
    fn user_timeout(_: &SockRef<'_>) -> io::Result<Option<Duration>> {
        Ok(None)
    }

    #[cfg(target_os = "linux")]
    fn set_fast_open(socket: &SockRef<'_>) -> io::Result<()> {
        Ok(nix::sys::socket::setsockopt(&**socket, nix::sys::socket::sockopt::TcpFastOpenConnect, &true)?)
    }

    #[cfg(target_os = "linux")]
    fn fast_open(socket: &SockRef<'_>) -> bool {
        nix::sys::socket::getsockopt(&**socket, nix::sys::socket::sockopt::TcpFastOpenConnect).unwrap_or(false)
    }

    #[cfg(not(target_os = "linux"))]
    fn set_fast_open(_: &SockRef<'_>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn fast_open(_: &SockRef<'_>) -> bool {
        false
    }

    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    fn set_reuse_port(socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_reuse_port(true)
    }

    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    fn reuse_port(socket: &SockRef<'_>) -> bool {
        socket.reuse_port().unwrap_or(false)
    }

    #[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
    fn set_reuse_port(_: &SockRef<'_>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
    fn reuse_port(_: &SockRef<'_>) -> bool {
        false
    }
}
