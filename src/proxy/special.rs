//! Addresses that a stranger has no business to reach through us, in whatever way they are spelled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::network::Network;

/// The address that is meant by this one.
///
/// An IPv6 address may hold an IPv4 address, and whoever connects to the one arrives at the other, or does on a network that
/// translates: IPv4-mapped and IPv4-compatible (RFC 4291, section 2.5.5), IPv4-translated (RFC 2765), NAT64 at its
/// well-known prefix (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).
pub(super) fn meant(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => inside(address).map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        // The address of the client, each bit of it turned over.
        [0x2001, 0, .., high, low] => of(!high, !low),
        _ => None,
    }
}

/// Why only a rule of its own can open this address, if that is so; `address` is what is [`meant`].
///
/// What is not global unicast, by the registries of RFC 6890.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    let found = SPECIAL.iter().find(|(network, _)| network.contains(address)).map(|(_, what)| *what);
    match address {
        IpAddr::V6(_) if found.is_none() && !GLOBAL_UNICAST.contains(address) => Some("not a public address"),
        _ => found,
    }
}

/// Whether whoever connects there arrives at this host, whatever its own addresses are.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    // The unspecified address is the loopback for Linux and others.
    address.is_loopback() || address.is_unspecified()
}

/// RFC 4291, section 2.4, and what is given out of it.
const GLOBAL_UNICAST: Network = Network::v6([0x2000, 0, 0], 3);

const SPECIAL: &[(Network, &str)] = &[
    (Network::v4([0, 0, 0, 0], 8), "of \"this network\""),
    (Network::v4([127, 0, 0, 0], 8), "a loopback address"),
    (Network::v4([10, 0, 0, 0], 8), "a private address"),
    (Network::v4([172, 16, 0, 0], 12), "a private address"),
    (Network::v4([192, 168, 0, 0], 16), "a private address"),
    (Network::v4([100, 64, 0, 0], 10), "an address shared behind a carrier's NAT"),
    (Network::v4([169, 254, 0, 0], 16), "a link-local address"),
    (Network::v4([192, 0, 0, 0], 24), "an address for protocols"),
    (Network::v4([192, 88, 99, 0], 24), "an address of relays"),
    (Network::v4([192, 0, 2, 0], 24), "an address for documentation"),
    (Network::v4([198, 51, 100, 0], 24), "an address for documentation"),
    (Network::v4([203, 0, 113, 0], 24), "an address for documentation"),
    (Network::v4([198, 18, 0, 0], 15), "an address for measurements"),
    (Network::v4([224, 0, 0, 0], 4), "a multicast address"),
    (Network::v4([255, 255, 255, 255], 32), "the broadcast address"),
    (Network::v4([240, 0, 0, 0], 4), "a reserved address"),
    (Network::v6([0xfc00, 0, 0], 7), "a private address"),
    (Network::v6([0xfe80, 0, 0], 10), "a link-local address"),
    (Network::v6([0xfec0, 0, 0], 10), "a site-local address"),
    (Network::v6([0xff00, 0, 0], 8), "a multicast address"),
    // What is translated there, only that network knows (RFC 8215).
    (Network::v6([0x64, 0xff9b, 1], 48), "an address of a local NAT64"),
    (Network::v6([0x2001, 0xdb8, 0], 32), "an address for documentation"),
    (Network::v6([0x3fff, 0, 0], 20), "an address for documentation"),
    (Network::v6([0x2001, 0, 0], 23), "an address for protocols"),
];
