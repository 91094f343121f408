//! Exim, with GnuTLS: SMTP with STARTTLS.
//!
//! | service | what it is |
//! |---|---|
//! | `smtp` | offers STARTTLS, takes mail for [`USER`] at [`NAME`] without asking who brings it |
//!
//! What arrives lies in [`mailbox`], in the format mbox. It starts as root and becomes `Debian-exim`, for good: with a
//! configuration that is not the system's it does not become root again, so mail belongs to that user. As a package it excludes Postfix, so `.ci/packages` unpacks it beside it and makes its user.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use super::place::{Place, Running, free_port};
use super::{NAME, Server, USER, program, text};

pub(crate) const EXIM: Server = Server { name: "exim", programs: &["exim4"], needs_root: true, start };

/// Where a letter for [`USER`] arrives.
pub(crate) fn mailbox(exim: &Running) -> PathBuf {
    exim.place().path("mail").join(USER)
}

fn start(place: Place) -> Running {
    let smtp = free_port();
    let exim = program("exim4");
    let [spool, mail] = ["spool", "mail"].map(|name| place.folder(name));
    place.write("log", "");
    // It insists on logs of three kinds.
    for kind in ["main", "reject", "panic"] {
        symlink("../log", spool.join(format!("{kind}log"))).expect("a link can be made");
    }
    let configuration = place.write("exim.conf", &{
        let (directory, spool, mail, exim) = (text(place.directory()), text(&spool), text(&mail), text(&exim));
        let (certificate, key) = (place.certificate(), place.key());
        let (certificate, key) = (text(&certificate), text(&key));
        format!(
            "exim_path = {exim}
primary_hostname = {NAME}
spool_directory = {spool}
log_file_path = {spool}/%slog
pid_file_path = {directory}/pid
daemon_smtp_ports = {smtp}
local_interfaces = 127.0.0.1
host_lookup =
keep_environment =
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
acl_smtp_rcpt = accept
begin routers
mailbox:
 driver = accept
 domains = {NAME}
 local_parts = {USER}
 transport = mailbox
begin transports
mailbox:
 driver = appendfile
 file = {mail}/{USER}
 user = Debian-exim
"
        )
    });
    place.give_to("Debian-exim");
    // It obeys no file that somebody else could write to.
    place.must(Command::new("chown").arg("root:").arg(&configuration));
    let mut daemon = Command::new(exim);
    daemon.arg("-C").arg(configuration).arg("-bdf");
    place.launch(&daemon).ready("smtp", smtp, b"", "220 ")
}
