//! Tinyproxy: a small proxy for CONNECT over HTTP/1.1.
//!
//! | service | what it is |
//! |---|---|
//! | `http` | takes everybody to any port; its answers are HTTP/1.0 |
//!
//! It runs as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program};

pub(crate) const TINYPROXY: Server = Server { name: "tinyproxy", programs: &["tinyproxy"], needs_root: false, start };

fn start(place: Place) -> Running {
    let http = free_port();
    let settings = format!("Port {http}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 100\n");
    let configuration = place.write("tinyproxy.conf", &settings);
    place.give_to("proxy");
    let mut tinyproxy = as_user("proxy", &program("tinyproxy"));
    tinyproxy.arg("-d").arg("-c").arg(configuration);
    place.launch(&tinyproxy).ready("http", http, b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 ")
}
