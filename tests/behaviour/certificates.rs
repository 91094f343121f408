//! Certificates that were themselves named as trusted, and what is said of those that are not accepted.

use onionskin::rustls;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::testing::Cut;
use onionskin::tls::{CertificateFault, Identity, Roots, TlsClient, TlsServer, Version};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use crate::common::Authority;
use crate::common::link::{Case, Link, NAME};

/// A certificate that has issued itself, as `openssl req -x509` makes it: `CA:TRUE`.
struct Alone {
    pem: String,
    key: String,
}

impl Alone {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::of_key(key, change)
    }

    fn of_key(key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alone");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let serialized = key.serialize_pem();
        Self { pem: CertifiedIssuer::self_signed(params, key).unwrap().pem(), key: serialized }
    }

    fn identity(&self) -> Identity {
        Identity::from_pem(self.pem.as_bytes(), self.key.as_bytes()).unwrap()
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.pem.as_bytes()).unwrap()
    }
}

/// What each side says of a handshake, the client first; `None` if it is content.
fn handshake(
    version: Version,
    client: &TlsClient,
    server: &TlsServer,
    name: &str,
) -> [Option<(String, Option<CertificateFault>)>; 2] {
    let mut link = Link::new(Case { cut: Cut::Whole, version, depth: 0, padded: false });
    link.left.splice(client.to(name).unwrap());
    link.right.splice(server.accept().unwrap());
    link.run();
    if link.left.lost().is_none() && link.right.lost().is_none() {
        link.talk();
    }
    [&link.left, &link.right].map(|peer| {
        let error = peer.lost()?.layer_error().expect("a layer has failed");
        let tls = std::error::Error::source(error).and_then(|source| source.downcast_ref::<rustls::Error>());
        Some((error.to_string(), tls.and_then(CertificateFault::of)))
    })
}

fn server_shows(identity: &Identity, roots: &Roots, name: &str) -> [Option<Option<CertificateFault>>; 2] {
    [Version::Tls12, Version::Tls13].map(|version| {
        let client = TlsClient::builder(roots.clone()).versions(&[version]).build().unwrap();
        let server = TlsServer::new(identity.clone()).unwrap();
        let [client, server] = handshake(version, &client, &server, name);
        assert_eq!(client.is_some(), server.is_some(), "{client:?} {server:?}");
        client.map(|(_, fault)| fault)
    })
}

fn client_shows(identity: &Identity, roots: &Roots) -> [Option<Option<CertificateFault>>; 2] {
    let ca = Authority::new();
    [Version::Tls12, Version::Tls13].map(|version| {
        let client = TlsClient::builder(ca.roots()).identity(identity.clone()).versions(&[version]).build().unwrap();
        let server = TlsServer::builder(ca.identity(NAME)).require_client_certificates(roots.clone()).build().unwrap();
        let [_, server] = handshake(version, &client, &server, NAME);
        server.map(|(_, fault)| fault)
    })
}

const ACCEPTED: [Option<Option<CertificateFault>>; 2] = [None, None];

#[track_caller]
fn assert_fault(found: [Option<Option<CertificateFault>>; 2], matches: impl Fn(&CertificateFault) -> bool) {
    for fault in found {
        let fault = fault.expect("it is not accepted").expect("for its certificate");
        assert!(matches(&fault), "{fault:?}");
    }
}

#[test]
fn the_certificate_that_was_named_is_accepted_though_it_is_an_authority() {
    let alone = Alone::new();
    assert_eq!(server_shows(&alone.identity(), &alone.roots(), NAME), ACCEPTED);
    assert_eq!(client_shows(&alone.identity(), &alone.roots()), ACCEPTED);
    // Among others, and as DER.
    let der = CertificateDer::from_pem_slice(alone.pem.as_bytes()).unwrap();
    let others = CertificateDer::from_pem_slice(Authority::new().pem().as_bytes()).unwrap();
    let roots = Roots::from_certificates([others, der]).unwrap();
    assert_eq!(server_shows(&alone.identity(), &roots, NAME), ACCEPTED);
}

#[test]
fn a_certificate_that_was_named_needs_no_authority() {
    // Issued by somebody who is not trusted.
    let (pem, key) = Authority::new().pem_identity(NAME);
    let identity = Identity::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    let roots = Roots::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(server_shows(&identity, &roots, NAME), ACCEPTED);
    assert_eq!(client_shows(&identity, &roots), ACCEPTED);
}

#[test]
fn it_is_accepted_for_its_names_only() {
    let alone = Alone::new();
    assert_fault(server_shows(&alone.identity(), &alone.roots(), "other.example"), |fault| {
        *fault
            == CertificateFault::WrongName {
                expected: Some("other.example".to_owned()),
                presented: vec![NAME.to_owned()],
            }
    });
    let nameless = Alone::with(|params| params.subject_alt_names.clear());
    assert_fault(
        server_shows(&nameless.identity(), &nameless.roots(), NAME),
        |fault| matches!(fault, CertificateFault::WrongName { presented, .. } if presented.is_empty()),
    );
}

