//! Every conversation that leads to a tunnel, between our two sides: however the stream is cut, and with TLS below and above.

use onionskin::layer::opening::Opening;
use onionskin::stack::LayerId;
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tls::Version;
use onionskin::tunnel::Grant;
use onionskin::tunnel::socks::{Offer, Socks4a, Socks5, SocksServer};

use crate::common::link::{Case, Link};
use crate::{SECRET, credentials, question, target};

/// What the two sides say to each other until there is a tunnel.
pub(crate) struct Conversation {
    pub(crate) name: &'static str,
    /// Puts the client in.
    client: fn(&mut Peer) -> LayerId,
    server: fn() -> SocksServer,
    /// What the client says, and what the server answers to it.
    pub(crate) turns: &'static [(&'static [u8], &'static [u8])],
}

pub(crate) const CONVERSATIONS: &[Conversation] = &[
    Conversation {
        name: "a name, nobody logs in",
        client: |peer| peer.splice(Opening::of(Socks5::new(target("a.example:443")))),
        server: SocksServer::new,
        turns: &[(b"\x05\x01\0", b"\x05\0"), (b"\x05\x01\0\x03\x09a.example\x01\xbb", REPLY)],
    },
    Conversation {
        name: "an IPv6 address, somebody logs in",
        client: |peer| {
            let socks = Socks5::new(target("[2001:db8::1]:80")).credentials_offered(credentials(), Offer::LoginFirst);
            peer.splice(Opening::of(socks))
        },
        server: || SocksServer::new().authenticating(),
        turns: &[
            (b"\x05\x02\x02\0", b"\x05\x02"),
            (b"\x01\x05onion\x04peel", b"\x01\0"),
            (b"\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50", REPLY),
        ],
    },
    Conversation {
        name: "an IPv4 address, all at once",
        client: |peer| peer.splice(Opening::of(Socks5::new(target("192.0.2.1:80")).optimistic())),
        server: SocksServer::new,
        turns: &[(b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x01\0\x50", b"\x05\0\x05\0\0\x01\xc0\0\x02\x07\x1f\x90")],
    },
    Conversation {
        name: "SOCKS4a, a name",
        client: |peer| peer.splice(Opening::of(Socks4a::new(target("a.example:443")).user("onion"))),
        server: SocksServer::new,
        turns: &[(b"\x04\x01\x01\xbb\0\0\0\x01onion\0a.example\0", REPLY_4)],
    },
    Conversation {
        name: "SOCKS4a, an address",
        client: |peer| peer.splice(Opening::of(Socks4a::new(target("192.0.2.1:80")))),
        server: SocksServer::new,
        turns: &[(b"\x04\x01\0\x50\xc0\0\x02\x01\0", REPLY_4)],
    },
];

impl Conversation {
    /// All that the client says before there is a tunnel.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.turns.iter().map(|(said, _)| *said).collect::<Vec<_>>().concat()
    }

    /// All that the server says before there is a tunnel.
    pub(crate) fn answered(&self) -> Vec<u8> {
        self.turns.iter().map(|(_, answer)| *answer).collect::<Vec<_>>().concat()
    }

    /// A client that has a secret for the target.
    pub(crate) fn splice_client(&self, peer: &mut Peer) {
        (self.client)(peer);
        peer.write(SECRET);
    }

    pub(crate) fn splice_server(&self, peer: &mut Peer) -> LayerId {
        peer.splice(Opening::of((self.server)()))
    }
}

/// Runs a test for each of them. A panic is followed by the name of the conversation.
pub(crate) fn each_conversation(test: impl Fn(&Conversation)) {
    struct Named(&'static str);

    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("it was in the conversation: {}", self.0);
            }
        }
    }

    for conversation in CONVERSATIONS {
        let _named = Named(conversation.name);
        test(conversation);
    }
}

/// Lets both talk, and grants whatever the server on the right is asked; how often it was.
pub(crate) fn run_granting(pair: &mut Pair, layer: LayerId) -> usize {
    for asked in 0.. {
        pair.run();
        if question(&pair.right, layer).is_none() {
            return asked;
        }
        let grant = Grant::bound_to(target("192.0.2.7:8080"));
        let now = pair.right.now();
        let granted =
            pair.right.stack.with_layer(now, layer, |opening: &mut Opening<SocksServer>| opening.grant(grant));
        assert!(granted.unwrap());
    }
    unreachable!("a server asks twice at most");
}

