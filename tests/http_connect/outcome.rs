//! What comes of what a peer says to either side of CONNECT. `fuzz/` has it too.

use onionskin::layer::opening::Opening;
use onionskin::runtime::Address;
use onionskin::stack::{Layer, LayerId, Output};
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tunnel::http1::{Connect, ConnectServer};
use onionskin::tunnel::{Credentials, Error, Grant};

/// Who is told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) is_client: bool,
    /// The client asks its application, and the server wants a user.
    pub(crate) asks: bool,
}

impl Side {
    /// Whether the same bytes always come to the same. What stands behind a challenge may come before the second request or be
    /// taken for its answer.
    pub(crate) fn is_sure(self) -> bool {
        !(self.is_client && self.asks)
    }
}

/// What has come of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) is_open: bool,
    /// The kind of the error.
    pub(crate) lost: Option<String>,
    pub(crate) sent: String,
    pub(crate) read: String,
}

/// Whole or in pieces, it is the same; and on the way nothing leaves or arrives before there is a tunnel.
pub(crate) fn outcome(side: Side, said: &[u8], piece: usize, ends: bool) -> Outcome {
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
        let now = peer.now();
        assert_eq!(peer.stack.handle_input(now, piece), piece.len(), "there is room");
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
        let granted = match peer.stack.layer(layer).is_some_and(Layer::asks) {
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
        assert!(peer.stack.outbound_len() <= SECRET.len() + 4096, "{} bytes wait", peer.stack.outbound_len());
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

fn drain(peer: &mut Peer) -> Vec<u8> {
    let (now, mut sent) = (peer.now(), Vec::new());
    while let Output::Bytes(bytes) = peer.stack.poll_output() {
        sent.extend_from_slice(bytes);
        let count = bytes.len();
        peer.stack.handle_sent(now, count);
    }
    sent
}
