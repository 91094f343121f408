//! What a client offers and what is agreed on: read in its ClientHello, and in the facts of both sides.

use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::{CipherSuite, NamedGroup};
use onionskin::testing::Cut;
use onionskin::tls::{
    ConfigErrorKind, Group, Identity, KeyShares, Suite, TlsClient, TlsClientBuilder, TlsFacts, TlsLayer, TlsServer,
    Version,
};

use crate::common::client_hello::*;
use crate::common::layers::Tap;
use crate::common::link::{Case, Link, NAME, each_version, facts};
use crate::common::{Authority, BOTH};

struct Meeting {
    ca: Authority,
    link: Link,
}

/// What was said and agreed on by one layer.
struct Met {
    hellos: Vec<ClientHello>,
    client: TlsFacts,
    server: TlsFacts,
}

impl Meeting {
    fn new() -> Self {
        let case = Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false };
        let ca = Authority::new();
        let mut link = Link::new(case);
        link.server = ca.server(NAME, BOTH);
        Self { ca, link }
    }

    fn client(&self, change: impl FnOnce(TlsClientBuilder) -> TlsClientBuilder) -> TlsClient {
        change(TlsClient::builder(self.ca.roots())).build().unwrap()
    }

    /// One more layer inside those that are there.
    fn meet(&mut self, layer: TlsLayer) -> Met {
        let tap = Tap::default();
        self.link.left.splice(tap.clone());
        let (left, right) = (self.link.left.splice(layer), self.link.right_starts());
        self.link.run();
        self.link.assert_ready(left, right);
        self.link.talk();
        let hellos = ClientHello::all(&tap.seen());
        Met { hellos, client: facts(&self.link.left, left), server: facts(&self.link.right, right) }
    }
}

#[test]
#[cfg(feature = "aws-lc-rs")]
fn p5_the_hybrid_comes_first_with_its_share_and_that_of_x25519() {
    let mut meeting = Meeting::new();
    let client = meeting.client(|client| client);
    // The same at each depth.
    for _ in 0..3 {
        let met = meeting.meet(client.to(NAME).unwrap());
        let [hello] = &met.hellos[..] else { panic!("a HelloRetryRequest: {:?}", met.hellos) };
        assert_eq!(hello.groups, [X25519_ML_KEM_768, X25519, SECP256R1, SECP384R1]);
        assert_eq!(hello.shares, [(X25519_ML_KEM_768, 1216), (X25519, 32)]);
        for facts in [met.client, met.server] {
            assert_eq!(facts.key_exchange_group, Some(NamedGroup::X25519MLKEM768));
        }
    }
    assert_eq!(crate::common::link::tls_depth(&meeting.link.left), 3);
}

#[test]
fn p5_groups_are_offered_in_their_order_and_the_first_is_shared() {
    for (groups, numbers) in [
        ([Group::SECP384R1, Group::X25519], [SECP384R1, X25519]),
        ([Group::X25519, Group::SECP256R1], [X25519, SECP256R1]),
    ] {
        let mut meeting = Meeting::new();
        let client = meeting.client(|client| client.groups(groups));
        let met = meeting.meet(client.to(NAME).unwrap());
        let [hello] = &met.hellos[..] else { panic!("a HelloRetryRequest: {:?}", met.hellos) };
        assert_eq!(hello.groups, numbers);
        assert_eq!(hello.shares.iter().map(|share| share.0).collect::<Vec<_>>(), numbers[..1]);
        assert_eq!(met.client.key_exchange_group.map(u16::from), Some(numbers[0]));
        assert_eq!(met.server.key_exchange_group, met.client.key_exchange_group);
    }
}

/// What the shares are for: a server that has other groups costs one more round trip.
#[test]
fn p5_a_server_takes_its_groups_and_asks_again_for_a_share_that_it_misses() {
    let mut meeting = Meeting::new();
    let server = |groups: &[Group], ca: &Authority| {
        TlsServer::builder(ca.identity(NAME)).groups(groups.iter().copied()).build().unwrap()
    };
    for (group, hellos) in [(Group::X25519, 1), (Group::SECP256R1, 2), (Group::SECP384R1, 2)] {
        meeting.link.server = server(&[group], &meeting.ca);
        // Not the same client: it remembers what a server has taken.
        let client = meeting.client(|client| client);
        let met = meeting.meet(client.to(NAME).unwrap());
        assert_eq!(met.hellos.len(), hellos, "{group}: {:?}", met.hellos);
        assert_eq!(met.client.key_exchange_group.map(Group::from), Some(group));
        if let [_, again] = &met.hellos[..] {
            assert_eq!(again.shares.len(), 1);
            assert_eq!(Group::from(NamedGroup::from(again.shares[0].0)), group);
        }
    }
}

