//! What is taken where several could be, and what is on only where it was asked for: a feature that another crate of the
//! program has switched on, or a variable that was there already, decides nothing.
//!
//! What is installed is installed for a whole process, as the environment is. So each test starts this binary anew.
#![cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#![allow(clippy::unwrap_used, reason = "what is missing fails the test")]

#[path = "../common/mod.rs"]
mod common;
mod key_log;
mod provider;
mod runtime;

use std::process::{Command, Output};

/// Runs the ignored test of this name in a process of its own, and fails as it fails.
#[track_caller]
fn alone(test: &str, environment: &[(&str, &str)]) {
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(binary);
    command.env_remove("SSLKEYLOGFILE").envs(environment.iter().copied());
    let outcome = command.args(["--ignored", "--exact", test, "--nocapture"]).output().unwrap();
    let Output { status, stdout, stderr } = &outcome;
    let said = format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    assert!(status.success() && said.contains("1 passed"), "{status}: {said}");
}
