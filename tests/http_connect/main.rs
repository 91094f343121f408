//! CONNECT of HTTP/1.1, both sides, against peers that are played by hand, byte by byte.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod executor;
mod outcome;
mod peer;

mod accept;
#[cfg(feature = "http2")]
mod accept_many;
mod chains;
mod challenged;
mod client;
mod client_ends;
mod random;
mod server;
mod server_ends;
