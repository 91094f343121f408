//! Tools of TLS libraries: they know many protocols up to the handshake, and then pass on what they are given.

use super::{Ended, client, port, run};
use crate::bench::Bench;
use crate::servers::NAME;

/// `openssl s_client`: starts TLS as `protocol` wants it (`smtp`, `lmtp`, `imap`, `pop3`, `sieve`, `ftp`, `nntp`, `irc`,
/// `ldap`, `xmpp`, `xmpp-server`, `postgres`, `mysql`), sends `input`, and ends with a close_notify when the input ends.
/// It is content if the certificate is; what it says tells of the session.
pub(crate) fn s_client(bench: &Bench, protocol: &str, address: &str, input: &str) -> Ended {
    let mut command = client("openssl");
    command.args(["s_client", "-starttls", protocol, "-connect", address, "-CAfile"]).arg(bench.ca());
    command.args(["-servername", NAME, "-verify_hostname", NAME, "-verify_return_error", "-crlf"]);
    if protocol.starts_with("xmpp") {
        command.args(["-xmpphost", NAME]);
    }
    run(&mut command, input)
}

/// `gnutls-cli`: the same with GnuTLS. Its protocols are `smtp`, `lmtp`, `imap`, `pop3`, `sieve`, `ftp`, `nntp`, `ldap`
/// and `postgres`; with `xmpp` it names no domain that would be ours.
pub(crate) fn gnutls_cli(bench: &Bench, protocol: &str, address: &str, input: &str) -> Ended {
    let mut command = client("gnutls-cli");
    command.arg(format!("--starttls-proto={protocol}")).arg(format!("--x509cafile={}", bench.ca().display()));
    command.arg(format!("--sni-hostname={NAME}")).arg(format!("--verify-hostname={NAME}"));
    command.args(["--crlf", "--port", port(address), "127.0.0.1"]);
    run(&mut command, input)
}
