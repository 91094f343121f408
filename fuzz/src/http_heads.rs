//! What a peer says to either side of CONNECT of HTTP/1.1.

use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::layer::opening::Opening;
use onionskin::runtime::Address;
use onionskin::stack::LayerId;
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tunnel::http1::{Connect, ConnectServer};
use onionskin::tunnel::{Credentials, Error, Grant};

use crate::{assert_bounded, drain, give_in_pieces, length};

/// What comes of it does not depend on how it is cut. Nothing that the application wrote leaves before the tunnel is there, and nothing
/// that the peer says before reaches the application; what is kept has a bound, and every error fits on a line.
pub fn http_heads(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let side = Side { is_client: input.arbitrary().unwrap_or(false), asks: input.arbitrary().unwrap_or(false) };
    let ends = input.arbitrary().unwrap_or(false);
    let piece = length(&mut input, 64).max(1);
    let said = input.take_rest();
    let said = &said[..said.len().min(60_000)];
    let whole = outcome(side, said, said.len(), ends);
    let cut = outcome(side, said, piece, ends);
    assert_eq!(whole, cut, "in pieces of {piece}");
}

#[derive(Clone, Copy)]
struct Side {
    is_client: bool,
    /// The client asks its application, and the server wants a user.
    asks: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    is_open: bool,
    lost: Option<String>,
    sent: String,
    read: String,
}

fn outcome(side: Side, said: &[u8], piece: usize, ends: bool) -> Outcome {
    let mut peer = Pair::new(Cut::Whole).left;
    let layer = match side {
        Side { is_client: true, asks } => {
            let connect = Connect::new(Address::to_host("a.example", 443).expect("it is a host"));
            peer.splice(Opening::of(if asks { connect.asking() } else { connect }))
        }
        Side { asks: true, .. } => peer.splice(Opening::of(ConnectServer::new().authenticating("onion"))),
        Side { .. } => peer.splice(Opening::of(ConnectServer::new())),
    };
    peer.write(SECRET);
    let (mut sent, mut read) = (drain(&mut peer), Vec::new());
    for piece in said.chunks(piece.max(1)) {
        give_in_pieces(&mut peer, piece, piece.len());
        go_on(&mut peer, layer, &mut sent, &mut read);
        if peer.stack.lost().is_some() {
            break;
        }
    }
    if ends {
        let now = peer.now();
        peer.stack.handle_eof(now);
        go_on(&mut peer, layer, &mut sent, &mut read);
    }
    let is_open = peer.stack.depth() == 0 && peer.stack.lost().is_none();
    let lost = peer.stack.lost().map(|reason| {
        let error = Error::of(reason).unwrap_or_else(|| panic!("{reason}"));
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        let kind = format!("{:?}", error.kind());
        kind.split(['(', ' ']).next().unwrap_or_default().to_owned()
    });
    Outcome { is_open, lost, sent: sent.escape_ascii().to_string(), read: read.escape_ascii().to_string() }
}

/// The application says yes to everything.
fn go_on(peer: &mut Peer, layer: LayerId, sent: &mut Vec<u8>, read: &mut Vec<u8>) {
    let now = peer.now();
    loop {
        let is_client = peer.stack.layer_as::<Opening<Connect>>(layer).is_some();
        let granted = match peer.stack.layer(layer).is_some_and(|layer| layer.asks()) {
            false => false,
            true if is_client => {
                let onion = Credentials::new("onion", "peel").expect("they are some");
                peer.stack
                    .with_layer(now, layer, |opening: &mut Opening<Connect>| opening.grant(onion))
                    .unwrap_or(false)
            }
            true => peer
                .stack
                .with_layer(now, layer, |opening: &mut Opening<ConnectServer>| opening.grant(Grant::default()))
                .unwrap_or(false),
        };
        let before = sent.len();
        sent.extend(drain(peer));
        let is_open = peer.stack.depth() == 0 && peer.stack.lost().is_none();
        let has_secret = sent[before..].windows(SECRET.len()).any(|sent| sent == SECRET);
        assert!(is_open || !has_secret, "a secret has left before there is a tunnel");
        assert_bounded(peer);
        let fresh = peer.read();
        assert!(
            fresh.is_empty() || peer.stack.layer(layer).is_none(),
            "what is said beforehand reaches the application"
        );
        read.extend(fresh);
        if !granted {
            return;
        }
    }
}

const SECRET: &[u8] = b"EHLO onion.example\r\n";
