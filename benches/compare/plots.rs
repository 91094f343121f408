//! The drawings that the documentation shows, made from results.

use std::fs;
use std::path::Path;

use crate::chart::{Bars, Lines, Series};
use crate::plan::{Cell, Kind, Peer};
use crate::results::{Measured, Metric, Results};
use crate::side::Result;

/// Draws what the results have, and returns the names of the files.
pub(crate) fn draw(results: &Results, folder: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(folder)?;
    let drawings = drawings(results);
    for (name, drawing) in &drawings {
        fs::write(folder.join(name), drawing)?;
    }
    Ok(drawings.into_iter().map(|(name, _)| name.to_owned()).collect())
}

fn drawings(results: &Results) -> Vec<(&'static str, String)> {
    let first = |kind| Metric::of_kind(kind)[0];
    let lines = [
        ("throughput.svg", "Throughput against depth", Kind::Bulk, first(Kind::Bulk)),
        ("both-ways.svg", "Throughput both ways at once", Kind::Both, first(Kind::Both)),
        ("cost.svg", "Cost of a byte in each layer", Kind::Bulk, Metric::cost_of_a_layer()),
        ("round-trip.svg", "A 64-byte request and its answer, one CPU", Kind::Ask, first(Kind::Ask)),
        ("in-memory.svg", "Throughput in memory, one thread", Kind::InMemory, first(Kind::InMemory)),
    ];
    let mut drawings = Vec::new();
    for (file, title, kind, metric) in lines {
        let series = series(results, kind, &metric);
        if !series.is_empty() {
            drawings.push((file, Lines { title, unit: metric.title(), series }.draw()));
        }
    }
    if let Some(bars) = memory(results) {
        drawings.push(("memory.svg", bars.draw()));
    }
    drawings
}

/// A line for each peer that has one. Plain TCP has no depth: it is a level.
fn series(results: &Results, kind: Kind, metric: &Metric) -> Vec<Series> {
    let mut peers: Vec<Peer> = results.of(kind).map(|measured| measured.cell.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    let deepest = results.of(kind).map(|measured| measured.cell.depth).max().unwrap_or(0);
    let series = |peer: Peer| {
        let point = |measured: &Measured| Some((measured.cell.depth as f64, measured.spread(metric)?.median));
        let of_peer = results.of(kind).filter(|measured| measured.cell.peer == peer);
        let mut points: Vec<(f64, f64)> = of_peer.filter_map(point).filter(|(_, value)| value.is_finite()).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        if let [(0.0, level)] = points[..] {
            points = vec![(1.0, level), (deepest as f64, level)];
        }
        Series { label: peer.label(), color: color(peer), is_strong: peer.is_ours(), points }
    };
    peers.into_iter().map(series).filter(|series| !series.points.is_empty()).collect()
}

fn memory(results: &Results) -> Option<Bars> {
    let metric = &Metric::of_kind(Kind::Memory)[0];
    let mut peers: Vec<Peer> = results.of(Kind::Memory).map(|measured| measured.cell.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    let depths = Kind::Memory.depths(&[]);
    let bar = |peer: Peer| {
        let value = |&depth: &usize| results.spread(Cell { kind: Kind::Memory, depth, peer }, metric);
        let values: Option<Vec<f64>> = depths.iter().map(|depth| Some(value(depth)?.median)).collect();
        values.map(|values| (peer.label(), color(peer), values))
    };
    let bars: Vec<_> = peers.into_iter().filter_map(bar).collect();
    let names = depths.iter().map(|depth| format!("depth {depth}")).collect();
    (!bars.is_empty()).then_some(Bars { title: "Memory of an idle connection", unit: metric.title(), names, bars })
}

/// The same peer has the same color everywhere.
fn color(peer: Peer) -> &'static str {
    match peer {
        Peer::OursAsyncStd => "a",
        Peer::OursSmol => "b",
        Peer::OursTokio => "c",
        Peer::OursBlocking => "d",
        Peer::FuturesRustls => "e",
        Peer::TokioRustls => "f",
        Peer::Openssl => "g",
        Peer::Asyncio => "h",
        Peer::Node => "i",
        Peer::Go => "j",
        Peer::Aead | Peer::Tcp | Peer::Rustls => "k",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{measured, results};

    #[test]
    fn what_was_measured_is_drawn_and_nothing_else() {
        let drawn = drawings(&results(vec![
            measured(Kind::Bulk, 1, Peer::OursTokio, &[0.5]),
            measured(Kind::Bulk, 8, Peer::OursTokio, &[2.0]),
            measured(Kind::Bulk, 0, Peer::Tcp, &[0.1]),
        ]));
        let names: Vec<_> = drawn.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["throughput.svg", "cost.svg"]);
        assert!(drawn[0].1.contains(">ours, tokio</text>") && drawn[0].1.contains(">plain TCP</text>"));
        // Without layers there is no cost of a layer.
        assert!(!drawn[1].1.contains("plain TCP"));
    }

    #[test]
    fn memory_needs_both_depths() {
        let mut cells = vec![measured(Kind::Memory, 1, Peer::Go, &[0.0])];
        assert!(memory(&results(cells.clone())).is_none());
        cells.push(measured(Kind::Memory, 3, Peer::Go, &[0.0]));
        assert_eq!(memory(&results(cells)).unwrap().bars.len(), 1);
    }
}
