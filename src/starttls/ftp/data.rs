//! Where data connections go.
//!
//! FTP lets either side name any address for the next data connection. A server that connects to what it is told scans
//! and attacks others on behalf of its clients (the bounce attack, RFC 2577 section 3), and a client that does so can be
//! sent into its own network by a server. The rule here: the address is that of the control connection's peer, and only
//! the port is believed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use super::{Error, Reply};
use crate::starttls::reply::command;

/// Where a server awaits a data connection: its answer to PASV (RFC 959 section 4.1.2) or EPSV (RFC 2428 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passive {
    port: u16,
    claimed: Option<Ipv4Addr>,
}

impl Passive {
    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// When it is neither 227 nor 229, or has no port.
    pub fn of(reply: &Reply) -> Result<Self, Error> {
        let found = match reply.code() {
            227 => host_and_port(reply.text()).map(|to| Self { port: to.port(), claimed: Some(*to.ip()) }),
            229 => extended_port(reply.text()).map(|port| Self { port, claimed: None }),
            _ => None,
        };
        found.filter(|passive| passive.port != 0).ok_or_else(|| {
            let said = reply.lines().last().map_or(&[][..], Vec::as_slice);
            Error::malformed("the port of a data connection", said)
        })
    }

    /// Where to connect: the server of the control connection, which this is the address of, at the new port. What PASV
    /// says of the host is ignored, as it is wrong behind a translator of addresses and a trap from somebody else.
    #[must_use]
    pub fn beside(&self, mut control: SocketAddr) -> SocketAddr {
        control.set_port(self.port);
        control
    }

    /// What PASV says, host and port, for those who trust the server with that. EPSV names no host.
    #[must_use]
    pub fn claimed(&self) -> Option<SocketAddrV4> {
        self.claimed.map(|host| SocketAddrV4::new(host, self.port))
    }
}

/// Where a client awaits a data connection: its command PORT (RFC 959 section 4.1.2) or EPRT (RFC 2428 section 2). `None`
/// if the line is something else or makes no sense.
///
/// A server compares the address with that of the control connection, and refuses any other one, and ports below 1024.
#[must_use]
pub fn active_address(line: &[u8]) -> Option<SocketAddr> {
    let (verb, argument) = command(line);
    if verb.eq_ignore_ascii_case(b"PORT") {
        return host_and_port(argument).map(SocketAddr::V4);
    }
    if !verb.eq_ignore_ascii_case(b"EPRT") {
        return None;
    }
    let (delimiter, _) = argument.split_first()?;
    let fields: Vec<_> = argument.split(|byte| byte == delimiter).collect();
    let [b"", family, host, port, b""] = fields[..] else { return None };
    let host: IpAddr = std::str::from_utf8(host).ok()?.parse().ok()?;
    let is_its_family = matches!((family, host), (b"1", IpAddr::V4(_)) | (b"2", IpAddr::V6(_)));
    is_its_family.then_some(())?;
    Some(SocketAddr::new(host, number(port)?))
}

/// Six numbers with commas between them, wherever they begin: servers do not agree on what stands around them.
fn host_and_port(text: &[u8]) -> Option<SocketAddrV4> {
    let start = text.iter().position(u8::is_ascii_digit)?;
    let numbers = text[start..].split(|byte| !byte.is_ascii_digit() && *byte != b',').next()?;
    let mut fields = numbers.split(|&byte| byte == b',').map(number::<u8>);
    let mut next = || fields.next().flatten();
    let [a, b, c, d, high, low] = [next()?, next()?, next()?, next()?, next()?, next()?];
    match fields.next() {
        None => Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))),
        Some(_) => None,
    }
}

/// `(|||port|)`, with any delimiter.
fn extended_port(text: &[u8]) -> Option<u16> {
    let start = text.iter().position(|&byte| byte == b'(')? + 1;
    let (delimiter, _) = text[start..].split_first()?;
    let mut fields = text[start..].split(|byte| byte == delimiter);
    let before = [fields.next()?, fields.next()?, fields.next()?];
    let port = fields.next()?;
    let is_closed = fields.next()?.starts_with(b")");
    (is_closed && before.iter().all(|field| field.is_empty())).then(|| number(port))?
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    // `parse` would take a sign.
    digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: vec![format!("{code} {text}").into_bytes()] }
    }

    fn port(code: u16, text: &str) -> Option<u16> {
        let control = "[fe80::1%7]:21".parse().unwrap();
        let beside = Passive::of(&reply(code, text)).ok()?.beside(control);
        assert_eq!(beside.ip(), control.ip());
        Some(beside.port())
    }

    #[test]
    fn ports_are_found_in_what_servers_say() {
        assert_eq!(port(227, "Entering Passive Mode (10,0,0,1,156,64)."), Some(40000));
        assert_eq!(port(227, "=10,0,0,1,156,64"), Some(40000));
        assert_eq!(port(227, "10,0,0,1,0,0"), None);
        assert_eq!(port(227, "10,0,0,1,156"), None);
        assert_eq!(port(227, "10,0,0,1,156,64,1"), None);
        assert_eq!(port(227, "10,0,0,256,156,64"), None);
        assert_eq!(port(227, "10,,0,1,156,64"), None);
        assert_eq!(port(229, "Extended Passive Mode Entered (|||40000|)"), Some(40000));
        assert_eq!(port(229, "(!!!40000!)"), Some(40000));
        assert_eq!(port(229, "(||10.0.0.1|40000|)"), None);
        assert_eq!(port(229, "(|||+400|)"), None);
        assert_eq!(port(229, "(|||65536|)"), None);
        assert_eq!(port(229, "(|||40000"), None);
        assert_eq!(port(229, ""), None);
        assert_eq!(port(200, "10,0,0,1,156,64"), None);
    }

    #[test]
    fn the_host_of_a_passive_answer_is_only_told() {
        let passive = Passive::of(&reply(227, "(10,0,0,1,156,64)")).unwrap();
        assert_eq!(passive.beside("192.0.2.1:21".parse().unwrap()), "192.0.2.1:40000".parse().unwrap());
        assert_eq!(passive.claimed(), Some("10.0.0.1:40000".parse().unwrap()));
        assert_eq!(Passive::of(&reply(229, "(|||40000|)")).unwrap().claimed(), None);
    }

    #[test]
    fn active_addresses_are_read() {
        let cases = [
            ("PORT 127,0,0,1,156,64", Some("127.0.0.1:40000")),
            ("EPRT |1|127.0.0.1|40000|", Some("127.0.0.1:40000")),
            ("eprt !2!::1!40000!", Some("[::1]:40000")),
            ("EPRT |2|127.0.0.1|40000|", None),
            ("EPRT |1|127.0.0.1|40000", None),
            ("EPRT", None),
            ("PORT", None),
            ("PASV 127,0,0,1,156,64", None),
        ];
        for (line, address) in cases {
            assert_eq!(active_address(line.as_bytes()), address.map(|address| address.parse().unwrap()), "{line}");
        }
    }
}
