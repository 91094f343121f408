//! What a client of SOCKS4a asks, and how it is answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::address::host;
use super::client4::means_name;
use crate::layer::opening::Exchange;
use crate::runtime::Address;
use crate::tunnel::ErrorKind;

/// One message of the client, the only one.
#[derive(Debug)]
pub(super) struct Request4 {
    pub(super) command: u8,
    /// Or why it is none, in one phrase.
    pub(super) target: Result<Address, String>,
    pub(super) user: Option<String>,
}

impl Request4 {
    /// Takes it, if it is all there.
    pub(super) fn take(exchange: &mut Exchange<'_>) -> Result<Option<Self>, ErrorKind> {
        let Some(&[_, command, port, of_port, a, b, c, d]) = exchange.peek(8)? else {
            exchange.message(8)?;
            return Ok(None);
        };
        let (port, ip) = (u16::from_be_bytes([port, of_port]), Ipv4Addr::new(a, b, c, d));
        let behind = &exchange.input()[8..];
        let Some(user) = text(behind)? else { return Ok(None) };
        let mut length = 8 + user.len() + 1;
        let target = if means_name(ip) {
            let Some(name) = text(&behind[user.len() + 1..])? else { return Ok(None) };
            length += name.len() + 1;
            host(name, port)
        } else {
            Address::to_host(&ip.to_string(), port).map_err(|error| error.to_string())
        };
        let user = (!user.is_empty()).then(|| String::from_utf8_lossy(user).into_owned());
        exchange.take(length);
        Ok(Some(Self { command, target, user }))
    }
}

/// Sends it: granted with the end of our connection to the target, as far as there is room for it, or refused.
pub(super) fn answer(exchange: &mut Exchange<'_>, code: u8, bound: Option<&Address>) {
    let (ip, port) = match bound.and_then(Address::as_tcp) {
        Some(SocketAddr::V4(address)) => (*address.ip(), address.port()),
        // A dual socket has IPv4 addresses in clothes of IPv6.
        Some(SocketAddr::V6(address)) => match address.ip().to_canonical() {
            IpAddr::V4(ip) => (ip, address.port()),
            IpAddr::V6(_) => (Ipv4Addr::UNSPECIFIED, 0),
        },
        None => (Ipv4Addr::UNSPECIFIED, 0),
    };
    exchange.send(&[&[0, code][..], &port.to_be_bytes(), &ip.octets()].concat());
}

/// What stands before a zero byte, if that has come.
fn text(input: &[u8]) -> Result<Option<&[u8]>, ErrorKind> {
    match memchr::memchr(0, &input[..input.len().min(MAX_TEXT + 1)]) {
        Some(end) => Ok(Some(&input[..end])),
        None if input.len() > MAX_TEXT => Err(ErrorKind::TooLong(MAX_TEXT)),
        None => Ok(None),
    }
}

pub(super) const GRANTED: u8 = 90;
pub(super) const REFUSED: u8 = 91;

/// Of a user, and of a name, which has no more in any other language either.
const MAX_TEXT: usize = 255;
