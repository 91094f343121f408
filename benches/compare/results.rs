//! What a run has found, as it is stored, and the numbers that are made of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{Cell, Kind, Peer, Work};
use crate::side::Provider;

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: String,
    pub(crate) rounds: usize,
    /// Sizes that only show that everything works.
    pub(crate) quick: bool,
    pub(crate) provider: Provider,
    /// `GLIBC_TUNABLES`, which all sides inherit.
    pub(crate) tunables: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) versions: BTreeMap<Peer, String>,
    pub(crate) cells: Vec<Measured>,
}

impl Results {
    /// What was measured of one kind, with the depth and the peer.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Measured> {
        self.cells.iter().filter(move |measured| measured.cell.kind == kind)
    }

    /// How many cells went wrong.
    pub(crate) fn failures(&self) -> usize {
        self.cells.iter().filter(|measured| matches!(measured.trouble, Some(Trouble::Failed(_)))).count()
    }

    pub(crate) fn find(&self, cell: Cell) -> Option<&Measured> {
        self.cells.iter().find(|measured| measured.cell == cell)
    }

    /// A statistic of one cell, if it was measured.
    pub(crate) fn spread(&self, cell: Cell, metric: &Metric) -> Option<Spread> {
        self.find(cell)?.spread(metric)
    }
}

/// All rounds of one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) cell: Cell,
    #[serde(flatten)]
    pub(crate) work: Work,
    pub(crate) samples: Vec<Sample>,
    /// Why it has no samples, or not all.
    pub(crate) trouble: Option<Trouble>,
}

/// Why a cell was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trouble {
    /// The peer has no way to do it.
    Impossible(String),
    /// The peer is not there.
    Missing(String),
    /// It went wrong, or took too long.
    Failed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(why) | Self::Missing(why) => f.write_str(why),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl Measured {
    pub(crate) fn spread(&self, metric: &Metric) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|sample| (metric.of)(self, sample)).collect())
    }

    /// Seconds of CPU of both sides for one byte or one operation.
    fn cpu(&self, sample: &Sample) -> f64 {
        (sample.client_cpu + sample.server_cpu) / self.operations()
    }

    fn wall(&self, sample: &Sample) -> f64 {
        sample.wall / self.operations()
    }

    /// Bytes, or operations, on all connections and in all directions.
    fn operations(&self) -> f64 {
        let (connections, directions) = match self.cell.kind {
            Kind::Ask100 => (self.work.connections, 1),
            Kind::Both => (1, 2),
            _ => (1, 1),
        };
        (self.work.amount * connections as u64 * directions) as f64
    }
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds on the clock of the client.
    pub(crate) wall: f64,
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: f64,
    /// Resident bytes of the server, before and after.
    pub(crate) resident: Option<(u64, u64)>,
}

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

/// A number that is made of a round.
#[derive(Clone, Copy)]
pub(crate) struct Metric {
    name: &'static str,
    unit: &'static str,
    pub(crate) better: Better,
    of: fn(&Measured, &Sample) -> f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

impl Better {
    /// How many times better `one` is than `other`.
    pub(crate) fn ratio(self, one: f64, other: f64) -> f64 {
        match self {
            Self::More => one / other,
            Self::Less => other / one,
        }
    }

    /// The best of some.
    pub(crate) fn best(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        match self {
            Self::More => values.reduce(f64::max),
            Self::Less => values.reduce(f64::min),
        }
    }
}

impl Metric {
    /// Its name and its unit.
    pub(crate) fn title(&self) -> String {
        format!("{}, {}", self.name, self.unit)
    }

