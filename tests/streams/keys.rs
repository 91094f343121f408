//! What comes of the table of keys: the page and the schema are those of the reader.

use std::path::Path;

use boon::{Compiler, Schemas};
use onionskin::streams::policy::{Policy, page, schema};
use serde_json::Value;

use super::policies::POLICIES;

/// Written anew with `ONIONSKIN_WRITE=1` in the environment.
#[test]
fn the_pages_of_keys_are_those_of_the_reader() {
    for (file, text) in [("docs/policy-keys.md", page()), ("docs/policy.schema.json", schema())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("ONIONSKIN_WRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "{file} is out of date: ONIONSKIN_WRITE=1 cargo test --features streams --test streams pages_of_keys"
        );
    }
}

/// Whether the schema takes a policy.
fn takes(text: &str) -> Result<(), String> {
    let mut compiler = Compiler::new();
    compiler.add_resource("policy.schema.json", serde_json::from_str(&schema()).unwrap()).unwrap();
    let mut schemas = Schemas::new();
    let index = compiler.compile("policy.schema.json", &mut schemas).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    schemas.validate(&value, index).map_err(|error| error.to_string())
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    for (name, text) in POLICIES {
        takes(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Also as it prints.
        takes(&onionskin::streams::policy::Document::parse(text).unwrap().to_string()).unwrap();
    }
    takes("{}").unwrap();
}

/// Names that are not defined, and templates, are beyond a schema.
#[test]
fn the_schema_refuses_what_a_schema_can_refuse() {
    for text in [
        r#"{ "what": 1 }"#,
        r#"{ "schema-version": 2 }"#,
        r#"{ "retry": { "a": { "backoff": [] } } }"#,
        r#"{ "retry": { "a": { "backoff": ["1"] } } }"#,
        r#"{ "retry": [ { "a": { "conceal": "ever" } } ] }"#,
        r#"{ "retry": { "a": { "jitterpc": 300 } } }"#,
        r#"{ "auth": { "a": { "user": "u" } } }"#,
        r#"{ "client_certs": { "a": { "cert": "c" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "protocol": "h3" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "protocl": "h1" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "tls": "yes" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "port": 65536 } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "mqtt_topic": "t" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "protocol": "ws", "http_method": "GET" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "protocol": "mqtt", "mqtt_topic": "t", "http_url": "/" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "protocol": "mqtt", "mqtt_topic": "t", "mqtt_will_message": "m" } } }"#,
        r#"{ "s": { "a": { "endpoint": "e", "tls_trust_store": "t" } } }"#,
        r#"{ "s": { "a": [ "e" ] } }"#,
    ] {
        assert!(Policy::read(text).is_err(), "{text}");
        assert!(takes(text).is_err(), "{text}");
    }
}
