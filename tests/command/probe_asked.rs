//! `onion probe` asks a server by other names and by other groups, and says how long each phase took.

use std::sync::Arc;

use onionskin::tls::{Group, TlsServer, TlsServerBuilder};
use rcgen::CertificateParams;
use serde_json::{Value, json};

use crate::common::Authority;
use crate::onion::{Server, run};
use crate::probe_refused::{Bench, Openssl, listen, serve};

const NAME: &str = "localhost";

/// A server that waits for bytes behind the handshake; its endpoint.
pub(crate) fn serving(bench: &Bench, server: TlsServerBuilder) -> String {
    let tls = Arc::new(server.build().unwrap());
    let address = serve(move |conn| listen(conn, Arc::clone(&tls), None));
    bench.endpoint(&address, "tls")
}

/// Of each row: the group, what is said of it, and for which one there is a HelloRetryRequest.
fn rows(report: &Value) -> Vec<(&str, &str, Option<&str>)> {
    let text = |row: &'_ Value, key: &str| row[key].as_str().map(str::to_owned).map(|text| &*text.leak());
    let rows = report["groups"]["rows"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    rows.iter().map(|row| (text(row, "group").unwrap(), text(row, "state").unwrap(), text(row, "retry_for"))).collect()
}

/// What is said of the hybrid by a program whose provider may not have it.
fn hybrid(state: &'static str, retry_for: Option<&'static str>) -> (&'static str, &'static str, Option<&'static str>) {
    match cfg!(feature = "aws-lc-rs") {
        true => ("X25519MLKEM768", state, retry_for),
        false => ("X25519MLKEM768", "does_not_apply", None),
    }
}

#[test]
fn each_name_has_a_row_with_the_certificate_that_the_server_shows_for_it() {
    let (bench, stranger) = (Bench::new(), Authority::new());
    let mut short = CertificateParams::new(vec!["short.example".to_owned()]).unwrap();
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * 86_400 + 3600);
    short.not_after = soon.into();
    let (chain, key) = bench.authority.issue(&short);
    let short = onionskin::tls::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let server = TlsServer::builder(bench.authority.identity(NAME))
        .name("other.example", bench.authority.identity("other.example"))
        .name("short.example", short)
        .name("stranger.example", stranger.identity("stranger.example"));
    let endpoint = serving(&bench, server);

    let asked = ["--name", "other.example", "--name", NAME, "--name", "short.example"];
    let (outcome, report) = bench.probe_in_haste(&endpoint, &asked);
    outcome.succeeded();
    assert_eq!(report["verdict"], "sound", "{report:#}");
    let row = |report: &Value, index: usize| report["names"][index].clone();
    for (index, name, is_same) in [(0, "other.example", false), (1, NAME, true), (2, "short.example", false)] {
        let row = row(&report, index);
        assert_eq!((&row["name"], &row["state"]), (&json!(name), &json!("offered")), "{row:#}");
        assert_eq!(row["trust"]["state"], "trusted", "{row:#}");
        assert_eq!(row["same_certificate"], is_same, "{row:#}");
        assert_eq!(row["certificates"][0]["names"], json!([name]), "{row:#}");
        assert!(row["version"].is_string(), "{row:#}");
    }
    assert_eq!(row(&report, 2)["certificates"][0]["days_left"], 10, "{report:#}");
    // Each in a connection of its own.
    let (_, alone) = bench.probe_in_haste(&endpoint, &[]);
    assert_eq!(alone["names"], json!([]));
    assert_eq!(report["connections"].as_u64(), alone["connections"].as_u64().map(|count| count + 3));

    // What is wrong by a name alone decides, the worst of them.
    let (outcome, _) = bench.probe_in_haste(&endpoint, &["--name", "short.example", "--warn-days", "11"]);
    let line = outcome.failed(7);
    assert!(line.contains("by the name short.example: a certificate has 10 days left"), "{line}");
    let asked = ["--name", "short.example", "--name", "nobody.example", "--name", "stranger.example"];
    let (outcome, report) = bench.probe_in_haste(&endpoint, &[&asked[..], &["--warn-days", "11"]].concat());
    assert_eq!(report["verdict"], "untrusted", "{report:#}");
    assert!(outcome.failed(6).contains("by the name nobody.example"), "{report:#}");
    assert_eq!(row(&report, 1)["trust"]["state"], "wrong_name", "{report:#}");
    assert_eq!(row(&report, 1)["same_certificate"], true, "{report:#}");
    assert_eq!(row(&report, 2)["trust"]["state"], "unknown_issuer", "{report:#}");

    // For people.
    let text = run(["probe", &endpoint, "--timeout", "5", "--name", "other.example"], "").succeeded().stdout;
    let line = text.lines().find(|line| line.starts_with("names")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("other.example: trusted, by a certificate for other.example by CN=authority"), "{line}");
    assert!(line.ends_with("days left"), "{line}");
}

