//! Programs that bring mail.

use super::{Ended, client, port, run};
use crate::bench::Bench;
use crate::servers::{NAME, USER};

/// `swaks` sends a letter to [`USER`], over TLS or not at all. `subject` is in it, to find it again.
///
/// `options` are more of its own: `--protocol LMTP`, `--pipeline`, `--auth-user`, `--quit-after`.
pub(crate) fn swaks(bench: &Bench, address: &str, subject: &str, options: &[&str]) -> Ended {
    let mut command = client("swaks");
    command.args(["--server", "127.0.0.1", "--port", port(address), "--helo", "client.example", "--timeout", "10"]);
    command.args(["--from", "sender@client.example", "--to", &format!("{USER}@{NAME}")]);
    command
        .args(["--header", &format!("Subject: {subject}"), "--tls", "--tls-verify", "--tls-ca-path"])
        .arg(bench.ca());
    run(command.args(options), "")
}

/// Postfix's own SMTP client, as far as the handshake: it says how far it trusts the server, and leaves.
pub(crate) fn posttls_finger(bench: &Bench, address: &str) -> Ended {
    let configuration = bench.directory().join("posttls-finger");
    std::fs::create_dir_all(&configuration).expect("a folder can be made");
    std::fs::write(configuration.join("main.cf"), "compatibility_level = 3.6\n").expect("a file can be written");
    let mut command = client("posttls-finger");
    command.env("MAIL_CONFIG", configuration);
    // -c: no report about the certificates; -l secure -L summary: name and chain must be right.
    command.args(["-c", "-l", "secure", "-L", "summary", "-T", "10", "-F"]).arg(bench.ca());
    run(command.arg(format!("[127.0.0.1]:{}", port(address))).arg(NAME), "")
}
