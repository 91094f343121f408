//! PostgreSQL: TLS behind an SSLRequest.
//!
//! | service | what it is |
//! |---|---|
//! | `postgresql` | the database `postgres`, for the superuser [`USER`], with SCRAM and over TLS only; `template1` also in clear |
//!
//! It runs as the user `postgres`. The cluster is made anew, which takes about a second.

use super::place::{Place, Running, as_user, free_port};
use super::{PASSWORD, Server, USER, program, text};

pub(crate) const POSTGRESQL: Server =
    Server { name: "postgresql", programs: &["postgres", "initdb"], needs_root: false, start };

fn start(place: Place) -> Running {
    let port = free_port();
    let data = place.path("data");
    let password = place.write("password", PASSWORD);
    place.give_to("postgres");
    let mut initdb = as_user("postgres", &program("initdb"));
    initdb.args(["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "--auth=scram-sha-256"]);
    initdb.args(["--username", USER, "--pwfile", text(&password), "--pgdata", text(&data)]);
    place.must(&mut initdb);
    let rules = "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl template1 all 127.0.0.1/32 scram-sha-256\n";
    place.write("data/pg_hba.conf", rules);
    let mut postgres = as_user("postgres", &program("postgres"));
    postgres.args(["-D", text(&data)]);
    for setting in [
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
        "unix_socket_directories=",
        "fsync=off",
        "ssl=on",
        &format!("ssl_cert_file={}", text(&place.certificate())),
        &format!("ssl_key_file={}", text(&place.key())),
    ] {
        postgres.args(["-c", setting]);
    }
    // INT: sessions are ended rather than waited for.
    place.launch_stopped_by("INT", &postgres).ready("postgresql", port, &startup(), NOT_IN_CLEAR)
}

/// A StartupMessage. While the server still starts it is refused for another reason.
fn startup() -> Vec<u8> {
    let parameters = format!("user\0{USER}\0\0");
    let length = u32::try_from(8 + parameters.len()).expect("it is short");
    [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters.as_bytes()].concat()
}

/// The error that no rule lets one in without TLS.
const NOT_IN_CLEAR: &str = "28000";
