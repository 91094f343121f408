//! Measures nested TLS: ours beside others, in one run, in alternation.
//!
//! `benches/README.md` says what is measured, and how. The files, in the order in which they are best read:
//!
//! | file | what it is |
//! |---|---|
//! | `plan.rs` | kinds of work, peers, depths and amounts |
//! | `run.rs`, `programs.rs`, `machine.rs` | the rounds: starts the two sides of each cell, with a time limit |
//! | `side/` | what such a side does |
//! | `results.rs`, `table.rs`, `plots.rs`, `chart.rs` | what comes out |

mod chart;
mod machine;
mod plan;
mod plots;
mod programs;
mod results;
mod run;
mod side;
mod table;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use self::plan::{Kind, Peer};
use self::results::Results;
use self::run::Plan;
use self::side::{Orders, Provider, Result};

/// Compares nested TLS: ours, others, and the limits of the machine.
#[derive(Parser)]
#[command(name = "compare")]
struct Options {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,

    /// Only these kinds of work.
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    only: Option<Vec<Kind>>,

    /// Only these peers.
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    peers: Option<Vec<Peer>>,

    /// How many layers, where it can be chosen.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3, 4, 8], value_parser = parse_depth)]
    depths: Vec<usize>,

    /// One round of everything in tiny sizes: shows that it works, and measures nothing.
    #[arg(long)]
    quick: bool,

    /// Who does the cryptography of all that is made of rustls.
    #[arg(long, value_enum, default_value = "aws-lc-rs")]
    provider: Provider,

    /// Where to store the results.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results.json"))]
    json: PathBuf,

    /// Where to draw.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance"))]
    plots: PathBuf,

    /// Measure nothing, and show and draw earlier results.
    #[arg(long, value_name = "JSON")]
    plot_only: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One side of one cell; `compare` starts it itself.
    #[command(hide = true)]
    Side(Orders),
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if let Some(Command::Side(orders)) = &options.command {
        return side::run(orders);
    }
    let results = match &options.plot_only {
        Some(file) => serde_json::from_str(&fs::read_to_string(file)?)?,
        None => measure(options)?,
    };
    std::io::stdout().write_all(table::tables(&results).as_bytes())?;
    // What a quick run draws would look like results.
    if !results.quick {
        let drawn = plots::draw(&results, &options.plots)?;
        println!("\ndrawn into {}: {}", options.plots.display(), drawn.join(", "));
    }
    match results.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} cells failed; the tables name them").into()),
    }
}

fn measure(options: &Options) -> Result<Results> {
    let plan = Plan {
        rounds: if options.quick { 1 } else { options.rounds.into() },
        kinds: options.only.clone().unwrap_or_else(|| Kind::ALL.to_vec()),
        peers: options.peers.clone().unwrap_or_else(|| Peer::value_variants().to_vec()),
        depths: options.depths.clone(),
        quick: options.quick,
        provider: options.provider,
    };
    let results = plan.run()?;
    let text = serde_json::to_string_pretty(&results)?;
    if !options.quick {
        fs::write(&options.json, text + "\n")?;
        println!("stored in {}", options.json.display());
    }
    Ok(results)
}

/// A stack takes 16 layers unless it is told otherwise.
fn parse_depth(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(depth @ 1..=16) => Ok(depth),
        _ => Err("a depth is 1 to 16".into()),
    }
}
