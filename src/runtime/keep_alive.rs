//! Whether a TCP peer that says nothing is still there.
//!
//! A machine that is switched off, or a network that forgets a connection, sends no packet: to whoever waits for it, it looks
//! like a peer that has nothing to say. The system can ask (RFC 9293 section 3.8.4), and then the connection fails as it does
//! when anything else goes wrong. It never asks a peer that answers, or that has something to acknowledge.

/// How the system asks a silent TCP peer whether it is still there, in whole seconds.
///
/// With the standard times a machine that is gone is noticed within two minutes. A peer that is there answers in its system,
/// whatever its application does: for a peer that lives and says nothing there is
/// [`IdleTimeout`](crate::layer::IdleTimeout).
///
/// OpenBSD and Haiku take no times: there it is asked after two hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// How long nothing has come before it is asked: 60 unless set. Linux takes 1 to 32,767.
    pub idle: u16,
    /// How long it is waited for an answer before it is asked again: 15 unless set. Linux takes 1 to 32,767.
    pub interval: u16,
    /// How often it is asked in vain before the connection fails: 4 unless set. Linux takes 1 to 127.
    pub count: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: 60, interval: 15, count: 4 }
    }
}

/// Has the system ask, or not.
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(super) fn set(stream: impl std::os::fd::AsFd, keep_alive: Option<KeepAlive>) -> std::io::Result<()> {
    use rustix::net::sockopt::set_socket_keepalive;

    let Some(keep_alive) = keep_alive else {
        return Ok(set_socket_keepalive(&stream, false)?);
    };
    set_times(&stream, keep_alive)?;
    Ok(set_socket_keepalive(&stream, true)?)
}

/// What has been [set].
#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
pub(super) fn of(stream: impl std::os::fd::AsFd) -> std::io::Result<Option<KeepAlive>> {
    match rustix::net::sockopt::socket_keepalive(&stream)? {
        true => times(&stream).map(Some),
        false => Ok(None),
    }
}

#[cfg(all(
    unix,
    not(any(target_os = "openbsd", target_os = "haiku")),
    any(feature = "async-std", feature = "smol", feature = "tokio")
))]
fn times(stream: impl std::os::fd::AsFd) -> std::io::Result<KeepAlive> {
    use rustix::net::sockopt::{tcp_keepcnt, tcp_keepidle, tcp_keepintvl};

    // More than fits is as good as never.
    let seconds = |time: std::time::Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
    Ok(KeepAlive {
        idle: seconds(tcp_keepidle(&stream)?),
        interval: seconds(tcp_keepintvl(&stream)?),
        count: u8::try_from(tcp_keepcnt(&stream)?).unwrap_or(u8::MAX),
    })
}

#[cfg(all(
    unix,
    not(any(target_os = "openbsd", target_os = "haiku")),
    any(feature = "async-std", feature = "smol", feature = "tokio")
))]
fn set_times(stream: impl std::os::fd::AsFd, keep_alive: KeepAlive) -> std::io::Result<()> {
    use std::time::Duration;

    use rustix::net::sockopt::{set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};

    let seconds = |count: u16| Duration::from_secs(count.into());
    set_tcp_keepidle(&stream, seconds(keep_alive.idle))?;
    set_tcp_keepintvl(&stream, seconds(keep_alive.interval))?;
    Ok(set_tcp_keepcnt(&stream, keep_alive.count.into())?)
}

#[cfg(all(
    any(target_os = "openbsd", target_os = "haiku"),
    any(feature = "async-std", feature = "smol", feature = "tokio")
))]
fn set_times(_: impl std::os::fd::AsFd, _: KeepAlive) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(
    any(target_os = "openbsd", target_os = "haiku"),
    any(feature = "async-std", feature = "smol", feature = "tokio")
))]
fn times(_: impl std::os::fd::AsFd) -> std::io::Result<KeepAlive> {
    Ok(KeepAlive::default())
}
