//! InspIRCd, with GnuTLS: IRC with the command STARTTLS.
//!
//! | service | what it is |
//! |---|---|
//! | `irc` | offers STARTTLS (numeric 670) and the capability `tls`, until the registration is complete |
//!
//! It knows no users. It runs as the user `irc`.

use super::place::{Place, Running, as_user, free_port};
use super::{NAME, Server, program, text};

pub(crate) const INSPIRCD: Server = Server { name: "inspircd", programs: &["inspircd"], needs_root: false, start };

fn start(place: Place) -> Running {
    let irc = free_port();
    let configuration = place.write("inspircd.conf", &{
        let directory = text(place.directory());
        let (certificate, key) = (place.certificate(), place.key());
        let (certificate, key) = (text(&certificate), text(&key));
        format!(
            r#"<module name="cap">
<module name="ssl_gnutls">
<module name="starttls">
<sslprofile name="onion" provider="gnutls" certfile="{certificate}" keyfile="{key}">
<starttls provider="onion">
<server name="{NAME}" description="onion" network="onion">
<admin name="onion" nick="onion" email="onion@{NAME}">
<bind address="127.0.0.1" port="{irc}" type="clients">
<connect name="all" allow="*" timeout="20" resolvehostnames="no" useident="no" localmax="100" globalmax="100">
<dns server="127.0.0.1" timeout="1">
<pid file="{directory}/pid">
"#
        )
    });
    place.give_to("irc");
    let mut inspircd = as_user("irc", &program("inspircd"));
    inspircd.args(["--nofork", "--nolog", "--config"]).arg(configuration);
    // KILL: it crashes in its own clearing up, and would leave a core.
    place.launch_stopped_by("KILL", &inspircd).ready("irc", irc, b"CAP LS 302\r\n", " tls")
}
