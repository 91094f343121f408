//! The tables on the terminal: for each kind the peers below each other and the depths side by side.

use std::fmt::{self, Write};

use crate::plan::{Cell, Kind, Peer};
use crate::results::{Measured, Metric, Results, Spread, Trouble};

/// All tables of a run.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, results);
    text
}

fn write_all(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "{}", results.machine)?;
    let tunables =
        results.tunables.as_deref().map_or_else(String::new, |tunables| format!(", GLIBC_TUNABLES={tunables}"));
    writeln!(out, "rustls with {}{tunables}", results.provider)?;
    writeln!(out, "{} rounds, {:.0} s; median (least to most)", results.rounds, results.seconds)?;
    if results.quick {
        writeln!(out, "quick: these sizes show that everything works, and measure nothing")?;
    }
    for (peer, version) in &results.versions {
        writeln!(out, "  {:<17} {version}", peer.label())?;
    }
    for kind in Kind::ALL {
        let cells: Vec<&Measured> = results.of(kind).collect();
        if cells.is_empty() {
            continue;
        }
        let connections = cells.iter().map(|measured| measured.work.connections).max().unwrap_or(0);
        let connections = if kind == Kind::Memory { format!(", {connections} connections") } else { String::new() };
        let pinned = if kind.is_pinned() && !kind.is_in_memory() { ", both sides on one CPU" } else { "" };
        writeln!(out, "\n== {}{connections}{pinned}", kind.title())?;
        for metric in Metric::of_kind(kind) {
            Table::of(results, kind, &metric).write(out)?;
        }
        write_troubles(out, &cells)?;
    }
    Ok(())
}

/// What did not run, and why, each reason once.
fn write_troubles(out: &mut String, cells: &[&Measured]) -> fmt::Result {
    let mut troubles: Vec<(Peer, &Trouble, Vec<String>)> = Vec::new();
    for measured in cells {
        let Some(trouble) = &measured.trouble else { continue };
        let depth = measured.cell.depth.to_string();
        match troubles.iter_mut().find(|(peer, why, _)| (*peer, *why) == (measured.cell.peer, trouble)) {
            Some((_, _, depths)) => depths.push(depth),
            None => troubles.push((measured.cell.peer, trouble, vec![depth])),
        }
    }
    for (peer, why, depths) in troubles {
        writeln!(out, "  ✗ {}, depth {}: {why}", peer.label(), depths.join(", "))?;
    }
    Ok(())
}

struct Table {
    title: String,
    /// The name of a row, then one entry for each column.
    rows: Vec<Vec<String>>,
}

