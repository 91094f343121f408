//! The side that is asked: another maker's client, and one that says what it is told to.

mod client;
mod ends;
mod floods;
mod losses;
pub(crate) mod raw;
mod requests;
mod streams;
mod time;

use std::future::Future;
use std::io;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{Either, select};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{FuturesUnordered, StreamExt};
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tunnel::Grant;
use onionskin::tunnel::http2::{PendingTunnel, PendingTunnels};

use crate::executor::{Task, run};

/// A connection over one end of a wire.
pub(crate) fn connection(end: WireEnd, clock: &Clock) -> Connection<Socket> {
    let nobody = || Address::Unix(None);
    Connection::over(Socket::new(end, nobody(), nobody()), Arc::new(clock.clone()))
}

/// The server, and the client's end of the wire.
pub(crate) fn server(cut: Cut) -> (PendingTunnels, WireEnd, Clock) {
    server_over(cut, 1 << 20)
}

/// The same, over a wire that holds so much each way.
fn server_over(cut: Cut, capacity: usize) -> (PendingTunnels, WireEnd, Clock) {
    let clock = Clock::new();
    let (client, server) = wire(cut, capacity);
    (PendingTunnels::over(connection(server, &clock)), client, clock)
}

/// Serves each request in `each` until there are no more, and then until the last is done. What came of them, as they came.
pub(crate) async fn serve<F: Future>(mut tunnels: PendingTunnels, each: impl Fn(PendingTunnel) -> F) -> Vec<F::Output> {
    let (mut running, mut done) = (FuturesUnordered::new(), Vec::new());
    loop {
        futures::select_biased! {
            pending = tunnels.next().fuse() => match pending {
                Some(pending) => running.push(each(pending)),
                None => break,
            },
            output = running.select_next_some() => done.push(output),
        }
    }
    done.extend(running.collect::<Vec<_>>().await);
    done
}

/// Grants the tunnel and gives back what comes.
pub(crate) async fn echo(pending: PendingTunnel) -> io::Result<u64> {
    let tunnel = pending.grant(Grant::default()).await.map_err(io::Error::other)?;
    let (reader, mut writer) = tunnel.split();
    let count = futures::io::copy(reader, &mut writer).await?;
    writer.close().await?;
    Ok(count)
}

/// Runs the client to its end beside the server, which may not be done then.
#[track_caller]
pub(crate) fn beside<T>(server: impl Future, client: impl Future<Output = T>) -> T {
    let (mut server, mut client) = (Task::new(server), Task::new(client));
    run(&mut [&mut server, &mut client]);
    client.output().expect("the client is not stuck")
}

/// Runs `work` while the connection of the client is driven beside it, and then until that has said all that it had to say.
async fn driven<T>(connection: impl Future<Output = Result<(), h2::Error>>, work: impl Future<Output = T>) -> T {
    let (connection, work) = (Box::pin(connection), Box::pin(work));
    match select(work, connection).await {
        Either::Left((done, connection)) => {
            let _ = connection.await;
            done
        }
        // The streams know better what has become of it.
        Either::Right((_, work)) => work.await,
    }
}
