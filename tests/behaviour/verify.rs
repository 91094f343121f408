//! What a client verifies, each part by itself: names, pins, revocation; and that no layer believes what another has verified.

use std::sync::Arc;

use onionskin::rustls;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onionskin::rustls::server::{ClientHello, ResolvesServerCert};
use onionskin::rustls::sign::CertifiedKey;
use onionskin::tls::{
    CertificateFault, ConfigErrorKind, Identity, Names, Pin, RevocationLists, Roots, SubjectName, TlsClient, TlsServer,
    Verify, Version, default_provider,
};
use rcgen::CertificateParams;

use crate::common::link::{Case, Link, NAME, each_version, facts};
use crate::common::{Authority, BOTH};

/// Handshakes one layer inside those that are there. What either side says of it, the client first; `None` if it is content.
fn handshake(link: &mut Link, client: &TlsClient, server: &TlsServer, name: &str) -> [Option<CertificateFault>; 2] {
    let left = link.left.splice(client.to(name).unwrap());
    let right = link.right.splice(server.accept().unwrap());
    link.run();
    if link.left.lost().is_none() && link.right.lost().is_none() {
        link.assert_ready(left, right);
        link.talk();
    }
    [(&link.left, left), (&link.right, right)].map(|(peer, layer)| {
        let lost = peer.lost()?;
        assert_eq!(lost.layers().first().map(|loss| loss.layer), Some(layer), "{lost}");
        let error = lost.layer_error().expect("a layer has failed");
        let tls = std::error::Error::source(error).and_then(|source| source.downcast_ref::<rustls::Error>());
        tls.and_then(CertificateFault::of)
    })
}

/// What the client says of a server, in both versions.
fn verified(verify: &Verify, identity: &Identity, name: &str) -> Option<CertificateFault> {
    let faults = BOTH.iter().map(|&version| {
        let mut link = Link::new(Case { cut: onionskin::testing::Cut::Whole, version, depth: 0, padded: false });
        let client = TlsClient::builder(verify.clone()).versions(&[version]).build().unwrap();
        let [client, _] = handshake(&mut link, &client, &TlsServer::new(identity.clone()).unwrap(), name);
        assert_eq!(client.is_none(), link.left.lost().is_none(), "it is the certificate or nothing");
        client
    });
    let faults: Vec<_> = faults.collect();
    assert_eq!(faults[0], faults[1], "the same in both versions, {BOTH:?}");
    faults[0].clone()
}