impl Table {
    fn of(results: &Results, kind: Kind, metric: &Metric) -> Self {
        let mut depths: Vec<usize> = results.of(kind).map(|measured| measured.cell.depth).collect();
        depths.sort_unstable();
        depths.dedup();
        let mut peers: Vec<Peer> = results.of(kind).map(|measured| measured.cell.peer).collect();
        peers.sort_unstable();
        peers.dedup();

        let spread = |peer, depth| results.spread(Cell { kind, depth, peer }, metric);
        let mut rows = vec![vec!["depth".to_owned()]];
        rows[0].extend(depths.iter().map(ToString::to_string));
        for &peer in &peers {
            let entry = |&depth: &usize| match results.find(Cell { kind, depth, peer }) {
                None => String::new(),
                Some(measured) => measured.spread(metric).map_or_else(|| "✗".to_owned(), shown),
            };
            rows.push([peer.label().to_owned()].into_iter().chain(depths.iter().map(entry)).collect());
        }
        let best = |depth, is_one: &dyn Fn(Peer) -> bool| {
            let medians = peers.iter().filter(|&&peer| is_one(peer)).filter_map(|&peer| spread(peer, depth));
            metric.better.best(medians.map(|spread| spread.median))
        };
        let ratio = |peer, depth, other: Option<f64>| match (spread(peer, depth), other) {
            (Some(spread), Some(other)) => format!("{:.2}", metric.better.ratio(spread.median, other)),
            _ => String::new(),
        };
        let mut ratios = |name: &str, of: &dyn Fn(Peer) -> bool, to: &dyn Fn(Peer) -> bool| {
            for &peer in peers.iter().filter(|&&peer| of(peer)) {
                let entries = depths.iter().map(|&depth| ratio(peer, depth, best(depth, to)));
                let row: Vec<String> = [format!("{} : {name}", peer.label())].into_iter().chain(entries).collect();
                if row[1..].iter().any(|entry| !entry.is_empty()) {
                    rows.push(row);
                }
            }
        };
        ratios("best other", &Peer::is_ours, &Peer::is_rival);
        ratios("AEAD", &|peer| peer != Peer::Aead, &|peer| peer == Peer::Aead);
        Self { title: metric.title(), rows }
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\n{}", self.title)?;
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = format!("  {:<width$}", row[0], width = widths[0]);
            for (entry, width) in row.iter().zip(&widths).skip(1) {
                write!(line, "  {entry:>width$}")?;
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn shown(spread: Spread) -> String {
    if spread.min == spread.max {
        return digits(spread.median);
    }
    format!("{} ({} to {})", digits(spread.median), digits(spread.min), digits(spread.max))
}

/// Three digits, or all of those before the point.
pub(crate) fn digits(value: f64) -> String {
    let behind_the_point = match value.abs() {
        magnitude if magnitude >= 99.95 => 0,
        magnitude if magnitude >= 9.995 => 1,
        magnitude if magnitude >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.behind_the_point$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{measured, results};

    /// The tables with their columns one space apart.
    fn shown(cells: &[Measured]) -> String {
        let text = tables(&results(cells.to_vec()));
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
    }

    #[test]
    fn three_digits() {
        let shown = [1234.5, 100.0, 99.96, 12.34, 1.234, 0.1234].map(digits);
        assert_eq!(shown, ["1234", "100", "100", "12.3", "1.23", "0.123"]);
    }

    #[test]
    fn peers_stand_below_each_other_with_the_ratio_to_the_best_other() {
        let text = shown(&[
            measured(Kind::Bulk, 1, Peer::OursTokio, &[0.5, 0.25, 1.0]),
            measured(Kind::Bulk, 1, Peer::TokioRustls, &[1.0]),
            measured(Kind::Bulk, 1, Peer::Go, &[2.0]),
            measured(Kind::Bulk, 0, Peer::Tcp, &[0.1]),
        ]);
        assert!(text.contains("ours, tokio 2.00 (1.00 to 4.00)\n"), "{text}");
        assert!(text.contains("ours, tokio : best other 2.00\n"), "{text}");
    }

    #[test]
    fn less_time_is_a_ratio_above_one() {
        let cells = [(Peer::OursTokio, 2.0), (Peer::TokioRustls, 3.0)];
        let cells = cells.map(|(peer, wall)| measured(Kind::Ask, 4, peer, &[wall]));
        let text = shown(&cells);
        assert!(text.contains("ours, tokio : best other 1.50\n"), "{text}");
    }

    #[test]
    fn the_share_of_the_limit_is_shown() {
        let cells = [(Peer::Aead, 1.0), (Peer::OursBlocking, 2.0), (Peer::FuturesRustls, 4.0)];
        let cells = cells.map(|(peer, wall)| measured(Kind::InMemory, 2, peer, &[wall]));
        let text = shown(&cells);
        assert!(text.contains("ours, no runtime : AEAD 0.50\n"), "{text}");
        assert!(text.contains("futures-rustls : AEAD 0.25\n"), "{text}");
    }

    #[test]
    fn what_did_not_run_is_named_with_its_reason() {
        let mut cells = vec![measured(Kind::Ask, 1, Peer::Node, &[]), measured(Kind::Ask, 2, Peer::Node, &[])];
        for cell in &mut cells {
            cell.trouble = Some(Trouble::Missing("node is not installed".into()));
        }
        let text = shown(&cells);
        assert!(text.contains("✗ Node, depth 1, 2: node is not installed\n"), "{text}");
    }
}
