//! Pure-FTPd: FTP with AUTH TLS, PROT and CCC.
//!
//! | service | what it is |
//! |---|---|
//! | `ftp` | logs [`USER`] in, with or without TLS |
//!
//! The user is one of its own database, not of the system. His home is [`home`], with [`FILES`](super::FTP_FILES) in it;
//! he owns it. It logs to syslog alone, so a case that fails finds nothing in its log.
//!
//! It starts as root. As a package it excludes ProFTPD, so `.ci/packages` unpacks it beside it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::place::{Place, Running, free_port};
use super::{PASSWORD, Server, USER, program, write_ftp_files};

pub(crate) const PURE_FTPD: Server =
    Server { name: "pure-ftpd", programs: &["pure-ftpd", "pure-pw"], needs_root: true, start };

/// The directory of [`USER`].
pub(crate) fn home(pure_ftpd: &Running) -> PathBuf {
    pure_ftpd.place().path("home")
}

fn start(place: Place) -> Running {
    let ftp = free_port();
    let home = place.folder("home");
    write_ftp_files(&home);
    place.must(Command::new("chown").arg("-R").arg("nobody:").arg(&home));
    let (users, database) = (place.path("users"), place.path("users.pdb"));
    let mut pure_pw = Command::new("sh");
    let add = r#"printf '%s\n%s\n' "$3" "$3" | "$0" useradd "$2" -f "$1" -F "$5" -m -u 65534 -g 65534 -d "$4""#;
    pure_pw.args(["-c", add]).arg(program("pure-pw")).arg(&users).args([USER, PASSWORD]).arg(&home).arg(&database);
    place.must(&mut pure_pw);
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
