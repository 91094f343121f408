//! The file with the counts, and what has changed since it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::{self, Write as _};

use toml::{Table, Value};

/// All counts, by table and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts(BTreeMap<String, BTreeMap<String, f64>>);

impl Counts {
    pub(crate) fn set(&mut self, table: &str, name: &str, value: f64) {
        self.0.entry(table.to_owned()).or_default().insert(name.to_owned(), value);
    }

    /// # Panics
    ///
    /// When nothing was set.
    pub(crate) fn value(&self, table: &str, name: &str) -> f64 {
        self.0[table][name]
    }

    fn find(&self, table: &str, name: &str) -> Option<f64> {
        self.0.get(table)?.get(name).copied()
    }

    fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(table, counts)| counts.keys().map(move |name| (&**table, &**name)))
    }
}

/// With what was counted. For people: a difference explains much, and fails nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) rustc: String,
    pub(crate) valgrind: String,
    pub(crate) processor: String,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Committed {
    pub(crate) tools: Tools,
    pub(crate) counts: Counts,
}

impl Committed {
    pub(crate) fn read(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut committed = Self::default();
        for (table, entries) in text.parse::<Table>()? {
            let Value::Table(entries) = entries else { return Err(format!("{table} is not a table").into()) };
            for (name, value) in entries {
                match (&*table, &*name, value) {
                    (TOOLS, "rustc", Value::String(value)) => committed.tools.rustc = value,
                    (TOOLS, "valgrind", Value::String(value)) => committed.tools.valgrind = value,
                    (TOOLS, "processor", Value::String(value)) => committed.tools.processor = value,
                    (_, _, Value::Integer(value)) => committed.counts.set(&table, &name, value as f64),
                    (_, _, Value::Float(value)) => committed.counts.set(&table, &name, value),
                    (_, _, value) => return Err(format!("{table}.{name} cannot be {value:?}").into()),
                }
            }
        }
        Ok(committed)
    }

    /// The text of the file: a line for each count, sorted.
    pub(crate) fn text(&self) -> String {
        let Tools { rustc, valgrind, processor } = &self.tools;
        let mut text = HEAD.to_owned();
        let tools = [("rustc", rustc), ("valgrind", valgrind), ("processor", processor)];
        let tools: String = tools.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
        write!(text, "\n[{TOOLS}]\n{tools}").expect("a string takes everything");
        for (table, counts) in &self.counts.0 {
            let lines: String = counts.iter().map(|(name, &value)| format!("{name} = {}\n", number(value))).collect();
            write!(text, "\n[{table}]\n{lines}").expect("a string takes everything");
        }
        text
    }
}

/// One count, then and now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) table: String,
    pub(crate) name: String,
    before: Option<f64>,
    now: Option<f64>,
}

/// What there is to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Grown,
    Improved,
    /// In the file, but no longer counted.
    Gone,
    /// Counted, but not in the file.
    New,
}

impl Verdict {
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Grown | Self::Gone | Self::New)
    }
}

/// Every count of either side, sorted.
pub(crate) fn compare(before: &Counts, now: &Counts) -> Vec<Comparison> {
    let names: BTreeSet<_> = before.names().chain(now.names()).collect();
    let comparison = |(table, name): (&str, &str)| Comparison {
        table: table.to_owned(),
        name: name.to_owned(),
        before: before.find(table, name),
        now: now.find(table, name),
    };
    names.into_iter().map(comparison).collect()
}

impl Comparison {
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.before, self.now) {
            (Some(before), Some(now)) if now > before * (1.0 + TOLERANCE) => Verdict::Grown,
            (Some(before), Some(now)) if now < before * (1.0 - TOLERANCE) => Verdict::Improved,
            (Some(_), Some(_)) => Verdict::Same,
            (Some(_), None) => Verdict::Gone,
            (None, _) => Verdict::New,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: Option<f64>| value.map_or("-".to_owned(), number);
        write!(f, "{:24} {:>12} {:>12}", self.name, show(self.before), show(self.now))?;
        if let (Some(before), Some(now)) = (self.before, self.now)
            && before > 0.0
        {
            write!(f, " {:+8.2} %", (now / before - 1.0) * 100.0)?;
        }
        match self.verdict() {
            Verdict::Same => Ok(()),
            Verdict::Grown => f.write_str("  GROWN"),
            Verdict::Improved => f.write_str("  improved"),
            Verdict::Gone => f.write_str("  GONE"),
            Verdict::New => f.write_str("  NEW"),
        }
    }
}