#[test]
#[cfg(feature = "aws-lc-rs")]
fn p5_one_share_or_two() {
    let mut meeting = Meeting::new();
    for (groups, shares, expected) in [
        (None, None, &[(X25519_ML_KEM_768, 1216), (X25519, 32)][..]),
        (None, Some(KeyShares::Two), &[(X25519_ML_KEM_768, 1216), (X25519, 32)]),
        (None, Some(KeyShares::One), &[(X25519_ML_KEM_768, 1216)]),
        (Some([Group::SECP256R1_ML_KEM_768, Group::SECP256R1]), None, &[(0x11eb, 1249), (SECP256R1, 65)]),
        (Some([Group::SECP256R1_ML_KEM_768, Group::SECP256R1]), Some(KeyShares::One), &[(0x11eb, 1249)]),
        (Some([Group::X25519, Group::X25519_ML_KEM_768]), Some(KeyShares::One), &[(X25519, 32)]),
    ] {
        let client = meeting.client(|mut client| {
            client = groups.map_or(client.clone(), |groups| client.groups(groups));
            shares.map_or(client.clone(), |shares| client.key_shares(shares))
        });
        meeting.link.server = TlsServer::builder(meeting.ca.identity(NAME))
            .groups([Group::X25519, Group::X25519_ML_KEM_768, Group::SECP256R1_ML_KEM_768])
            .build()
            .unwrap();
        let met = meeting.meet(client.to(NAME).unwrap());
        let [hello] = &met.hellos[..] else { panic!("a HelloRetryRequest: {:?}", met.hellos) };
        assert_eq!(hello.shares, expected);
        assert!(hello.groups.contains(&expected.last().unwrap().0));
        // What is not shared is still offered.
        assert_eq!(hello.groups.len(), groups.map_or(4, |groups| groups.len()));
        assert_eq!(met.client.key_exchange_group.map(u16::from), Some(expected[0].0));
    }
}

/// One share, and the classic group is still there for a server that has nothing else.
#[test]
#[cfg(feature = "aws-lc-rs")]
fn p5_a_group_that_is_not_shared_can_still_be_agreed_on() {
    let mut meeting = Meeting::new();
    meeting.link.server = TlsServer::builder(meeting.ca.identity(NAME)).groups([Group::X25519]).build().unwrap();
    for (shares, hellos) in [(KeyShares::One, 2), (KeyShares::Two, 1)] {
        let client = meeting.client(|client| client.key_shares(shares));
        let met = meeting.meet(client.to(NAME).unwrap());
        assert_eq!(met.hellos.len(), hellos);
        assert_eq!(met.client.key_exchange_group, Some(NamedGroup::X25519));
    }
}

#[test]
fn p5_versions_and_suites_are_offered_as_they_were_named() {
    let chacha = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    let aes = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    for (versions, suites, numbers) in [
        (&[Version::Tls13][..], &[chacha][..], &[TLS13][..]),
        (&[Version::Tls12], &[aes], &[TLS12]),
        (BOTH, &[aes, chacha], &[TLS13, TLS12]),
        // Nothing is left of a version that has no suite.
        (BOTH, &[chacha], &[TLS13]),
    ] {
        let mut meeting = Meeting::new();
        let client = meeting.client(|client| client.versions(versions).cipher_suites(suites.iter().copied()));
        let met = meeting.meet(client.to(NAME).unwrap());
        let hello = &met.hellos[0];
        assert_eq!(hello.versions, numbers);
        // TLS_EMPTY_RENEGOTIATION_INFO_SCSV comes with TLS 1.2.
        let offered: Vec<_> = hello.suites.iter().copied().filter(|&suite| suite != 0x00ff).collect();
        assert_eq!(offered, suites.iter().map(|&suite| u16::from(suite)).collect::<Vec<_>>());
        assert!(suites.contains(&met.client.cipher_suite.unwrap()));
        assert_eq!(hello.shares.is_empty(), !numbers.contains(&TLS13), "{hello:?}");
    }
}

