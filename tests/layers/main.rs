//! The layers that are no TLS, each by itself, above and below TLS, and taken out while data flows.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod executor;

mod becoming;
mod connection;
mod counter;
mod deflate;
mod idle;
mod open;
mod outside;
mod proxy_header;
mod relay;
mod remove;
mod throttle;
mod traffic;
mod work;
