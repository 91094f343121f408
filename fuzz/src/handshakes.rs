//! Two sides of TLS that want to talk, and a wire between them that does what the input says.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tls::Version;

use crate::world::{NAME, World};
use crate::{assert_bounded, give_in_pieces, length};

/// What is written arrives as it was written or not at all, and never leaves in clear.
pub fn handshakes(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let version = if input.arbitrary().unwrap_or(false) { Version::Tls13 } else { Version::Tls12 };
    let world = World::shared();
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(world.fresh_client(version).to(NAME).expect("the name is one"));
    pair.right.splice(world.server().accept().expect("the configuration is sound"));
    pair.left.write(SECRET);
    pair.right.write(ANSWER);
    pair.left.hold(true);
    pair.right.hold(true);
    let (mut heard, mut answer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let moved = pair.step();
        let arrived = [&mut pair.left, &mut pair.right].map(|peer| arrive(peer, &mut input).unwrap_or(false));
        heard.extend(pair.right.read());
        answer.extend(pair.left.read());
        if !moved && arrived == [false; 2] {
            break;
        }
    }
    assert!(SECRET.starts_with(&heard), "the server reads what the client has not written");
    assert!(ANSWER.starts_with(&answer), "the client reads what the server has not written");
    for (peer, secret) in [(&pair.left, SECRET), (&pair.right, ANSWER)] {
        assert!(!peer.sent().windows(secret.len()).any(|sent| sent == secret), "a secret has left in clear");
        assert_bounded(peer);
    }
}

/// What is on the wire arrives, as the input has it; whether anything was there.
fn arrive(peer: &mut Peer, input: &mut Unstructured<'_>) -> Result<bool> {
    let mut bytes = peer.intercept();
    if bytes.is_empty() {
        return Ok(false);
    }
    // Most of the time nothing happens to it, or no handshake would get anywhere.
    let damage = if input.is_empty() { 0 } else { input.int_in_range(0..=7_u8)? };
    let place = if damage > 2 { input.int_in_range(0..=bytes.len() - 1)? } else { 0 };
    match damage {
        3 => bytes[place] ^= input.arbitrary::<u8>()?,
        4 => bytes.truncate(place),
        5 => bytes.insert(place, input.arbitrary()?),
        6 => {
            let count = length(input, 64).min(input.len());
            bytes.splice(place..place, input.bytes(count)?.iter().copied());
        }
        7 => drop(bytes.remove(place)),
        _ => {}
    }
    let piece = if input.is_empty() { 0 } else { length(input, bytes.len().max(1)) };
    give_in_pieces(peer, &bytes, if piece == 0 { bytes.len() } else { piece });
    Ok(true)
}

const SECRET: &[u8] = b"a secret of the client, long enough to be found";
const ANSWER: &[u8] = b"an answer of the server, for one client only";

/// More than an honest handshake takes.
const ROUNDS: usize = 40;
