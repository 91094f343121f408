//! The run: rounds, and in each round every cell once, the peers of a cell one after the other in rotating order.
//!
//! Each side is a process of its own, so that no peer lives in the heap that another has left behind, and so that those
//! in other languages are nothing special.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::machine::describe;
use crate::plan::{Cell, Kind, Peer, Work};
use crate::programs::Programs;
use crate::results::{Measured, Results, Sample, Trouble};
use crate::side::{Provider, Report, Result};

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) depths: Vec<usize>,
    pub(crate) quick: bool,
    pub(crate) provider: Provider,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<Results> {
        let begun = Instant::now();
        let programs = Programs::prepare(&self.peers)?;
        let most = most_connections();
        let measured = |cell: Cell| {
            let mut work = cell.work(self.quick);
            work.connections = work.connections.min(most);
            let impossible = || cell.impossible().map(|why| Trouble::Impossible(why.to_owned()));
            let trouble = impossible().or_else(|| programs.missing(cell.peer).map(Trouble::Missing));
            Measured { cell, work, samples: Vec::new(), trouble }
        };
        let cells = Cell::all(&self.kinds, &self.peers, &self.depths);
        let mut cells: Vec<Measured> = cells.into_iter().map(measured).collect();
        for round in 0..self.rounds {
            for group in cells.chunk_by_mut(|one, other| same_place(one.cell, other.cell)) {
                let Cell { kind, depth, .. } = group[0].cell;
                eprint!("\rround {} of {}: {kind}, depth {depth}        ", round + 1, self.rounds);
                let first = round % group.len();
                for index in (first..group.len()).chain(0..first) {
                    self.measure(&mut group[index], round, &programs);
                }
            }
        }
        eprintln!("\rdone in {:.0} s                              ", begun.elapsed().as_secs_f64());
        Ok(Results {
            machine: describe(),
            rounds: self.rounds,
            quick: self.quick,
            provider: self.provider,
            tunables: std::env::var("GLIBC_TUNABLES").ok(),
            seconds: begun.elapsed().as_secs_f64(),
            versions: programs.versions(),
            cells,
        })
    }

    /// One round of one cell. Who fails once is not asked again.
    fn measure(&self, measured: &mut Measured, round: usize, programs: &Programs) {
        // Memory hardly varies, and takes longest.
        let is_due = measured.cell.kind != Kind::Memory || round == 0;
        if measured.trouble.is_some() || !is_due {
            return;
        }
        match self.sample(measured.cell, measured.work, programs) {
            Ok(sample) => measured.samples.push(sample),
            Err(trouble) => measured.trouble = Some(Trouble::Failed(trouble.to_string())),
        }
    }

    fn sample(&self, cell: Cell, work: Work, programs: &Programs) -> Result<Sample> {
        let limit = if cell.kind == Kind::Memory { MEMORY_LIMIT } else { LIMIT };
        let until = Limit { limit, deadline: Instant::now() + limit };
        let _pinned = cell.kind.is_pinned().then(Pinned::pin).transpose()?;
        let start = |peer: Peer, role: &str, port: &str| {
            let words = [role.to_owned(), cell.kind.to_string(), cell.depth.to_string()];
            let counts = [work.amount.to_string(), work.warm_up.to_string(), work.connections.to_string()];
            let mut command = programs.command(peer, self.provider);
            command.args(words).args(counts).arg(port).arg(programs.folder());
            Running::start(command, programs.folder().join(format!("{role}.log")), until)
        };
        if cell.kind.is_in_memory() {
            let report = start(cell.peer, "alone", "0")?.report()?;
            return Ok(Sample { wall: report.wall, client_cpu: report.cpu, server_cpu: 0.0, resident: None });
        }
        let mut server = start(cell.peer, "server", "0")?;
        let port = server.line().map_err(|error| format!("server: {error}"))?;
        // Where the memory of the server is all that counts, the fastest client does.
        let client = if cell.kind == Kind::Memory { Peer::TokioRustls } else { cell.peer };
        let mut client = start(client, "client", &port)?;
        let client_report = client.report().map_err(|error| {
            // A server that fails takes its client with it, and knows better why.
            let server_error = server.failure();
            server_error.map_or_else(|| format!("client: {error}"), |error| format!("server: {error}"))
        })?;
        let server_report = server.report().map_err(|error| format!("server: {error}"))?;
        Ok(Sample {
            wall: client_report.wall,
            client_cpu: client_report.cpu,
            server_cpu: server_report.cpu,
            resident: server_report.resident,
        })
    }
}

fn same_place(one: Cell, other: Cell) -> bool {
    (one.kind, one.depth) == (other.kind, other.depth)
}

/// A process that is stopped when it is dropped, and when its time is over.
struct Running {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
    until: Limit,
}

/// How long both sides of a cell may take together, and when that is over.
#[derive(Clone, Copy)]
struct Limit {
    limit: Duration,
    deadline: Instant,
}

impl Running {
    fn start(mut command: Command, log: PathBuf, until: Limit) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?).spawn()?;
        let stdout = child.stdout.take().ok_or("the output is a pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, log, until })
    }

    fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(self.until.deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(format!("timed out after {} s", self.until.limit.as_secs()).into()),
            Err(RecvTimeoutError::Disconnected) => Err(self.last_words().into()),
        }
    }

    fn report(&mut self) -> Result<Report> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// What it has to say, if it has failed by itself. It may just be about to.
    fn failure(&mut self) -> Option<String> {
        match self.lines.recv_timeout(GRACE) {
            Err(RecvTimeoutError::Disconnected) => Some(self.last_words()),
            _ => None,
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ended without a word");
        last.trim_start_matches("error: ").chars().take(120).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be stopped, and needs not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// While this lives, processes that start run on one CPU only, with all their threads.
struct Pinned(CpuSet);

impl Pinned {
    fn pin() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rfind(|&cpu| allowed.is_set(cpu)).ok_or("no CPU")?;
        let mut one = CpuSet::new();
        one.set(last);
        sched_setaffinity(None, &one)?;
        Ok(Self(allowed))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// Raises the limit of open files as far as it goes, for the processes that are started, and returns how many
/// connections fit.
fn most_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { getrlimit(Resource::Nofile) } else { limit };
    limit.current.map_or(usize::MAX, |files| (files as usize).saturating_sub(FILES_BESIDE).max(1))
}

/// Writes the certificate that all servers show and all clients trust.
pub(crate) fn write_certificate(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([crate::side::NAME.to_owned()])?;
    let write = |name: &str, text: String| File::create(folder.join(name))?.write_all(text.as_bytes());
    write("certificate.pem", made.cert.pem())?;
    Ok(write("key.pem", made.signing_key.serialize_pem())?)
}

/// How long a cell may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The same where thousands of connections are opened.
const MEMORY_LIMIT: Duration = Duration::from_secs(180);

/// How long a server may take to end behind a client that failed.
const GRACE: Duration = Duration::from_secs(2);

/// Files of a process that are no connections.
const FILES_BESIDE: usize = 64;
