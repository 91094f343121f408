//! `onion probe` says what is wrong with the list of certificates that a server shows.

use onionskin::tls::{Identity, TlsServer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::common::Authority;
use crate::onion::run;
use crate::probe_asked::serving;
use crate::probe_refused::Bench;

const NAME: &str = "localhost";

/// A certificate that an intermediate authority has issued, which the authority of the bench has issued; as PEM.
struct Issued {
    own: String,
    key: String,
    intermediate: String,
}

impl Issued {
    /// The intermediate authority is valid until that year begins.
    fn new(authority: &Authority, until: i32) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let intermediate = authority.sign(&params, &key).pem();
        let own_key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        own.distinguished_name.push(DnType::CommonName, NAME);
        let own = own.signed_by(&own_key, &Issuer::from_params(&params, &key)).unwrap().pem();
        Self { own, key: own_key.serialize_pem(), intermediate }
    }
}

/// What is wrong with a certificate: its kind, and which one it is.
fn problems(report: &Value) -> Vec<(&str, u64)> {
    let chain = report["chain"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    chain.iter().map(|problem| (problem["kind"].as_str().unwrap(), problem["certificate"].as_u64().unwrap())).collect()
}

#[test]
fn each_fault_of_a_list_of_certificates_has_its_name() {
    let bench = Bench::new();
    let (issued, late) = (Issued::new(&bench.authority, 3000), Issued::new(&bench.authority, 2001));
    let (root, stranger) = (bench.authority.pem(), Authority::new().pem());
    for (what, issued, list, state, expected) in [
        ("sound", &issued, vec![&issued.own, &issued.intermediate], "trusted", vec![]),
        ("no intermediate", &issued, vec![&issued.own], "unknown_issuer", vec![("issuer_not_shown", 1)]),
        ("root", &issued, vec![&issued.own, &issued.intermediate, &root], "trusted", vec![("root_shown", 3)]),
        (
            "order",
            &issued,
            vec![&issued.own, &root, &issued.intermediate],
            "trusted",
            vec![("out_of_order", 2), ("root_shown", 2)],
        ),
        ("repeated", &issued, vec![&issued.own, &issued.own, &issued.intermediate], "trusted", vec![("repeated", 2)]),
        (
            "another's",
            &issued,
            vec![&issued.own, &stranger],
            "unknown_issuer",
            vec![("out_of_order", 2), ("root_shown", 2), ("issuer_not_shown", 1)],
        ),
        ("expired", &late, vec![&late.own, &late.intermediate], "expired", vec![("expired", 2)]),
    ] {
        let pem: String = list.into_iter().map(String::as_str).collect();
        let server = TlsServer::builder(Identity::from_pem(pem.as_bytes(), issued.key.as_bytes()).unwrap());
        let endpoint = serving(&bench, server);
        let (_, report) = bench.probe_in_haste(&endpoint, &["--name", NAME]);
        assert_eq!(report["trust"]["state"], state, "{what}: {report:#}");
        assert_eq!(problems(&report), expected, "{what}: {report:#}");
        assert_eq!(report["names"][0]["chain"], report["chain"], "{what}: {report:#}");
        let text = run(["probe", &endpoint, "--timeout", "5"], "").stdout;
        assert_eq!(text.lines().any(|line| line.starts_with("chain ")), !expected.is_empty(), "{what}: {text}");
    }
    // A certificate that the root itself has issued needs nothing behind it, and one that is its own issuer has no list.
    let (own, key) = bench.authority.pem_identity(NAME);
    let server = TlsServer::builder(Identity::from_pem(own.as_bytes(), key.as_bytes()).unwrap());
    let (_, report) = bench.probe_in_haste(&serving(&bench, server), &[]);
    assert_eq!((report["trust"]["state"].as_str(), problems(&report)), (Some("trusted"), vec![]), "{report:#}");
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let server = TlsServer::builder(Identity::from_pem(own.as_bytes(), key.serialize_pem().as_bytes()).unwrap());
    let (_, report) = bench.probe_in_haste(&serving(&bench, server), &[]);
    assert_eq!((report["trust"]["state"].as_str(), problems(&report)), (Some("unknown_issuer"), vec![]), "{report:#}");
}
