//! SOCKS5 and SOCKS4a, clients and servers: rule by rule, and then every conversation at every byte.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod executor;

mod async_code;
mod callbacks;
mod client;
mod client4;
mod conversations;
mod damage;
mod every_byte;
mod server;
mod server4;

use onionskin::layer::opening::{Negotiation, Opening};
use onionskin::runtime::Address;
use onionskin::stack::{Event, LayerId, Reason};
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tunnel::socks::SocksServer;
use onionskin::tunnel::{Credentials, Error, ErrorKind, Grant, Question, Reason as Refused};

/// What a side has to say inside the tunnel, and nowhere else.
const SECRET: &[u8] = b"for the target alone";

fn target(text: &str) -> Address {
    format!("tcp {text}").parse().unwrap()
}

fn credentials() -> Credentials {
    Credentials::new("onion", "peel").unwrap()
}

/// A client on the left that has a secret for the target, and a server played by hand, which gives these answers, each when the
/// client has said what it is an answer to.
fn client(negotiation: impl Negotiation, answers: &[&[u8]]) -> Pair {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(Opening::of(negotiation));
    if pair.left.stack.lost().is_none() {
        pair.left.write(SECRET);
    }
    for answer in answers {
        pair.run();
        pair.left.inject(answer);
    }
    pair.run();
    pair
}

/// A server on the right, and a client played by hand, which says this in one segment.
fn server(server: SocksServer, says: &[u8]) -> (Pair, LayerId) {
    let mut pair = Pair::new(Cut::Whole);
    let layer = pair.right.splice(Opening::of(server));
    pair.left.write(says);
    pair.run();
    (pair, layer)
}

fn question(peer: &Peer, layer: LayerId) -> Option<Question> {
    peer.stack.layer_as::<Opening<SocksServer>>(layer)?.question().cloned()
}

fn grant(pair: &mut Pair, layer: LayerId, grant: Grant) {
    let now = pair.right.now();
    let granted = pair.right.stack.with_layer(now, layer, |opening: &mut Opening<SocksServer>| opening.grant(grant));
    assert!(granted.unwrap(), "something was asked");
    pair.run();
}

fn refuse(pair: &mut Pair, layer: LayerId, reason: Refused) {
    let now = pair.right.now();
    let refused =
        pair.right.stack.with_layer(now, layer, |opening: &mut Opening<SocksServer>| opening.refuse(reason.into()));
    assert!(refused.unwrap(), "something was asked");
    pair.run();
}

/// What a negotiation knows that has just left.
fn facts<N: Negotiation>(peer: &mut Peer) -> N::Facts {
    loop {
        if let Event::Ready(layer) = peer.stack.poll_event().expect("it is ready") {
            return peer.stack.opened(layer).unwrap().to::<Opening<N>>().unwrap().clone();
        }
    }
}

/// Why there is no tunnel.
#[track_caller]
fn error(peer: &Peer) -> Error {
    let reason = peer.lost().expect("the connection is lost");
    error_of(reason)
}

/// Of a loss that has a layer of SOCKS among those that it hit.
#[track_caller]
fn error_of(reason: &Reason) -> Error {
    let told = reason.to_string();
    assert_eq!(told.lines().count(), 1, "{told}");
    let layers = reason.layers().iter().find_map(|loss| Error::of(&loss.error));
    layers.unwrap_or_else(|| panic!("the negotiation is the reason, not: {reason}")).clone()
}

#[track_caller]
fn assert_kind(peer: &Peer, kind: &ErrorKind) {
    assert_eq!(error(peer).kind(), kind);
}

/// The sentence of a [`ErrorKind::Malformed`] or another one with a sentence.
#[track_caller]
fn assert_told(peer: &Peer, sentence: &str) {
    let told = peer.lost().expect("the connection is lost").to_string();
    assert!(told.contains(sentence) && told.lines().count() == 1, "{told}");
}
