//! Crates of others over a connection, one to three layers deep.
//!
//! `recipes/` has what a program needs beside the crate and the connection: types to be copied.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

#[path = "../../tests/common/mod.rs"]
#[allow(clippy::needless_pass_by_value, reason = "shared with other test binaries, which are as they are")]
mod common;
mod peers;
mod recipes;

mod budget;
mod ftp;
mod hyper;
mod postgres;
mod precision;
mod tonic;
mod tungstenite;