/// What an endpoint string of a server says for a name, as a client finds it.
#[test]
fn what_serve_has_for_a_name_is_what_is_found_there() {
    let bench = Bench::new();
    let identity = |name: &str| {
        let (chain, key) = bench.authority.pem_identity(name);
        let chain = bench.directory.write(&format!("{name}.pem"), chain);
        format!("cert={chain}:key={}", bench.directory.write(&format!("{name}.key"), key))
    };
    let (own, other) = (identity(NAME), identity("other.example"));
    let named = format!("for=other.example:{other}:for=staff.example:client-ca={}", bench.ca());
    let server = Server::start([&*format!("tcp:127.0.0.1:0+tls:{own}:{named}")]);
    let address = server.endpoint.split('+').next().unwrap();
    let asked = ["--name", "other.example", "--name", "staff.example"];
    let (outcome, report) = bench.probe_in_haste(&bench.endpoint(address, "tls"), &asked);
    outcome.failed(5);
    let [other, staff] = [&report["names"][0], &report["names"][1]];
    assert_eq!(other["trust"]["state"], "trusted", "{report:#}");
    assert_eq!(other["certificates"][0]["names"], json!(["other.example"]), "{report:#}");
    assert_eq!((&staff["wants"], &staff["same_certificate"]), (&json!("certificate"), &json!(true)), "{report:#}");
    assert_eq!(report["tls"]["client_certificate"], "not_asked", "by its own name: {report:#}");
}

#[test]
fn a_name_that_is_none_is_said_before_anybody_is_bothered() {
    for name in ["", "*.example", "a b", "example:443"] {
        let outcome = run(["probe", "tcp:127.0.0.1:1+tls", "--name", name], "");
        assert_eq!(outcome.stdout, "");
        outcome.failed(2);
    }
    // The control: nobody is there.
    run(["probe", "tcp:127.0.0.1:1+tls", "--name", "a.example"], "").failed(1);
}

#[test]
fn the_groups_of_a_server_are_tried_one_by_one_and_what_it_prefers_is_said() {
    let bench = Bench::new();
    let with = |groups: &[Group]| {
        let server = TlsServer::builder(bench.authority.identity(NAME)).groups(groups.iter().copied());
        bench.probe_in_haste(&serving(&bench, server), &["--groups"]).1
    };

    let report = with(&[Group::SECP384R1, Group::X25519]);
    let expected = [
        hybrid("not_offered", Some("X25519")),
        ("X25519", "offered", None),
        ("secp256r1", "not_offered", Some("X25519")),
        ("secp384r1", "offered", None),
    ];
    assert_eq!(rows(&report), expected, "{report:#}");
    // Whoever asks in the other order gets the other one.
    assert_eq!((&report["groups"]["chosen_by"], &report["groups"]["preferred"]), (&json!("client"), &Value::Null));
    assert_eq!(report["tls"]["hello_retry"], false, "X25519 is shared at once: {report:#}");
    assert_eq!(report["verdict"], "sound", "{report:#}");

    // One alone leaves no choice, and costs those a round trip who begin with another.
    let report = with(&[Group::SECP256R1]);
    let wanted = Some("secp256r1");
    let expected = [
        hybrid("not_offered", wanted),
        ("X25519", "not_offered", wanted),
        ("secp256r1", "offered", None),
        ("secp384r1", "not_offered", wanted),
    ];
    assert_eq!(rows(&report), expected, "{report:#}");
    assert_eq!((&report["groups"]["chosen_by"], &report["groups"]["preferred"]), (&json!("unknown"), &Value::Null));
    assert_eq!(report["tls"]["hello_retry"], true, "{report:#}");
    assert_eq!(report["tls"]["key_exchange_group"], "secp256r1", "{report:#}");

    // TLS 1.2 has groups, and no HelloRetryRequest.
    let server = TlsServer::builder(bench.authority.identity(NAME)).versions(&[onionskin::tls::Version::Tls12]);
    let endpoint = serving(&bench, server);
    let (_, report) = bench.probe_in_haste(&endpoint, &["--groups"]);
    let offered = |group| (group, "offered", None);
    let expected = [hybrid("not_offered", None), offered("X25519"), offered("secp256r1"), offered("secp384r1")];
    assert_eq!(rows(&report), expected, "{report:#}");

    // Not asked, not said.
    assert_eq!(bench.probe_in_haste(&endpoint, &[]).1["groups"], Value::Null);
}

