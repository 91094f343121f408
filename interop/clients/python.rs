//! Clients of Python's standard library, in the script `stdlib.py`.

use std::process::Command;

use super::{Ended, port, run};
use crate::bench::Bench;
use crate::servers::{NAME, PASSWORD, USER};

/// Talks as `what` does (`smtp`, `imap`, `pop3`, `nntp`, `ftp`, `ftp-ccc`) to its end. It checks what it gets, and says
/// `content` at the end.
///
/// `smtp` sends a letter to [`USER`], and `nntp` lists the groups, which takes a Python before 3.13. The others log in:
/// `imap` and `pop3` look into the mailbox; those of FTP store a file of their own and fetch it again, `ftp-ccc` with its
/// control connection in clear after the log-in (it sends its close_notify first, and waits for that of the server).
/// `ftp-get` and `ftp-get-ccc` are anonymous, and print the file `large`.
pub(crate) fn python(bench: &Bench, what: &str, address: &str) -> Ended {
    // Some find their libraries in the home of whoever runs this.
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/clients/stdlib.py"));
    run(command.args([what, port(address), NAME]).arg(bench.ca()).args([USER, PASSWORD]), "")
}
