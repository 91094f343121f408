//! Configurations: who is trusted, who is who, and what is wrong with a bad one.

use std::error::Error;
use std::io;

use onionskin::rustls;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::stack::{LayerErrorKind, Reason};
use onionskin::tls::{ConfigErrorKind, Identity, Roots, TlsClient, TlsServer, Verify, Version};
use rcgen::{CertificateParams, date_time_ymd};

use crate::common::link::{Link, NAME, each_version, facts};
use crate::common::{Authority, BOTH};

/// One handshake between these two. What each side says, if it failed.
fn handshake(version: Version, client: &TlsClient, server: &TlsServer, name: &str) -> (Link, [Option<String>; 2]) {
    let case = crate::common::link::Case { cut: onionskin::testing::Cut::Whole, version, depth: 0, padded: false };
    let mut link = Link::new(case);
    link.left.splice(client.to(name).unwrap());
    link.right.splice(server.accept().unwrap());
    link.run();
    let said = [&link.left, &link.right].map(|peer| peer.stack.lost().map(ToString::to_string));
    (link, said)
}

/// The client does not accept the server's certificate, and the server is told which alert.
#[track_caller]
fn assert_not_accepted(version: Version, client: &TlsClient, server: &TlsServer, name: &str, alert: &str) {
    let (link, said) = handshake(version, client, server, name);
    let error = link.left.lost().expect("the client refuses").layer_error().unwrap();
    assert!(error.is_certificate(), "{said:?}");
    let error = link.right.lost().expect("the server is refused").layer_error().unwrap();
    assert!(error.is_refused(), "{said:?}");
    assert!(error.to_string().contains(alert), "{said:?}");
}

#[track_caller]
fn assert_accepted(version: Version, client: &TlsClient, server: &TlsServer, name: &str) -> Link {
    let (mut link, said) = handshake(version, client, server, name);
    assert_eq!(said, [None, None]);
    link.talk();
    link
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    each_version(1, |case| {
        let ca = Authority::new();
        let server = TlsServer::builder(ca.identity(NAME))
            .versions(BOTH)
            .name("Other.Example", ca.identity("other.example"))
            .build()
            .unwrap();
        let client = ca.client(&[case.version]);
        assert_accepted(case.version, &client, &server, NAME);
        assert_accepted(case.version, &client, &server, "other.example");
        assert_accepted(case.version, &client, &server, "OTHER.example");
        // A name that is not known gets the first certificate, which is not for it.
        assert_not_accepted(case.version, &client, &server, "third.example", "bad_certificate");
    });
}

#[test]
fn the_chosen_certificate_is_the_one_the_client_sees() {
    each_version(1, |case| {
        let ca = Authority::new();
        let (chain, key) = ca.pem_identity("other.example");
        let expected = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let other = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let server = TlsServer::builder(ca.identity(NAME)).name("other.example", other).build().unwrap();
        let link = assert_accepted(case.version, &ca.client(&[case.version]), &server, "other.example");
        let (left, _) = link.left.stack.layers().next().unwrap();
        assert_eq!(facts(&link.left, left).peer_certificates, [expected]);
    });
}

#[test]
fn a_certificate_for_another_name_is_not_accepted() {
    each_version(1, |case| {
        let ca = Authority::new();
        let (client, server) = (ca.client(&[case.version]), ca.server(NAME, BOTH));
        assert_accepted(case.version, &client, &server, NAME);
        assert_not_accepted(case.version, &client, &server, "other.example", "bad_certificate");
    });
}

