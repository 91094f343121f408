//! microsocks: a small proxy for SOCKS5, once for everybody and once with a log-in.
//!
//! | service | what it is |
//! |---|---|
//! | `socks` | of [`MICROSOCKS`]: takes everybody; of [`MICROSOCKS_LOGIN`]: [`USER`] with [`PASSWORD`] alone |
//!
//! It has no configuration. It runs as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{PASSWORD, Server, USER, program};

pub(crate) const MICROSOCKS: Server = Server {
    name: "microsocks",
    programs: &["microsocks"],
    needs_root: false,
    start: |place| start(place, &[], b"\x05\x01\0", "\x05\0"),
};

pub(crate) const MICROSOCKS_LOGIN: Server = Server {
    name: "microsocks-login",
    programs: &["microsocks"],
    needs_root: false,
    start: |place| start(place, &["-u", USER, "-P", PASSWORD], b"\x05\x01\x02", "\x05\x02"),
};

fn start(place: Place, login: &[&str], greeting: &[u8], answer: &str) -> Running {
    let socks = free_port();
    let mut microsocks = as_user("proxy", &program("microsocks"));
    microsocks.args(["-i", "127.0.0.1", "-p", &socks.to_string()]).args(login);
    place.launch(&microsocks).ready("socks", socks, greeting, answer)
}
