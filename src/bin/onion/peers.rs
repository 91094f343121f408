//! How many connections each peer has, or tunnels each user, so that one of them cannot have them all.
//!
//! A peer is an IPv4 address, or the first 64 bits of an IPv6 address: that much is given to one customer or one network,
//! who may take any address in it (RFC 6177). Behind a `proxy-header` step it is the client that the proxy speaks for. Peers without
//! an IP address, on Unix sockets for example, have no limit.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onionskin::printable::Printable;
use onionskin::protocol::Addresses;
use onionskin::runtime::Address;

/// Who is connected, and how often.
#[derive(Debug)]
pub(crate) struct Peers {
    most: Option<NonZeroUsize>,
    /// Only peers that have a connection, so that it is never larger than the number of those.
    seats: Mutex<HashMap<Who, usize>>,
}

/// A place that a connection has among those of its peer, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Option<(Arc<Peers>, Who)>);

/// A peer has as many connections as it may have.
#[derive(Debug)]
pub(crate) struct Full {
    who: Who,
    most: NonZeroUsize,
}

/// Who has seats: a peer, a user from wherever, or all of them together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Network(Network),
    User(String),
    Everybody,
}

/// All the addresses that are one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Peers {
    /// Without `most` everybody gets a seat.
    pub(crate) fn new(most: Option<NonZeroUsize>) -> Self {
        Self { most, seats: Mutex::default() }
    }

    /// A seat for the peer in `addresses`.
    pub(crate) fn seat(self: &Arc<Self>, addresses: &Addresses) -> Result<Seat, Full> {
        let address = addresses.peer.as_ref().and_then(Address::as_tcp);
        let (Some(most), Some(address)) = (self.most, address) else { return Ok(Seat(None)) };
        self.take(Who::Network(Network::of(address.ip())), most)
    }

    /// A seat for this user.
    pub(crate) fn seat_of_user(self: &Arc<Self>, user: &str) -> Result<Seat, Full> {
        self.most.map_or(Ok(Seat(None)), |most| self.take(Who::User(user.to_owned()), most))
    }

    /// A seat among those of everybody.
    pub(crate) fn seat_of_all(self: &Arc<Self>) -> Result<Seat, Full> {
        self.most.map_or(Ok(Seat(None)), |most| self.take(Who::Everybody, most))
    }

    fn take(self: &Arc<Self>, who: Who, most: NonZeroUsize) -> Result<Seat, Full> {
        let mut seats = self.lock();
        let taken = seats.entry(who.clone()).or_default();
        if *taken >= most.get() {
            return Err(Full { who, most });
        }
        *taken += 1;
        Ok(Seat(Some((Arc::clone(self), who))))
    }

    /// No counter is ever left half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<Who, usize>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((peers, who)) = &self.0 else { return };
        let mut seats = peers.lock();
        if let Some(taken) = seats.get_mut(who) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(who);
            }
        }
    }
}

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_BITS).into(),
            address => address,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, if self.0.is_ipv6() { "/64" } else { "" })
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Network(network) => {
                write!(f, "{network} has {} connections already, as many as one peer may have", self.most)
            }
            Who::User(user) => {
                let user = Printable::new(user).limit(MAX_SHOWN).quoted();
                write!(f, "the user {user} has {} tunnels already, as many as one user may have", self.most)
            }
            Who::Everybody => write!(f, "there are {} tunnels already, as many as there may be", self.most),
        }
    }
}

const NETWORK_BITS: u128 = !0 << 64;

const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(peers: &Arc<Peers>, peer: &str) -> Result<Seat, String> {
        let address = Address::Tcp(peer.parse().unwrap());
        peers.seat(&Addresses::new(None, address)).map_err(|full| full.to_string())
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_64_bits_of_an_ipv6_address() {
        for (one, same, other) in [
            ("192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"),
            ("192.0.2.1:1", "[::ffff:192.0.2.1]:2", "[::ffff:192.0.2.2]:2"),
            ("[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:1", "[2001:db8:1:3::1]:1"),
        ] {
            let peers = Arc::new(Peers::new(NonZeroUsize::new(1)));
            let first = seat(&peers, one).unwrap();
            seat(&peers, same).unwrap_err();
            seat(&peers, other).unwrap();
            drop(first);
            seat(&peers, same).unwrap();
            assert!(peers.lock().is_empty());
        }
        let peers = Arc::new(Peers::new(NonZeroUsize::new(1)));
        let _seat = seat(&peers, "[2001:db8::1]:1").unwrap();
        let why = "2001:db8::/64 has 1 connections already, as many as one peer may have";
        assert_eq!(seat(&peers, "[2001:db8::2]:1").unwrap_err(), why);
    }

    #[test]
    fn who_has_no_address_or_no_limit_gets_a_seat() {
        let one = Arc::new(Peers::new(NonZeroUsize::new(1)));
        let unix = Addresses::new(None, Address::Unix(None));
        let _seats = (one.seat(&unix).unwrap(), one.seat(&unix).unwrap());
        let any = Arc::new(Peers::new(None));
        let _seats = (seat(&any, "192.0.2.1:1").unwrap(), seat(&any, "192.0.2.1:1").unwrap());
    }
}