#[test]
fn an_expired_certificate_is_not_accepted() {
    each_version(1, |case| {
        let ca = Authority::new();
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        let (chain, key) = ca.issue(&params);
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let server = TlsServer::new(identity).unwrap();
        assert_not_accepted(case.version, &ca.client(&[case.version]), &server, NAME, "certificate_expired");
    });
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_accepted() {
    each_version(1, |case| {
        let client = Authority::new().client(&[case.version]);
        assert_not_accepted(case.version, &client, &Authority::new().server(NAME, BOTH), NAME, "unknown_ca");
    });
}

#[test]
fn without_verification_every_certificate_is_accepted() {
    each_version(1, |case| {
        let client = TlsClient::builder(Verify::nothing()).versions(&[case.version]).build().unwrap();
        assert_accepted(case.version, &client, &Authority::new().server("elsewhere.example", BOTH), NAME);
    });
}

fn client_with_identity(ca: &Authority, issuer: &Authority, version: Version) -> TlsClient {
    TlsClient::builder(ca.roots()).versions(&[version]).identity(issuer.identity("client.example")).build().unwrap()
}

#[test]
fn a_client_certificate_can_be_required() {
    each_version(1, |case| {
        let ca = Authority::new();
        let server = TlsServer::builder(ca.identity(NAME)).require_client_certificates(ca.roots()).build().unwrap();

        let known = client_with_identity(&ca, &ca, case.version);
        let link = assert_accepted(case.version, &known, &server, NAME);
        let (right, _) = link.right.stack.layers().next().unwrap();
        assert_eq!(facts(&link.right, right).peer_certificates.len(), 1);

        let (link, said) = handshake(case.version, &ca.client(&[case.version]), &server, NAME);
        assert!(link.right.lost().unwrap().layer_error().unwrap().is_certificate(), "{said:?}");
        assert!(said[1].as_deref().unwrap().contains("the peer sent no certificate, and one is required"), "{said:?}");
        assert!(link.left.lost().unwrap().layer_error().unwrap().is_refused(), "{said:?}");

        let unknown = client_with_identity(&ca, &Authority::new(), case.version);
        let (link, said) = handshake(case.version, &unknown, &server, NAME);
        assert!(link.right.lost().unwrap().layer_error().unwrap().is_certificate(), "{said:?}");
    });
}

#[test]
fn a_refused_client_certificate_is_told_from_other_refusals() {
    each_version(1, |case| {
        let ca = Authority::new();
        let server = TlsServer::builder(ca.identity(NAME)).require_client_certificates(ca.roots()).alpn(["a"]).build();
        let server = server.unwrap();
        let refusal = |client: &TlsClient, server: &TlsServer, side: usize| {
            let (link, said) = handshake(case.version, client, server, NAME);
            let peer = [&link.left, &link.right][side];
            let error = peer.stack.lost().and_then(Reason::layer_error).unwrap_or_else(|| panic!("{said:?}"));
            assert!(error.is_refused(), "{said:?}");
            (error.kind(), error.is_client_certificate())
        };
        let of_a_certificate = (LayerErrorKind::ClientCertificate, true);
        assert_eq!(refusal(&ca.client(&[case.version]), &server, 0), of_a_certificate, "none is shown");
        let unknown = client_with_identity(&ca, &Authority::new(), case.version);
        assert_eq!(refusal(&unknown, &server, 0), of_a_certificate, "nobody there knows its authority");

        // A refusal for another reason, and one by the client.
        let client = TlsClient::builder(ca.roots()).versions(&[case.version]).identity(ca.identity("client.example"));
        let another = client.alpn(["b"]).build().unwrap();
        assert_eq!(refusal(&another, &server, 0), (LayerErrorKind::Refused, false));
        let stranger = Authority::new().client(&[case.version]);
        assert_eq!(refusal(&stranger, &server, 1), (LayerErrorKind::Refused, false));
    });
}

#[test]
fn a_client_certificate_can_be_asked_for_and_left_out() {
    each_version(1, |case| {
        let ca = Authority::new();
        let server = TlsServer::builder(ca.identity(NAME)).ask_for_client_certificates(ca.roots()).build().unwrap();
        for (client, count) in [(client_with_identity(&ca, &ca, case.version), 1), (ca.client(&[case.version]), 0)] {
            let link = assert_accepted(case.version, &client, &server, NAME);
            let (right, _) = link.right.stack.layers().next().unwrap();
            assert_eq!(facts(&link.right, right).peer_certificates.len(), count);
        }
        let unknown = client_with_identity(&ca, &Authority::new(), case.version);
        let (link, said) = handshake(case.version, &unknown, &server, NAME);
        assert!(link.right.lost().unwrap().layer_error().unwrap().is_certificate(), "{said:?}");
    });
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_refused_when_built() {
    let ca = Authority::new();
    let ((chain, _), (_, key)) = (ca.pem_identity(NAME), ca.pem_identity(NAME));
    let mismatched = || Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let error = TlsServer::new(mismatched()).unwrap_err();
    assert!(error.is_key_mismatch(), "{error}");
    assert_eq!(error.to_string(), "the private key does not belong to the certificate");
    let error = TlsServer::builder(ca.identity(NAME)).name("other.example", mismatched()).build().unwrap_err();
    assert!(error.is_key_mismatch(), "{error}");
    let error = TlsClient::builder(ca.roots()).identity(mismatched()).build().unwrap_err();
    assert!(error.is_key_mismatch(), "{error}");
}

#[test]
fn bad_pem_is_named() {
    let ca = Authority::new();
    let (chain, key) = ca.pem_identity(NAME);
    let (chain, key) = (chain.as_bytes(), key.as_bytes());
    let kind = |chain: &[u8], key: &[u8]| Identity::from_pem(chain, key).unwrap_err().kind();
    assert_eq!(kind(b"", key), ConfigErrorKind::BadCertificate);
    assert_eq!(
        kind(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", key),
        ConfigErrorKind::BadCertificate
    );
    assert_eq!(kind(key, key), ConfigErrorKind::BadCertificate);
    assert_eq!(kind(chain, b""), ConfigErrorKind::BadKey);
    assert_eq!(kind(chain, chain), ConfigErrorKind::BadKey);
    assert_eq!(Roots::from_pem(b"no PEM").unwrap_err().kind(), ConfigErrorKind::BadCertificate);
    Identity::from_pem(chain, key).unwrap();
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let garbage = CertificateDer::from(vec![1, 2, 3]);
    let error = Roots::from_certificates([garbage]).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::BadCertificate, "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Identity::from_pem_files("no/such/chain.pem", "no/such/key.pem").unwrap_err();
    assert!(error.is_io());
    assert!(error.to_string().starts_with("cannot read no/such/chain.pem: "), "{error}");
    assert!(Roots::from_pem_file("no/such/ca.pem").unwrap_err().is_io());
}

#[test]
fn a_bad_name_is_refused_before_anything_is_sent() {
    let client = Authority::new().client(BOTH);
    for name in ["", "two words", "under the\nline", "-", "a..b"] {
        let error = client.to(name).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::BadName, "{name:?}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    for name in ["a.example", "192.0.2.1", "2001:db8::1"] {
        client.to(name).unwrap();
    }
}

#[test]
fn a_server_needs_roots_to_verify_clients_by() {
    let ca = Authority::new();
    let nobody = Roots::from_certificates([]).unwrap();
    let error = TlsServer::builder(ca.identity(NAME)).require_client_certificates(nobody).build().unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::NoRoots, "{error}");
}

#[test]
fn what_an_error_was_made_of_is_to_be_had() {
    let unread = Roots::from_pem_file("no/such/file").unwrap_err();
    assert_eq!(unread.cause::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::NotFound));
    assert!(unread.cause::<rustls::Error>().is_none());
    let ca = Authority::new();
    let unversioned = TlsClient::builder(ca.roots()).versions(&[]).build().unwrap_err();
    assert!(unversioned.cause::<rustls::Error>().is_some(), "{unversioned:?}");
    let (chain, _) = ca.pem_identity(NAME);
    let (_, key) = ca.pem_identity(NAME);
    let mismatch = TlsServer::new(Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()).unwrap_err();
    assert!(matches!(mismatch.cause(), Some(rustls::Error::InconsistentKeys(_))), "{mismatch:?}");
    // What the message says already is not said again by the chain.
    assert!(unread.source().is_none() && mismatch.source().is_some());
}

#[test]
fn no_version_at_all_is_refused() {
    let ca = Authority::new();
    assert_eq!(TlsClient::builder(ca.roots()).versions(&[]).build().unwrap_err().kind(), ConfigErrorKind::Unsupported);
}

#[test]
fn both_versions_are_offered_and_the_newer_is_chosen() {
    let ca = Authority::new();
    let client = TlsClient::new(ca.roots()).unwrap();
    let link = assert_accepted(Version::Tls13, &client, &TlsServer::new(ca.identity(NAME)).unwrap(), NAME);
    let (left, _) = link.left.stack.layers().next().unwrap();
    assert_eq!(facts(&link.left, left).version_name(), "TLSv1.3");
    let link = assert_accepted(Version::Tls12, &client, &ca.server(NAME, &[Version::Tls12]), NAME);
    let (left, _) = link.left.stack.layers().next().unwrap();
    assert_eq!(facts(&link.left, left).version_name(), "TLSv1.2");
}
