//! OpenSSH: `ssh -D`, a proxy for SOCKS5 and SOCKS4a, with an sshd behind it that makes the connections.
//!
//! | service | what it is |
//! |---|---|
//! | `socks` | takes everybody; who is refused hears nothing but the end |
//!
//! The sshd has keys of its own and no port: ssh starts it and talks to it over a pipe. Both run as the user `proxy`. As a
//! package it would set up a server of the system, so `.ci/packages` unpacks it.

use std::process::Command;

use super::place::{Place, Running, as_user, free_port, is_root};
use super::{Server, program, text};

pub(crate) const OPENSSH: Server =
    Server { name: "openssh", programs: &["ssh", "sshd", "ssh-keygen"], needs_root: false, start };

fn start(place: Place) -> Running {
    let socks = free_port();
    for key in ["host", "user"] {
        let mut keygen = Command::new(program("ssh-keygen"));
        place.must(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(place.path(key)));
    }
    let directory = text(place.directory());
    let configuration = place.write(
        "sshd.conf",
        &format!("HostKey {directory}/host\nAuthorizedKeysFile {directory}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"),
    );
    // It lets in nobody but whom it runs as.
    let user = if is_root() { "proxy".to_owned() } else { std::env::var("USER").unwrap_or_default() };
    let (sshd, identity) = (program("sshd"), place.path("user"));
    place.give_to("proxy");
    let mut ssh = as_user("proxy", &program("ssh"));
    ssh.args(["-F", "none", "-N", "-i", text(&identity), "-D", &format!("127.0.0.1:{socks}")]);
    ssh.args([
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "ExitOnForwardFailure=yes",
    ]);
    ssh.args(["-o", &format!("ProxyCommand={} -i -e -f {}", text(&sshd), text(&configuration))]);
    ssh.arg(format!("{user}@127.0.0.1"));
    place.launch(&ssh).ready("socks", socks, b"\x05\x01\0", "\x05\0")
}
