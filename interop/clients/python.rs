//! Clients of Python's standard library, in the script `stdlib.py`.

use super::{Ended, client, port, run};
use crate::bench::Bench;
use crate::servers::{NAME, PASSWORD, USER};

/// Talks as `what` does (`smtp`, `imap`, `pop3`, `ftp`, `ftp-ccc`) to its end. It checks what it gets, and says
/// `content` at the end.
///
/// All but `smtp` log in as [`USER`]. `smtp` sends a letter to him, the others look into his mailbox; those of FTP store a
/// file `from-python` and fetch it again, the second with its control connection in clear after the log-in (it sends its
/// close_notify first, and waits for that of the server).
pub(crate) fn python(bench: &Bench, what: &str, address: &str) -> Ended {
    let mut command = client("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/clients/stdlib.py"));
    run(command.args([what, port(address), NAME]).arg(bench.ca()).args([USER, PASSWORD]), "")
}
