//! Clients of databases, whose protocols begin TLS with a packet of their own.

use std::fmt::Write as _;
use std::process::Command;

use super::{Ended, client, port, run};
use crate::bench::Bench;
use crate::servers::{NAME, PASSWORD, USER};

/// `psql` as [`USER`], with `sslmode=verify-full`; `query` is asked.
pub(crate) fn psql(bench: &Bench, address: &str, query: &str) -> Ended {
    psql_with(bench, address, "", query)
}

/// As [`psql`], with more parameters of the connection.
pub(crate) fn psql_with(bench: &Bench, address: &str, parameters: &str, query: &str) -> Ended {
    run(&mut psql_command(bench, address, parameters, query), "")
}

/// As [`psql_with`], to be started; a SIGINT cancels the query.
pub(crate) fn psql_command(bench: &Bench, address: &str, parameters: &str, query: &str) -> Command {
    let target = format!(
        "host={NAME} hostaddr=127.0.0.1 port={} user={USER} password={PASSWORD} dbname=postgres gssencmode=disable \
         connect_timeout=10 sslmode=verify-full sslrootcert={} {parameters}",
        port(address),
        bench.ca().display()
    );
    // Whoever is started in the background by a shell ignores it.
    let mut command = client("env");
    command.args(["--default-signal=INT", "psql"]);
    command.args(["--no-psqlrc", "--no-align", "--tuples-only", "--command", query]).arg(target);
    command
}

/// `mariadb` as [`USER`], which verifies the name in the certificate; `query` is asked.
pub(crate) fn mariadb(bench: &Bench, address: &str, query: &str) -> Ended {
    let mut command = client("mariadb");
    command.args(["--no-defaults", "--host=127.0.0.1", "--protocol=tcp", "--port", port(address)]);
    command.arg(format!("--user={USER}")).arg(format!("--password={PASSWORD}")).arg("--ssl-verify-server-cert");
    command.arg(format!("--ssl-ca={}", bench.ca().display()));
    run(command.args(["--batch", "--skip-column-names", "--execute", query]), "")
}

/// What `tsql` asks for in its PRELOGIN.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encryption {
    /// ENCRYPT_OFF: TLS for the packet of the log-in alone.
    Request,
    /// ENCRYPT_ON: TLS from there on.
    Require,
}

/// FreeTDS's `tsql` as [`USER`], with TDS 7.4; `input` are its lines, such as `SELECT 1`, `go`, `exit`.
pub(crate) fn tsql(bench: &Bench, address: &str, encryption: Encryption, input: &str) -> Ended {
    let encryption = match encryption {
        Encryption::Request => "request",
        Encryption::Require => "require",
    };
    let mut settings = format!("[onion]\nhost = 127.0.0.1\nport = {}\ntds version = 7.4\n", port(address));
    let _ = write!(settings, "encryption = {encryption}\nca file = {}\n", bench.ca().display());
    settings.push_str("check certificate hostname = yes\nconnect timeout = 10\ntimeout = 10\n");
    let file = bench.directory().join(format!("freetds-{}-{encryption}.conf", port(address)));
    std::fs::write(&file, settings).expect("a file can be written");
    let mut command = client("tsql");
    command.env("FREETDSCONF", file).args(["-S", "onion", "-U", USER, "-P", PASSWORD]);
    run(&mut command, input)
}
