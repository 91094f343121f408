//! The callback side: what is told when, flow control, wrappers, servers.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod flow;
mod handles;
mod identity;
mod layers;
mod leaving;
mod open;
mod random;
mod receivers;
mod record;
mod servers;
mod truncation;
mod wrapped;
