//! The real binary, run as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod certificates;
#[path = "../common/mod.rs"]
mod common;
mod demo;
mod dialogue;
mod foreign;
#[cfg(unix)]
mod get;
mod install;
#[cfg(target_os = "linux")]
mod memory;
mod onion;
#[path = "../common/open_server/mod.rs"]
mod open_server;
mod policy;
mod probe;
mod probe_asked;
mod probe_chain;
mod probe_refused;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod relay;
mod server;
mod stream;
mod tunnels;
mod waiting;
mod wrong_input;
