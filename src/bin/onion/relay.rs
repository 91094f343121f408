//! `onion relay`: every connection to one endpoint is joined to a new one to another.
//!
//! | file | idea |
//! |---|---|
//! | `options.rs`, `config.rs`, `plan.rs` | what the command line or a file says, and what a relay is to do |
//! | `service.rs` | one listener: who is accepted, and what happens when the process is to end |
//! | `passage.rs` | one connection, from its handshakes to its line in the log |
//! | `greeting.rs` | the greeting that one of two sides needs or has too many |
//! | `ftp.rs` | FTP with data connections that go through the relay too |
//! | `cancel.rs` | a connection that only cancels a query of PostgreSQL's |
//! | `reload.rs` | the files of both sides, read again while it serves |
//! | `custom.rs` | where the end without a close_notify is the custom |
//! | `metrics.rs`, `status.rs` | the numbers for Prometheus, and the server that shows them |

mod cancel;
mod config;
mod custom;
mod ftp;
mod greeting;
mod metrics;
mod options;
mod passage;
mod plan;
mod reload;
mod service;
mod status;

use futures::FutureExt;
use futures::future::join_all;
use onionskin::runtime::Runtime;

use self::metrics::Metrics;
pub(crate) use self::options::Options;
use self::plan::{Plan, Plans};
use self::service::Relay;
use self::status::Status;
use crate::attend::Attendant;
use crate::failure::Failure;
use crate::logging::announce;
use crate::room;
use crate::signals::{hangups, stopping};

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let plans = Plans::new(options)?;
    if options.check {
        plans.check(runtime)?;
        return announce(&format!("nothing is wrong; relays: {}", plans.relays.len()));
    }
    let wishes: Vec<_> = plans.relays.iter().map(Plan::wish).collect();
    let mut relays = Vec::new();
    for plan in plans.relays {
        relays.push(Relay::open(runtime, plan).await?);
    }
    // What is wrong is told alone, so the log has nothing to say before that.
    for (relay, most) in relays.iter_mut().zip(room::grant(&wishes)) {
        relay.limit(most);
    }
    let status = match plans.status {
        Some(endpoint) => {
            let metrics = Metrics::new(relays.iter().map(Relay::shown).collect());
            Some(Status::open(runtime, &endpoint, metrics).await?)
        }
        None => None,
    };
    // Before that, files are read, and a signal ends the process as it ends any other: it may be a file system that hangs.
    let signals = |error| Failure::new(error).at("cannot listen for signals");
    let (stopping, hangups) = (stopping().map_err(signals)?, hangups().map_err(signals)?);
    for relay in &relays {
        announce(&relay.place())?;
    }
    if let Some(status) = status {
        announce(&format!("status at {}", status.endpoint().transport))?;
        runtime.spawn(status.run().boxed());
    }
    let mut attendant = Attendant::new(runtime, "Relays");
    let work = join_all(relays.into_iter().map(|relay| relay.run(stopping.clone(), attendant.reloads())));
    attendant.run(stopping.clone(), hangups, work).await.into_iter().collect()
}

/// What is logged unless `RUST_LOG` says otherwise: a line for each connection.
pub(crate) const LOG: &str = "warn,onion::relay=info";
