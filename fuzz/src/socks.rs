//! What a peer says in SOCKS5 and SOCKS4a, to either side.

use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::layer::opening::Opening;
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tunnel::socks::{Socks4a, Socks5, SocksServer};
use onionskin::tunnel::{Credentials, Grant, Question};

use crate::{assert_bounded, drain, give_in_pieces, length};

/// Without a tunnel nothing is read and nothing that was written for the target leaves. What a server hears does not depend on how it
/// is cut: it answers the same, and the same is the target's.
pub fn socks(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let (kind, piece) = (input.int_in_range(0..=4).unwrap_or(0), length(&mut input, 64));
    let words = input.take_rest();
    if kind < 3 {
        client(kind, words, piece);
        return;
    }
    let heard: Vec<Heard> = [1, piece, words.len()].map(|piece| server(kind == 4, words, piece)).into();
    assert!(heard.windows(2).all(|two| two[0] == two[1]), "it depends on the cut: {heard:?}");
}

fn client(kind: u8, words: &[u8], piece: usize) {
    let target = "tcp a.example:443".parse().expect("that is one");
    let mut peer = Pair::new(Cut::Whole).left;
    match kind {
        0 => {
            peer.splice(Opening::of(Socks5::new(target).credentials(Credentials::new("onion", "peel").expect("fine"))))
        }
        1 => peer.splice(Opening::of(Socks5::new(target).optimistic())),
        _ => peer.splice(Opening::of(Socks4a::new(target))),
    };
    peer.write(SECRET);
    give_in_pieces(&mut peer, words, piece);
    assert_bounded(&peer);
    let has_told = drain(&mut peer).windows(SECRET.len()).any(|sent| sent == SECRET);
    let read = peer.read();
    let is_open = peer.stack.depth() == 0 && peer.stack.lost().is_none();
    assert_eq!(has_told, is_open);
    assert!(is_open || read.is_empty());
    assert!(words.ends_with(&read), "the target's words are the last ones");
}

/// What a server was asked, what it has answered, and what it takes for the target's.
type Heard = (Vec<Question>, Vec<u8>, Vec<u8>);

fn server(is_authenticating: bool, words: &[u8], piece: usize) -> Heard {
    let mut peer = Pair::new(Cut::Whole).left;
    let server = if is_authenticating { SocksServer::new().authenticating() } else { SocksServer::new() };
    let layer = peer.splice(Opening::of(server));
    let mut asked = Vec::new();
    let mut sent = Vec::new();
    for piece in words.chunks(piece.max(1)) {
        give_in_pieces(&mut peer, piece, piece.len());
        asked.extend(grant_all(&mut peer, layer));
        sent.extend(drain(&mut peer));
        assert_bounded(&peer);
    }
    (asked, sent, peer.read())
}

fn grant_all(peer: &mut Peer, layer: onionskin::stack::LayerId) -> Vec<Question> {
    let mut asked = Vec::new();
    while let Some(question) =
        peer.stack.layer_as::<Opening<SocksServer>>(layer).and_then(|opening| opening.question().cloned())
    {
        asked.push(question);
        let now = peer.now();
        let grant = |opening: &mut Opening<SocksServer>| opening.grant(Grant::default());
        assert!(peer.stack.with_layer(now, layer, grant).expect("it is there"), "it has asked");
    }
    asked
}

const SECRET: &[u8] = b"for the target alone";
