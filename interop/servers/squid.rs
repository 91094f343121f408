//! Squid, with GnuTLS: a proxy for CONNECT over HTTP/1.1.
//!
//! | service | what it is |
//! |---|---|
//! | `http` | takes everybody to any port |
//! | `http-login` | takes [`USER`] with Basic, and asks others to log in (407) |
//! | `https` | as `http`, behind TLS; it knows no ALPN |
//!
//! It runs as the user `proxy`, one process for all.

use std::process::Command;

use super::place::{Place, Running, as_user, free_port};
use super::{NAME, PASSWORD, Server, USER, program, text};

pub(crate) const SQUID: Server = Server {
    name: "squid",
    programs: &["squid", "/usr/lib/squid/basic_ncsa_auth", "openssl"],
    needs_root: false,
    start,
};

fn start(place: Place) -> Running {
    let (http, login, https) = (free_port(), free_port(), free_port());
    let hash = place.must(Command::new(program("openssl")).args(["passwd", "-apr1", PASSWORD]));
    let users = place.write("users", &format!("{USER}:{hash}"));
    let (certificate, key) = (place.certificate(), place.key());
    let configuration = configuration(
        &place,
        &format!(
            "http_port 127.0.0.1:{http}
http_port 127.0.0.1:{login} name=login
https_port 127.0.0.1:{https} tls-cert={} tls-key={}
auth_param basic program /usr/lib/squid/basic_ncsa_auth {}
auth_param basic children 1 startup=1
auth_param basic realm {NAME}
acl login myportname login
acl known proxy_auth REQUIRED
http_access deny login !known
",
            text(&certificate),
            text(&key),
            text(&users),
        ),
    );
    place.give_to("proxy");
    let mut squid = as_user("proxy", &program("squid"));
    squid.args(["-N", "-f", &configuration]);
    let running = place.launch(&squid);
    let running = running.ready("http", http, b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 400");
    running.ready("http-login", login, b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 400").ready("https", https, b"", "")
}

/// Writes a configuration of what is listened at, with what every Squid here has, and says where it lies.
pub(super) fn configuration(place: &Place, listens: &str) -> String {
    // It is to be its own, not that of whoever starts it.
    place.write("log", "");
    let (directory, log) = (place.directory(), place.log());
    let (directory, log) = (text(directory), text(&log));
    let settings = format!(
        "{listens}http_access allow all
pid_filename {directory}/squid.pid
cache_log {log}
access_log none
cache deny all
netdb_filename none
pinger_enable off
coredump_dir {directory}
shutdown_lifetime 0 seconds
max_filedescriptors 1024
visible_hostname {NAME}
"
    );
    text(&place.write("squid.conf", &settings)).to_owned()
}
