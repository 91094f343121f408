//! So many connections and no more.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Addresses, Factory, Protocol};
use crate::runtime::Address;

/// A factory that refuses connections above a number, in total and for each peer address, or gives them to another
/// protocol that tells the peer why.
///
/// ```
/// use onionskin::protocol::{Addresses, LimitConnections, Protocol, Result, Transport};
///
/// struct Echo;
/// # impl Protocol for Echo {}
///
/// struct Busy;
/// impl Protocol for Busy {
///     fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
///         transport.write(b"421 too many connections, try again later\r\n")?;
///         transport.close();
///         Ok(())
///     }
/// }
///
/// let factory = LimitConnections::new(|_: &Addresses| Echo).total(1000).per_peer(20).overflow(|_: &Addresses| Busy);
/// # let _ = factory;
/// ```
///
/// A connection counts from the moment at which its protocol is built, so also during its handshakes, until its protocol
/// is dropped. Connections that are refused or given to the overflow protocol do not count. Peers are told apart by their
/// IP address; IPv4 addresses mapped into IPv6 are IPv4. Peers without an IP address count in total only.
pub struct LimitConnections<F> {
    factory: F,
    total: usize,
    per_peer: usize,
    overflow: Option<Box<Overflow>>,
    present: Arc<Mutex<Present>>,
}

type Overflow = dyn Fn(&Addresses) -> Option<Box<dyn Protocol>> + Send + Sync;

/// A protocol that was let in, and counts until it is dropped.
#[derive(Debug)]
struct Admitted<P> {
    protocol: P,
    _place: Place,
}

#[derive(Debug, Default)]
struct Present {
    total: usize,
    peers: HashMap<IpAddr, usize>,
}

/// One connection among those that are present, until it is dropped.
#[derive(Debug)]
struct Place {
    peer: Option<IpAddr>,
    present: Arc<Mutex<Present>>,
}

impl<F: Factory> LimitConnections<F> {
    /// No limits yet.
    pub fn new(factory: F) -> Self {
        Self { factory, total: usize::MAX, per_peer: usize::MAX, overflow: None, present: Arc::default() }
    }

    /// The most connections at a time.
    #[must_use]
    pub fn total(mut self, most: usize) -> Self {
        self.total = most;
        self
    }

    /// The most connections at a time from one IP address.
    #[must_use]
    pub fn per_peer(mut self, most: usize) -> Self {
        self.per_peer = most;
        self
    }

    /// What a connection gets that is one too many. It should soon close it: these do not count.
    #[must_use]
    pub fn overflow(mut self, factory: impl Factory) -> Self {
        self.overflow = Some(Box::new(move |addresses| Some(Box::new(factory.build(addresses)?))));
        self
    }

    /// How many connections there are now.
    pub fn count(&self) -> usize {
        present(&self.present).total
    }

    fn admit(&self, peer: Option<IpAddr>) -> Option<Place> {
        let mut present = present(&self.present);
        if present.total >= self.total {
            return None;
        }
        if let Some(peer) = peer {
            let count = present.peers.get(&peer).copied().unwrap_or(0);
            if count >= self.per_peer {
                return None;
            }
            present.peers.insert(peer, count + 1);
        }
        present.total += 1;
        drop(present);
        Some(Place { peer, present: Arc::clone(&self.present) })
    }
}

impl<F: Factory> Factory for LimitConnections<F> {
    type Protocol = Box<dyn Protocol>;

    fn build(&self, addresses: &Addresses) -> Option<Box<dyn Protocol>> {
        let peer = addresses.peer.as_ref().and_then(Address::as_tcp).map(|address| address.ip().to_canonical());
        match self.admit(peer) {
            Some(place) => Some(Box::new(Admitted { protocol: self.factory.build(addresses)?, _place: place })),
            None => {
                log::debug!("{addresses}: one connection too many");
                self.overflow.as_ref()?(addresses)
            }
        }
    }

    fn start_factory(&self) {
        self.factory.start_factory();
    }

    fn stop_factory(&self) {
        self.factory.stop_factory();
    }
}

impl<P: Protocol> Protocol for Admitted<P> {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.protocol)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = present(&self.present);
        present.total -= 1;
        if let Some(peer) = self.peer
            && let Some(count) = present.peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                present.peers.remove(&peer);
            }
        }
    }
}

impl<F> fmt::Debug for LimitConnections<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitConnections")
            .field("total", &self.total)
            .field("per_peer", &self.per_peer)
            .field("present", &self.present)
            .finish_non_exhaustive()
    }
}

fn present(present: &Mutex<Present>) -> MutexGuard<'_, Present> {
    present.lock().expect("nothing panics while it counts")
}
