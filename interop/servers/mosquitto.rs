//! Mosquitto: a broker of MQTT, in clear, over TLS, with client certificates, and over WebSocket.
//!
//! | service | what it is |
//! |---|---|
//! | `mqtt` | in clear, for everybody |
//! | `login` | in clear, for [`USER`] with [`PASSWORD`] alone |
//! | `mqtts` | over TLS |
//! | `certified` | over TLS, for clients that show a certificate of the bench's authority |
//! | `ws` | over WebSocket, in clear |
//!
//! It runs as the user `mosquitto`.

use std::process::Command;

use super::place::{Place, Running, as_user, free_port};
use super::{PASSWORD, Server, USER, program, text};

pub(crate) const MOSQUITTO: Server =
    Server { name: "mosquitto", programs: &["mosquitto", "mosquitto_passwd"], needs_root: false, start };

fn start(place: Place) -> Running {
    let [mqtt, login, mqtts, certified, ws] = std::array::from_fn(|_| free_port());
    let passwords = place.write_secret("passwords", "");
    place.must(Command::new(program("mosquitto_passwd")).arg("-b").arg(&passwords).args([USER, PASSWORD]));
    let (ca, certificate, key) = (place.ca(), place.certificate(), place.key());
    let tls = format!("certfile {}\nkeyfile {}\ncafile {}\n", text(&certificate), text(&key), text(&ca));
    let configuration = place.write(
        "mosquitto.conf",
        &format!(
            "per_listener_settings true
persistence false
log_dest stderr
listener {mqtt} 127.0.0.1
allow_anonymous true
listener {login} 127.0.0.1
allow_anonymous false
password_file {}
listener {mqtts} 127.0.0.1
allow_anonymous true
{tls}listener {certified} 127.0.0.1
allow_anonymous true
require_certificate true
{tls}listener {ws} 127.0.0.1
allow_anonymous true
protocol websockets
",
            text(&passwords)
        ),
    );
    place.give_to("mosquitto");
    let mut mosquitto = as_user("mosquitto", &program("mosquitto"));
    mosquitto.arg("-c").arg(configuration);
    let running = place.launch(&mosquitto).ready("mqtt", mqtt, CONNECT, "\x20\x02\0\0");
    running
        .ready("login", login, b"", "")
        .ready("mqtts", mqtts, b"", "")
        .ready("certified", certified, b"", "")
        .ready("ws", ws, b"", "")
}

/// A client without a name.
const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\x0a\0\0";
