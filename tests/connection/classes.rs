//! One peer for each class of failure, which every way to it must give the same class: in clear, in a layer, and through a
//! tunnel.
#![allow(clippy::needless_pass_by_value, reason = "what a peer does reads best where it is asked for")]

use std::sync::Arc;
use std::time::Duration;

use futures::io::AsyncReadExt;
use onionskin::layer::opening::Opening;
use onionskin::peer::{Advice, Class, ClassKind};
use onionskin::runtime::Address;
use onionskin::rustls::client::WebPkiServerVerifier;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use onionskin::rustls::server::{ClientHello, ResolvesServerCert};
use onionskin::rustls::sign::CertifiedKey;
use onionskin::rustls::{AlertDescription, ClientConfig, RootCertStore, ServerConfig};
use onionskin::stack::Progress;
use onionskin::testing::Cut;
use onionskin::tls::{CertificateFault, Identity, Roots, TlsClient, TlsLayer, TlsServer, Version, default_provider};
use onionskin::tunnel::ErrorKind;
use onionskin::tunnel::socks::Socks5;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use crate::common::{Authority, BOTH};
use crate::executor::both;
use crate::peers::{Conn, NAME, authority, client, pair, server};

/// What lies between the two that do not come together.
#[derive(Clone, Copy, Debug)]
enum Way {
    InClear,
    InALayer,
    ThroughATunnel,
    ThroughATunnelInALayer,
}

const WAYS: [Way; 4] = [Way::InClear, Way::InALayer, Way::ThroughATunnel, Way::ThroughATunnelInALayer];

/// What the handshake of `layer`, or a read behind it, fails with, where the peer does as it is told.
fn failure(way: Way, layer: TlsLayer, peer: impl AsyncFn(&mut Conn)) -> Class {
    outcome(way, layer, peer).expect_err("it failed")
}

fn outcome(way: Way, layer: TlsLayer, peer: impl AsyncFn(&mut Conn)) -> Result<(), Class> {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 100_000);
    let (in_layer, tunnel) = match way {
        Way::InClear => (false, false),
        Way::InALayer => (true, false),
        Way::ThroughATunnel => (false, true),
        Way::ThroughATunnelInALayer => (true, true),
    };
    let asks = async {
        if in_layer {
            left.start_tls(client(Version::Tls13)).await.unwrap();
        }
        if tunnel {
            let target = Address::to_host(NAME, 443).unwrap();
            left.open(Opening::of(Socks5::new(target))).await.unwrap();
        }
        let outer = left.stack().layers().map(|(id, _)| id).last();
        let class = match left.start_tls(layer).await {
            Err(error) => error.class(),
            // A server of TLS 1.3 may still say no.
            Ok(_) => match left.read(&mut [0]).await {
                Ok(_) => return Ok(()),
                Err(error) => Class::of(&error).unwrap(),
            },
        };
        // Whose stream ends, all of its layers miss their end, the outermost first.
        let is_everywhere = matches!(class.kind(), ClassKind::Truncated);
        assert!(is_everywhere || class.layer() != outer, "{way:?}: not of the outer layer: {class}");
        Err(class)
    };
    let answers = async {
        if in_layer {
            right.start_tls(server()).await.unwrap();
        }
        if tunnel {
            right.read_exact(&mut [0; 3]).await.unwrap();
            right.send_all(&[5, 0]).await.unwrap();
            right.read_exact(&mut [0; 4 + 1 + NAME.len() + 2]).await.unwrap();
            right.send_all(&[5, 0, 0, 1, 192, 0, 2, 7, 0, 9]).await.unwrap();
        }
        peer(&mut right).await;
        drop(right);
    };
    both(asks, answers).0
}

/// On each way the same, by name, with the layer named.
#[track_caller]
fn each_way(expected: &str, layer: impl Fn() -> TlsLayer, peer: impl AsyncFn(&mut Conn)) -> Vec<Class> {
    WAYS.iter()
        .map(|&way| {
            let class = failure(way, layer(), &peer);
            assert_eq!(class.kind().name(), expected, "{way:?}: {class}");
            assert!(class.layer().is_some(), "{way:?}: {class}");
            class
        })
        .collect()
}

