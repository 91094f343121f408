//! HAProxy, with a Tinyproxy of its own behind it: CONNECT over HTTP/1.1 and HTTP/2.
//!
//! | service | what it is |
//! |---|---|
//! | `http` | HTTP/1.1 in clear |
//! | `h2c` | HTTP/2 in clear, for those who know before |
//!
//! HAProxy answers no CONNECT itself: it passes the request on to Tinyproxy, which makes the connections. A tunnel in which nothing moves
//! for two seconds is ended. Both run as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program, text};

pub(crate) const HAPROXY: Server =
    Server { name: "haproxy", programs: &["haproxy", "tinyproxy"], needs_root: false, start };

fn start(place: Place) -> Running {
    let (http, h2c, behind) = (free_port(), free_port(), free_port());
    let settings = format!("Port {behind}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 100\n");
    let tinyproxy = place.write("tinyproxy.conf", &settings);
    let configuration = place.write(
        "haproxy.cfg",
        &format!(
            "defaults
    mode http
    timeout connect 10s
    timeout client 30s
    timeout server 30s
    timeout tunnel 2s
listen http
    bind 127.0.0.1:{http}
    server behind 127.0.0.1:{behind}
listen h2c
    bind 127.0.0.1:{h2c} proto h2
    server behind 127.0.0.1:{behind}
"
        ),
    );
    place.give_to("proxy");
    let mut both = as_user("proxy", "/bin/sh".as_ref());
    both.args(["-c", BOTH, "both", text(&tinyproxy)]).arg(program("tinyproxy")).arg(program("haproxy"));
    both.arg("-db").arg("-f").arg(configuration);
    let running = place.launch(&both).ready("behind", behind, b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 ");
    running.ready("http", http, b"", "").ready("h2c", h2c, b"", "")
}

/// The keeper ends the second, and then all of the group.
const BOTH: &str = r#"configuration=$1 tinyproxy=$2; shift 2; "$tinyproxy" -d -c "$configuration" & exec "$@""#;