    /// What is shown of a kind, the most important first.
    pub(crate) fn of_kind(kind: Kind) -> Vec<Self> {
        use Better::{Less, More};
        let metric = |name, unit, better, of| Self { name, unit, better, of };
        let cpu = |unit, of| metric("CPU time of both sides", unit, Less, of);
        match kind {
            Kind::Bulk | Kind::Both => vec![
                metric("throughput", "MB/s", More, |measured, sample| 1e-6 / measured.wall(sample)),
                cpu("ns a byte", |measured, sample| 1e9 * measured.cpu(sample)),
            ],
            // One thread that waits for nothing: its CPU time is the whole truth, also on a machine that is not quiet.
            Kind::InMemory => {
                vec![metric("throughput", "MB for each second of CPU", More, |measured, sample| {
                    1e-6 / measured.cpu(sample)
                })]
            }
            Kind::Ask => vec![
                metric("round trip", "µs", Less, |measured, sample| 1e6 * measured.wall(sample)),
                cpu("µs a round trip", |measured, sample| 1e6 * measured.cpu(sample)),
            ],
            Kind::Ask100 => vec![
                metric("answers", "thousand a second", More, |measured, sample| 1e-3 / measured.wall(sample)),
                cpu("µs an answer", |measured, sample| 1e6 * measured.cpu(sample)),
            ],
            Kind::Stack4 => vec![
                metric("until up", "µs", Less, |measured, sample| 1e6 * measured.wall(sample)),
                cpu("µs a connection", |measured, sample| 1e6 * measured.cpu(sample)),
            ],
            Kind::Cycle | Kind::Handshake | Kind::Resume => vec![
                metric("rate", "a second", More, |measured, sample| 1.0 / measured.wall(sample)),
                cpu("µs each", |measured, sample| 1e6 * measured.cpu(sample)),
            ],
            Kind::Memory => vec![metric("resident", "KiB a connection", Less, |measured, sample| {
                let (before, after) = sample.resident.unwrap_or_default();
                after.saturating_sub(before) as f64 / 1024.0 / measured.work.connections as f64
            })],
            Kind::InMemoryAsk => {
                vec![metric("encode and decode", "µs of CPU a layer", Less, |measured, sample| {
                    1e6 * measured.cpu(sample) / measured.cell.depth as f64
                })]
            }
        }
    }

    /// CPU time of both sides for each byte and each layer.
    pub(crate) fn cost_of_a_layer() -> Self {
        let of = |measured: &Measured, sample: &Sample| 1e9 * measured.cpu(sample) / measured.cell.depth as f64;
        Self { name: "CPU time of both sides", unit: "ns a byte and layer", better: Better::Less, of }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(wall: f64) -> Sample {
        Sample { wall, client_cpu: wall / 4.0, server_cpu: wall / 2.0, resident: None }
    }

    pub(crate) fn measured(kind: Kind, depth: usize, peer: Peer, walls: &[f64]) -> Measured {
        let cell = Cell { kind, depth, peer };
        let work = Work { amount: 1_000_000, warm_up: 1, connections: if kind == Kind::Ask100 { 100 } else { 1 } };
        Measured { cell, work, samples: walls.iter().copied().map(sample).collect(), trouble: None }
    }

    pub(crate) fn results(cells: Vec<Measured>) -> Results {
        Results {
            machine: "a machine".into(),
            rounds: 3,
            quick: false,
            provider: Provider::AwsLcRs,
            tunables: None,
            seconds: 1.0,
            versions: BTreeMap::new(),
            cells,
        }
    }

    #[test]
    fn the_median_of_an_odd_and_of_an_even_number() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!(odd, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn throughput_counts_the_directions_and_answers_the_connections() {
        let first = |kind| {
            let measured = measured(kind, 2, Peer::Go, &[0.5]);
            measured.spread(&Metric::of_kind(kind)[0]).unwrap().median
        };
        assert_eq!(first(Kind::Bulk), 2.0);
        assert_eq!(first(Kind::Both), 4.0);
        assert_eq!(first(Kind::Ask), 0.5);
        assert_eq!(first(Kind::Ask100), 200_000.0);
        assert_eq!(first(Kind::InMemoryAsk), 0.1875);
    }

    #[test]
    fn the_cost_is_that_of_both_sides() {
        let measured = measured(Kind::Bulk, 2, Peer::Go, &[0.4]);
        let cost = measured.spread(&Metric::cost_of_a_layer()).unwrap().median;
        assert!((cost - 150.0).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn memory_is_the_difference_for_each_connection() {
        let mut measured = measured(Kind::Memory, 1, Peer::Go, &[0.0]);
        measured.work.connections = 10;
        measured.samples[0].resident = Some((1024, 41 * 1024));
        assert_eq!(measured.spread(&Metric::of_kind(Kind::Memory)[0]).unwrap().median, 4.0);
    }

    #[test]
    fn results_survive_being_stored() {
        let mut before = results(vec![measured(Kind::Bulk, 1, Peer::OursAsyncStd, &[0.25, 0.5])]);
        before.versions.insert(Peer::Go, "go1".into());
        let stored = serde_json::to_string(&before).unwrap();
        let after: Results = serde_json::from_str(&stored).unwrap();
        assert_eq!(after.cells[0].cell, before.cells[0].cell);
        assert_eq!(after.cells[0].work, before.cells[0].work);
        assert_eq!(after.cells[0].samples, before.cells[0].samples);
        assert_eq!(after.versions, before.versions);
    }

    #[test]
    fn better_knows_which_way() {
        assert_eq!(Better::More.ratio(4.0, 2.0), 2.0);
        assert_eq!(Better::Less.ratio(4.0, 2.0), 0.5);
        assert_eq!(Better::Less.best([3.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(Better::More.best(std::iter::empty()), None);
    }
}
