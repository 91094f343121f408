//! curl: SMTP, IMAP, POP3 and FTP. Not LDAP: curl 7.88 asks for StartTLS there, and then goes on in clear.

use super::{Ended, client, port, run};
use crate::bench::Bench;
use crate::servers::NAME;

/// Asks for `scheme://onion.test:port/path`, and never without TLS. With FTP it asks for AUTH SSL first.
///
/// `options` are more of curl's own: `--user onion:peel`; `--mail-from`, `--mail-rcpt` and `--upload-file -` for a letter
/// from `input`; `--ftp-ssl-ccc` with `--ftp-ssl-ccc-mode active` (it sends its close_notify and waits for that of the
/// server) or `passive` (it waits for that of the server and sends none); `--ftp-ssl-control` to leave data connections in
/// clear.
pub(crate) fn curl(bench: &Bench, scheme: &str, address: &str, path: &str, options: &[&str], input: &str) -> Ended {
    let port = port(address);
    let mut command = client("curl");
    // The conversation goes to the output for errors.
    command.args(["--disable", "--silent", "--show-error", "--verbose", "--cacert"]).arg(bench.ca());
    if !options.contains(&CONTROL_ONLY) {
        // It would outdo the other.
        command.arg("--ssl-reqd");
    }
    command.args(["--noproxy", "*", "--resolve", &format!("{NAME}:{port}:127.0.0.1")]).args(options);
    run(command.arg(format!("{scheme}://{NAME}:{port}/{path}")), input)
}

const CONTROL_ONLY: &str = "--ftp-ssl-control";
