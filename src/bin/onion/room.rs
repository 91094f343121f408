//! How many connections there is room for: each needs file descriptors, and the system grants so many and no more.

/// What one listener would like to have.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) connections: usize,
    /// How many descriptors each of them takes.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) descriptors: usize,
}

/// How many connections each of them may have: what it wants, or less, if the system does not grant as many
/// descriptors. A process begins with less than it may have, so the limit is raised as far as it has to be, and the log says so.
#[cfg(unix)]
pub(crate) fn grant(wishes: &[Wish]) -> Vec<usize> {
    let wanted: Vec<_> = wishes.iter().map(|wish| wish.connections).collect();
    let needed = wishes.iter().map(|wish| wish.connections.saturating_mul(wish.descriptors));
    let needed = needed.fold(0, usize::saturating_add);
    let granted = grant_files(needed.saturating_add(SPARE) as u64);
    let room = usize::try_from(granted).unwrap_or(usize::MAX).saturating_sub(SPARE);
    if room >= needed {
        return wanted;
    }
    // Each gets the same part of what it wants.
    let share = |wanted: usize| (wanted as u128 * room as u128 / needed as u128) as usize;
    let shared: Vec<_> = wanted.iter().map(|&wanted| share(wanted).clamp(1, wanted)).collect();
    let (sum, all) = (shared.iter().sum::<usize>(), wanted.iter().fold(0, |sum: usize, &one| sum.saturating_add(one)));
    log::info!("{granted} open files are enough for {sum} connections at a time, not for {all}: raise the hard limit");
    shared
}

#[cfg(not(unix))]
pub(crate) fn grant(wishes: &[Wish]) -> Vec<usize> {
    wishes.iter().map(|wish| wish.connections).collect()
}

/// Has the limit of open files raised to `needed`, as far as that goes, and says what it is then.
#[cfg(unix)]
fn grant_files(needed: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let before = getrlimit(Resource::Nofile);
    // What has no limit is enough.
    let (current, maximum) = (before.current.unwrap_or(u64::MAX), before.maximum.unwrap_or(u64::MAX));
    let raised = needed.min(maximum);
    if current >= raised {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: before.maximum }) {
        Ok(()) => {
            log::info!("raised the limit of open files from {current} to {raised}");
            raised
        }
        Err(error) => {
            log::warn!("cannot raise the limit of open files from {current} to {raised}: {error}");
            current
        }
    }
}

/// For what the process itself has open, for attempts at several addresses of a name, and for the 64 pipes through which the system
/// may move bytes.
#[cfg(unix)]
const SPARE: usize = 64 + 2 * 64;
