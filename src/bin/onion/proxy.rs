//! `onion proxy`: reaching others on behalf of clients that speak SOCKS or CONNECT.
//!
//! | file | idea |
//! |---|---|
//! | `options.rs` | what the command line says |
//! | `users.rs`, `via.rs` | who may come in, and through whom targets are reached |
//! | `service.rs` | the listeners: who is accepted, files read again, and what happens when the process is to end |
//! | `client.rs` | one client, from its handshakes to the end of its tunnel |
//! | `views.rs` | the tunnels of those who have many, to be looked at |
//! | `line.rs` | what the log says of a tunnel |

mod client;
mod line;
mod options;
mod service;
mod users;
mod via;
mod views;

use std::io::Read;

use futures::channel::oneshot;
use onionskin::runtime::Runtime;

pub(crate) use self::options::Options;
use self::service::Service;
use crate::attend::Attendant;
use crate::failure::Failure;
use crate::logging::announce;
use crate::signals::{hangups, questions, stopping};

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    if let Some(user) = &options.hash_password {
        return announce(&users::line(user, &password()?)?);
    }
    let signals = |error| Failure::new(error).at("cannot listen for signals");
    let (stopping, hangups) = (stopping().map_err(signals)?, hangups().map_err(signals)?);
    let questions = questions().map_err(signals)?;
    let service = Service::open(runtime, options, stopping.clone()).await?;
    for place in service.places() {
        announce(&format!("listening on {place}"))?;
    }
    let mut attendant = Attendant::new(runtime, "Proxies");
    let serving = service.run(attendant.reloads(), questions);
    in_the_background(runtime, attendant.run(stopping, hangups, serving)).await;
    Ok(())
}

/// Waits for `work`, which is done by those threads that the clients have too: from the one that waits, each client would have to be
/// handed over to another, which has to be woken for it.
async fn in_the_background(runtime: &'static dyn Runtime, work: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = oneshot::channel();
    runtime.spawn(Box::pin(async {
        work.await;
        // Whoever waits no longer has no use for it.
        let _ = done.send(());
    }));
    is_done.await.expect("the task of the listeners does not panic");
}

/// The first line of standard input.
fn password() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = std::io::stdin().take(MAX_PASSWORD).read_to_end(&mut text);
    read.map_err(|error| Failure::new(error).at("cannot read standard input"))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let password = line.strip_suffix(b"\r").unwrap_or(line);
    if password.is_empty() {
        return Err(Failure::usage("there is no password on standard input"));
    }
    Ok(password.to_owned())
}

/// More than any that a client could say.
const MAX_PASSWORD: u64 = 4096;

/// What is logged unless `RUST_LOG` says otherwise: a line for each tunnel.
pub(crate) const LOG: &str = "warn,onion::proxy=info";
