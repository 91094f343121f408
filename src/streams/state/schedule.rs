//! How long to wait after a failure.

use std::time::Duration;

use super::super::policy::{Conceal, Retry};

/// How long to wait after the `failures`th failure in a row (from 1), or `None` when it was the last.
///
/// The delays come in turn, and the last one again and again. `random` adds a part of the jitter: none of it with 0, all of it but a
/// little with the greatest number. What the peer has asked for ([`retry_after`](super::Input::Failed)) is waited for at least, but
/// no longer than a day.
pub(super) fn delay(retry: &Retry, failures: u32, retry_after: Option<Duration>, random: u32) -> Option<Duration> {
    let concealed = match retry.conceal {
        Conceal::Always => true,
        Conceal::Times(times) => failures <= u32::from(times),
    };
    if !concealed {
        return None;
    }
    let turn = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let delay = retry.backoff.get(turn).or(retry.backoff.last()).copied().unwrap_or_default();
    let delay = delay.min(LONGEST_DELAY);
    let jitter = delay.as_nanos() * u128::from(retry.jitter_percent) * u128::from(random) / (100 << 32);
    let jitter = Duration::from_nanos(u64::try_from(jitter).unwrap_or(u64::MAX));
    let asked_for = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    Some(delay.saturating_add(jitter).max(asked_for))
}

/// A century, so that no sum of times overflows.
const LONGEST_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Whoever asks to come again in a year is asked every day.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
