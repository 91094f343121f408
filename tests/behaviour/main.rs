//! The behaviour of TLS layers over an in-memory pair, by topic.
//!
//! Nearly every test runs over a matrix: how the stream is cut into reads, the version of TLS, the depth, and
//! whether layers that change nothing stand between. `common::link` has it.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod abandon;
mod agreement;
mod both_stop;
mod certificates;
mod close;
mod config;
mod credentials;
mod data;
mod deadlines;
mod drawing;
mod exporters;
mod facts;
mod failure;
mod faults;
mod injection;
mod key_updates;
mod leftover;
mod lenient;
mod limits;
mod nest;
mod one_answer;
mod oracle;
mod passing;
mod patience;
mod peer_stops;
mod records;
mod resumption;
mod rules;
mod start;
mod stop;
mod truncation;
mod verify;
