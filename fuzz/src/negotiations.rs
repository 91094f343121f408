//! What a peer says before TLS, in every protocol that has STARTTLS, to either side.

use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::starttls::{KnownProtocol, Negotiate};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::Version;

use crate::world::{NAME, World};
use crate::{assert_bounded, drain, give_in_pieces, length};

/// Nothing of what the peer says reaches the application, nothing that the application wrote reaches the peer, and what is
/// kept and answered has a bound.
pub fn negotiations(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let (_, known) = *input.choose(KnownProtocol::ALL).expect("there are some");
    let is_client = input.arbitrary().unwrap_or(false);
    // Or else the peer only talks, and reads nothing until the end.
    let is_listening = input.arbitrary().unwrap_or(false);
    let world = World::shared();
    let tls = if is_client {
        world.fresh_client(Version::Tls12).to(NAME).expect("the name is one")
    } else {
        world.server().accept().expect("the configuration is sound")
    };
    let mut peer = Pair::new(Cut::Whole).left;
    peer.splice(Negotiate::new(&*known.peer(NAME, None), tls));
    peer.write(SECRET);
    let mut sent = Vec::new();
    while !input.is_empty() {
        let count = length(&mut input, 4096).min(input.len());
        let bytes = input.bytes(count).expect("there are as many");
        let piece = length(&mut input, bytes.len().max(1));
        give_in_pieces(&mut peer, bytes, if piece == 0 { bytes.len() } else { piece });
        assert_bounded(&peer);
        if is_listening {
            sent.extend(drain(&mut peer));
        }
        assert_eq!(peer.read(), b"", "what was said in clear reaches the application");
        if peer.stack.lost().is_some() {
            break;
        }
    }
    sent.extend(drain(&mut peer));
    assert!(!sent.windows(SECRET.len()).any(|sent| sent == SECRET), "a secret has left in clear");
}

const SECRET: &[u8] = b"AUTH PLAIN AG9uaW9uAHBlZWw=\r\n";
