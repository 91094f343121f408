//! Pure-FTPd: FTP with AUTH TLS, PROT and CCC.
//!
//! | service | what it is |
//! |---|---|
//! | `ftp` | logs [`USER`] in, with or without TLS |
//!
//! The user is one of its own database, not of the system. His home is [`home`], with [`FILES`](super::FTP_FILES) in it;
//! he owns it. It logs to syslog alone, so a case that fails finds nothing in its log.
//!
//! Its CCC: the 200 goes through TLS, and its close_notify follows at once, often in the same segment. It waits for the
//! close_notify of the client, and hangs if plaintext comes instead; plaintext behind it in the same segment is fine.
//!
//! It starts as root. As a package it excludes ProFTPD, so `.ci/packages` unpacks it beside it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::place::{Place, Running, free_port};
use super::{PASSWORD, Server, USER, program, text, write_ftp_files};

pub(crate) const PURE_FTPD: Server =
    Server { name: "pure-ftpd", programs: &["pure-ftpd", "pure-pw", "openssl"], needs_root: true, start };

/// The directory of [`USER`].
pub(crate) fn home(pure_ftpd: &Running) -> PathBuf {
    pure_ftpd.place().path("home")
}

fn start(place: Place) -> Running {
    let ftp = free_port();
    let home = place.folder("home");
    write_ftp_files(&home);
    place.must(Command::new("chown").arg("-R").arg("nobody:").arg(&home));
    // pure-pw would choose a hash that takes three seconds of each log-in.
    let hash = place.must(Command::new(program("openssl")).args(["passwd", "-6", PASSWORD]));
    let user = format!("{USER}:{}:65534:65534::{}/./::::::::::::\n", hash.trim(), text(&home));
    let (users, database) = (place.write("users", &user), place.path("users.pdb"));
    place.must(Command::new(program("pure-pw")).arg("mkdb").arg(&database).arg("-f").arg(users));
    // It wants both in one file.
    let chain = fs::read_to_string(place.certificate()).expect("we wrote it");
    let both = place.write_secret("both.pem", &(fs::read_to_string(place.key()).expect("we wrote it") + &chain));
    let mut pure_ftpd = Command::new(program("pure-ftpd"));
    pure_ftpd.args(["--tls", "1", "--bind", &format!("127.0.0.1,{ftp}"), "--noanonymous", "--dontresolve"]);
    pure_ftpd.args(["--ipv4only", "--syslogfacility", "none", "--minuid", "1", "--certfile"]).arg(both);
    pure_ftpd.arg("--login").arg(format!("puredb:{}", database.display()));
    pure_ftpd.arg("--pidfile").arg(place.path("pid"));
    place.launch(&pure_ftpd).ready("ftp", ftp, b"", "220")
}