/// What the server will not have ends in its alert, and the control is that it has the rest.
#[test]
fn p5_a_server_has_its_own_choice() {
    let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let mut meeting = Meeting::new();
    meeting.link.server = TlsServer::builder(meeting.ca.identity(NAME))
        .cipher_suites([Suite::from(suite)])
        .groups([Group::SECP256R1])
        .build()
        .unwrap();
    let client = meeting.client(|client| client);
    assert_eq!(meeting.meet(client.to(NAME).unwrap()).client.cipher_suite, Some(suite));
    for client in [
        meeting.client(|client| client.cipher_suites([CipherSuite::TLS13_AES_256_GCM_SHA384])),
        meeting.client(|client| client.groups([Group::X25519])),
    ] {
        let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
        link.left.splice(client.to(NAME).unwrap());
        link.right.splice(meeting.link.server.accept().unwrap());
        link.run();
        let said = link.left.lost().expect("there is nothing in common").to_string();
        assert!(said.contains("handshake_failure"), "{said}");
    }
}

#[test]
fn p5_one_connect_may_offer_protocols_of_its_own() {
    let mut meeting = Meeting::new();
    meeting.link.server =
        TlsServer::builder(meeting.ca.identity(NAME)).alpn(["imap", "http/1.1", "h2"]).build().unwrap();
    let client = meeting.client(|client| client.alpn(["h2", "http/1.1"]));
    for own in [None, Some(&["imap"][..]), Some(&["imap", "h2"]), Some(&[]), None] {
        let layer = own.map_or_else(|| client.to(NAME), |own| client.to_speak(NAME, own)).unwrap();
        let met = meeting.meet(layer);
        let expected = own.unwrap_or(&["h2", "http/1.1"]);
        assert_eq!(met.hellos[0].alpn, expected);
        let agreed = met.client.alpn.map(|alpn| String::from_utf8(alpn).unwrap());
        assert_eq!(agreed.is_some(), !expected.is_empty());
        assert!(agreed.is_none_or(|agreed| expected.contains(&&*agreed)));
    }
}

#[test]
fn p5_sessions_are_resumed_or_not() {
    each_version(1, |case| {
        let ca = Authority::new();
        // Whether the client offers a session in its second hello, and whether it would take one.
        let second = |wanted_by_client, wanted_by_server| {
            let client = TlsClient::builder(ca.roots()).versions(&[case.version]).resumption(wanted_by_client).build();
            let client = client.unwrap();
            let server = TlsServer::builder(ca.identity(NAME)).resumption(wanted_by_server).build().unwrap();
            let mut met = None;
            for _ in 0..2 {
                let mut meeting = Meeting::new();
                meeting.link.server = server.clone();
                met = Some(meeting.meet(client.to(NAME).unwrap()));
            }
            let met = met.unwrap();
            assert_eq!(met.client.resumed, met.server.resumed);
            let hello = &met.hellos[0];
            if case.version == Version::Tls12 {
                assert_eq!(hello.takes_ticket, wanted_by_client);
            }
            (!hello.tickets.is_empty(), met.client.resumed)
        };
        assert_eq!(second(true, true), (true, true));
        assert_eq!(second(false, true), (false, false));
        assert_eq!(second(true, false), (false, false));
    });
}

#[test]
fn p5_what_cannot_be_agreed_on_is_said_before_anything_is_sent() {
    let ca = Authority::new();
    let client = |change: &dyn Fn(TlsClientBuilder) -> TlsClientBuilder| {
        change(TlsClient::builder(ca.roots())).build().map_err(|error| (error.kind(), error.to_string()))
    };
    let x25519 = || [Group::X25519];
    client(&|client| client.groups(x25519())).unwrap();
    let mistakes: [(&dyn Fn(TlsClientBuilder) -> TlsClientBuilder, &str); 8] = [
        (&|client| client.groups([NamedGroup::FFDHE2048]), "no group FFDHE2048: it has "),
        (&|client| client.groups([Group::X25519, Group::X25519]), "the group X25519 is named twice"),
        (&|client| client.groups::<Group>([]), "without a group"),
        (&|client| client.cipher_suites::<Suite>([]), "without a cipher suite"),
        (
            &|client| client.cipher_suites([CipherSuite::TLS_RSA_WITH_AES_128_CBC_SHA]),
            "no cipher suite TLS_RSA_WITH_AES_128_CBC_SHA: it has TLS_",
        ),
        (&|client| client.groups(x25519()).key_shares(KeyShares::Two), "X25519 is none"),
        (&|client| client.key_shares(KeyShares::One).versions(&[Version::Tls12]), "key shares are of TLS 1.3"),
        (
            &|client| client.versions(&[Version::Tls12]).cipher_suites([CipherSuite::TLS13_AES_128_GCM_SHA256]),
            "TLS cannot be set up like this",
        ),
    ];
    for (change, expected) in mistakes {
        let (kind, said) = client(change).unwrap_err();
        assert_eq!(kind, ConfigErrorKind::Unsupported);
        assert!(said.contains(expected), "{said}");
    }
    if cfg!(feature = "aws-lc-rs") {
        let lonely = [Group::X25519_ML_KEM_768, Group::SECP256R1];
        let (_, said) = client(&|client| client.groups(lonely).key_shares(KeyShares::Two)).unwrap_err();
        assert!(said.contains("without X25519 among the groups"), "{said}");
    }
}

