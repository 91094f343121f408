//! What can be known of a layer.

use std::time::Duration;

use onionskin::rustls::{CipherSuite, NamedGroup};
use onionskin::stack::LayerId;
use onionskin::tls::{Role, TlsClient, TlsServer, Verify, Version};

use crate::common::Authority;
use crate::common::link::{DEPTHS, Link, NAME, ONE, each, each_version, facts, tls_depth};

/// Starts one layer of these configurations on each side.
fn start_with(link: &mut Link, client: &TlsClient, server: &TlsServer) -> (LayerId, LayerId) {
    let left = link.left_splices(client.to(NAME).unwrap());
    let right = link.right_splices(server.accept().unwrap());
    link.run();
    link.assert_ready(left, right);
    (left, right)
}

#[test]
fn both_sides_know_what_was_agreed() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let (left, right) = link.start();
        let (left, right) = (facts(&link.left, left), facts(&link.right, right));
        let version = case.version;
        assert_eq!((left.role, right.role), (Role::Client, Role::Server));
        assert_eq!((left.version, right.version), (Some(version), Some(version)));
        assert!(left.cipher_suite.is_some());
        assert_eq!(left.cipher_suite, right.cipher_suite);
        assert_eq!(left.key_exchange_group, right.key_exchange_group);
        assert_eq!((left.alpn, right.alpn), (None, None));
        assert_eq!(left.server_name.as_deref(), Some(NAME));
        assert_eq!(right.server_name.as_deref(), Some(NAME));
        assert_eq!(left.peer_certificates.len(), 1);
        assert!(right.peer_certificates.is_empty(), "the client had none to show");
    });
}

#[test]
fn the_suite_and_the_group_are_those_of_this_connection() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let (left, _) = link.start();
        let facts = facts(&link.left, left);
        let suite = facts.cipher_suite.unwrap();
        assert_eq!(suite.as_str().unwrap().starts_with("TLS13_"), case.version == Version::Tls13, "{suite:?}");
        assert_ne!(suite, CipherSuite::TLS_NULL_WITH_NULL_NULL);
        let group = facts.key_exchange_group.unwrap();
        assert!([NamedGroup::X25519, NamedGroup::X25519MLKEM768].contains(&group), "{group:?}");
    });
}

#[test]
fn nothing_is_known_before_the_handshake_is_done() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        link.run();
        let facts = facts(&link.left, left);
        assert_eq!(facts.layer, left);
        assert_eq!((facts.version, facts.cipher_suite, facts.handshake_time), (None, None, None));
        assert_eq!(facts.version_name(), "handshaking");
        assert!(facts.peer_certificates.is_empty());
    });
}

#[test]
fn the_server_knows_the_name_it_was_asked_for() {
    each(ONE, |case| {
        let ca = Authority::new();
        let mut link = Link::outer(case);
        let client = TlsClient::builder(Verify::nothing()).versions(&[case.version]).build().unwrap();
        let left = link.left_splices(client.to("Other.Example").unwrap());
        let right = link.right_splices(ca.server(NAME, &[case.version]).accept().unwrap());
        link.run();
        link.assert_ready(left, right);
        assert_eq!(facts(&link.right, right).server_name.as_deref(), Some("other.example"));
        assert_eq!(facts(&link.left, left).server_name.as_deref(), Some("Other.Example"));
    });
}

#[test]
fn there_is_no_sni_for_an_address() {
    each_version(1, |case| {
        let ca = Authority::new();
        let mut link = Link::outer(case);
        let left = link.left_splices(ca.client(&[case.version]).to("192.0.2.7").unwrap());
        let right = link.right_splices(ca.server("192.0.2.7", &[case.version]).accept().unwrap());
        link.run();
        link.assert_ready(left, right);
        assert_eq!(facts(&link.left, left).server_name.as_deref(), Some("192.0.2.7"));
        assert_eq!(facts(&link.right, right).server_name, None);
    });
}

