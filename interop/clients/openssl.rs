//! `openssl s_client -starttls`: knows many protocols up to the handshake, and then passes on what it is given.

use std::process::Command;

use super::{Ended, run};
use crate::bench::Bench;
use crate::servers::NAME;

/// Starts TLS as `protocol` wants it (`smtp`, `lmtp`, `imap`, `pop3`, `sieve`, `ftp`, `nntp`, `irc`, `ldap`, `xmpp`,
/// `xmpp-server`, `postgres`, `mysql`), sends `input`, and ends with a close_notify. It is content if the certificate
/// is; what it says tells of the session, and ends with what the server answered.
pub(crate) fn s_client(bench: &Bench, protocol: &str, address: &str, input: &str) -> Ended {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-starttls", protocol, "-connect", address, "-CAfile"]).arg(bench.ca());
    command.args(["-servername", NAME, "-verify_hostname", NAME, "-verify_return_error", "-crlf"]);
    if protocol.starts_with("xmpp") {
        command.args(["-xmpphost", NAME]);
    }
    run(&mut command, input)
}
