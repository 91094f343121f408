//! What a proxy has used: all processes of its group together.

use std::fs;
use std::io;
use std::time::Duration;

/// The processes of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(pub(crate) u32);

impl Group {
    /// The time of CPU, user and system, of all that live, with their threads that are gone. The system counts it in hundredths of
    /// a second.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        let ticks: u64 =
            self.each(|stat, _| stat.get(11)?.parse::<u64>().ok()?.checked_add(stat.get(12)?.parse().ok()?))?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The bytes that are in memory for these alone, and their share of what others use too (PSS).
    pub(crate) fn memory(self) -> io::Result<u64> {
        self.each(|_, pid| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
        })
    }

    /// The sum over the processes, of what is made of the fields behind the name in `stat` (proc_pid_stat(5)), from the state on.
    fn each(self, count: impl Fn(&[&str], &str) -> Option<u64>) -> io::Result<u64> {
        let mut sum = None;
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let Some((_, stat)) = stat.rsplit_once(") ") else { continue };
            let stat: Vec<_> = stat.split(' ').collect();
            if stat.get(2).and_then(|group| group.parse().ok()) == Some(self.0) {
                *sum.get_or_insert(0) += count(&stat, pid).unwrap_or_default();
            }
        }
        sum.ok_or_else(|| io::Error::other("the proxy is gone"))
    }
}
