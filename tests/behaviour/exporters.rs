//! Keying material and channel bindings, of each layer by itself: as rustls derives them for its own connections.

use std::sync::Arc;

use onionskin::rustls::{self, CipherSuite};
use onionskin::stack::{LayerErrorKind, LayerId};
use onionskin::testing::Peer;
use onionskin::tls::{ChannelBinding, Identity, Roots, TlsClient, TlsLayer, TlsServer, Version};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::link::{Case, Link, NAME, each, each_version};

/// Label, context, and length.
type Wanted = (&'static [u8], Option<&'static [u8]>, usize);

const WANTED: [Wanted; 6] = [
    (b"EXPERIMENTAL a", None, 32),
    (b"EXPERIMENTAL a", Some(b""), 32),
    (b"EXPERIMENTAL a", Some(b"context"), 32),
    (b"EXPERIMENTAL b", Some(b"context"), 1),
    (b"EXPERIMENTAL b", None, 300),
    (b"EXPORTER-Channel-Binding", Some(b""), 32),
];

fn exported(peer: &mut Peer, layer: LayerId, (label, context, length): Wanted) -> Vec<u8> {
    let mut output = vec![0; length];
    let tls: &dyn std::any::Any = peer.stack.layer(layer).unwrap();
    tls.downcast_ref::<TlsLayer>().unwrap().export_keying_material(&mut output, label, context).unwrap();
    output
}

fn binding(peer: &mut Peer, layer: LayerId, binding: ChannelBinding) -> Result<Vec<u8>, String> {
    let tls: &dyn std::any::Any = peer.stack.layer(layer).unwrap();
    tls.downcast_ref::<TlsLayer>().unwrap().channel_binding(binding).map_err(|error| error.to_string())
}

/// A buffered connection of rustls, inside the layers of one side.
fn converse(link: &mut Link, conn: &mut rustls::Connection, is_right: bool) {
    for _ in 0..20 {
        let mut out = Vec::new();
        while conn.wants_write() {
            conn.write_tls(&mut out).unwrap();
        }
        let peer = if is_right { &mut link.pair.right } else { &mut link.pair.left };
        peer.write(&out);
        link.run();
        let peer = if is_right { &mut link.pair.right } else { &mut link.pair.left };
        let said = peer.read();
        let mut said = &said[..];
        while !said.is_empty() {
            conn.read_tls(&mut said).unwrap();
            conn.process_new_packets().unwrap();
        }
    }
    assert!(!conn.is_handshaking());
}

#[test]
fn p8_both_sides_and_rustls_derive_the_same_at_each_depth() {
    each(1..=2, |case| {
        // As client and as server; the second time a session is resumed.
        for _ in 0..2 {
            for ours_is_client in [true, false] {
                let mut link = Link::outer(case);
                let (layer, mut conn): (_, rustls::Connection) = if ours_is_client {
                    let layer = link.left_starts();
                    (layer, rustls::ServerConnection::new(link.server.to_rustls()).unwrap().into())
                } else {
                    let layer = link.right_starts();
                    let name = NAME.try_into().unwrap();
                    (layer, rustls::ClientConnection::new(link.client.to_rustls(), name).unwrap().into())
                };
                converse(&mut link, &mut conn, ours_is_client);
                let ours = if ours_is_client { &mut link.pair.left } else { &mut link.pair.right };
                for wanted @ (label, context, length) in WANTED {
                    let theirs = conn.export_keying_material(vec![0; length], label, context).unwrap();
                    assert_eq!(exported(ours, layer, wanted), theirs, "{:?}", label.escape_ascii().to_string());
                }
                let theirs = conn.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
                assert_eq!(binding(ours, layer, ChannelBinding::Exporter).unwrap(), theirs);
            }
        }
    });
}

#[test]
fn p8_each_layer_has_its_own_and_so_has_each_connection() {
    each_version(3, |case| {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut link = Link::new(case);
            for _ in 0..case.depth {
                let (left, right) = link.start();
                for wanted in WANTED.into_iter().filter(|wanted| wanted.2 >= 32) {
                    let ours = exported(&mut link.pair.left, left, wanted);
                    assert_eq!(ours, exported(&mut link.pair.right, right, wanted));
                    seen.push(ours);
                }
                let end_point = |peer| binding(peer, left, ChannelBinding::ServerEndPoint).unwrap();
                assert_eq!(
                    end_point(&mut link.pair.left),
                    binding(&mut link.pair.right, right, ChannelBinding::ServerEndPoint).unwrap()
                );
            }
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        // In TLS 1.3 no context is the same as an empty one.
        let alike = if case.version == Version::Tls13 { 2 * case.depth } else { 0 };
        assert_eq!(seen.len(), all - alike);
    });
}

/// A session that is resumed has other keys, and a server is still called by its certificate.
#[test]
fn p8_a_resumed_session_has_bindings_of_its_own() {
    each_version(1, |case| {
        let first = Link::new(case);
        let (client, server) = (first.client.clone(), first.server.clone());
        let mut seen = Vec::new();
        for resumed in [false, true] {
            let mut link = Link::new(case);
            (link.client, link.server) = (client.clone(), server.clone());
            let (left, right) = link.start();
            link.talk();
            assert_eq!(crate::common::link::facts(&link.left, left).resumed, resumed);
            let both = [ChannelBinding::Exporter, ChannelBinding::ServerEndPoint].map(|kind| {
                let ours = binding(&mut link.pair.left, left, kind).unwrap();
                assert_eq!(ours, binding(&mut link.pair.right, right, kind).unwrap());
                ours
            });
            seen.push(both);
        }
        assert_ne!(seen[0][0], seen[1][0]);
        assert_eq!(seen[0][1], seen[1][1]);
    });
}

