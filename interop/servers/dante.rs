//! Dante: a proxy for SOCKS5 and SOCKS4.
//!
//! | service | what it is |
//! |---|---|
//! | `socks` | takes everybody to any port; SOCKS4 without the names of 4a, whose address it takes for one |
//!
//! It runs as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program};

pub(crate) const DANTE: Server = Server { name: "dante", programs: &["danted"], needs_root: false, start };

fn start(place: Place) -> Running {
    let socks = free_port();
    let configuration = place.write(
        "dante.conf",
        &format!(
            "internal: 127.0.0.1 port = {socks}
external: 127.0.0.1
clientmethod: none
socksmethod: none
logoutput: stderr
client pass {{ from: 127.0.0.1/32 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.1/32 to: 0.0.0.0/0 log: connect error }}
"
        ),
    );
    place.give_to("proxy");
    let mut danted = as_user("proxy", &program("danted"));
    danted.arg("-f").arg(configuration).arg("-p").arg(place.path("pid"));
    place.launch(&danted).ready("socks", socks, b"\x05\x01\0", "\x05\0")
}