const CUTS: [Cut; 7] =
    [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Pieces(3), Cut::Random(1), Cut::Random(2), Cut::Random(3)];

#[test]
fn k6_a_tunnel_is_exact_to_the_byte_however_the_stream_is_cut() {
    each_conversation(|conversation| {
        for cut in CUTS {
            let mut pair = Pair::new(cut);
            conversation.splice_client(&mut pair.left);
            let layer = conversation.splice_server(&mut pair.right);
            pair.right.write(SECRET);
            run_granting(&mut pair, layer);
            assert_eq!((pair.left.read(), pair.right.read()), (SECRET.to_vec(), SECRET.to_vec()), "{cut:?}");
            assert_eq!((pair.left.stack.depth(), pair.right.stack.depth()), (0, 0));
            assert_eq!(pair.left.sent(), [&conversation.said(), SECRET].concat(), "{cut:?}");
            assert_eq!(pair.right.sent(), [&conversation.answered(), SECRET].concat(), "{cut:?}");
        }
    });
}

#[test]
fn k6_what_comes_with_the_reply_is_the_targets_wherever_it_is_cut() {
    each_conversation(|conversation| {
        let (_, last) = conversation.turns.last().unwrap();
        let behind = [last, &b"\x05\0\x05\0\0\x01"[..]].concat();
        for cut in 0..=behind.len() {
            let mut pair = Pair::new(Cut::Whole);
            conversation.splice_client(&mut pair.left);
            let (_, before) = conversation.turns.split_last().unwrap();
            for (_, answer) in before {
                pair.run();
                pair.left.inject(answer);
            }
            for piece in [&behind[..cut], &behind[cut..]] {
                pair.run();
                pair.left.inject(piece);
            }
            pair.run();
            assert_eq!(pair.left.read(), b"\x05\0\x05\0\0\x01", "{cut}");
        }
    });
}

#[test]
fn k6_all_of_it_in_one_segment_is_what_a_server_understands() {
    each_conversation(|conversation| {
        let said = [&conversation.said(), SECRET].concat();
        for cut in 0..=said.len() {
            let mut pair = Pair::new(Cut::Whole);
            let layer = conversation.splice_server(&mut pair.right);
            for piece in [&said[..cut], &said[cut..]] {
                pair.right.inject(piece);
                pair.run();
            }
            run_granting(&mut pair, layer);
            assert_eq!(pair.right.read(), SECRET, "{cut}");
            assert_eq!(pair.right.sent(), conversation.answered());
        }
    });
}

#[test]
fn a_tunnel_is_negotiated_below_tls_and_above_it() {
    each_conversation(|conversation| {
        for (cut, version) in
            [(Cut::Whole, Version::Tls13), (Cut::Bytes, Version::Tls12), (Cut::Random(4), Version::Tls13)]
        {
            // TLS to the proxy, and TLS to the target.
            let mut link = Link::connected(Case { cut, version, depth: 1, padded: false });
            let outer = (link.left.sent().len(), link.right.sent().len());
            (conversation.client)(&mut link.left);
            let layer = conversation.splice_server(&mut link.right);
            let (inside, outside) = (link.client_layer(), link.server_layer());
            link.left.splice(inside);
            link.right.splice(outside);
            link.left.write(SECRET);
            link.right.write(SECRET);
            run_granting(&mut link.pair, layer);
            assert_eq!((link.left.read(), link.right.read()), (SECRET.to_vec(), SECRET.to_vec()), "{cut:?}");
            assert_eq!((link.left.stack.depth(), link.right.stack.depth()), (2, 2));
            assert!(link.left.sent().len() > outer.0 && link.right.sent().len() > outer.1);
        }
    });
}

const REPLY: &[u8] = b"\x05\0\0\x01\xc0\0\x02\x07\x1f\x90";
const REPLY_4: &[u8] = b"\0\x5a\x1f\x90\xc0\0\x02\x07";