#[test]
fn alpn_is_known_to_both_sides_and_belongs_to_its_layer() {
    each(1..=2, |case| {
        let ca = Authority::new();
        let (versions, mut link) = (&[case.version], Link::outer(case));
        let client = TlsClient::builder(ca.roots()).versions(versions).alpn(["imap", "xmpp-client"]).build().unwrap();
        let server = TlsServer::builder(ca.identity(NAME)).versions(versions).alpn(["xmpp-client"]).build().unwrap();
        let (left, right) = start_with(&mut link, &client, &server);
        assert_eq!(facts(&link.left, left).alpn.as_deref(), Some(&b"xmpp-client"[..]));
        assert_eq!(facts(&link.right, right).alpn.as_deref(), Some(&b"xmpp-client"[..]));
        let outermost = link.left.stack.layers().find(|(_, layer)| layer.name() == "tls").unwrap().0;
        assert_eq!(facts(&link.left, outermost).alpn.is_some(), case.depth == 1);
    });
}

fn resumed(link: &Link, (left, right): (LayerId, LayerId)) -> (bool, bool) {
    (facts(&link.left, left).resumed, facts(&link.right, right).resumed)
}

#[test]
fn the_second_start_of_shared_configurations_resumes() {
    each(ONE, |case| {
        let mut link = Link::outer(case);
        let first = link.start();
        assert_eq!(resumed(&link, first), (false, false));
        // Tickets of TLS 1.3 come behind the handshake.
        link.talk();
        link.stop();
        let second = link.start();
        assert_eq!(resumed(&link, second), (true, true));
        assert_eq!(facts(&link.left, second.0).peer_certificates.len(), 1, "remembered");
        link.talk();
    });
}

#[test]
fn an_inner_layer_resumes_its_own_session_and_not_that_of_an_outer_one() {
    each(2..=2, |case| {
        let mut link = Link::outer(case);
        let inner = link.start();
        assert_eq!(resumed(&link, inner), (false, false));
        link.talk();
        link.stop();
        let inner = link.start();
        assert_eq!(resumed(&link, inner), (true, true));
        link.talk();
    });
}

#[test]
fn other_configurations_do_not_resume() {
    each(ONE, |case| {
        let ca = Authority::new();
        let mut link = Link::outer(case);
        for _ in 0..2 {
            let (client, server) = (ca.client(&[case.version]), ca.server(NAME, &[case.version]));
            let layers = start_with(&mut link, &client, &server);
            assert_eq!(resumed(&link, layers), (false, false));
            link.talk();
            link.stop();
        }
    });
}

#[test]
fn the_handshake_is_timed_from_the_splice_to_its_end() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let left = link.left_starts();
        link.advance(Duration::from_secs(3));
        let right = link.right_starts();
        link.run();
        link.advance(Duration::from_secs(4));
        assert_eq!(facts(&link.left, left).handshake_time, Some(Duration::from_secs(3)));
        assert_eq!(facts(&link.right, right).handshake_time, Some(Duration::ZERO));
    });
}

#[test]
fn bytes_and_records_are_counted_each_way() {
    each(DEPTHS, |case| {
        let mut link = Link::outer(case);
        let (left, right) = link.start();
        for _ in 0..3 {
            link.left.write(b"ten bytes.");
            link.run();
        }
        link.right.write(b"four");
        link.run();
        link.left.read();
        link.right.read();
        let (left, right) = (facts(&link.left, left).traffic, facts(&link.right, right).traffic);
        assert_eq!((left.bytes_out, left.records_out, left.bytes_in, left.records_in), (30, 3, 4, 1));
        assert_eq!((right.bytes_out, right.records_out, right.bytes_in, right.records_in), (4, 1, 30, 3));
        assert_eq!(left.wire_bytes_out, right.wire_bytes_in);
        assert_eq!(right.wire_bytes_out, left.wire_bytes_in);
        if case.depth == 1 {
            assert_eq!(left.wire_bytes_out, link.left.sent().len() as u64);
            assert_eq!(right.wire_bytes_out, link.right.sent().len() as u64);
        }
    });
}

#[test]
fn what_an_inner_layer_sends_is_what_its_outer_layer_carries() {
    each_version(2, |case| {
        let mut link = Link::connected(case);
        link.talk();
        assert_eq!(tls_depth(&link.left), 2);
        let layers: Vec<LayerId> = link.left.stack.layers().map(|(id, _)| id).collect();
        let (outer, inner) = (facts(&link.left, layers[0]).traffic, facts(&link.left, layers[1]).traffic);
        assert_eq!(inner.wire_bytes_out, outer.bytes_out);
        assert_eq!(inner.wire_bytes_in, outer.bytes_in);
    });
}