/// What `docs/performance.md` says of the size of a ClientHello.
#[test]
#[cfg(feature = "aws-lc-rs")]
fn p5_what_the_shares_cost() {
    let mut meeting = Meeting::new();
    let mut len = |change: &dyn Fn(TlsClientBuilder) -> TlsClientBuilder| {
        let client = meeting.client(change);
        let met = meeting.meet(client.to(NAME).unwrap());
        assert_eq!(met.hellos.len(), 1);
        met.hellos[0].len
    };
    let classic = [Group::X25519, Group::SECP256R1, Group::SECP384R1];
    let before = len(&|client| client.groups(classic));
    let one = len(&|client| client.key_shares(KeyShares::One));
    let two = len(&|client| client);
    assert_eq!(two - one, 36);
    // The share instead of one of 32 bytes, and its group in the list.
    assert_eq!(one - before, 1216 - 32 + 2);
    assert_eq!((before, one, two), (249, 1435, 1471), "for a name of {} bytes", NAME.len());
    assert!(before < SEGMENT && one < SEGMENT && SEGMENT < two);
}

/// What one segment of TCP carries over Ethernet, with timestamps.
#[cfg(feature = "aws-lc-rs")]
const SEGMENT: usize = 1448;

/// RSA and ECDSA under one name: each client gets the one whose signature it takes.
#[test]
fn p5_a_second_certificate_is_for_clients_that_do_not_take_the_first() {
    each_version(1, |case| {
        let ca = Authority::new();
        let [first, second, named_first, named_second] =
            [(NAME, RSA), (NAME, ECDSA), ("named.example", ECDSA), ("named.example", RSA)]
                .map(|(name, algorithm)| identity(&ca, name, algorithm));
        let server = TlsServer::builder(first.0)
            .also(second.0)
            .name("named.example", named_first.0)
            .name("NAMED.example", named_second.0)
            .build()
            .unwrap();
        let takes = |ecdsa: bool, rsa: bool| {
            let mut provider = (*onionskin::tls::default_provider().unwrap()).clone();
            let algorithms = &mut provider.signature_verification_algorithms;
            // What it takes of a certificate is `all`, and of a handshake `mapping`.
            algorithms.mapping = algorithms
                .mapping
                .iter()
                .copied()
                .filter(|(scheme, _)| if format!("{scheme:?}").starts_with("RSA") { rsa } else { ecdsa })
                .collect::<Vec<_>>()
                .leak();
            let client = TlsClient::builder(ca.roots()).versions(&[case.version]).provider(provider.into());
            client.build().unwrap()
        };
        let shown = |client: &TlsClient, name: &str| {
            let mut link = Link::new(case);
            let left = link.left.splice(client.to(name).unwrap());
            link.right.splice(server.accept().unwrap());
            link.run();
            link.talk();
            facts(&link.left, left).peer_certificates[0].clone()
        };
        for (ecdsa, rsa, expected, of_named) in [
            (true, true, &first.1, &named_first.1),
            (false, true, &first.1, &named_second.1),
            (true, false, &second.1, &named_first.1),
        ] {
            let client = takes(ecdsa, rsa);
            assert_eq!(&shown(&client, NAME), expected, "ECDSA {ecdsa}, RSA {rsa}");
            assert_eq!(&shown(&client, "named.example"), of_named, "ECDSA {ecdsa}, RSA {rsa}");
        }
        let twice = |one: &str, other: &str| {
            let builder = TlsServer::builder(identity(&ca, NAME, ECDSA).0).name(one, identity(&ca, NAME, ECDSA).0);
            builder.name(other, identity(&ca, NAME, ECDSA).0).build()
        };
        twice("a.example", "b.example").unwrap();
        let error = twice("a.example", "A.example").unwrap_err().to_string();
        assert_eq!(
            error,
            "two certificates for a.example have keys of the same kind, so the second would never be shown"
        );
    });
}

const RSA: &rcgen::SignatureAlgorithm = &rcgen::PKCS_RSA_SHA256;
const ECDSA: &rcgen::SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;