#[test]
fn p8_the_digest_of_a_server_follows_how_its_certificate_is_signed() {
    type Digest = fn(&[u8]) -> Vec<u8>;
    let kinds: &[(&'static rcgen::SignatureAlgorithm, Option<Digest>)] = &[
        (&rcgen::PKCS_ECDSA_P256_SHA256, Some(|bytes| digest(CipherSuite::TLS13_AES_128_GCM_SHA256, bytes))),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Some(|bytes| digest(CipherSuite::TLS13_AES_256_GCM_SHA384, bytes))),
        // No cipher suite has this hash.
        #[cfg(feature = "aws-lc-rs")]
        (
            &rcgen::PKCS_RSA_SHA512,
            Some(|bytes| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes).as_ref().to_vec()),
        ),
        (&rcgen::PKCS_ED25519, None),
    ];
    for &(algorithm, hash) in kinds {
        each_version(1, |case| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm).unwrap()).unwrap();
            let key = KeyPair::generate().unwrap();
            let own = CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
            let identity = Identity::from_pem(own.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            let mut link = Link::new(case);
            link.client = TlsClient::builder(Roots::from_pem(issuer.pem().as_bytes()).unwrap())
                .versions(&[case.version])
                .build()
                .unwrap();
            link.server = TlsServer::new(identity).unwrap();
            let (left, right) = link.start();
            let expected = hash.map(|hash| hash(own.der()));
            for found in [
                binding(&mut link.pair.left, left, ChannelBinding::ServerEndPoint),
                binding(&mut link.pair.right, right, ChannelBinding::ServerEndPoint),
            ] {
                match &expected {
                    Some(expected) => assert_eq!(&found.unwrap(), expected),
                    None => assert!(found.unwrap_err().contains("tls-server-end-point")),
                }
            }
        });
    }
}

/// With the hash of this cipher suite.
fn digest(suite: CipherSuite, bytes: &[u8]) -> Vec<u8> {
    let provider = onionskin::tls::default_provider().unwrap();
    let suite = provider.cipher_suites.iter().find(|known| known.suite() == suite).unwrap();
    suite.tls13().unwrap().common.hash_provider.hash(bytes).as_ref().to_vec()
}

#[test]
fn p8_what_cannot_be_derived_is_said() {
    each_version(1, |case: Case| {
        let mut link = Link::new(case);
        let (left, right) = (link.left_starts(), link.right_starts());
        let export = |link: &Link, layer, label: &[u8], context: Option<&[u8]>, length| {
            let tls: &dyn std::any::Any = link.left.stack.layer(layer).unwrap();
            let tls = tls.downcast_ref::<TlsLayer>().unwrap();
            let exported = tls.export_keying_material(&mut vec![0; length], label, context);
            exported.map_err(|error| {
                assert_eq!(error.kind(), LayerErrorKind::Unsupported);
                error.to_string()
            })
        };
        assert!(export(&link, left, b"a", None, 1).unwrap_err().contains("a handshake that is done"));
        link.run();
        link.assert_ready(left, right);
        export(&link, left, b"a", None, 1).unwrap();
        export(&link, left, &[b'a'; 249], Some(&[0; 65_535]), 1).unwrap();
        for (label, context, length, expected) in [
            (&b""[..], &[][..], 1, "1 to 249 bytes"),
            (&[b'a'; 250], &[], 1, "1 to 249 bytes"),
            (b"a", &[0; 65_536], 1, "at most 65,535"),
            (b"a", &[], 0, "no bytes"),
        ] {
            let said = export(&link, left, label, Some(context), length).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let much = export(&link, left, b"a", None, 255 * 48 + 1);
        assert_eq!(much.is_err(), case.version == Version::Tls13, "{much:?}");
    });
}

/// A log that was asked for gets what it always got, and one that was not gets nothing.
#[test]
fn p8_a_key_log_is_told_no_more_than_it_asks_for() {
    #[derive(Debug, Default)]
    struct Log(std::sync::Mutex<Vec<String>>, bool);

    impl rustls::KeyLog for Log {
        fn log(&self, label: &str, _: &[u8], _: &[u8]) {
            self.0.lock().unwrap().push(label.to_owned());
        }

        fn will_log(&self, _: &str) -> bool {
            self.1
        }
    }

    each_version(1, |case| {
        for wanted in [true, false] {
            let log = Arc::new(Log(std::sync::Mutex::default(), wanted));
            let mut link = Link::new(case);
            let mut config = (*link.client.to_rustls()).clone();
            config.key_log = Arc::<Log>::clone(&log);
            link.client = TlsClient::from_rustls(Arc::new(config)).unwrap();
            let (left, _) = link.start();
            exported(&mut link.pair.left, left, WANTED[0]);
            let label = if case.version == Version::Tls13 { "EXPORTER_SECRET" } else { "CLIENT_RANDOM" };
            let labels = log.0.lock().unwrap();
            assert_eq!(labels.iter().filter(|logged| *logged == label).count(), usize::from(wanted), "{labels:?}");
            assert!(wanted || labels.is_empty());
        }
    });
}

/// Nothing of a secret is in what a layer shows.
#[test]
fn p8_no_secret_is_shown() {
    each_version(1, |case| {
        let mut link = Link::new(case);
        let (left, _) = link.start();
        let tls: &dyn std::any::Any = link.left.stack.layer(left).unwrap();
        let shown = format!("{:?}", tls.downcast_ref::<TlsLayer>().unwrap());
        assert!(!shown.contains("secret") && shown.contains("TlsLayer"), "{shown}");
    });
}