/// Serves with this layer, and stays until the client has gone.
async fn serve(conn: &mut Conn, layer: TlsLayer) {
    if conn.start_tls(layer).await.is_ok() {
        let _ = conn.read(&mut [0]).await;
    }
}

fn to_name() -> TlsLayer {
    authority().client(BOTH).to(NAME).unwrap()
}

/// A server with a certificate that is as `change` makes it.
fn with_certificate(change: impl Fn(&mut CertificateParams)) -> TlsServer {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    change(&mut params);
    let (chain, key) = authority().issue(&params);
    TlsServer::builder(Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()).build().unwrap()
}

#[track_caller]
fn each_way_with_certificate(expected: &str, change: impl Fn(&mut CertificateParams)) -> CertificateFault {
    let server = with_certificate(change);
    let classes = each_way(expected, to_name, async |conn| serve(conn, server.accept().unwrap()).await);
    assert_eq!(classes[0].retry().advice, Advice::No);
    assert_eq!(classes[0].progress(), Some(Progress::Opening));
    match classes[0].kind() {
        ClassKind::Certificate(fault) => fault.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn p7_with_nothing_wrong_there_is_no_failure() {
    for way in WAYS {
        let done = outcome(way, to_name(), async |conn| {
            conn.start_tls(server()).await.unwrap();
            conn.send_all(b"a").await.unwrap();
        });
        assert!(done.is_ok(), "{way:?}: {done:?}");
    }
}

#[test]
fn p7_certificate_name_with_what_was_expected_and_what_is_presented() {
    let other = |params: &mut CertificateParams| {
        *params = CertificateParams::new(vec!["b.test".to_owned(), "c.test".to_owned()]).unwrap();
    };
    match each_way_with_certificate("certificate_name", other) {
        CertificateFault::WrongName { expected, presented } => {
            assert_eq!((expected.as_deref(), &presented[..]), (Some(NAME), &["b.test".into(), "c.test".into()][..]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn p7_certificate_dates() {
    each_way_with_certificate("certificate_expired", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    each_way_with_certificate("certificate_not_yet_valid", |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2998, 1, 1), rcgen::date_time_ymd(2999, 1, 1));
    });
}

#[test]
fn p7_certificate_purpose_authority_and_issuer() {
    each_way_with_certificate("certificate_purpose", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    each_way_with_certificate("certificate_is_authority", |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let stranger = || Authority::new().client(BOTH).to(NAME).unwrap();
    each_way("certificate_unknown_issuer", stranger, async |conn| serve(conn, server()).await);
}

#[test]
fn p7_certificate_that_was_revoked() {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.serial_number = Some(7.into());
    let (chain, key) = authority().issue(&params);
    let server = TlsServer::builder(Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()).build().unwrap();
    let client = |crl: Vec<u8>| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority().pem().as_bytes()).unwrap()).unwrap();
        let provider = default_provider().unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .with_crls([CertificateRevocationListDer::from(crl)])
            .build()
            .unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        TlsClient::from_rustls(Arc::new(config)).unwrap()
    };
    let revoking = client(authority().revocation_list(&[7], 4000).der().to_vec());
    let other = client(authority().revocation_list(&[8], 4000).der().to_vec());
    each_way(
        "certificate_revoked",
        || revoking.to(NAME).unwrap(),
        async |conn| serve(conn, server.accept().unwrap()).await,
    );
    // Another one on the list is no reason: then it is the end that the read finds.
    let class = failure(Way::InClear, other.to(NAME).unwrap(), async |conn| {
        conn.start_tls(server.accept().unwrap()).await.unwrap();
    });
    assert_eq!(class.kind().name(), "truncated");
}

/// Shows this, whatever it is.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn p7_certificate_that_is_none() {
    let key = PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap();
    let provider = default_provider().unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = CertifiedKey::new(vec![CertificateDer::from(vec![0x30, 3, 2, 1, 5])], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
    let server = TlsServer::from_rustls(Arc::new(config)).unwrap();
    each_way("certificate_encoding", to_name, async |conn| serve(conn, server.accept().unwrap()).await);
}

#[test]
fn p7_client_certificate_refused_at_the_handshake_or_at_the_first_read() {
    let demanding = TlsServer::builder(authority().identity(NAME))
        .require_client_certificates(Roots::from_pem(authority().pem().as_bytes()).unwrap())
        .build()
        .unwrap();
    let stranger = Authority::new();
    for (version, at) in [(Version::Tls12, Progress::Opening), (Version::Tls13, Progress::Opened)] {
        let without = || authority().client(&[version]).to(NAME).unwrap();
        let with_another = || {
            let builder = TlsClient::builder(authority().roots()).versions(&[version]);
            builder.identity(stranger.identity("me.test")).build().unwrap().to(NAME).unwrap()
        };
        let serving = async |conn: &mut Conn| serve(conn, demanding.accept().unwrap()).await;
        let mut classes = each_way("client_certificate_refused", with_another, serving);
        // In TLS 1.2 the want of one is no more than a handshake_failure.
        if version == Version::Tls13 {
            classes.extend(each_way("client_certificate_refused", without, serving));
        }
        for class in classes {
            assert!(
                matches!(class.kind(), ClassKind::ClientCertificateRefused { at: when, .. } if *when == Some(at)),
                "{class:?}"
            );
            assert!(class.kind().meaning().unwrap().contains("certificate"), "{class}");
            assert_eq!(class.retry().advice, Advice::No);
        }
    }
}

#[test]
fn p7_each_alert_about_our_certificate_is_a_refusal_of_it() {
    use AlertDescription as A;
    for alert in [A::CertificateRequired, A::BadCertificate, A::UnknownCA, A::AccessDenied, A::CertificateExpired] {
        let class = failure(Way::InClear, to_name(), async |conn| say_alert(conn, alert).await);
        assert!(
            matches!(class.kind(), ClassKind::ClientCertificateRefused { alert: said, .. } if *said == alert),
            "{class}"
        );
    }
    let class = failure(Way::InClear, to_name(), async |conn| say_alert(conn, A::UnrecognisedName).await);
    assert!(matches!(class.kind(), ClassKind::Alert { alert: A::UnrecognisedName, .. }), "{class}");
}

/// A fatal alert in clear, in place of a ServerHello.
async fn say_alert(conn: &mut Conn, alert: AlertDescription) {
    let _ = conn.read(&mut [0; 4096]).await;
    conn.send_all(&[21, 3, 3, 0, 2, 2, u8::from(alert)]).await.unwrap();
    let _ = conn.read(&mut [0; 4096]).await;
}

#[test]
fn p7_alert_with_what_it_means() {
    let unknown = async |conn: &mut Conn| say_alert(conn, AlertDescription::UnrecognisedName).await;
    for class in each_way("alert", to_name, unknown) {
        assert!(class.kind().meaning().unwrap().contains("does not serve the name"), "{class}");
        assert_eq!(class.retry().advice, Advice::No);
    }
    let failed = async |conn: &mut Conn| say_alert(conn, AlertDescription::InternalError).await;
    for class in each_way("alert", to_name, failed) {
        assert_eq!(class.retry().advice, Advice::Safe, "a fault that may pass");
    }
}

#[test]
fn p7_no_version_suite_or_protocol_in_common() {
    let old = authority().server(NAME, &[Version::Tls12]);
    let new = || authority().client(&[Version::Tls13]).to(NAME).unwrap();
    each_way("no_common_version", new, async |conn| serve(conn, old.accept().unwrap()).await);
    let picky = TlsServer::builder(authority().identity(NAME)).alpn(["h2"]).build().unwrap();
    let other = || TlsClient::builder(authority().roots()).alpn(["imap"]).build().unwrap().to(NAME).unwrap();
    each_way("no_common_protocol", other, async |conn| serve(conn, picky.accept().unwrap()).await);
    let one = |keep: fn(&str) -> bool| {
        let mut provider = default_provider().unwrap().as_ref().clone();
        provider.cipher_suites.retain(|suite| keep(suite.suite().as_str().unwrap()));
        Arc::new(provider)
    };
    let chacha = ServerConfig::builder_with_provider(one(|suite| suite == "TLS13_CHACHA20_POLY1305_SHA256"))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let (chain, key) = authority().pem_identity(NAME);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let chacha = TlsServer::from_rustls(Arc::new(chacha.with_single_cert(chain, key).unwrap())).unwrap();
    let aes = || {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority().pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(one(|suite| suite == "TLS13_AES_128_GCM_SHA256"))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsClient::from_rustls(Arc::new(config)).unwrap().to(NAME).unwrap()
    };
    each_way("no_common_suite", aes, async |conn| serve(conn, chacha.accept().unwrap()).await);
}

#[test]
fn p7_not_tls_with_its_first_bytes() {
    let speaks = async |conn: &mut Conn| {
        conn.send_all(b"220 \x1b[2J ready for whatever there may be to say\r\n").await.unwrap();
        let _ = conn.read(&mut [0; 4096]).await;
    };
    for class in each_way("not_tls", to_name, speaks) {
        assert!(
            matches!(class.kind(), ClassKind::NotTls { first, .. } if first.len() == 32 && first.starts_with(b"220 \x1b"))
        );
        assert!(class.to_string().contains(r#"it begins with "220 \x1b[2J ready"#), "{class}");
    }
    let echoes = async |conn: &mut Conn| {
        let mut bytes = vec![0; 4096];
        let count = conn.read(&mut bytes).await.unwrap();
        conn.send_all(&bytes[..count]).await.unwrap();
        let _ = conn.read(&mut bytes).await;
    };
    each_way("not_tls", to_name, echoes);
}

#[test]
fn p7_truncated_and_reset() {
    for class in each_way("truncated", to_name, async |conn| drop(conn.read(&mut [0]).await)) {
        assert_eq!(class.retry().advice, Advice::Safe, "in a handshake nothing was sent: {class:?}");
    }
    let class = failure(Way::InClear, to_name(), async |conn| drop(conn.start_tls(server()).await));
    assert_eq!((class.kind().name(), class.retry().advice), ("truncated", Advice::IfNothingSent));
    for (started, advice) in [(false, Advice::Safe), (true, Advice::IfNothingSent)] {
        let (mut left, mut right, _clock) = pair(Cut::Whole, 100_000);
        if started {
            crate::peers::start(&mut left, &mut right, Version::Tls13);
        } else {
            left.splice(to_name()).unwrap();
        }
        left.get_ref().fail(std::io::ErrorKind::ConnectionReset);
        let error = crate::executor::alone(left.read(&mut [0])).unwrap_err();
        let class = Class::of(&error).unwrap();
        assert_eq!((class.kind().name(), class.retry().advice), ("reset", advice), "{class:?}");
    }
}

#[test]
fn p7_handshake_timeout_in_the_layer_that_waits() {
    for way in [Way::InClear, Way::InALayer] {
        let (mut left, mut right, clock) = pair(Cut::Whole, 100_000);
        if matches!(way, Way::InALayer) {
            crate::peers::start(&mut left, &mut right, Version::Tls13);
        }
        let layer = to_name().handshake_timeout(Some(Duration::from_secs(3)));
        let mut started = crate::executor::Task::new(left.start_tls(layer));
        assert!(started.run().is_none());
        clock.advance(Duration::from_millis(2_999));
        assert!(started.run().is_none(), "not yet");
        clock.advance(Duration::from_millis(1));
        let class = started.run().unwrap().unwrap_err().class();
        assert_eq!((class.kind().name(), class.retry().advice), ("handshake_timeout", Advice::Safe));
        let number = if matches!(way, Way::InClear) { "#1" } else { "#2" };
        assert_eq!(class.layer().unwrap().to_string(), number, "{class}");
    }
}

#[test]
fn p7_a_proxy_that_refuses_is_no_failure_of_tls() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 100_000);
    let asks = async {
        let target = Address::to_host(NAME, 443).unwrap();
        left.open(Opening::of(Socks5::new(target))).await.unwrap_err().class()
    };
    let answers = async {
        right.read_exact(&mut [0; 3]).await.unwrap();
        right.send_all(&[5, 0]).await.unwrap();
        right.read_exact(&mut [0; 4 + 1 + NAME.len() + 2]).await.unwrap();
        right.send_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    };
    let class = both(asks, answers).0;
    assert!(
        matches!(class.kind(), ClassKind::Tunnel(error) if matches!(error.kind(), ErrorKind::Refused { code: 5, .. })),
        "{class}"
    );
    assert_eq!(class.retry().advice, Advice::SafeElsewhere);
}
