//! What comes out: a table for each kind of work and language, with the medians of the rounds.

use std::fmt::Write as _;

use super::Results;
use super::client::Language;
use super::peer::Peer;
use super::work::{Kind, Sample};

pub(crate) fn tables(results: &Results) -> String {
    let mut text = String::new();
    for (kind, peers) in &results.samples {
        for language in [Language::Socks5, Language::Http1, Language::Http2] {
            let rows: Vec<_> = peers.iter().filter(|(peer, _)| peer.language() == language).collect();
            if rows.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{kind:?}, {language}");
            for (peer, samples) in rows {
                let _ = writeln!(text, "  {}", row(*kind, *peer, samples));
            }
        }
    }
    for (peer, why) in &results.missing {
        let _ = writeln!(text, "{peer:?}: {why}");
    }
    for failure in &results.failed {
        let _ = writeln!(text, "failed: {failure}");
    }
    text
}

fn row(kind: Kind, peer: Peer, samples: &[Sample]) -> String {
    let name = format!("{peer:?}");
    let wall = |sample: &Sample| sample.amount as f64 / sample.wall;
    let cpu = |sample: &Sample| sample.cpu / sample.amount as f64;
    match kind {
        Kind::Download | Kind::Upload => format!(
            "{name:12} {:8.0} MB/s   {:.3} ns of CPU a byte",
            median(samples, |sample| wall(sample) / 1e6),
            median(samples, |sample| cpu(sample) * 1e9),
        ),
        Kind::Tunnels => format!(
            "{name:12} {:8.0} tunnels a second   {:.0} us of CPU each",
            median(samples, wall),
            median(samples, |sample| cpu(sample) * 1e6),
        ),
        Kind::Idle => {
            format!(
                "{name:12} {:8.1} KiB a tunnel",
                median(samples, |sample| sample.memory as f64 / sample.amount as f64 / 1024.0)
            )
        }
    }
}

fn median(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<_> = samples.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 if !values.is_empty() => f64::midpoint(values[middle - 1], values[middle]),
        _ => values.get(middle).copied().unwrap_or(f64::NAN),
    }
}