fn presents(ca: &Authority, names: &[&str]) -> Identity {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let (chain, key) = ca.issue(&CertificateParams::new(names).unwrap());
    Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

fn is_wrong_name(fault: impl Into<Option<CertificateFault>>) -> bool {
    matches!(fault.into(), Some(CertificateFault::WrongName { .. }))
}

#[test]
fn p2_names_are_those_that_were_asked_for_or_of_a_list_or_any() {
    let ca = Authority::new();
    let server = presents(&ca, &["a.example", "b.example"]);
    let verify = Verify::chain(ca.roots());
    assert_eq!(verified(&verify, &server, "b.example"), None);
    assert!(is_wrong_name(verified(&verify, &server, "c.example")));
    let one_of = verify.clone().names(Names::any_of(["c.example", "b.example"]));
    assert_eq!(verified(&one_of, &server, "c.example"), None);
    // Neither is asked for, and neither is what is asked for believed.
    let others = verify.clone().names(Names::any_of(["c.example", "d.example"]));
    let Some(CertificateFault::WrongName { expected, presented }) = verified(&others, &server, "a.example") else {
        panic!("a name that is not in the list")
    };
    assert_eq!((expected.as_deref(), presented.len()), (Some("c.example"), 2));
    let any = verify.names(Names::Skip);
    assert_eq!(verified(&any, &server, "c.example"), None);
    // A chain is still asked for.
    let fault = verified(&any, &presents(&Authority::new(), &["c.example"]), "c.example");
    assert_eq!(fault, Some(CertificateFault::UnknownIssuer));
}

#[test]
fn p2_names_with_underscores_are_verified_as_they_are() {
    let ca = Authority::new();
    let verify = Verify::chain(ca.roots());
    assert_eq!(verified(&verify, &presents(&ca, &["a_b.exact.example"]), "a_b.exact.example"), None);
    assert_eq!(verified(&verify, &presents(&ca, &["*.wild.example"]), "a_b.wild.example"), None);
    assert!(is_wrong_name(verified(&verify, &presents(&ca, &["a-b.exact.example"]), "a_b.exact.example")));
}

#[test]
fn p4_an_ip_address_is_verified_and_not_asked_for() {
    let ca = Authority::new();
    for address in ["192.0.2.7", "2001:db8::7"] {
        let server = presents(&ca, &[address]);
        assert_eq!(verified(&Verify::chain(ca.roots()), &server, address), None);
        assert!(is_wrong_name(verified(&Verify::chain(ca.roots()), &server, "192.0.2.8")));
        assert!(is_wrong_name(verified(&Verify::chain(ca.roots()), &presents(&ca, &[NAME]), address)));
        let mut link =
            Link::new(Case { cut: onionskin::testing::Cut::Whole, version: Version::Tls13, depth: 0, padded: false });
        let left = link.left.splice(ca.client(BOTH).to(address).unwrap());
        let right = link.right.splice(TlsServer::new(server).unwrap().accept().unwrap());
        link.run();
        link.assert_ready(left, right);
        assert_eq!(facts(&link.right, right).server_name, None, "no SNI");
        assert_eq!(facts(&link.left, left).server_name.as_deref(), Some(address));
    }
    // The address of a list is verified, and the name is asked for.
    let by_address = Verify::chain(ca.roots()).names(Names::any_of(["192.0.2.7"]));
    assert_eq!(verified(&by_address, &presents(&ca, &["192.0.2.7"]), NAME), None);
}

fn pin(identity: &str) -> Pin {
    Pin::of(&CertificateDer::from_pem_slice(identity.as_bytes()).unwrap()).unwrap()
}

#[test]
fn p2_pins_are_looked_at_beside_a_chain_or_alone() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (chain, key) = ca.pem_identity(NAME);
    let (server, own) = (Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap(), pin(&chain));
    let wrong = Pin::new([7; 32]);
    assert_eq!(own.to_string().parse::<Pin>().unwrap(), own);
    let refused = Some(CertificateFault::OtherKey { presented: own });
    // Beside a chain: both must be right.
    let both = |roots: Roots, pins: &[Pin]| Verify::chain(roots).pinned(pins.iter().copied());
    assert_eq!(verified(&both(ca.roots(), &[wrong, own]), &server, NAME), None);
    assert_eq!(verified(&both(ca.roots(), &[wrong]), &server, NAME), refused);
    assert_eq!(verified(&both(other.roots(), &[own]), &server, NAME), Some(CertificateFault::UnknownIssuer));
    assert!(is_wrong_name(verified(&both(ca.roots(), &[own]), &server, "other.example")));
    // Alone: whoever has issued it, and whatever it is called.
    assert_eq!(verified(&Verify::pins([wrong, own]), &server, "other.example"), None);
    assert_eq!(verified(&Verify::pins([wrong]), &server, NAME), refused);
    // Alone with a name.
    let named = Verify::pins([own]).names(Names::Sni);
    assert_eq!(verified(&named, &server, NAME), None);
    assert!(is_wrong_name(verified(&named, &server, "other.example")));
    // The key counts, and not the certificate.
    let renewed = {
        let params = CertificateParams::new(vec!["renewed.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&rcgen::KeyPair::from_pem(&key).unwrap()).unwrap();
        Identity::from_pem(certificate.pem().as_bytes(), key.as_bytes()).unwrap()
    };
    assert_eq!(verified(&Verify::pins([own]), &renewed, NAME), None);
}

#[test]
fn p3_nothing_is_left_out_because_something_was_empty() {
    let ca = Authority::new();
    let kind = |verify: Verify| TlsClient::new(verify).map(drop).map_err(|error| error.kind());
    assert_eq!(kind(Verify::chain(ca.roots()).names(Names::AnyOf(Vec::new()))), Err(ConfigErrorKind::BadName));
    assert_eq!(kind(Verify::chain(ca.roots()).names(Names::any_of([""]))), Err(ConfigErrorKind::BadName));
    assert_eq!(kind(Verify::chain(ca.roots()).names(Names::any_of(["a", "*.b"]))), Err(ConfigErrorKind::BadName));
    assert_eq!(kind(Verify::chain(ca.roots()).pinned([])), Err(ConfigErrorKind::BadPin));
    assert_eq!(kind(Verify::pins([])), Err(ConfigErrorKind::BadPin));
    assert_eq!(kind(Verify::chain(Roots::from_certificates([]).unwrap())), Err(ConfigErrorKind::NoRoots));
    assert_eq!(kind(Verify::chain(Roots::from_store(rustls::RootCertStore::empty()))), Err(ConfigErrorKind::NoRoots));
    assert_eq!(kind(Verify::nothing().names(Names::Sni)), Err(ConfigErrorKind::Unsupported));
    assert_eq!(RevocationLists::from_der([]).unwrap_err().kind(), ConfigErrorKind::BadRevocationList);
    assert_eq!(RevocationLists::from_pem(b"").unwrap_err().kind(), ConfigErrorKind::BadRevocationList);
    assert_eq!(Roots::from_pem(b"").unwrap_err().kind(), ConfigErrorKind::BadCertificate);
    for client in [TlsClient::new(ca.roots()).unwrap(), TlsClient::new(Verify::nothing()).unwrap()] {
        for name in ["", "a:443", "*.a", "-a", "ü.example"] {
            assert_eq!(client.to(name).map(drop).unwrap_err().kind(), ConfigErrorKind::BadName, "{name:?}");
        }
    }
    // The control: what is said is done.
    let stranger = presents(&Authority::new(), &["stranger.example"]);
    assert_eq!(verified(&Verify::nothing(), &stranger, NAME), None);
    assert_eq!(verified(&Verify::chain(ca.roots()), &stranger, NAME), Some(CertificateFault::UnknownIssuer));
}

#[test]
fn p1_trust_is_put_together_from_several_places() {
    let [first, second, third] = [Authority::new(), Authority::new(), Authority::new()];
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(second.pem().as_bytes()).unwrap()).unwrap();
    let both = Verify::chain(first.roots().and(Roots::from_store(store)));
    assert_eq!(verified(&both, &first.identity(NAME), NAME), None);
    assert_eq!(verified(&both, &second.identity(NAME), NAME), None);
    assert_eq!(verified(&both, &third.identity(NAME), NAME), Some(CertificateFault::UnknownIssuer));
}

fn numbered(ca: &Authority, serial: u64) -> Identity {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.serial_number = Some(serial.into());
    let (chain, key) = ca.issue(&params);
    Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

#[test]
fn p2_a_server_that_was_revoked_is_refused() {
    let (ca, other) = (Authority::new(), Authority::new());
    let list = ca.revocation_list(&[7, 9], 2900);
    let as_pem = RevocationLists::from_pem(list.pem().unwrap().as_bytes()).unwrap();
    let others = other.revocation_list(&[8], 2900);
    let as_der = RevocationLists::from_der([others.der().clone(), list.der().clone()]).unwrap();
    let together = RevocationLists::from_der([others.der().clone()]).unwrap().and(&as_pem);
    for lists in [as_pem, as_der, together] {
        let verify = Verify::chain(ca.roots().revocation(lists));
        assert_eq!(verified(&verify, &numbered(&ca, 7), NAME), Some(CertificateFault::Revoked));
        // One of another issuer has the number 8.
        assert_eq!(verified(&verify, &numbered(&ca, 8), NAME), None);
        // What else is looked at is looked at as ever.
        assert!(is_wrong_name(verified(&verify, &numbered(&ca, 8), "other.example")));
        assert_eq!(verified(&verify, &numbered(&other, 7), NAME), Some(CertificateFault::UnknownIssuer));
        let mut expired = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
        let (chain, key) = ca.issue(&expired);
        let expired = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert!(matches!(verified(&verify, &expired, NAME), Some(CertificateFault::Expired { until: Some(_), .. })));
    }
    assert_eq!(verified(&Verify::chain(ca.roots()), &numbered(&ca, 7), NAME), None, "without a list");
}

#[test]
fn p2_where_no_list_speaks_or_it_is_out_of_date_the_server_is_refused_unless_it_was_said() {
    let (ca, other) = (Authority::new(), Authority::new());
    let verify = |lists: RevocationLists| Verify::chain(ca.roots().and(other.roots()).revocation(lists));
    let of = |list: rcgen::CertificateRevocationList| RevocationLists::from_der([list.der().clone()]).unwrap();
    let elsewhere = of(other.revocation_list(&[7], 2900));
    assert_eq!(verified(&verify(elsewhere.clone()), &numbered(&ca, 8), NAME), Some(CertificateFault::Revoked));
    assert_eq!(verified(&verify(elsewhere.clone().accept_unknown(true)), &numbered(&ca, 8), NAME), None);
    let old = of(ca.revocation_list(&[7], 2021));
    let fault = verified(&verify(old.clone()), &numbered(&ca, 8), NAME);
    assert!(fault.as_ref().is_some_and(|fault| fault.to_string().contains("out of date")), "{fault:?}");
    assert_eq!(verified(&verify(old.clone().accept_expired(true)), &numbered(&ca, 8), NAME), None);
    // What is revoked stays revoked.
    let lenient = old.accept_unknown(true).accept_expired(true);
    assert_eq!(verified(&verify(lenient), &numbered(&ca, 7), NAME), Some(CertificateFault::Revoked));
    // A list in the name of an authority that has not signed it.
    let forged = {
        let mut der = ca.revocation_list(&[], 2900).der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        RevocationLists::from_der([der.into()]).unwrap()
    };
    assert!(verified(&verify(forged), &numbered(&ca, 8), NAME).is_some());
    // One that was itself named needs no list; nobody could write one.
    let alone = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let alone = alone.self_signed(&key).unwrap().pem();
    let named = Roots::from_pem(alone.as_bytes()).unwrap().revocation(elsewhere);
    let identity = Identity::from_pem(alone.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(verified(&Verify::chain(named), &identity, NAME), None);
}

#[test]
fn a_client_that_was_revoked_is_refused_and_its_ticket_with_it() {
    each_version(0, |case| {
        let (ca, clients) = (Authority::new(), Authority::new());
        let server = |roots: Roots| {
            let server = TlsServer::builder(ca.identity(NAME)).versions(&[case.version]);
            server.require_client_certificates(roots).build().unwrap()
        };
        let listed = |revoked: &[u64]| {
            let list = clients.revocation_list(revoked, 2900);
            server(clients.roots().revocation(RevocationLists::from_der([list.der().clone()]).unwrap()))
        };
        let client = |serial| {
            let builder = TlsClient::builder(ca.roots()).identity(numbered(&clients, serial));
            builder.versions(&[case.version]).build().unwrap()
        };
        let asked =
            |server: &TlsServer, serial| handshake(&mut Link::new(case), &client(serial), server, NAME)[1].clone();
        assert_eq!(asked(&listed(&[7]), 7), Some(CertificateFault::Revoked));
        assert_eq!(asked(&listed(&[7]), 8), None);
        // Known from before it was revoked.
        let known = client(7);
        let resumed = |server: &TlsServer| {
            let mut link = Link::new(case);
            let fault = handshake(&mut link, &known, server, NAME)[1].clone();
            let ready = link.right.stack.layers().next().map(|(id, _)| facts(&link.right, id).resumed);
            (fault, ready)
        };
        let before = listed(&[]);
        assert_eq!(resumed(&before), (None, Some(false)));
        assert_eq!(resumed(&before), (None, Some(true)));
        assert_eq!(resumed(&listed(&[7])).0, Some(CertificateFault::Revoked));
        let old = RevocationLists::from_der([clients.revocation_list(&[], 2021).der().clone()]).unwrap();
        let fault = asked(&server(clients.roots().revocation(old)), 8);
        assert!(fault.is_some_and(|fault| fault.to_string().contains("out of date")));
    });
}

/// Shows one certificate with a staple.
#[derive(Debug)]
struct Stapled(Arc<CertifiedKey>);

impl ResolvesServerCert for Stapled {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn what_a_server_staples_is_in_the_facts_of_its_layer_alone() {
    each_version(0, |case| {
        let ca = Authority::new();
        let stapling = |response: &[u8]| {
            let (chain, key) = ca.pem_identity(NAME);
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let mut certified = CertifiedKey::from_der(chain, key, &default_provider().unwrap()).unwrap();
            certified.ocsp = Some(response.to_vec());
            let mut config = rustls::ServerConfig::clone(&ca.server(NAME, &[case.version]).to_rustls());
            config.cert_resolver = Arc::new(Stapled(Arc::new(certified)));
            TlsServer::from_rustls(Arc::new(config)).unwrap()
        };
        let (first, second, none) = (stapling(b"first"), stapling(b"second"), ca.server(NAME, &[case.version]));
        let mut link = Link::new(case);
        for (server, expected) in [(&first, Some(&b"first"[..])), (&none, None), (&second, Some(b"second"))] {
            // A client of its own each: a resumption shows no certificate.
            let client = TlsClient::builder(ca.roots()).versions(&[case.version]).build().unwrap();
            let left = link.left.splice(client.to(NAME).unwrap());
            let right = link.right.splice(server.accept().unwrap());
            link.run();
            link.assert_ready(left, right);
            assert_eq!(facts(&link.left, left).ocsp_response.as_deref(), expected);
            assert_eq!(facts(&link.right, right).ocsp_response, None);
        }
    });
}

#[test]
fn p1_two_layers_of_one_connection_trust_different_worlds() {
    each_version(0, |case| {
        let [outer, inner] = [Authority::new(), Authority::new()];
        let client = |trusted: &Authority, own: &Authority| {
            let builder = TlsClient::builder(trusted.roots()).identity(own.identity("client.example"));
            builder.versions(&[case.version]).build().unwrap()
        };
        let server = |ca: &Authority| {
            let builder = TlsServer::builder(ca.identity(NAME)).require_client_certificates(ca.roots());
            builder.versions(&[case.version]).build().unwrap()
        };
        let mut link = Link::new(case);
        assert_eq!(handshake(&mut link, &client(&outer, &outer), &server(&outer), NAME), [None, None]);
        assert_eq!(handshake(&mut link, &client(&inner, &inner), &server(&inner), NAME), [None, None]);
        // The other way round, at either depth: neither trust nor identity is that of the layer below.
        let mut link = Link::new(case);
        handshake(&mut link, &client(&outer, &outer), &server(&outer), NAME);
        let [left, _] = handshake(&mut link, &client(&inner, &inner), &server(&outer), NAME);
        assert_eq!(left, Some(CertificateFault::UnknownIssuer));
        let mut link = Link::new(case);
        handshake(&mut link, &client(&outer, &outer), &server(&outer), NAME);
        let [_, right] = handshake(&mut link, &client(&inner, &outer), &server(&inner), NAME);
        assert_eq!(right, Some(CertificateFault::UnknownIssuer));
    });
}

/// The outer peer has all that it is trusted with in its own layer, and answers for the inner one.
#[test]
fn an_outer_peer_that_answers_for_the_inner_one_is_refused_also_where_it_is_known_from_before() {
    each_version(0, |case| {
        let [outer, inner] = [Authority::new(), Authority::new()];
        let (chain, key) = outer.pem_identity(NAME);
        let proxy = TlsServer::builder(Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
        let proxy = proxy.versions(&[case.version]).build().unwrap();
        let target = inner.server(NAME, &[case.version]);
        let client = |verify: Verify| TlsClient::builder(verify).versions(&[case.version]).build().unwrap();
        let to_proxy = client(Verify::chain(outer.roots()).pinned([pin(&chain)]));
        for to_target in [
            // By trust, by name and by key.
            (client(Verify::chain(inner.roots())), NAME),
            (client(Verify::chain(inner.roots().and(outer.roots())).names(Names::any_of(["inner.example"]))), NAME),
            (client(Verify::chain(outer.roots()).pinned([Pin::new([7; 32])])), NAME),
        ] {
            let (to_target, name) = to_target;
            let mut resumed = false;
            // Twice: the second time the outer session is resumed, and the proxy has tickets of its own making to offer.
            for _ in 0..3 {
                let mut link = Link::new(case);
                let left = link.left.splice(to_proxy.to(NAME).unwrap());
                let right = link.right.splice(proxy.accept().unwrap());
                link.run();
                link.assert_ready(left, right);
                link.talk();
                resumed = facts(&link.left, left).resumed;
                let [fault, _] = handshake(&mut link, &to_target, &proxy, name);
                assert!(fault.is_some(), "the proxy is not the target");
            }
            assert!(resumed, "the outer session");
        }
        // The control: the target is let in, and resumed inside the resumed layer.
        let to_target = client(Verify::chain(inner.roots()));
        let mut resumed = [false; 2];
        for _ in 0..2 {
            let mut link = Link::new(case);
            resumed = [(&to_proxy, &proxy), (&to_target, &target)].map(|(client, server)| {
                let left = link.left.splice(client.to(NAME).unwrap());
                let right = link.right.splice(server.accept().unwrap());
                link.run();
                link.assert_ready(left, right);
                link.talk();
                facts(&link.left, left).resumed
            });
        }
        assert_eq!(resumed, [true; 2]);
        // And known from before, the target cannot be answered for either.
        let mut link = Link::new(case);
        handshake(&mut link, &to_proxy, &proxy, NAME);
        assert!(handshake(&mut link, &to_target, &proxy, NAME)[0].is_some());
    });
}

/// One server at which each name has its own demands. A ticket of one name is none of another.
#[test]
fn a_server_demands_certificates_for_one_name_and_none_for_another() {
    each_version(0, |case| {
        let (ca, staff) = (Authority::new(), Authority::new());
        let build = |builder: onionskin::tls::TlsServerBuilder| builder.versions(&[case.version]).build().unwrap();
        let list = staff.revocation_list(&[7], 2900);
        let roots = staff.roots().revocation(RevocationLists::from_der([list.der().clone()]).unwrap());
        let inside = build(TlsServer::builder(ca.identity("inside.example")).require_client_certificates(roots));
        let asking = build(TlsServer::builder(ca.identity("asks.example")).ask_for_client_certificates(staff.roots()));
        let server = build(TlsServer::builder(ca.identity("public.example")));
        let server = server.serving("Inside.example", inside).serving("asks.example", asking);
        let client = |identity: Option<Identity>| {
            let builder = TlsClient::builder(ca.roots()).versions(&[case.version]);
            identity.into_iter().fold(builder, onionskin::tls::TlsClientBuilder::identity).build().unwrap()
        };
        // Whether it is let in, and how many certificates the server knows of it.
        let enters = |client: &TlsClient, name: &str| {
            let mut link = Link::new(case);
            handshake(&mut link, client, &server, name);
            let (right, _) = link.right.stack.layers().next()?;
            if link.right.lost().is_some() {
                return None;
            }
            let facts = facts(&link.right, right);
            assert_eq!(facts.server_name.as_deref(), Some(name));
            assert_eq!(facts.peer_identity().is_some(), !facts.peer_certificates.is_empty());
            Some((facts.peer_certificates.len(), facts.resumed))
        };
        let (nobody, member, revoked) =
            (client(None), client(Some(numbered(&staff, 8))), client(Some(numbered(&staff, 7))));
        assert_eq!(enters(&nobody, "public.example"), Some((0, false)));
        assert_eq!(enters(&nobody, "public.example"), Some((0, true)));
        assert_eq!(enters(&nobody, "asks.example"), Some((0, false)));
        assert_eq!(enters(&nobody, "inside.example"), None);
        assert_eq!(enters(&member, "public.example"), Some((0, false)));
        assert_eq!(enters(&member, "asks.example"), Some((1, false)));
        assert_eq!(enters(&member, "inside.example"), Some((1, false)));
        assert_eq!(enters(&member, "inside.example"), Some((1, true)));
        assert_eq!(enters(&revoked, "asks.example"), Some((1, false)), "no list is looked at for this name");
        assert_eq!(enters(&revoked, "inside.example"), None);
    });
}

#[test]
fn a_server_knows_who_its_client_is_before_the_first_byte() {
    each_version(0, |case| {
        let (ca, staff) = (Authority::new(), Authority::new());
        let mut params = CertificateParams::new(vec!["client.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Client, Org");
        params.distinguished_name.push(rcgen::DnType::CommonName, "client");
        params.subject_alt_names.push(rcgen::SanType::URI("spiffe://example/client".try_into().unwrap()));
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("client@example".try_into().unwrap()));
        let (chain, key) = staff.issue(&params);
        let own = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let client = TlsClient::builder(ca.roots()).identity(own).versions(&[case.version]).build().unwrap();
        let server = TlsServer::builder(ca.identity(NAME)).require_client_certificates(staff.roots());
        let server = server.versions(&[case.version]).build().unwrap();
        for resumed in [false, true] {
            let mut link = Link::new(case);
            let left = link.left.splice(client.to(NAME).unwrap());
            let right = link.right.splice(server.accept().unwrap());
            link.run();
            // Ready is the first that either side hears of.
            link.assert_ready(left, right);
            let facts = facts(&link.right, right);
            assert_eq!((facts.resumed, facts.traffic.bytes_in), (resumed, 0));
            let identity = facts.peer_identity().unwrap();
            assert_eq!(identity.subject, "CN=client,O=Client\\, Org");
            assert_eq!(identity.key, Some(pin(&chain)));
            let names = [
                SubjectName::Dns("client.example".to_owned()),
                SubjectName::Ip("192.0.2.7".parse().unwrap()),
                SubjectName::Uri("spiffe://example/client".to_owned()),
                SubjectName::Email("client@example".to_owned()),
            ];
            assert_eq!(identity.names, names);
            link.talk();
        }
    });
}
