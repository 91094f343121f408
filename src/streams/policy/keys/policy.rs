//! The keys at the top of a policy.

use super::super::{Policy, Via};
use super::named::{AUTH, RETRY, TRUST_STORE};
use super::reader::Reading;
use super::schema;
use super::stream::{SOCKS, STREAM, VIA, parsed};
use super::{Key, Kind};

pub(super) const POLICY: &[Key<Policy>] = &[
    Key::new(
        "release",
        note(|policy, text| {
            policy.release = Some(text.to_owned());
            Ok(())
        }),
        "",
        "For people.",
    ),
    Key::new(
        "product",
        note(|policy, text| {
            policy.product = Some(text.to_owned());
            Ok(())
        }),
        "",
        "For people.",
    ),
    Key::new(
        "schema-version",
        Kind::Number { least: 1, most: 1, unit: "", set: |_, _| {} },
        "1",
        "The version of these keys. One that is newer than what is known is refused.",
    ),
    Key::new(
        "via",
        Kind::Text { expected: VIA, set: |policy, text| parsed(text).map(|via| policy.via = Some(via)) },
        "",
        "The proxies on the way of all streams that do not name their own, as in a stream.",
    ),
    Key::new(
        "via-socks5",
        Kind::Text {
            expected: SOCKS,
            set: |policy, text| Via::socks5(text).map(|via| policy.via = Some(via)).map_err(|error| error.to_string()),
        },
        "",
        "The short form of `via` for one proxy of SOCKS5.",
    ),
    Key::new(
        "retry",
        Kind::Own { expected: NAMED, schema: || schema::named(schema::object(RETRY)), read: Reading::retries },
        "",
        "Tables of delays, by name.",
    ),
    Key::new(
        "certs",
        Kind::Own { expected: NAMED, schema: || schema::named(schema::material()), read: Reading::certificates },
        "",
        "Certificates, keys and revocation lists, by name: base64 of DER, PEM, or `{ \"file\": PATH }`.",
    ),
    Key::new(
        "trust_stores",
        Kind::Own {
            expected: NAMED,
            schema: || schema::named_within(schema::any_of([schema::texts(), schema::object(TRUST_STORE)])),
            read: Reading::trust_stores,
        },
        "",
        "Whom to trust, by name: `{ \"name\": .., \"stack\": [..] }`, or by name the `stack` alone or such an object.",
    ),
    Key::new(
        "client_certs",
        Kind::Own { expected: NAMED, schema: || schema::named(schema::identity()), read: Reading::client_certificates },
        "",
        "Who we are in TLS, by name: `{ \"cert\": .., \"key\": .. }` with names from `certs`.",
    ),
    Key::new(
        "auth",
        Kind::Own { expected: NAMED, schema: || schema::named_within(schema::object(AUTH)), read: Reading::auth },
        "",
        "Who asks in HTTP, by name.",
    ),
    Key::new("metrics", Kind::Without("a program counts what it likes"), "", "What libwebsockets counts."),
    Key::new(
        "s",
        Kind::Own { expected: NAMED, schema: || schema::named(schema::stream(STREAM)), read: Reading::streams },
        "",
        "The streams, by name.",
    ),
];

const fn note(set: fn(&mut Policy, &str) -> Result<(), String>) -> Kind<Policy> {
    Kind::Text { expected: "a text", set }
}

const NAMED: &str = "an object with names, or an array of objects with one name each";
