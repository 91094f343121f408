//! Connecting to a name with several addresses: "happy eyeballs" (RFC 8305).
//!
//! # The problem
//!
//! A host has an IPv6 and an IPv4 address, and one of the two networks is broken: packets vanish, and an attempt that is
//! waited for takes minutes. Trying all addresses at once loads every server with connections that nobody wants.
//!
//! # The rule
//!
//! The families take turns (section 4), beginning with that of the address which the system prefers (RFC 6724). An
//! attempt has a head start of 250 milliseconds over the next one; when it fails, the next begins at once (section 5).
//! Attempts go on side by side. The first connection is taken and the other attempts are dropped, which closes them.
//!
//! ```text
//!    0 ms   [2001:db8::1]   ────────────────────────── dropped
//!  250 ms   192.0.2.1       ──────────── refused
//!  400 ms   [2001:db8::2]   ──────── connected
//! ```
//!
//! Section 3 is about asking for the two kinds of address apart, and using what comes first. The system's resolver gives
//! one answer for both, so there is nothing to do for it here.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::{self, BoxFuture, Either, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::runtime::{ConnectError, Runtime, Socket, TcpOptions};

/// Connects to one of these addresses, the preferred ones first: to the first that answers.
///
/// # Errors
///
/// With the outcome of every attempt, if there was more than one. Its kind is that of the last one. There is no time
/// limit other than the system's.
pub(crate) async fn connect_to_one(
    runtime: &dyn Runtime,
    addresses: Vec<SocketAddr>,
    options: &TcpOptions,
) -> io::Result<Socket> {
    let addresses = of_the_family(addresses, options)?;
    let mut waiting = take_turns(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        let Some(address) = waiting.next() else {
            // None is left to start. Those that go on have all the time they want.
            return match next_outcome(&mut attempts, &mut failures, None).await {
                Outcome::Connected(socket) => Ok(*socket),
                Outcome::Failed if !attempts.is_empty() => continue,
                Outcome::Failed | Outcome::HeadStartOver => Err(all_failed(failures)),
            };
        };
        attempts.push(attempt(runtime, address, options.clone()));
        if waiting.as_slice().is_empty() {
            // It has a head start over nobody.
            continue;
        }
        let head_start = (runtime, runtime.now() + HEAD_START);
        if let Outcome::Connected(socket) = next_outcome(&mut attempts, &mut failures, Some(head_start)).await {
            return Ok(*socket);
        }
    }
}

/// Those that can be reached from the local address, if one is asked for.
fn of_the_family(mut addresses: Vec<SocketAddr>, options: &TcpOptions) -> io::Result<Vec<SocketAddr>> {
    let Some(local) = options.bind else { return Ok(addresses) };
    let first = addresses.first().copied();
    addresses.retain(|address| address.is_ipv6() == local.is_ipv6());
    match (addresses.is_empty(), first) {
        (true, Some(first)) => {
            let message =
                format!("no way leads from the local address {local} to {}: they are of two families", first.ip());
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message))
        }
        _ => Ok(addresses),
    }
}

/// The addresses in the order of the attempts: each one's family differs from the one before it, while there are any
/// of the other family (section 4, with a "First Address Family Count" of 1).
fn take_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first.is_ipv6());
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

type Attempt = BoxFuture<'static, (SocketAddr, io::Result<Socket>)>;

fn attempt(runtime: &dyn Runtime, address: SocketAddr, options: TcpOptions) -> Attempt {
    log::debug!("connecting to {address}");
    runtime.connect_tcp_with(address, options).map(move |result| (address, result)).boxed()
}

enum Outcome {
    Connected(Box<Socket>),
    /// The failure has been noted.
    Failed,
    HeadStartOver,
}

/// Waits for the end of any attempt, or until the given time.
async fn next_outcome(
    attempts: &mut FuturesUnordered<Attempt>,
    failures: &mut Vec<(SocketAddr, io::Error)>,
    until: Option<(&dyn Runtime, Instant)>,
) -> Outcome {
    let until = match until {
        Some((runtime, time)) => runtime.sleep_until(time),
        None => future::pending().boxed(),
    };
    match future::select(attempts.next(), until).await {
        Either::Left((Some((_, Ok(socket))), _)) => Outcome::Connected(Box::new(socket)),
        Either::Left((Some((address, Err(error))), _)) => {
            log::debug!("cannot connect to {address}: {error}");
            failures.push((address, error));
            Outcome::Failed
        }
        Either::Left((None, _)) => Outcome::Failed,
        Either::Right(_) => Outcome::HeadStartOver,
    }
}

fn all_failed(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if failures.len() == 1 {
        return failures.remove(0).1;
    }
    let Some((_, last)) = failures.last() else {
        return io::ErrorKind::NotFound.into();
    };
    let outcomes: Vec<_> = failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    ConnectError::of_several(last, outcomes.join("; "))
}

/// The "Connection Attempt Delay" of RFC 8305 section 8.
const HEAD_START: Duration = Duration::from_millis(250);
