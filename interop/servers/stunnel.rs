//! stunnel's `protocol = socks`: a proxy for SOCKS inside TLS.
//!
//! | service | what it is |
//! |---|---|
//! | `socks` | TLS, and SOCKS5 and SOCKS4a in it; every target on loopback is refused |
//!
//! It runs as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program, text};

pub(crate) const STUNNEL: Server = Server { name: "stunnel", programs: &["stunnel4"], needs_root: false, start };

fn start(place: Place) -> Running {
    let socks = free_port();
    let (certificate, key) = (place.certificate(), place.key());
    let configuration = place.write(
        "stunnel.conf",
        &format!(
            "foreground = yes\npid =\n[socks]\nprotocol = socks\naccept = 127.0.0.1:{socks}\ncert = {}\nkey = {}\n",
            text(&certificate),
            text(&key)
        ),
    );
    place.give_to("proxy");
    let mut stunnel = as_user("proxy", &program("stunnel4"));
    stunnel.arg(configuration);
    place.launch(&stunnel).ready("socks", socks, b"", "")
}