#[test]
fn p8_the_facts_have_the_names_of_rustls_and_the_digest_of_the_leaf() {
    each_version(1, |case| {
        let mut link = Link::outer(case);
        let (left, right) = link.start();
        let (client, server) = (facts(&link.left, left), facts(&link.right, right));
        let name = if case.version == Version::Tls13 { "TLSv1.3" } else { "TLSv1.2" };
        assert_eq!(client.version_name(), name);
        assert!(!client.resumed && client.handshake_time.is_some());
        assert!(client.traffic.wire_bytes_in > 0 && client.traffic.wire_bytes_out > 0);
        let digest = client.leaf_sha256().expect("the server has shown one");
        assert_eq!(server.leaf_sha256(), None, "the client has shown none");
        let mut other = client.clone();
        other.peer_certificates[0] = b"another".to_vec().into();
        assert_ne!(other.leaf_sha256(), Some(digest));
        // That of the text "another", by sha256sum.
        let hex: String = other.leaf_sha256().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5");
    });
}

#[cfg(feature = "x509")]
mod certificates {
    use onionskin::rustls::pki_types::CertificateDer;
    use onionskin::rustls::pki_types::pem::PemObject;
    use onionskin::tls::{CertificateFacts, CertificateKey};
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType};

    use crate::common::Authority;

    fn der() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.test".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "An \x1b[31morganisation\r\n");
        params.serial_number = Some(0x1234.into());
        let (pem, _) = Authority::new().issue(&params);
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn p8_a_certificate_says_what_it_is_on_one_harmless_line() {
        let said = CertificateFacts::read(&der()).unwrap();
        assert_eq!(said.names, ["a.test", "192.0.2.7"]);
        assert_eq!(said.serial, "12:34");
        assert!(said.subject.contains("organisation") && said.issuer.contains("authority"), "{said:?}");
        assert!(said.not_before < said.not_after);
        let shown = said.to_string();
        assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
        assert!(shown.contains(r"\x1b[31m") && shown.contains("serial 12:34"), "{shown:?}");
        assert_eq!(CertificateFacts::read(&CertificateDer::from(vec![0x30, 3, 2, 1, 5])), None);
    }

    #[test]
    fn p8_a_certificate_tells_its_days_and_its_key() {
        use std::time::{Duration, SystemTime};

        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(1969, 12, 31), rcgen::date_time_ymd(2026, 11, 30));
        let (pem, _) = Authority::new().issue(&params);
        let said = CertificateFacts::read(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        assert_eq!(said.days(), ["1969-12-31", "2026-11-30"]);
        assert_eq!(said.key, Some(CertificateKey::Ec(256)));
        assert_eq!(said.key.unwrap().to_string(), "EC 256");
        assert!(!said.is_self_issued());

        let day = Duration::from_secs(86_400);
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(said.not_after).unwrap());
        for (now, days, early, late) in [
            (SystemTime::UNIX_EPOCH - 2 * day, 20_789, true, false),
            (end - day, 1, false, false),
            (end - Duration::from_secs(1), 0, false, false),
            (end, 0, false, false),
            (end + Duration::from_secs(1), -1, false, true),
        ] {
            let found = (said.days_left(now), said.is_not_yet_valid(now), said.has_expired(now));
            assert_eq!(found, (days, early, late), "{now:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever is changed in a certificate: what it says is nothing, or one harmless line.
        #[test]
        fn p8_a_hostile_certificate_never_panics(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            static WHOLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut bytes = WHOLE.get_or_init(|| der().to_vec()).clone();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Some(said) = CertificateFacts::read(&CertificateDer::from(bytes)) {
                let shown = said.to_string();
                prop_assert!(!shown.contains(|c: char| c.is_control()), "{:?}", shown);
                let _ = (said.days(), said.days_left(std::time::SystemTime::now()));
            }
        }

        #[test]
        fn p8_any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = CertificateFacts::read(&CertificateDer::from(bytes));
        }
    }
}