/// With the certificate itself, to know it again.
fn identity(
    ca: &Authority,
    name: &str,
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> (Identity, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = ca.sign(&rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap(), &key);
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    (identity, certificate.der().clone())
}

/// The client sees what the server has stapled, and is given nothing where nothing was.
#[test]
fn p5_what_is_stapled_is_seen() {
    // OCSPResponse { successful }, with responseBytes that nobody reads here.
    let response = [0x30, 7, 0x0a, 1, 0, 0xa0, 2, 0x30, 0];
    each_version(1, |case| {
        let ca = Authority::new();
        for stapled in [Some(&response), None] {
            let identity = ca.identity(NAME);
            let identity = match stapled {
                Some(response) => identity.stapling(response).unwrap(),
                None => identity,
            };
            let mut link = Link::new(case);
            (link.client, link.server) = (ca.client(&[case.version]), TlsServer::new(identity).unwrap());
            let (left, _) = link.start();
            assert_eq!(facts(&link.left, left).ocsp_response.as_deref(), stapled.map(|response| &response[..]));
        }
        for (response, expected) in [
            (&b"-----BEGIN OCSP RESPONSE-----"[..], "it is none in DER"),
            (&[], "it is none in DER"),
            (&[0x30, 3, 0x0a, 1, 3], "it says that there is no answer (status 3"),
        ] {
            let error = ca.identity(NAME).stapling(response).unwrap_err().to_string();
            assert!(error.starts_with("the OCSP response cannot be stapled: ") && error.contains(expected), "{error}");
        }
    });
}

/// A peer that reads once and takes what it has for all: it answers a ClientHello that fits, and one that does not fit never.
#[test]
#[cfg(feature = "aws-lc-rs")]
fn p5_a_peer_that_reads_one_segment_is_named_and_there_is_a_way_out() {
    let ca = Authority::new();
    let handshake = |change: &dyn Fn(TlsClientBuilder) -> TlsClientBuilder| {
        let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
        let client = change(TlsClient::builder(ca.roots())).build().unwrap();
        let layer = client.to(NAME).unwrap();
        let left = link.left.splice(layer);
        link.right.splice(ca.server(NAME, BOTH).accept().unwrap());
        link.right.hold(true);
        link.run();
        let hello = link.right.intercept();
        assert_eq!(ClientHello::all(&hello).len(), 1);
        link.right.hold(false);
        link.right.inject(&hello[..hello.len().min(SEGMENT)]);
        link.run();
        link.advance(std::time::Duration::from_secs(11));
        link.run();
        match link.left.lost() {
            Some(lost) => Err(lost.layer_error().map(|error| (error.kind(), lost.to_string()))),
            None => Ok(facts(&link.left, left).key_exchange_group),
        }
    };
    let Err(Some((kind, said))) = handshake(&|client| client) else { panic!("it read on") };
    assert_eq!(kind, onionskin::stack::LayerErrorKind::HandshakeTimeout);
    assert!(said.contains("layer #") && said.contains("shares=1:groups=X25519"), "{said}");
    assert_eq!(
        handshake(&|client| client.groups([Group::X25519, Group::X25519_ML_KEM_768]).key_shares(KeyShares::One)),
        Ok(Some(NamedGroup::X25519))
    );
    assert_eq!(handshake(&|client| client.key_shares(KeyShares::One)), Ok(Some(NamedGroup::X25519MLKEM768)));
}

/// The peer of the outer layer has a certificate for the inner one's name, and is not trusted for that: neither at first nor when it
/// has been met before.
#[test]
fn p5_who_is_trusted_in_one_layer_is_a_stranger_in_another() {
    each_version(2, |case| {
        let [outer, inner] = [Authority::new(), Authority::new()];
        let clients = [&outer, &inner].map(|ca| ca.client(&[case.version]));
        let servers = [&outer, &inner].map(|ca| ca.server(NAME, &[case.version]));
        let refused = |answers: usize| {
            let mut link = Link::new(case);
            for (client, server) in [(&clients[0], &servers[0]), (&clients[1], &servers[answers])] {
                link.left.splice(client.to(NAME).unwrap());
                link.right.splice(server.accept().unwrap());
                link.run();
            }
            match link.left.lost() {
                Some(lost) => lost.layer_error().unwrap().is_certificate(),
                None => {
                    link.talk();
                    false
                }
            }
        };
        for _ in 0..2 {
            assert_eq!([refused(0), refused(1)], [true, false]);
        }
    });
}
