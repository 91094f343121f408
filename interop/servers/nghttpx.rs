//! nghttpx, with a Squid of its own behind it: a proxy for CONNECT over HTTP/2.
//!
//! | service | what it is |
//! |---|---|
//! | `https` | TLS, HTTP/2 by ALPN |
//! | `h2c` | HTTP/2 in clear, for those who know before |
//!
//! nghttpx speaks HTTP/1.1 to Squid, which makes the connections. Both run as the user `proxy`.

use super::place::{Place, Running, as_user, free_port};
use super::{Server, program, squid, text};

pub(crate) const NGHTTPX: Server =
    Server { name: "nghttpx", programs: &["nghttpx", "squid"], needs_root: false, start };

fn start(place: Place) -> Running {
    let (https, h2c, behind) = (free_port(), free_port(), free_port());
    let configuration = squid::configuration(&place, &format!("http_port 127.0.0.1:{behind}\n"));
    place.give_to("proxy");
    let mut both = as_user("proxy", "/bin/sh".as_ref());
    both.args(["-c", BOTH, "both", &configuration]).arg(program("squid")).arg(program("nghttpx"));
    both.args(["--conf=/dev/null", "--http2-proxy", "--workers=1", "--no-ocsp"]);
    both.args([format!("--frontend=127.0.0.1,{https}"), format!("--frontend=127.0.0.1,{h2c};no-tls")]);
    both.arg(format!("--backend=127.0.0.1,{behind}"));
    both.args([text(&place.key()), text(&place.certificate())]);
    let running = place.launch(&both).ready("behind", behind, b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 400");
    running.ready("https", https, b"", "").ready("h2c", h2c, b"", "")
}

/// The keeper ends the first, and then all of the group.
const BOTH: &str = r#"configuration=$1 squid=$2; shift 2; "$squid" -N -f "$configuration" & exec "$@""#;
