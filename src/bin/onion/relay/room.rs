//! How many connections there is room for: each needs file descriptors, and the system grants so many and no more.

use super::ftp;
use super::plan::Plan;

/// What one relay would like to have.
#[derive(Debug)]
pub(super) struct Wish {
    connections: usize,
    /// How many descriptors each of them takes.
    #[cfg_attr(not(unix), allow(dead_code))]
    descriptors: usize,
}

impl Wish {
    pub(super) fn of(plan: &Plan) -> Self {
        Self { connections: plan.limits.max_connections.get(), descriptors: descriptors(plan) }
    }
}

/// How many connections each of the relays may have: what it wants, or less, if the system does not grant as many
/// descriptors. A process begins with less than it may have, so the limit is raised as far as it has to be, and the log says so.
#[cfg(unix)]
pub(super) fn grant(wishes: &[Wish]) -> Vec<usize> {
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
pub(super) fn grant(wishes: &[Wish]) -> Vec<usize> {
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

/// How many a connection takes: some runtimes have two for one that is not TCP, and where FTP has its data connections through
/// here too, a client has one of these most of the time.
fn descriptors(plan: &Plan) -> usize {
    use onionskin::endpoint::BaseTransport;

    let sides = [&plan.route.listen.endpoint, &plan.route.connect.endpoint];
    let control: usize =
        sides.into_iter().map(|side| if let BaseTransport::Tcp { .. } = side.transport { 1 } else { 2 }).sum();
    let data = if ftp::is_whole(sides[0], sides[1]) { 2 } else { 0 };
    control + data
}

/// For what the process itself has open, and for attempts at several addresses of a name.
#[cfg(unix)]
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::options::Limits;
    use super::super::plan::Written;
    use super::*;

    #[test]
    fn each_connection_has_room_for_what_belongs_to_it() {
        for (listen, connect, expected) in [
            ("tcp:h:1", "tcp:h:2", 2),
            ("unix:/s", "tcp:h:2", 3),
            ("tcp:h:1+starttls:smtp:cert=c:key=k", "tcp:h:2", 2),
            ("tcp:h:1+starttls:ftp:cert=c:key=k", "tcp:h:2", 4),
        ] {
            let written = |text| Written::new(text, Default::default()).unwrap();
            let plan = Plan::new(None, written(listen), written(connect), Limits::default()).unwrap();
            assert_eq!(Wish::of(&plan).descriptors, expected, "{listen} {connect}");
        }
    }
}
