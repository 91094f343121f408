//! The examples, as processes, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]

#[path = "../common/mod.rs"]
mod common;

mod chat;
mod ftp;
mod line_protocol;
mod own_proxy;
mod process;
mod relay;
mod smtp_sink;
mod through_proxies;
