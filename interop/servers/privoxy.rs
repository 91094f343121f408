//! Privoxy: a proxy that filters the web, and takes CONNECT over HTTP/1.1.
//!
//! | service | what it is |
//! |---|---|
//! | `http` | takes everybody to any port; bytes behind the head of a CONNECT are lost |
//!
//! It runs as the user `proxy`, without filters.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program};

pub(crate) const PRIVOXY: Server = Server { name: "privoxy", programs: &["privoxy"], needs_root: false, start };

fn start(place: Place) -> Running {
    let http = free_port();
    let configuration =
        place.write("privoxy.conf", &format!("listen-address 127.0.0.1:{http}\ntempldir /etc/privoxy/templates\n"));
    place.give_to("proxy");
    let mut privoxy = as_user("proxy", &program("privoxy"));
    privoxy.arg("--no-daemon").arg(configuration);
    place.launch(&privoxy).ready("http", http, b"NONSENSE\r\n\r\n", "HTTP/1.1 400")
}
