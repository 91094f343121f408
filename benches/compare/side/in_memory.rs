//! Both ends in one thread, with nothing between them that costs: no sockets, no system calls, no wake-ups.
//!
//! The bare AEAD does what no TLS can do without, the sealing and the opening of each record in each layer, and
//! nothing else. The share of that limit which a peer reaches is what its own work leaves of it.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::try_join;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures::task::noop_waker_ref;

use super::bare::{Aead, Rustls};
use super::blocking::{Chain, MakesChains};
use super::meter::Meter;
use super::nested::{Duplex, FuturesRustls};
use super::ours::Stacks;
use super::{CHUNK, Configuration, Layering, Orders, Report, Result, Role};
use crate::plan::{Kind, Peer};

/// A pair of connected ends.
pub(crate) trait Pair {
    /// Takes a message through all layers of one end, and through all layers of the other.
    fn carry(&mut self, message: &[u8]) -> Result<()>;
}

pub(crate) fn run(orders: &Orders, configuration: &Configuration) -> Result<Report> {
    let depth = orders.depth;
    let mut pair: Box<dyn Pair> = match orders.peer {
        Peer::Aead => Box::new(Aead::new(orders.provider, depth)?),
        Peer::Rustls => Box::new(Rustls::new(configuration)?),
        Peer::FuturesRustls => Box::new(Nested::new(configuration, depth)?),
        Peer::OursBlocking => Box::new(Chains::new(&Stacks::new(configuration)?, depth)?),
        #[cfg(feature = "openssl")]
        Peer::Openssl => Box::new(Chains::new(&super::openssl::Contexts::read(&orders.folder)?, depth)?),
        peer => return Err(format!("{peer} does nothing in memory").into()),
    };
    // Bulk counts bytes, the other one messages.
    let size = if orders.kind == Kind::InMemory { CHUNK } else { MESSAGE };
    let unit = if orders.kind == Kind::InMemory { CHUNK as u64 } else { 1 };
    let message = vec![0x2e; size];
    let meter = Meter::new(1);
    for _ in 0..orders.warm_up.div_ceil(unit) {
        pair.carry(&message)?;
    }
    meter.begin();
    for _ in 0..orders.amount / unit {
        pair.carry(&message)?;
    }
    meter.done();
    Ok(meter.report()?)
}

/// Two chains, each the wire of the other.
struct Chains<C> {
    client: C,
    server: C,
    received: Vec<u8>,
}

impl<C: Chain> Chains<C> {
    fn new(chains: &impl MakesChains<Chain = C>, depth: usize) -> Result<Self> {
        let (mut client, mut server) = (chains.chain(), chains.chain());
        for _ in 0..depth {
            client.start(Role::Client)?;
            server.start(Role::Server)?;
            let (mut client_is_up, mut server_is_up) = (false, false);
            while !client_is_up || !server_is_up {
                client_is_up = client_is_up || client.is_ready()?;
                hand_over(&mut client, &mut server)?;
                server_is_up = server_is_up || server.is_ready()?;
                hand_over(&mut server, &mut client)?;
            }
        }
        Ok(Self { client, server, received: vec![0; CHUNK] })
    }
}

impl<C: Chain> Pair for Chains<C> {
    fn carry(&mut self, message: &[u8]) -> Result<()> {
        let (mut sent, mut received) = (0, 0);
        while received < message.len() {
            let before = (sent, received);
            if sent < message.len() {
                sent += self.client.write(&message[sent..])?;
            }
            hand_over(&mut self.client, &mut self.server)?;
            while received < message.len() {
                match self.server.read(&mut self.received)? {
                    0 => break,
                    count => received += count,
                }
            }
            if (sent, received) == before {
                return Err("nothing moves".into());
            }
        }
        Ok(())
    }
}

fn hand_over<C: Chain>(from: &mut C, to: &mut C) -> io::Result<()> {
    loop {
        let output = from.output();
        if output.is_empty() {
            return Ok(());
        }
        let count = to.fill(|space| {
            let count = output.len().min(space.len());
            space[..count].copy_from_slice(&output[..count]);
            Ok(count)
        })?;
        if count == 0 {
            return Ok(());
        }
        from.sent(count);
    }
}

/// Nested streams over a pipe.
struct Nested {
    client: Pin<Box<dyn Duplex>>,
    server: Pin<Box<dyn Duplex>>,
    received: Vec<u8>,
}

impl Nested {
    fn new(configuration: &Configuration, depth: usize) -> Result<Self> {
        let layering = FuturesRustls::new(configuration);
        let (there, back) = (Queue::default(), Queue::default());
        let end = |inbound: &Queue, outbound: &Queue| End { inbound: inbound.clone(), outbound: outbound.clone() };
        let mut client: Pin<Box<dyn Duplex>> = Box::pin(end(&back, &there));
        let mut server: Pin<Box<dyn Duplex>> = Box::pin(end(&there, &back));
        for _ in 0..depth {
            let both = try_join(layering.start(client, Role::Client), layering.start(server, Role::Server));
            (client, server) = spin(both)?;
        }
        Ok(Self { client, server, received: vec![0; CHUNK] })
    }
}

impl Pair for Nested {
    fn carry(&mut self, message: &[u8]) -> Result<()> {
        spin(async {
            self.client.write_all(message).await?;
            self.client.flush().await?;
            Ok(self.server.read_exact(&mut self.received[..message.len()]).await?)
        })
    }
}

/// Polls until it is done: what it waits for is what it does itself.
fn spin<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            return result;
        }
    }
}

type Queue = Arc<Mutex<VecDeque<u8>>>;

/// One end of a pipe that is never full.
struct End {
    inbound: Queue,
    outbound: Queue,
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        if inbound.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(inbound.read(buffer))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.outbound.lock().unwrap_or_else(PoisonError::into_inner).write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const MESSAGE: usize = 64;
