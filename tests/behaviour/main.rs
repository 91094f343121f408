//! The behaviour of TLS layers over an in-memory pair, by topic.

#[path = "../common/mod.rs"]
mod common;
mod nest;
