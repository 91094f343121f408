//! Counts what the work of the library costs, and holds it against the file that is committed.
//!
//! ```text
//! counts            counts, and fails when a count is more than 5 % above the file
//! counts --write    counts, and writes the file
//! ```
//!
//! A time says how fast a machine was on that day; a count says the same each time, so a change of a few percent can fail
//! the checks of a change. What is counted: the instructions that one piece of work takes, by callgrind; what it
//! allocates; and what an idle connection holds. [`Work`] has the pieces.
//!
//! Each piece is set up in memory, with the handshakes done, and repeated inside of one function, which is all that
//! callgrind looks at and during which alone allocations are counted. Instructions are counted in a process for each
//! piece, so that none depends on what another has left behind in the heap; the program starts itself for it.

mod callgrind;
mod committed;
mod pair;
mod probe;
mod work;

use std::env;
use std::error::Error;
use std::fs;
use std::process::{Command, ExitCode};

use self::callgrind::Counted;
use self::committed::{Committed, Counts, Tools, Verdict, compare};
use self::pair::Configs;
use self::probe::Probe;
use self::work::{Work, held_by_idle_server};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => check(),
        ["--write"] => write(),
        [name] if Work::named(name).is_some() => run(name),
        _ => Err("usage: counts [--write]".into()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<ExitCode, Box<dyn Error>> {
    let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let before = Committed::read(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let now = count_everything()?;
    let comparisons = compare(&before.counts, &now.counts);
    let mut table = "";
    for comparison in &comparisons {
        if comparison.table != table {
            table = &comparison.table;
            println!("\n{table:24} {:>12} {:>12}", "in the file", "now");
        }
        println!("{comparison}");
    }
    println!();
    print_ratios(&now.counts);
    print_tools(&before.tools, &now.tools);

    if comparisons.iter().any(|comparison| comparison.verdict().is_failure()) {
        println!(
            "\nCounts have grown by more than 5 %, are new, or are gone. If the change is worth it, write the file anew:"
        );
        println!("    {WRITE}");
        return Ok(ExitCode::FAILURE);
    }
    if comparisons.iter().any(|comparison| comparison.verdict() == Verdict::Improved) {
        println!("\nCounts have improved by more than 5 %. Keep it so, and write the file anew:");
        println!("    {WRITE}");
    }
    Ok(ExitCode::SUCCESS)
}

fn write() -> Result<ExitCode, Box<dyn Error>> {
    let now = count_everything()?;
    let text = now.text();
    fs::write(FILE, &text).map_err(|error| format!("{FILE}: {error}"))?;
    println!("{text}");
    print_ratios(&now.counts);
    Ok(ExitCode::SUCCESS)
}

/// What a process under valgrind does: one piece of work. It prints what valgrind makes of the processor.
fn run(name: &str) -> Result<ExitCode, Box<dyn Error>> {
    let work = Work::named(name).ok_or("no such work")?;
    work.run(&Configs::new(), &mut Probe::default());
    println!("{}", callgrind::processor());
    Ok(ExitCode::SUCCESS)
}

fn count_everything() -> Result<Committed, Box<dyn Error>> {
    let (valgrind, rustc) = (callgrind::version()?, rustc_version()?);
    let (configs, mut counts, mut processor) = (Configs::new(), Counts::default(), String::new());
    for (name, work) in Work::ALL {
        let mut probe = Probe::default();
        let repeats = work.run(&configs, &mut probe) as f64;
        let Counted { instructions, output } = callgrind::count(name)?;
        counts.set(INSTRUCTIONS, name, four_digits(instructions as f64 / repeats));
        counts.set(ALLOCATIONS, name, hundredths(probe.allocations as f64 / repeats));
        counts.set(ALLOCATED, name, (probe.bytes as f64 / repeats).round());
        processor = output;
    }
    for table in [INSTRUCTIONS, ALLOCATIONS, ALLOCATED] {
        for work in ["bulk", "decode", "encode"] {
            let value = |depth| counts.value(table, &format!("{work}-depth-{depth}"));
            let added = (value(4) - value(1)) / 3.0;
            let added = if table == ALLOCATIONS { hundredths(added) } else { added.round() };
            counts.set(table, &format!("{work}-added-layer"), added);
        }
    }
    for depth in [1, 3] {
        counts.set(HELD, &format!("idle-server-depth-{depth}"), held_by_idle_server(&configs, depth) as f64);
    }
    Ok(Committed { tools: Tools { rustc, valgrind, processor }, counts })
}

/// Instructions come out the same to a few hundredths of a percent, and what is finer than that only makes a diff longer.
fn four_digits(value: f64) -> f64 {
    let digits = value.abs().max(1.0).log10().floor() as i32 + 1;
    let unit = 10_f64.powi((digits - 4).max(0));
    (value / unit).round() * unit
}

/// An event that comes once in a thousand repeats is not to show.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn rustc_version() -> Result<String, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn print_ratios(counts: &Counts) {
    for work in ["encode", "decode"] {
        let added = counts.value(INSTRUCTIONS, &format!("{work}-added-layer"));
        let bare = counts.value(INSTRUCTIONS, &format!("{work}-bare-rustls"));
        println!("to {work} a small message, an added layer takes {:.2} times what bare rustls takes", added / bare);
    }
}

fn print_tools(before: &Tools, now: &Tools) {
    if before == now {
        return;
    }
    println!("\nThe file was written with other tools; that alone can move counts:");
    let pairs = [(&before.rustc, &now.rustc), (&before.valgrind, &now.valgrind), (&before.processor, &now.processor)];
    for (before, now) in pairs.into_iter().filter(|(before, now)| before != now) {
        println!("    then {before}\n    now  {now}");
    }
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.toml");

const WRITE: &str = "cargo run --release -p onionskin-benches --bin counts -- --write";

const INSTRUCTIONS: &str = "instructions";
const ALLOCATIONS: &str = "allocations";
const ALLOCATED: &str = "allocated-bytes";
const HELD: &str = "held-bytes";