#[test]
fn a_server_that_wants_a_client_certificate_shows_its_groups_all_the_same() {
    let bench = Bench::new();
    let server = TlsServer::builder(bench.authority.identity(NAME))
        .require_client_certificates(bench.authority.roots())
        .groups([Group::X25519]);
    let (outcome, report) = bench.probe_in_haste(&serving(&bench, server), &["--groups", "--name", "x.example"]);
    outcome.failed(5);
    let offered: Vec<_> = rows(&report).into_iter().filter(|(_, state, _)| *state == "offered").collect();
    assert_eq!(offered, [("X25519", "offered", None)], "{report:#}");
    assert_eq!(report["names"][0]["wants"], "certificate", "{report:#}");
}

#[test]
fn openssl_says_by_its_answers_which_groups_it_has() {
    let bench = Bench::new();
    let (chain, key) = bench.authority.pem_identity(NAME);
    let (chain, key) = (bench.directory.write("own.pem", chain), bench.directory.write("own.key", key));
    let options = ["-groups", "P-384:P-256", "-serverpref"];
    let Some((_server, address)) = Openssl::serve("groups of openssl", &chain, &key, &options) else { return };
    let (outcome, report) = bench.probe_in_haste(&bench.endpoint(&address, "tls"), &["--groups"]);
    outcome.succeeded();
    let expected = [
        hybrid("not_offered", Some("secp384r1")),
        ("X25519", "not_offered", Some("secp384r1")),
        ("secp256r1", "offered", None),
        ("secp384r1", "offered", None),
    ];
    assert_eq!(rows(&report), expected, "{report:#}");
    let picked = (&report["groups"]["chosen_by"], &report["groups"]["preferred"]);
    assert_eq!(picked, (&json!("server"), &json!("secp384r1")), "{report:#}");
    assert_eq!(report["tls"]["hello_retry"], true, "{report:#}");
}

#[test]
fn how_long_each_phase_took_is_in_the_report() {
    let bench = Bench::new();
    let endpoint = serving(&bench, TlsServer::builder(bench.authority.identity(NAME)));
    let (_, report) = bench.probe_in_haste(&endpoint, &[]);
    let times = &report["times"];
    assert!(times["connect_ms"].is_number() && times["handshake_ms"].is_number(), "{report:#}");
    assert_eq!(times["hops"], json!([]), "{report:#}");
    assert_eq!(times["handshake_ms"], report["tls"]["handshake_ms"]);

    let endpoint = endpoint.replacen("127.0.0.1", "localhost", 1);
    let text = run(["probe", &endpoint, "--timeout", "5"], "").succeeded().stdout;
    let line = text.lines().find(|line| line.starts_with("times")).unwrap_or_else(|| panic!("{text}"));
    assert!(["resolved ", "connected ", "handshake "].iter().all(|phase| line.contains(phase)), "{line}");
}
