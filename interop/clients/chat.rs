//! XMPP.

use super::{Ended, client, run};
use crate::bench::Bench;
use crate::servers::{NAME, PASSWORD, USER};

/// `go-sendxmpp`, with the TLS of Go: STARTTLS, a log-in as [`USER`], and `message` to himself. The XML of both sides is in
/// what it says.
pub(crate) fn go_sendxmpp(bench: &Bench, address: &str, message: &str) -> Ended {
    let mut command = client("go-sendxmpp");
    // In this order Go looks for its trust anchors; the folder would add those of the system.
    command.env("SSL_CERT_FILE", bench.ca()).env("SSL_CERT_DIR", "/nonexistent");
    let user = format!("{USER}@{NAME}");
    command.args(["--debug", "--timeout=10", "-u", &user, "-p", PASSWORD, "-j", address, &user]);
    run(&mut command, message)
}
