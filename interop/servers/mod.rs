//! Servers of others, started on loopback for the cases: those that know STARTTLS, and proxies.
//!
//! A case names the servers that it talks to, and asks the bench for them:
//!
//! ```ignore
//! Case::new("postfix: a letter is taken", |bench| {
//!     let address = bench.server(&POSTFIX).address("smtp"); // "127.0.0.1:20471"
//!     ...
//! })
//! .talks_to(&[&POSTFIX])
//! ```
//!
//! Each server runs once for a whole run, and cases share it; the runner starts those that are wanted side by side, and
//! prints the log of a server when a case with it has failed. All of them show a certificate for [`NAME`] that the
//! bench's authority signed (it is good for `localhost` and 127.0.0.1 too), and know the user [`USER`] with the password
//! [`PASSWORD`], unless their module says otherwise.
//!
//! One file tells of one program: its configuration, who it runs as, its ports, and how to see that it is ready. The
//! folder it works in and its process are matters of [`place`].

pub(crate) mod aiosmtpd;
pub(crate) mod apache;
pub(crate) mod dante;
pub(crate) mod dovecot;
pub(crate) mod exim;
pub(crate) mod haproxy;
pub(crate) mod inn;
pub(crate) mod inspircd;
pub(crate) mod mariadb;
pub(crate) mod microsocks;
pub(crate) mod mosquitto;
pub(crate) mod nghttpx;
pub(crate) mod openssh;
pub(crate) mod place;
pub(crate) mod postfix;
pub(crate) mod postgresql;
pub(crate) mod privoxy;
pub(crate) mod proftpd;
pub(crate) mod prosody;
pub(crate) mod pure_ftpd;
pub(crate) mod slapd;
pub(crate) mod squid;
pub(crate) mod stunnel;
pub(crate) mod tinyproxy;
pub(crate) mod tor;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use self::place::{Place, Running};

/// A program that can be started, and what it takes.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// The programs that it is made of; [`find`] must know each.
    pub(crate) programs: &'static [&'static str],
    /// Whether it starts as root, to become other users by itself.
    pub(crate) needs_root: bool,
    /// Writes the configuration and starts it. Whatever goes wrong is a panic.
    pub(crate) start: fn(Place) -> Running,
}

impl Server {
    /// Why it cannot be started on this machine.
    pub(crate) fn missing(&self) -> Option<String> {
        if let Some(program) = self.programs.iter().find(|program| find(program).is_none()) {
            return Some(format!("{program} is missing"));
        }
        (self.needs_root && !place::is_root()).then(|| format!("{} needs root", self.name))
    }
}

/// The servers of a run, each started when it is first asked for.
pub(crate) struct Servers(Vec<(&'static Server, OnceLock<Result<Running, String>>)>);

impl Servers {
    pub(crate) fn new() -> Self {
        Self(ALL.iter().map(|server| (*server, OnceLock::new())).collect())
    }

    /// The server, running. Who asks while it is being started waits; the answer to all is the same.
    pub(crate) fn running(&self, server: &Server, bench: &crate::bench::Bench) -> Result<&Running, &str> {
        let (server, cell) = self.0.iter().find(|(known, _)| known.name == server.name).expect("ALL has every server");
        let start = || {
            catch_unwind(AssertUnwindSafe(|| (server.start)(Place::new(server.name, bench))))
                .map_err(|panic| format!("{} does not start: {}", server.name, crate::words_of(&*panic)))
        };
        cell.get_or_init(start).as_ref().map_err(String::as_str)
    }

    /// What a server has logged, if it was started.
    pub(crate) fn log(&self, server: &Server) -> Option<String> {
        let (_, cell) = self.0.iter().find(|(known, _)| known.name == server.name)?;
        Some(cell.get()?.as_ref().ok()?.log())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        for running in self.0.iter_mut().filter_map(|(_, cell)| cell.get_mut()?.as_mut().ok()) {
            running.end();
        }
    }
}

/// A program by its name: from `PATH`, or from where `.ci/packages` puts it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    // One that is absolute stays what it is.
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A program that [`Server::missing`] has found.
fn program(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("{name} is missing"))
}

/// For a configuration file.
fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

/// Puts [`FTP_FILES`] into the home of an FTP user.
fn write_ftp_files(home: &Path) {
    for (name, length) in FTP_FILES {
        std::fs::write(home.join(name), ftp_file(length)).expect("a file can be written");
    }
}

/// What a file of [`FTP_FILES`] contains: numbered lines of 16 bytes.
pub(crate) fn ftp_file(length: usize) -> Vec<u8> {
    (0..).flat_map(|line: usize| format!("{line:015}\n").into_bytes()).take(length).collect()
}

/// The name in the certificate.
pub(crate) const NAME: &str = "onion.test";
pub(crate) const USER: &str = "onion";
pub(crate) const PASSWORD: &str = "peel";

/// Names and lengths of the files in the home of an FTP user.
pub(crate) const FTP_FILES: [(&str, usize); 3] = [("empty", 0), ("small", 160), ("large", 3_000_000)];

const ALL: &[&Server] = &[
    &aiosmtpd::AIOSMTPD,
    &apache::APACHE,
    &apache::APACHE_IMPATIENT,
    &dante::DANTE,
    &dovecot::DOVECOT,
    &exim::EXIM,
    &haproxy::HAPROXY,
    &inn::INN,
    &inspircd::INSPIRCD,
    &mariadb::MARIADB,
    &microsocks::MICROSOCKS,
    &microsocks::MICROSOCKS_LOGIN,
    &mosquitto::MOSQUITTO,
    &nghttpx::NGHTTPX,
    &openssh::OPENSSH,
    &postfix::POSTFIX,
    &postgresql::POSTGRESQL,
    &privoxy::PRIVOXY,
    &proftpd::PROFTPD,
    &prosody::PROSODY,
    &pure_ftpd::PURE_FTPD,
    &slapd::SLAPD,
    &squid::SQUID,
    &stunnel::STUNNEL,
    &tinyproxy::TINYPROXY,
    &tor::TOR,
];

const FOLDERS: &[&str] = &[
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/lib/postgresql/15/bin",
    "/opt/onionskin-peers/pure-ftpd/usr/sbin",
    "/opt/onionskin-peers/pure-ftpd/usr/bin",
    "/opt/onionskin-peers/exim4-daemon-light/usr/sbin",
    "/opt/onionskin-peers/inn2/usr/lib/news/bin",
    "/opt/onionskin-peers/openssh-server/usr/sbin",
];