#[test]
fn it_is_accepted_on_its_days_only() {
    let expired = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    };
    let early = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2100, 1, 1), date_time_ymd(2101, 1, 1));
    };
    for authority in [true, false] {
        let is_ca = |params: &mut CertificateParams| {
            if !authority {
                params.is_ca = IsCa::ExplicitNoCa;
            }
        };
        let alone = Alone::with(|params| {
            is_ca(params);
            expired(params);
        });
        let is_expired = |fault: &CertificateFault| matches!(fault, CertificateFault::Expired { until: Some(_), .. });
        assert_fault(server_shows(&alone.identity(), &alone.roots(), NAME), is_expired);
        assert_fault(client_shows(&alone.identity(), &alone.roots()), is_expired);
        let alone = Alone::with(|params| {
            is_ca(params);
            early(params);
        });
        let is_early = |fault: &CertificateFault| matches!(fault, CertificateFault::NotYetValid { from: Some(_), .. });
        assert_fault(server_shows(&alone.identity(), &alone.roots(), NAME), is_early);
        assert_fault(client_shows(&alone.identity(), &alone.roots()), is_early);
    }
}

#[test]
fn it_is_accepted_for_its_purposes_only() {
    let only = |purpose: ExtendedKeyUsagePurpose| Alone::with(|params| params.extended_key_usages = vec![purpose]);
    let (servers, clients) = (only(ExtendedKeyUsagePurpose::ServerAuth), only(ExtendedKeyUsagePurpose::ClientAuth));
    assert_eq!(server_shows(&servers.identity(), &servers.roots(), NAME), ACCEPTED);
    assert_eq!(client_shows(&clients.identity(), &clients.roots()), ACCEPTED);
    let purpose = |fault: &CertificateFault| matches!(fault, CertificateFault::Purpose { .. });
    assert_fault(server_shows(&clients.identity(), &clients.roots(), NAME), purpose);
    assert_fault(client_shows(&servers.identity(), &servers.roots()), purpose);
}

#[test]
fn another_certificate_of_the_same_key_or_subject_is_not_accepted() {
    let named = Alone::new();
    let refused = |fault: &CertificateFault| {
        matches!(
            fault,
            CertificateFault::IsAuthority | CertificateFault::BadSignature | CertificateFault::UnknownIssuer
        )
    };
    let same_subject = Alone::new();
    assert_fault(server_shows(&same_subject.identity(), &named.roots(), NAME), refused);
    assert_fault(client_shows(&same_subject.identity(), &named.roots()), refused);
    let key = KeyPair::from_pem(&named.key).unwrap();
    let same_key = Alone::of_key(key, |params| params.serial_number = Some(7.into()));
    assert_ne!(same_key.pem, named.pem);
    assert_fault(server_shows(&same_key.identity(), &named.roots(), NAME), refused);
    assert_fault(client_shows(&same_key.identity(), &named.roots()), refused);
    let key = KeyPair::from_pem(&named.key).unwrap();
    let same_both = Alone::of_key(key, |params| params.not_after = date_time_ymd(2099, 1, 1));
    assert_fault(server_shows(&same_both.identity(), &named.roots(), NAME), refused);
    // One bit of the signature, which is at the end.
    let mut turned = CertificateDer::from_pem_slice(named.pem.as_bytes()).unwrap().to_vec();
    *turned.last_mut().unwrap() ^= 1;
    let roots = Roots::from_certificates([CertificateDer::from(turned)]).unwrap();
    assert_fault(server_shows(&named.identity(), &roots, NAME), refused);
    // The control.
    assert_eq!(server_shows(&named.identity(), &named.roots(), NAME), ACCEPTED);
}

#[test]
fn an_authority_that_was_not_named_is_told_from_an_unknown_issuer() {
    let (alone, other) = (Alone::new(), Authority::new());
    assert_fault(server_shows(&alone.identity(), &other.roots(), NAME), |fault| {
        *fault == CertificateFault::IsAuthority
    });
    assert_fault(server_shows(&Authority::new().identity(NAME), &other.roots(), NAME), |fault| {
        *fault == CertificateFault::UnknownIssuer
    });
}

#[test]
fn what_was_issued_weakly_is_told_as_that() {
    const KEY: &[u8] = include_bytes!("certificates/server.key");
    for (chain, roots, expected) in [
        (
            &include_bytes!("certificates/sha1-issued.pem")[..],
            &include_bytes!("certificates/sha1-ca.pem")[..],
            "the peer's certificate is not accepted: it is signed with SHA-1, which is not accepted: have it issued with \
             SHA-256 or better",
        ),
        (
            include_bytes!("certificates/weak-issued.pem"),
            include_bytes!("certificates/weak-ca.pem"),
            "the peer's certificate is not accepted: an RSA key of 1024 bits is too short, 2048 are needed: make one with a \
             longer key",
        ),
    ] {
        let identity = Identity::from_pem(chain, KEY).unwrap();
        let client = TlsClient::new(Roots::from_pem(roots).unwrap()).unwrap();
        let server = TlsServer::new(identity).unwrap();
        let [client, _] = handshake(Version::Tls13, &client, &server, NAME);
        assert_eq!(client.map(|(words, _)| words).as_deref(), Some(expected));
    }
}
