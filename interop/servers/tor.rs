//! Tor without a network: a proxy that refuses.
//!
//! | service | what it is |
//! |---|---|
//! | `socks` | SOCKS5 and SOCKS4a |
//! | `http` | CONNECT over HTTP/1.1 |
//!
//! All it knows is a bridge on loopback that is not there, so nothing leaves this machine. With `DisableNetwork` it would
//! listen at nothing. Private addresses are refused at once, names in time. It runs as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program, text};

pub(crate) const TOR: Server = Server { name: "tor", programs: &["tor"], needs_root: false, start };

fn start(place: Place) -> Running {
    let (socks, http) = (free_port(), free_port());
    let data = place.folder("data");
    let configuration = place.write(
        "torrc",
        &format!(
            "DataDirectory {}
SocksPort 127.0.0.1:{socks}
HTTPTunnelPort 127.0.0.1:{http}
ClientOnly 1
UseBridges 1
Bridge 127.0.0.1:9
",
            text(&data)
        ),
    );
    place.give_to("proxy");
    let mut tor = as_user("proxy", &program("tor"));
    tor.args(["--defaults-torrc", "/dev/null", "-f"]).arg(configuration);
    let running = place.launch_stopped_by("KILL", &tor).ready("socks", socks, b"\x05\x01\0", "\x05\0");
    running.ready("http", http, b"", "")
}
