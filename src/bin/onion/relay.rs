//! `onion relay`: every connection to one endpoint is joined to a new one to another.
//!
//! | file | idea |
//! |---|---|
//! | `options.rs`, `plan.rs` | what the command line says, and what a relay is to do |
//! | `service.rs` | one listener: who is accepted, and what happens when the process is to end |
//! | `passage.rs` | one connection, from its handshakes to its line in the log |
//! | `join.rs`, `greeting.rs` | two connections joined, and the greeting that one of them needs or has too many |
//! | `reload.rs` | the files of both sides, read again while it serves |
//! | `tally.rs`, `room.rs` | how many there were, how they ended, and how many there may be |

mod greeting;
mod join;
mod options;
mod passage;
mod plan;
mod reload;
mod room;
mod service;
mod tally;

use std::io::Write;

use onionskin::endpoint::Endpoint;
use onionskin::runtime::Runtime;

pub(crate) use self::options::Options;
use self::plan::Plan;
use self::service::Relay;
use crate::failure::Failure;
use crate::signals::{hangups, stopping};

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let signals = |error| Failure::new(error).at("cannot listen for signals");
    let plan = Plan::new(options)?;
    let relay = Relay::open(runtime, plan).await?;
    // Before that, files are read, and a signal ends the process as it ends any other: it may be a file system that hangs.
    let (stopping, hangups) = (stopping().map_err(signals)?, hangups().map_err(signals)?);
    announce(relay.endpoint())?;
    relay.run(stopping, hangups).await
}

/// The first line on standard output, for whoever waits until it is there.
fn announce(endpoint: &Endpoint) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "listening on {}", endpoint.transport).and_then(|()| output.flush()).map_err(Failure::output)
}

/// What is logged unless `RUST_LOG` says otherwise: a line for each connection.
pub(crate) const LOG: &str = "warn,onion::relay=info";
