//! Measures proxies: ours beside others, in one run, in alternation.
//!
//! `benches/README.md` says what is measured, and how. The files, in the order in which they are best read:
//!
//! | file | what it is |
//! |---|---|
//! | `work.rs` | the kinds of work, and how one is done through one proxy |
//! | `peer.rs` | the proxies, and how each is started |
//! | `client.rs`, `http2.rs`, `origin.rs` | the two ends of a tunnel: who asks for it, and the target |
//! | `process.rs` | what the proxy has used of CPU and memory |
//! | `table.rs` | what comes out |

mod client;
mod http2;
mod origin;
mod peer;
mod process;
mod table;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use self::origin::Origin;
use self::peer::{Folder, Peer};
use self::work::{Kind, Sample};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Compares proxies: ours and others, for SOCKS5 and for CONNECT.
#[derive(Parser)]
#[command(name = "proxies")]
struct Options {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,

    /// Only these kinds of work.
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    only: Option<Vec<Kind>>,

    /// Only these proxies.
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    peers: Option<Vec<Peer>>,

    /// The command to be measured as ours: built with `cargo build --release --features cli`.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/onion"))]
    onion: PathBuf,

    /// One round of everything in tiny sizes: shows that it works, and measures nothing.
    #[arg(long)]
    quick: bool,

    /// Where to store the samples.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a run has found: the samples of each kind of work with each proxy, and who is missing.
#[derive(Debug, Default, Serialize)]
struct Results {
    samples: BTreeMap<Kind, BTreeMap<Peer, Vec<Sample>>>,
    missing: BTreeMap<Peer, String>,
    failed: Vec<String>,
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
    let kinds = options.only.clone().unwrap_or_else(|| Kind::value_variants().to_vec());
    let peers = options.peers.clone().unwrap_or_else(|| Peer::value_variants().to_vec());
    let rounds = if options.quick { 1 } else { options.rounds };
    let origin = Origin::start()?;
    let mut results = Results::default();
    let present: Vec<_> = peers
        .into_iter()
        .filter(|peer| match peer.missing(&options.onion) {
            Some(program) => {
                results.missing.insert(*peer, format!("{program} is not there"));
                false
            }
            None => true,
        })
        .collect();
    for round in 0..usize::from(rounds) {
        for kind in &kinds {
            for turn in 0..present.len() {
                // Each goes first as often as any other.
                let peer = present[(turn + round) % present.len()];
                let measured = Folder::new().and_then(|folder| {
                    let running = peer.start(&options.onion, &folder)?;
                    kind.measure(&running, &origin, options.quick)
                });
                match measured {
                    Ok(sample) => {
                        results.samples.entry(*kind).or_default().entry(peer).or_default().push(sample);
                    }
                    Err(error) => results.failed.push(format!("{kind:?} through {peer:?}: {error}")),
                }
            }
        }
    }
    print!("{}", table::tables(&results));
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
    }
    match results.failed.len() {
        0 => Ok(()),
        failures => Err(format!("{failures} measurements failed").into()),
    }
}
