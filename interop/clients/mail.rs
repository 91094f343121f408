//! Mail.

use super::{Ended, client, port, run};
use crate::bench::Bench;
use crate::servers::{NAME, PASSWORD, USER, find};

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
    let configuration = bench.directory().join(format!("posttls-finger-to-{}", port(address)));
    std::fs::create_dir_all(&configuration).expect("a folder can be made");
    std::fs::write(configuration.join("main.cf"), "compatibility_level = 3.6\n").expect("a file can be written");
    let mut command = client("posttls-finger");
    command.env("MAIL_CONFIG", configuration);
    // -c: no report about the certificates; -l secure -L summary: name and chain must be right.
    command.args(["-c", "-l", "secure", "-L", "summary", "-T", "10", "-F"]).arg(bench.ca());
    run(command.arg(format!("[127.0.0.1]:{}", port(address))).arg(NAME), "")
}

/// Exim as the one who delivers: it sends a letter to [`USER`] over TLS, or not at all. It needs root.
///
/// What it says is the conversation. It is content with a letter that waits for another try, too; that it was delivered,
/// to a host whose certificate was verified, is said by ` => onion@onion.test` with `CV=yes` behind it.
pub(crate) fn exim(bench: &Bench, address: &str, subject: &str) -> Ended {
    let directory = bench.directory().join(format!("exim-to-{}", port(address)));
    let spool = directory.join("spool");
    std::fs::create_dir_all(&spool).expect("a folder can be made");
    let configuration = directory.join("exim.conf");
    let exim = find("exim4").unwrap_or_else(|| panic!("exim4 is missing"));
    let settings = format!(
        "exim_path = {}
primary_hostname = client.example
spool_directory = {spool}
log_file_path = {spool}/%slog
keep_environment =
begin routers
out:
 driver = manualroute
 route_list = * 127.0.0.1::{}
 self = send
 transport = out
begin transports
out:
 driver = smtp
 allow_localhost
 hosts_require_tls = *
 tls_sni = {NAME}
 tls_verify_hosts = *
 tls_verify_certificates = {}
",
        exim.display(),
        port(address),
        bench.ca().display(),
        spool = spool.display(),
    );
    std::fs::write(&configuration, settings).expect("a file can be written");
    // It gives up root for good, because the configuration is not that of the system.
    let chown = std::process::Command::new("chown").args(["-R", "Debian-exim:"]).arg(&spool).status();
    assert!(chown.is_ok_and(|status| status.success()), "the spool is given to Exim");
    // -odf: it delivers before it ends.
    let mut command = client("exim4");
    command.arg("-C").arg(&configuration).args(["-odf", "-oi", "-v", "-f", "sender@client.example"]);
    run(command.arg(format!("{USER}@{NAME}")), &format!("Subject: {subject}\n\nonion\n"))
}

/// `sieve-connect`, a client of ManageSieve with Perl's TLS: a log-in as [`USER`], and the list of scripts.
pub(crate) fn sieve_connect(bench: &Bench, address: &str) -> Ended {
    let mut command = client("sieve-connect");
    command.args([
        "--server",
        "127.0.0.1",
        "--port",
        port(address),
        "--user",
        USER,
        "--passwordfd",
        "0",
        "--noclearchan",
    ]);
    command.args(["--tlshostname", NAME, "--debug", "--list", "--tlscafile"]).arg(bench.ca());
    run(&mut command, &format!("{PASSWORD}\n"))
}
