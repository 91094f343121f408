//! Real peers over loopback, each case by name: `cargo test --features cli --test interop`.
//!
//! A peer that is not installed, or is installed by half and does not start, is a skip that is named; under `CI` it is a
//! failure. `.ci/packages` installs them all.
//! Words on the command line choose the cases whose names contain one of them.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up has failed")]

#[path = "../tests/common/mod.rs"]
mod common;

mod bench;
mod clients;
mod controls;
mod deflate;
mod example;
mod futures_rustls;
#[path = "../tests/common/open_server/mod.rs"]
mod open_server;
mod openssl;
#[path = "../tests/common/peer_cases/mod.rs"]
mod peer_cases;
mod peers;
mod python;
mod servers;
mod starttls;
mod streams;
mod tunnels;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use self::bench::Bench;
use self::servers::{Server, find};

/// One conversation with a peer.
struct Case {
    name: String,
    /// The programs that must be there, and arguments that make them say their version.
    programs: Vec<(&'static str, &'static str)>,
    /// Other programs that must be there, whatever they call the option for their version.
    tools: Vec<&'static str>,
    /// The servers that it talks to.
    servers: Vec<&'static Server>,
    run: Box<dyn FnOnce(&Bench) + Send>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl FnOnce(&Bench) + Send + 'static) -> Self {
        Self { name: name.into(), programs: Vec::new(), tools: Vec::new(), servers: Vec::new(), run: Box::new(run) }
    }

    fn needs(mut self, program: &'static str, version: &'static str) -> Self {
        self.programs.push((program, version));
        self
    }

    /// Tells it from another case that would have the same name.
    fn named(mut self, what: &str) -> Self {
        self.name += ", ";
        self.name += what;
        self
    }

    fn uses(mut self, tool: &'static str) -> Self {
        self.tools.push(tool);
        self
    }

    fn talks_to(mut self, servers: &[&'static Server]) -> Self {
        self.servers.extend_from_slice(servers);
        self
    }

    /// Why it cannot be run on this machine.
    fn missing(&self) -> Option<String> {
        let program = self.programs.iter().find(|(program, version)| !is_there(program, version));
        let program =
            program.map(|(program, _)| program).or_else(|| self.tools.iter().find(|tool| find(tool).is_none()));
        program
            .map(|program| format!("{program} is missing"))
            .or_else(|| self.servers.iter().find_map(|server| server.missing()))
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |case: &Case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str()));
    let mut cases: Vec<Case> = [
        openssl::cases(),
        peers::cases(),
        futures_rustls::cases(),
        python::cases(),
        deflate::cases(),
        controls::cases(),
        starttls::cases(),
        streams::cases(),
        tunnels::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    // A name is what a case is found by, and what its files may be called after.
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(names.insert(case.name.clone()), "two cases are called {:?}", case.name);
    }
    cases.retain(chosen);

    let bench = Bench::new();
    // The servers need a second or two; they have it while the cases before theirs run.
    let wanted: BTreeMap<_, _> =
        cases.iter().flat_map(|case| &case.servers).map(|server| (server.name, server)).collect();
    for server in wanted.values().filter(|server| server.missing().is_none()) {
        bench.start(server);
    }

    let tally = run_side_by_side(cases, &bench);
    println!("interop: {} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Most of a case is waiting for a program of somebody else, so there are more at a time than processors. They are reported
/// when they end, each with its lines together.
fn run_side_by_side(cases: Vec<Case>, bench: &Bench) -> Tally {
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from);
    let left = Mutex::new(cases.into_iter());
    let tally = Mutex::new(Tally::default());
    let next = || left.lock().ok()?.next();
    let work = || {
        while let Some(case) = next() {
            let outcome = run(case, bench);
            let mut tally = tally.lock().expect("nothing panics that holds it");
            match &outcome {
                Outcome::Passed(_) => tally.passed += 1,
                Outcome::Failed(_) => tally.failed += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
            }
            let (Outcome::Passed(text) | Outcome::Failed(text) | Outcome::Skipped(text)) = outcome;
            println!("{text}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    tally.into_inner().expect("nothing panics that holds it")
}

/// What became of a case, and what there is to say of it.
enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

fn run(case: Case, bench: &Bench) -> Outcome {
    let must_be_there = std::env::var_os("CI").is_some();
    let name = case.name.clone();
    if let Some(missing) = case.missing() {
        return if must_be_there {
            Outcome::Failed(format!("FAILED  {name}: {missing}"))
        } else {
            Outcome::Skipped(format!("skipped {name}: {missing}"))
        };
    }
    // Under `CI` the case itself fails over it, with the log of the server behind.
    if !must_be_there && let Some(why) = case.servers.iter().find_map(|server| bench.why_not(server)) {
        return Outcome::Skipped(format!("skipped {name}: {why}"));
    }
    let (servers, started) = (case.servers.clone(), Instant::now());
    match attempt(case, bench.clone()) {
        Ok(()) => Outcome::Passed(format!("ok      {name} ({} ms)", started.elapsed().as_millis())),
        Err(why) => {
            let mut text = format!("FAILED  {name}: {why}");
            for server in servers {
                let log = bench.log(server).unwrap_or_default();
                text += &format!("\nthe last that {} logged:\n{log}\n", server.name);
            }
            Outcome::Failed(text)
        }
    }
}

/// Runs a case on a thread of its own, so that one that hangs fails by itself.
fn attempt(case: Case, bench: Bench) -> Result<(), String> {
    let (done, outcome) = mpsc::channel();
    thread::Builder::new()
        .name(case.name)
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&bench)));
            // The last to let go of it clears it up, and that is not this thread.
            drop(bench);
            let _ = done.send(result.map_err(|panic| words_of(&*panic)));
        })
        .map_err(|error| error.to_string())?;
    outcome.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(format!("not done after {PATIENCE:?}")))
}

/// What somebody said who panicked.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

fn is_there(program: &str, version: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

const PATIENCE: Duration = Duration::from_secs(60);
