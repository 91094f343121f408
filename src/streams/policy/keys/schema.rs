//! The tables as a JSON Schema, for editors that complete and check.
//!
//! A schema cannot say that a name has to be defined, or that a template has to be one. It accepts whatever the reader accepts but for
//! a number such as `443.0`, which is whole to a schema and no number of a policy.

use super::super::document::{Document, Node, Value};
use super::super::mistake::At;
use super::policy::POLICY;
use super::{Key, Kind, Spoken};

/// The JSON Schema of a policy (draft 2020-12), as `docs/policy.schema.json` has it.
pub fn schema() -> String {
    let Value::Object(members) = object(POLICY) else { return String::new() };
    let head = Value::object([
        ("$schema", Value::text("https://json-schema.org/draft/2020-12/schema")),
        ("title", Value::text("A policy of onionskin's streams")),
    ]);
    let Value::Object(mut all) = head else { return String::new() };
    all.extend(members);
    let root = Node { at: At::default(), value: Value::Object(all) };
    format!("{}\n", Document { root, doubled: Vec::new() })
}

/// An object with these keys and no others.
pub(super) fn object<T>(keys: &'static [Key<T>]) -> Value {
    let properties = Value::object(keys.iter().map(|key| (key.name, of(key))));
    let needed: Vec<_> = keys.iter().filter(|key| key.is_needed).map(|key| Value::text(key.name)).collect();
    let needs = keys.iter().filter_map(|key| Some((key.name, Value::list([Value::text(key.needs?)]))));
    let mut members = vec![
        ("type", Value::text("object")),
        ("properties", properties),
        ("additionalProperties", Value::Flag(false)),
        ("dependentRequired", Value::object(needs)),
    ];
    if !needed.is_empty() {
        members.push(("required", Value::list(needed)));
    }
    Value::object(members)
}

/// A stream: which keys it may have depends on what it speaks.
pub(super) fn stream<T>(keys: &'static [Key<T>]) -> Value {
    let Value::Object(mut members) = object(keys) else { return Value::Null };
    let allowed = |spoken: Spoken| {
        let names = keys.iter().filter(|key| key.is_for(spoken)).map(|key| Value::text(key.name));
        Value::object([("propertyNames", Value::object([("enum", Value::list(names))]))])
    };
    let is = |name: &str, value: Value| {
        Value::object([
            ("properties", Value::object([(name, Value::object([("const", value)]))])),
            ("required", Value::list([Value::text(name)])),
        ])
    };
    let rules = Spoken::ALL.into_iter().map(|spoken| {
        let speaks = match spoken {
            Spoken::H1 => any_of([
                is("protocol", Value::text("h1")),
                Value::object([("not", Value::object([("required", Value::list([Value::text("protocol")]))]))]),
            ]),
            Spoken::Mqtt => all_of([
                is("protocol", Value::text("mqtt")),
                Value::object([("not", is("mqtt_over_ws", Value::Flag(true)))]),
            ]),
            Spoken::MqttOverWs => all_of([is("protocol", Value::text("mqtt")), is("mqtt_over_ws", Value::Flag(true))]),
            spoken => is("protocol", Value::text(spoken.name())),
        };
        Value::object([("if", speaks), ("then", allowed(spoken))])
    });
    let Value::Object(rules) = Value::object([("allOf", Value::list(rules.collect::<Vec<_>>()))]) else {
        return Value::Null;
    };
    members.extend(rules);
    Value::Object(members)
}

/// An object with names, or an array of objects with names.
pub(super) fn named(of: Value) -> Value {
    let map = Value::object([("type", Value::text("object")), ("additionalProperties", of)]);
    any_of([map.clone(), array(map)])
}

/// The same, or an array of objects that say their names themselves.
pub(super) fn named_within(of: Value) -> Value {
    let map = Value::object([("type", Value::text("object")), ("additionalProperties", of)]);
    let own = Value::object([
        ("type", Value::text("object")),
        ("properties", Value::object([("name", Value::object([("type", Value::text("string"))]))])),
        ("required", Value::list([Value::text("name")])),
    ]);
    any_of([map.clone(), array(any_of([map, own]))])
}

pub(super) fn material() -> Value {
    let file = Value::object([
        ("type", Value::text("object")),
        ("properties", Value::object([("file", text())])),
        ("required", Value::list([Value::text("file")])),
        ("additionalProperties", Value::Flag(false)),
    ]);
    any_of([text(), file])
}

pub(super) fn identity() -> Value {
    Value::object([
        ("type", Value::text("object")),
        ("properties", Value::object([("cert", texts()), ("key", text())])),
        ("required", Value::list([Value::text("cert"), Value::text("key")])),
        ("additionalProperties", Value::Flag(false)),
    ])
}

pub(super) fn subscriptions() -> Value {
    let one = Value::object([
        ("type", Value::text("object")),
        ("properties", Value::object([("filter", text()), ("qos", number(0, 2))])),
        ("required", Value::list([Value::text("filter")])),
        ("additionalProperties", Value::Flag(false)),
    ]);
    any_of([text(), one.clone(), array(any_of([text(), one]))])
}

pub(super) fn texts() -> Value {
    any_of([text(), array(text())])
}

pub(super) fn text() -> Value {
    Value::object([("type", Value::text("string"))])
}

pub(super) fn any_of(schemas: impl IntoIterator<Item = Value>) -> Value {
    Value::object([("anyOf", Value::list(schemas))])
}

fn all_of(schemas: impl IntoIterator<Item = Value>) -> Value {
    Value::object([("allOf", Value::list(schemas))])
}

fn array(of: Value) -> Value {
    Value::object([("type", Value::text("array")), ("items", of)])
}

fn number(least: u64, most: u64) -> Value {
    Value::object([
        ("type", Value::text("integer")),
        ("minimum", Value::number(least)),
        ("maximum", Value::number(most)),
    ])
}

fn of<T>(key: &Key<T>) -> Value {
    let shape = match &key.kind {
        Kind::Flag(_) => Value::object([("type", Value::text("boolean"))]),
        Kind::Number { least, most, .. } => number(*least, *most),
        Kind::NumberOr { least, most, word, .. } => {
            any_of([number(*least, *most), Value::object([("const", Value::text(*word))])])
        }
        Kind::Numbers { least, most, count, .. } => Value::object([
            ("type", Value::text("array")),
            ("items", number(*least, *most)),
            ("minItems", Value::number(1)),
            ("maxItems", Value::number(u64::try_from(*count).unwrap_or(u64::MAX))),
        ]),
        Kind::Time { least, .. } => number(*least, u32::MAX.into()),
        Kind::Text { .. } | Kind::Template { .. } | Kind::Name { .. } => text(),
        Kind::Choice { words, .. } => {
            Value::object([("enum", Value::list(words.iter().map(|word| Value::text(*word))))])
        }
        Kind::Names { .. } | Kind::Texts { .. } => texts(),
        Kind::Texted { .. } => named(text()),
        Kind::Numbered { most, .. } => named(number(0, *most)),
        Kind::Own { schema, .. } => schema(),
        Kind::Without(_) => Value::object([("deprecated", Value::Flag(true))]),
    };
    let Value::Object(mut members) = shape else { return Value::Null };
    if let Value::Object(about) = Value::object([("description", Value::text(key.about))]) {
        members.extend(about);
    }
    Value::Object(members)
}
