//! The clocks of one side, and what it reports.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What one side says at its end, as one line of JSON. Those in other languages write the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Seconds on the clock of the wall.
    pub(crate) wall: f64,
    /// Seconds of CPU of the process, user and system.
    pub(crate) cpu: f64,
    /// Bytes that are resident, before and after, where memory is measured.
    #[serde(default)]
    pub(crate) resident: Option<(u64, u64)>,
}

/// Begins when the last connection is warm, and ends when the last one is done.
#[derive(Debug)]
pub(crate) struct Meter {
    warm: AtomicUsize,
    done: AtomicUsize,
    begun: OnceLock<Reading>,
    ended: OnceLock<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Instant,
    cpu: Duration,
}

impl Meter {
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            warm: AtomicUsize::new(connections),
            done: AtomicUsize::new(connections),
            begun: OnceLock::new(),
            ended: OnceLock::new(),
        }
    }

    /// One connection has done its warm-up.
    pub(crate) fn warm(&self) {
        if self.warm.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.begin();
        }
    }

    /// One connection has done its work.
    pub(crate) fn done(&self) {
        if self.done.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.get_or_init(Reading::now);
        }
    }

    /// All are warm.
    pub(crate) fn begin(&self) {
        self.begun.get_or_init(Reading::now);
    }

    pub(crate) fn report(&self) -> io::Result<Report> {
        let (Some(begun), Some(ended)) = (self.begun.get(), self.ended.get()) else {
            return Err(io::Error::other("the work was not done"));
        };
        Ok(Report {
            wall: ended.wall.duration_since(begun.wall).as_secs_f64(),
            cpu: ended.cpu.saturating_sub(begun.cpu).as_secs_f64(),
            resident: None,
        })
    }
}

impl Reading {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self { wall: Instant::now(), cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32) }
    }
}

/// The bytes of this process that are in memory.
pub(crate) fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kilobytes.ok_or_else(|| io::Error::other("/proc/self/status has no VmRSS"))? * 1024)
}
