//! What is fuzzed: one function for each target, which panics when a rule is broken.
//!
//! A target is more than "it does not panic": each says what must hold whatever the input is (nothing is read that was not
//! written, nothing that is secret leaves in clear, what is kept has a bound, what is printed parses back). The peers and the
//! model are those of the tests, so a finding here becomes a test there with little more than its bytes.
//!
//! | file | target | input |
//! |---|---|---|
//! | `records.rs` | [`records`] | records of TLS 1.3 behind the handshake, from a peer with the keys |
//! | `handshakes.rs` | [`handshakes`] | two sides of TLS, with the wire between them damaged |
//! | `scripts.rs` | [`scripts`] | starts, stops, splices, removals, reads and writes of two peers, held against the model |
//! | `negotiations.rs` | [`negotiations`] | what a peer says before TLS, in every protocol, to either side |
//! | `http_heads.rs` | [`http_heads`] | what a peer says to either side of CONNECT of HTTP/1.1, whole and cut |
//! | `http2.rs` | [`http2`] | what a peer says in HTTP/2 to either side of many tunnels, frame by frame and cut |
//! | `proxy_headers.rs` | [`proxy_headers`] | PROXY headers of both versions |
//! | `socks.rs` | [`socks`] | SOCKS5 and SOCKS4a, to either side |
//! | `endpoints.rs` | [`endpoints`] | endpoint strings |
//! | `policies.rs` | [`policies`] | policies of streams |
//! | `framers.rs` | [`framers`] | lines, netstrings and strings with a length before them |
//! | `deflate.rs` | [`deflate`] | compressed streams |
//! | `commands.rs` | [`commands`] | the onion line protocol of the command |

#![allow(dead_code, unused_imports, reason = "what the tests have is used in part")]

mod commands;
mod deflate;
mod endpoints;
mod framers;
mod handshakes;
mod http2;
mod http_heads;
mod negotiations;
mod policies;
mod proxy_headers;
mod records;
mod scripts;
mod socks;

// Pieces of the tests and of the command, under the names that they call each other by.
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/connection/executor.rs"]
mod executor;
#[path = "../../tests/scripts/model.rs"]
mod model;
#[path = "../../tests/behaviour/oracle.rs"]
mod oracle;
#[path = "../../tests/http_connect/outcome.rs"]
mod outcome;
#[path = "../../src/bin/onion/protocol.rs"]
mod protocol;
#[path = "../../tests/http2/server/raw.rs"]
mod raw;
#[path = "../../tests/streams/rules.rs"]
mod rules;
#[path = "../../tests/scripts/script.rs"]
mod script;
#[path = "../../tests/scripts/world.rs"]
mod world;

pub use self::commands::commands;
pub use self::deflate::deflate;
pub use self::endpoints::endpoints;
pub use self::framers::framers;
pub use self::handshakes::handshakes;
pub use self::http_heads::http_heads;
pub use self::http2::http2;
pub use self::negotiations::negotiations;
pub use self::policies::policies;
pub use self::proxy_headers::proxy_headers;
pub use self::records::records;
pub use self::scripts::scripts;
pub use self::socks::socks;

use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::stack::Output;
use onionskin::testing::Peer;

/// The most bytes that either direction of one boundary holds, unless a test sets it otherwise.
const BOUNDARY: usize = 128 * 1024;

/// Hands over what is in the input from here on, in pieces as long as the input says.
fn give_in_pieces(peer: &mut Peer, bytes: &[u8], piece: usize) {
    let now = peer.now();
    for piece in bytes.chunks(piece.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = peer.stack.handle_input(now, rest);
            if taken == 0 {
                // Full, or at an end: the wire would make the sender wait.
                return;
            }
            rest = &rest[taken..];
        }
    }
}

/// Takes what there is to send.
fn drain(peer: &mut Peer) -> Vec<u8> {
    let (now, mut sent) = (peer.now(), Vec::new());
    while let Output::Bytes(bytes) = peer.stack.poll_output() {
        sent.extend_from_slice(bytes);
        let count = bytes.len();
        peer.stack.handle_sent(now, count);
    }
    sent
}

/// No direction of any boundary holds more than its limit. A layer that answers by itself may go over it by one answer.
#[track_caller]
fn assert_bounded(peer: &Peer) {
    let boundaries = peer.stack.depth() + 1;
    let (inbound, outbound) = (peer.stack.inbound_len(), peer.stack.outbound_len());
    let most = boundaries * (BOUNDARY + ANSWER);
    assert!(inbound <= most, "{inbound} bytes wait to be read at depth {}", boundaries - 1);
    assert!(outbound <= most, "{outbound} bytes wait to be sent at depth {}", boundaries - 1);
}

/// The longest thing that a layer says by itself.
const ANSWER: usize = 17 * 1024;

/// A length with small ones more often than large ones.
fn length(input: &mut Unstructured<'_>, most: usize) -> usize {
    let shift: u32 = input.int_in_range(0..=most.ilog2()).unwrap_or(0);
    input.int_in_range(0..=(1 << shift).min(most)).unwrap_or(0)
}
