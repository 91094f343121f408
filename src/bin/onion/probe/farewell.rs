//! How MySQL and MariaDB are left. A client that goes without having tried to log in is counted as a connect error of its
//! address, and after `max_connect_errors` of these (100 unless set) the server takes no more connections from there. One
//! that logs in and is turned away is not counted, so the probe tries as a user that nobody has, without a password.

use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::starttls::MysqlSeen;

use super::server::{Heard, Server};

/// What we claim before TLS and again behind it: protocol 4.1 and TLS among it, nothing but what is needed here.
pub(super) const CAPABILITIES: u32 = LONG_PASSWORD | PROTOCOL_41 | SSL | SECURE_CONNECTION | PLUGIN_AUTH;

/// Inside TLS: logs in as nobody, and says goodbye should that be allowed.
pub(super) async fn log_in_and_out(server: &Server, conn: &mut Connection<Socket>, said: &MysqlSeen) {
    let Some(greeting) = said.greeting() else { return };
    let mut words = packet(2, &log_in(CAPABILITIES & greeting.capabilities(), greeting.character_set()));
    for _ in 0..MAX_TURNS {
        let mut heard = Vec::new();
        let answered = |heard: &[u8]| whole(heard).map(|(number, payload)| (number, payload.first().copied()));
        match server.ask(conn, &words, &mut heard, answered).await {
            // Another way to prove a password: we have none in that way either.
            Heard::Answer((number, Some(SWITCH | MORE))) => words = packet(number.wrapping_add(1), &[]),
            Heard::Answer((_, Some(OK))) => {
                let _ = conn.send_all(&packet(0, &[QUIT])).await;
                return;
            }
            Heard::Answer(_) | Heard::End | Heard::Silence => return,
        }
    }
}

/// HandshakeResponse41, without a password.
fn log_in(capabilities: u32, character_set: u8) -> Vec<u8> {
    let mut response = capabilities.to_le_bytes().to_vec();
    response.extend(MAX_PACKET_OF_CLIENT.to_le_bytes());
    response.push(character_set);
    response.extend([0; 23]);
    response.extend(b"onion-probe\0\0");
    if capabilities & PLUGIN_AUTH != 0 {
        response.extend(b"mysql_native_password\0");
    }
    response
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes();
    [&[low, middle, high, number], payload].concat()
}

/// The number and the payload of the packet at the front, once all of it is there.
fn whole(heard: &[u8]) -> Option<(u8, &[u8])> {
    let [low, middle, high, number, rest @ ..] = heard else { return None };
    let len = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
    Some((*number, rest.get(..len)?))
}

/// Nobody has more to say about a password that is not there.
const MAX_TURNS: usize = 4;

const MAX_PACKET_OF_CLIENT: u32 = 1 << 24;

/// What an answer begins with.
const OK: u8 = 0;
const MORE: u8 = 1;
const SWITCH: u8 = 0xfe;

/// The command COM_QUIT.
const QUIT: u8 = 1;

const LONG_PASSWORD: u32 = 1;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_whole_when_all_of_it_is_there() {
        let said = packet(3, b"\xff\x15\x04no");
        for at in 0..said.len() {
            assert_eq!(whole(&said[..at]), None);
        }
        assert_eq!(whole(&said), Some((3, &b"\xff\x15\x04no"[..])));
    }
}