/// As TOML has it: thousands apart, and no more decimals than there are, of two.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let (whole, decimals) = text.split_once('.').expect("it has two decimals");
    let digits: Vec<char> = whole.chars().collect();
    let groups: Vec<String> = digits.rchunks(3).rev().map(|group| group.iter().collect()).collect();
    let whole = groups.join("_");
    match decimals.trim_end_matches('0') {
        "" => whole,
        decimals => format!("{whole}.{decimals}"),
    }
}

const TOOLS: &str = "counted-with";

/// The part of it by which a count may grow.
const TOLERANCE: f64 = 0.05;

const HEAD: &str = "\
# What the work of the library costs. `.ci/run` counts anew and fails when a count is more than 5 % above this file.
# A change that is worth its price writes the file anew, and a change that makes something cheaper does so too:
#
#     cargo run --release -p onionskin-benches --bin counts -- --write
#
# bulk: a MiB in writes of 64 KiB, from one application to the other, both sides. decode, encode: one side of a message of
# 64 bytes. added-layer: a third of what depth 4 costs more than depth 1. splice, peel: a layer that does nothing.
# held: by one idle server, when a MiB has passed each way. What `counted-with` says is never compared.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(value: f64) -> Counts {
        let mut counts = Counts::default();
        counts.set("instructions", "peel", value);
        counts
    }

    fn verdict(before: &Counts, now: &Counts) -> Verdict {
        let comparisons = compare(before, now);
        assert_eq!(comparisons.len(), 1);
        comparisons[0].verdict()
    }

    #[test]
    fn five_percent_either_way_are_no_change() {
        for now in [95.0, 100.0, 105.0] {
            assert_eq!(verdict(&counts(100.0), &counts(now)), Verdict::Same, "{now}");
        }
        assert!(!Verdict::Same.is_failure());
    }

    #[test]
    fn more_is_a_failure() {
        assert_eq!(verdict(&counts(100.0), &counts(105.01)), Verdict::Grown);
        assert!(Verdict::Grown.is_failure());
    }

    #[test]
    fn anything_is_more_than_nothing() {
        assert_eq!(verdict(&counts(0.0), &counts(0.01)), Verdict::Grown);
        assert_eq!(verdict(&counts(0.0), &counts(0.0)), Verdict::Same);
    }

    #[test]
    fn less_is_an_improvement() {
        assert_eq!(verdict(&counts(100.0), &counts(94.99)), Verdict::Improved);
        assert!(!Verdict::Improved.is_failure());
    }

    #[test]
    fn a_count_that_one_side_lacks_is_a_failure() {
        assert_eq!(verdict(&counts(100.0), &Counts::default()), Verdict::Gone);
        assert_eq!(verdict(&Counts::default(), &counts(100.0)), Verdict::New);
        assert!(Verdict::Gone.is_failure() && Verdict::New.is_failure());
    }

    #[test]
    fn the_same_name_in_two_tables_is_two_counts() {
        let mut now = counts(100.0);
        now.set("allocations", "peel", 100.0);
        let verdicts: Vec<_> = compare(&counts(100.0), &now).iter().map(Comparison::verdict).collect();
        assert_eq!(verdicts, [Verdict::New, Verdict::Same]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let tools = Tools { rustc: "1.95.0 (\"stable\")".into(), valgrind: "3.19".into(), processor: "x86_64".into() };
        let mut committed = Committed { tools, counts: counts(1_234_567.0) };
        committed.counts.set("allocations", "peel", 1.25);
        committed.counts.set("allocations", "splice", 0.0);
        let text = committed.text();
        assert!(
            text.ends_with("\n[allocations]\npeel = 1.25\nsplice = 0\n\n[instructions]\npeel = 1_234_567\n"),
            "{text}"
        );
        assert_eq!(Committed::read(&text).unwrap(), committed);
    }

    #[test]
    fn a_file_with_anything_else_is_refused() {
        for text in ["peel = 1", "[instructions]\npeel = \"1\"", "[counted-with]\ncolour = \"red\"", "[instructions"] {
            assert!(Committed::read(text).is_err(), "{text}");
        }
    }
}
