//! Telling systemd how far the process is: sd_notify(3), without libsystemd.
//!
//! A few datagrams with a line for each fact go to the Unix socket in `NOTIFY_SOCKET`. Without that variable nobody is told.

#[cfg(unix)]
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to whoever has started the process.
#[derive(Debug)]
pub(crate) struct Notifier {
    #[cfg(unix)]
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// What serves, as its user calls it.
    what: &'static str,
}

#[cfg(unix)]
impl Notifier {
    /// The one that the environment names.
    pub(crate) fn from_environment(what: &'static str) -> Self {
        let manager = std::env::var_os(SOCKET).and_then(|name| match connect(&name) {
            Ok(manager) => Some(manager),
            Err(error) => {
                log::warn!("{SOCKET} is {name:?}, where nobody can be told anything: {error}");
                None
            }
        });
        Self { manager, watchdog: watchdog(), what }
    }

    /// The one that listens there.
    #[cfg(test)]
    pub(crate) fn to(name: &std::path::Path, what: &'static str) -> std::io::Result<Self> {
        Ok(Self { manager: Some(connect(name.as_os_str())?), watchdog: None, what })
    }

    /// A manager that does not read is waited for so long and no longer.
    fn tell(&self, facts: &str) {
        let Some((socket, address)) = &self.manager else { return };
        if let Err(error) = socket.send_to_addr(facts.as_bytes(), address) {
            log::warn!("cannot tell systemd {:?}: {error}", facts.replace('\n', " "));
        }
    }
}

#[cfg(not(unix))]
impl Notifier {
    /// There is nobody to tell.
    pub(crate) fn from_environment(what: &'static str) -> Self {
        Self { watchdog: None, what }
    }

    fn tell(&self, _: &str) {}
}

impl Notifier {
    /// Everything is there, for the first time or again.
    pub(crate) fn ready(&self, count: usize) {
        self.tell(&format!("READY=1\nSTATUS={} that serve: {count}", self.what));
    }

    /// Files are being read; [`ready`](Self::ready) says when that is over. Which of several times it is shows by the clock.
    pub(crate) fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()));
    }

    /// The process is to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The process lives, to be said once in each [`pulse`](Self::pulse).
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// How often somebody wants to hear that the process lives.
    pub(crate) fn pulse(&self) -> Option<Duration> {
        self.watchdog
    }
}

#[cfg(unix)]
fn connect(name: &std::ffi::OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    use std::io::{Error, ErrorKind};
    use std::os::unix::ffi::OsStrExt;

    let address = match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(rest)?,
        _ => return Err(Error::new(ErrorKind::Unsupported, "it is neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}

/// Half of what the manager allows, as sd_watchdog_enabled(3) advises, if it is this process that it means.
#[cfg(unix)]
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
    let allowed = number("WATCHDOG_USEC").filter(|&allowed| allowed > 0 && is_meant)?;
    Some((Duration::from_micros(allowed) / 2).max(MIN_PULSE))
}

/// CLOCK_MONOTONIC, by which the manager tells one reload from another.
#[cfg(unix)]
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

#[cfg(not(unix))]
fn monotonic() -> Duration {
    Duration::ZERO
}

#[cfg(unix)]
const SOCKET: &str = "NOTIFY_SOCKET";

#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(unix)]
const MIN_PULSE: Duration = Duration::from_millis(10);
