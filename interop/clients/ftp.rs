//! FTP.

use super::{Ended, client, run};
use crate::bench::Bench;
use crate::servers::{PASSWORD, USER};

/// `lftp` as [`USER`], never without TLS on the control connection; `commands` are its own, such as `cat small`.
///
/// With `ftp:ssl-use-ccc yes` it sends its close_notify behind the 200, with the next command right behind it in the same
/// segment. A close_notify of the server that it reads before is the end of the connection to it, so a server that sends
/// its own first loses a race now and then.
///
/// `settings` are more of its own, such as `ftp:ssl-use-ccc yes`, `ftp:ssl-protect-data no`, `ftp:passive-mode no`.
pub(crate) fn lftp(bench: &Bench, address: &str, settings: &[&str], commands: &str) -> Ended {
    let mut script = format!("set ssl:ca-file {}\n", bench.ca().display());
    for setting in FIXED.iter().chain(settings) {
        script.push_str(&format!("set {setting}\n"));
    }
    script.push_str(&format!("open -u {USER},{PASSWORD} ftp://{address}\n{commands}\n"));
    run(client("lftp").args(["--norc", "-d", "-c", &script]), "")
}

const FIXED: &[&str] = &[
    "ssl:verify-certificate yes",
    "ftp:ssl-force yes",
    "ftp:ssl-protect-data yes",
    "net:timeout 10",
    "net:max-retries 1",
    "cmd:fail-exit yes",
];
