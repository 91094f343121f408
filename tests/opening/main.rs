//! A negotiation that the library does not know, on both sides: what `layer::opening` promises to any of them.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

#[path = "../connection/executor.rs"]
#[allow(dead_code, reason = "shared with another test binary, which uses all of it")]
mod executor;
mod operator;

mod async_code;
mod bounds;
mod callbacks;
mod stacks;
mod time;
