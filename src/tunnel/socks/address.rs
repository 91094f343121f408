//! A host and a port, as SOCKS5 writes them (RFC 1928, section 5), and which can be asked for at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::layer::opening::{Error, Exchange};
use crate::runtime::Address;

/// A target that a proxy can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Askable<'a> {
    Ip(IpAddr, u16),
    Name(&'a str, u16),
}

impl<'a> Askable<'a> {
    /// What this is to a proxy, or why it is nothing, in one phrase. A literal address that was given as a name is an address.
    pub(super) fn of(target: &'a Address) -> Result<Self, String> {
        let checked = match target {
            Address::Tcp(address) => *address,
            Address::Name { host, port } => match Address::to_host(host, *port) {
                Ok(Address::Tcp(address)) => address,
                Ok(_) => return Ok(Self::Name(host, *port)),
                Err(error) => return Err(error.to_string()),
            },
            _ => return Err(format!("SOCKS leads to ports of TCP, not to {target}")),
        };
        match checked {
            address if address.port() == 0 => Err("nobody can be at port 0".to_owned()),
            SocketAddr::V6(address) if address.scope_id() != 0 => {
                Err("the zone of an address means nothing to another machine".to_owned())
            }
            address => Ok(Self::Ip(address.ip(), address.port())),
        }
    }

    /// How it is written in a request and in a reply of SOCKS5: the type, the host, the port.
    pub(super) fn write(self, to: &mut Vec<u8>) {
        let port = match self {
            Self::Ip(IpAddr::V4(ip), port) => {
                to.push(IPV4);
                to.extend(ip.octets());
                port
            }
            Self::Ip(IpAddr::V6(ip), port) => {
                to.push(IPV6);
                to.extend(ip.octets());
                port
            }
            Self::Name(name, port) => {
                to.extend([NAME, name.len() as u8]);
                to.extend(name.as_bytes());
                port
            }
        };
        to.extend(port.to_be_bytes());
    }
}

/// What a peer has written as an address, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written<'a> {
    Ip(SocketAddr),
    /// Any bytes, 255 at most, and none perhaps.
    Name(&'a [u8], u16),
    /// A type that there is not. What follows cannot be measured.
    Unknown(u8),
}

impl<'a> Written<'a> {
    /// Takes one off the front, if it is all there.
    pub(super) fn take(exchange: &mut Exchange<'a>) -> Result<Option<Self>, Error> {
        let length = match exchange.peek(2)? {
            Some([IPV4, _]) => 1 + 4 + 2,
            Some([IPV6, _]) => 1 + 16 + 2,
            Some([NAME, length]) => 2 + usize::from(*length) + 2,
            Some([other, _]) => return Ok(Some(Self::Unknown(*other))),
            _ => {
                exchange.message(2)?;
                return Ok(None);
            }
        };
        let Some(message) = exchange.message(length)? else { return Ok(None) };
        let (message, port) = message.split_at(length - 2);
        let port = u16::from_be_bytes([port[0], port[1]]);
        Ok(Some(match message {
            [IPV4, a, b, c, d] => Self::Ip((Ipv4Addr::new(*a, *b, *c, *d), port).into()),
            [IPV6, rest @ ..] => Self::Ip((ipv6(rest), port).into()),
            name => Self::Name(&name[2..], port),
        }))
    }

    /// The address, or why it is none, in one phrase. An IP address may have port 0 and be unspecified.
    pub(super) fn to_address(&self) -> Result<Address, String> {
        match self {
            Self::Ip(address) => Ok((*address).into()),
            Self::Name(name, port) => host(name, *port),
            Self::Unknown(other) => Err(format!("there is no type {other} of addresses")),
        }
    }
}

/// A name as a peer has written it, which may be an IP address, or why it is none.
pub(super) fn host(name: &[u8], port: u16) -> Result<Address, String> {
    let name = std::str::from_utf8(name).map_err(|_| "the name of the host is no ASCII".to_owned())?;
    Address::to_host(name, port).map_err(|error| error.to_string())
}

/// Of sixteen bytes, which it has.
fn ipv6(bytes: &[u8]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    octets.into()
}

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
