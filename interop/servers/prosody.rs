//! Prosody: XMPP with STARTTLS, for clients and for servers.
//!
//! | service | what it is |
//! |---|---|
//! | `xmpp` | the domain [`NAME`], with the account [`USER`]; nothing happens before STARTTLS |
//! | `xmpp-server` | streams from other servers, which must start TLS |
//!
//! It runs as the user `prosody`.

use super::place::{Place, Running, as_user, free_port};
use super::{NAME, PASSWORD, Server, USER, program, text};

pub(crate) const PROSODY: Server = Server { name: "prosody", programs: &["prosody"], needs_root: false, start };

fn start(place: Place) -> Running {
    let (xmpp, xmpp_server) = (free_port(), free_port());
    let data = place.folder("data");
    // Its stores write a name with percent signs, as in an address of the web.
    let accounts = place.folder(&format!("data/{}/accounts", NAME.replace('.', "%2e")));
    let account = format!("return {{ [\"password\"] = \"{PASSWORD}\"; }};\n");
    std::fs::write(accounts.join(format!("{USER}.dat")), account).expect("a file can be written");
    let configuration = place.write("prosody.cfg.lua", &{
        let (directory, data, log) = (text(place.directory()), text(&data), place.log());
        let (certificate, key, log) = (place.certificate(), place.key(), text(&log));
        let (certificate, key) = (text(&certificate), text(&key));
        format!(
            "daemonize = false
pidfile = '{directory}/pid'
data_path = '{data}'
log = {{ info = '{log}' }}
interfaces = {{ '127.0.0.1' }}
c2s_ports = {{ {xmpp} }}
s2s_ports = {{ {xmpp_server} }}
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = false
authentication = 'internal_plain'
modules_enabled = {{ 'tls', 'saslauth', 'roster', 'disco', 'dialback', 'ping' }}
VirtualHost '{NAME}'
    ssl = {{ key = '{key}', certificate = '{certificate}' }}
"
        )
    });
    place.give_to("prosody");
    let mut prosody = as_user("prosody", &program("prosody"));
    prosody.arg("--config").arg(configuration).arg("-F");
    let running = place.launch(&prosody);
    let running = running.ready("xmpp", xmpp, stream("jabber:client").as_bytes(), STARTTLS);
    running.ready("xmpp-server", xmpp_server, stream("jabber:server").as_bytes(), STARTTLS)
}

fn stream(namespace: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='http://etherx.jabber.org/streams' \
         to='{NAME}' version='1.0'>"
    )
}

const STARTTLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
