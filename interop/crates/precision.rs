//! The tests of policies once more, with `arbitrary_precision` switched on in serde_json, as any crate of a program may do.

#[path = "../../tests/streams/policies.rs"]
mod policies;

#[test]
fn it_is_switched_on() {
    assert!(serde_json::from_str::<serde_json::Value>("1e400").is_ok(), "without it that number is out of range");
}
