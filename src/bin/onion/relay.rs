//! `onion relay`: every connection to one endpoint is joined to a new one to another.
//!
//! | file | idea |
//! |---|---|
//! | `options.rs`, `plan.rs` | what the command line says, and what a relay is to do |
//! | `service.rs` | one listener: who is accepted, and what happens when the process is to end |
//! | `passage.rs` | one connection, from its handshakes to its line in the log |
//! | `join.rs`, `greeting.rs` | two connections joined, and the greeting that one of them needs or has too many |
//! | `cancel.rs` | a connection that only cancels a query of PostgreSQL's |
//! | `reload.rs` | the files of both sides, read again while it serves |
//! | `tally.rs`, `class.rs` | how many there were, and how they ended |
//! | `metrics.rs`, `status.rs` | the numbers for Prometheus, and the server that shows them |
//! | `room.rs`, `peers.rs` | how many there may be, of all and of one peer |

mod cancel;
mod class;
mod greeting;
mod join;
mod metrics;
mod options;
mod passage;
mod peers;
mod plan;
mod reload;
mod room;
mod service;
mod status;
mod tally;

use std::io::Write;

use futures::FutureExt;
use onionskin::runtime::Runtime;

use self::metrics::Metrics;
pub(crate) use self::options::Options;
use self::plan::Plan;
use self::service::Relay;
use self::status::Status;
use crate::failure::Failure;
use crate::signals::{hangups, stopping};

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let signals = |error| Failure::new(error).at("cannot listen for signals");
    let plan = Plan::new(options)?;
    let status = options.status.as_deref().map(status::endpoint).transpose()?;
    let relay = Relay::open(runtime, plan).await?;
    let status = match status {
        Some(endpoint) => Some(Status::open(runtime, &endpoint, Metrics::new(vec![relay.shown()])).await?),
        None => None,
    };
    // Before that, files are read, and a signal ends the process as it ends any other: it may be a file system that hangs.
    let (stopping, hangups) = (stopping().map_err(signals)?, hangups().map_err(signals)?);
    announce(&format!("listening on {}", relay.endpoint().transport))?;
    if let Some(status) = status {
        announce(&format!("status at {}", status.endpoint().transport))?;
        runtime.spawn(status.run().boxed());
    }
    relay.run(stopping, hangups).await
}

/// A line on standard output, for whoever waits until it is there.
fn announce(line: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(Failure::output)
}

/// What is logged unless `RUST_LOG` says otherwise: a line for each connection.
pub(crate) const LOG: &str = "warn,onion::relay=info";
