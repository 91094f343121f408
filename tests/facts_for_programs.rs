//! The facts of a layer as serde writes them. In a binary of its own: where serde_json is, comparisons with `[]` have two meanings.
#![cfg(all(feature = "serde", feature = "x509"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "common/mod.rs"]
mod common;

use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::common::link::{Case, Link, facts};

#[test]
fn p8_the_facts_are_json() {
    let mut link = Link::outer(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
    let (left, right) = link.start();
    let told = serde_json::to_value(facts(&link.left, left)).unwrap();
    assert_eq!(told["version"], "TLSv1.3");
    assert_eq!(told["role"], "client");
    assert_eq!(told["resumed"], false);
    assert_eq!(told["server_name"], "server.example");
    assert!(told["cipher_suite"].as_str().unwrap().starts_with("TLS13_"), "{told}");
    assert_eq!(told["leaf"]["names"], serde_json::json!(["server.example"]));
    assert_eq!(told["leaf_sha256"].as_str().unwrap().len(), 64);
    assert!(told["chain"][0].as_str().unwrap().starts_with("MII"), "{told}");
    assert!(told["handshake_ms"].is_f64() && told["traffic"]["wire_bytes_in"].as_u64().unwrap() > 0, "{told}");
    let told = serde_json::to_value(facts(&link.right, right)).unwrap();
    assert!(
        told["leaf"].is_null() && told["leaf_sha256"].is_null() && told["chain"] == serde_json::json!([]),
        "{told}"
    );
}
