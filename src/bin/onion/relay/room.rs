//! How many connections there is room for: each needs file descriptors, and the system grants so many and no more.

use onionskin::endpoint::Endpoint;

/// At most `wanted` connections: fewer, if the system does not grant as many descriptors. A process begins with less than
/// it may have, so the limit is raised as far as it has to be, and the log says so.
#[cfg(unix)]
pub(super) fn for_connections(wanted: usize, sides: [&Endpoint; 2]) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let each = sides.into_iter().map(descriptors).sum::<usize>();
    let needed = wanted.saturating_mul(each).saturating_add(SPARE) as u64;
    let before = getrlimit(Resource::Nofile);
    // What has no limit is enough.
    let (current, maximum) = (before.current.unwrap_or(u64::MAX), before.maximum.unwrap_or(u64::MAX));
    let mut granted = current;
    let raised = needed.min(maximum);
    if current < raised {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: before.maximum }) {
            Ok(()) => {
                log::info!("raised the limit of open files from {current} to {raised}");
                granted = raised;
            }
            Err(error) => log::warn!("cannot raise the limit of open files from {current} to {raised}: {error}"),
        }
    }
    let room = usize::try_from(granted).unwrap_or(usize::MAX).saturating_sub(SPARE) / each;
    if room < wanted {
        let room = room.max(1);
        log::info!(
            "{granted} open files are enough for {room} connections at a time, not for {wanted}: raise the hard limit"
        );
    }
    room.clamp(1, wanted)
}

#[cfg(not(unix))]
pub(super) fn for_connections(wanted: usize, _: [&Endpoint; 2]) -> usize {
    wanted
}

/// How many descriptors a connection takes on this side: some runtimes have two for one that is not TCP.
#[cfg(unix)]
fn descriptors(endpoint: &Endpoint) -> usize {
    match endpoint.transport {
        onionskin::endpoint::Transport::Tcp { .. } => 1,
        _ => 2,
    }
}

/// For what the process itself has open, and for attempts at several addresses of a name.
#[cfg(unix)]
const SPARE: usize = 64;
