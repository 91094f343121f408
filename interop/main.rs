//! Real peers over loopback, each case by name: `cargo test --features cli --test interop`.
//!
//! A peer that is not installed is a skip that is named; under `CI` it is a failure. Words on the command line choose
//! the cases whose names contain one of them.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up has failed")]

#[path = "../tests/common/mod.rs"]
mod common;

mod bench;
mod deflate;
mod futures_rustls;
mod openssl;
mod python;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use self::bench::Bench;

/// One conversation with a peer.
struct Case {
    name: String,
    /// The program that must be there, and arguments that make it say its version.
    peer: Option<(&'static str, &'static str)>,
    run: Box<dyn FnOnce(&Bench) + Send>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl FnOnce(&Bench) + Send + 'static) -> Self {
        Self { name: name.into(), peer: None, run: Box::new(run) }
    }

    fn needs(mut self, program: &'static str, version: &'static str) -> Self {
        self.peer = Some((program, version));
        self
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |case: &Case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str()));
    let cases =
        openssl::cases().into_iter().chain(futures_rustls::cases()).chain(python::cases()).chain(deflate::cases());
    let must_be_there = std::env::var_os("CI").is_some();

    let bench = Bench::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in cases.filter(chosen) {
        if let Some((program, version)) = case.peer
            && !is_there(program, version)
        {
            if must_be_there {
                failed += 1;
                println!("FAILED  {}: {program} is missing", case.name);
            } else {
                skipped += 1;
                println!("skipped {}: {program} is missing", case.name);
            }
            continue;
        }
        let (name, started) = (case.name.clone(), Instant::now());
        match attempt(case, bench.clone()) {
            Ok(()) => {
                passed += 1;
                println!("ok      {name} ({} ms)", started.elapsed().as_millis());
            }
            Err(why) => {
                failed += 1;
                println!("FAILED  {name}: {why}");
            }
        }
    }
    println!("interop: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case on a thread of its own, so that one that hangs fails by itself.
fn attempt(case: Case, bench: Bench) -> Result<(), String> {
    let (done, outcome) = mpsc::channel();
    thread::Builder::new()
        .name(case.name)
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&bench)));
            let _ = done.send(result.map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
            }));
        })
        .map_err(|error| error.to_string())?;
    outcome.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(format!("not done after {PATIENCE:?}")))
}

fn is_there(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

const PATIENCE: Duration = Duration::from_secs(60);
