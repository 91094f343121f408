//! How a header is read: nothing is taken before all of it is there, and no more than it is long.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use super::tlv::{self, crc32c};
use super::{Command, HeaderAddresses, HeaderVersion, ProxyHeader, SocketType, TlvKind};
use crate::printable::Printable;
use crate::stack::{LayerError, LayerErrorKind};

impl ProxyHeader {
    /// Reads the header at the front of `bytes`, and how long it is; none while it is not all there.
    ///
    /// # Errors
    ///
    /// [`NotSpoken`](LayerErrorKind::NotSpoken) when no header can begin like this,
    /// [`Protocol`](LayerErrorKind::Protocol) when it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, LayerError> {
        match Front::of(bytes) {
            Front::Undecided => Ok(None),
            Front::NoHeader => Err(not_spoken(bytes)),
            Front::Header(HeaderVersion::V1) => parse_line(bytes),
            Front::Header(HeaderVersion::V2) => parse_block(bytes),
        }
    }
}

/// What the front of a stream is, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// It may yet be a header.
    Undecided,
    Header(HeaderVersion),
    NoHeader,
}

impl Front {
    pub(super) fn of(bytes: &[u8]) -> Self {
        for (signature, version) in [(LINE_SIGNATURE, HeaderVersion::V1), (SIGNATURE, HeaderVersion::V2)] {
            if bytes.starts_with(signature) {
                return Self::Header(version);
            }
            if signature.starts_with(bytes) {
                return Self::Undecided;
            }
        }
        Self::NoHeader
    }
}

pub(super) fn not_spoken(bytes: &[u8]) -> LayerError {
    let sample = Printable::new(bytes).limit(SAMPLE).quoted();
    let message = format!("the peer sent no PROXY header (it said {sample})");
    LayerError::new(LayerErrorKind::NotSpoken, message)
}

/// How long a header of version 2 says it is, all in all, once that is known.
pub(super) fn announced_len(bytes: &[u8]) -> Option<usize> {
    let len: [u8; 2] = bytes.get(BLOCK_HEADER - 2..BLOCK_HEADER)?.try_into().ok()?;
    Some(BLOCK_HEADER + usize::from(u16::from_be_bytes(len)))
}

/// Section 2.1 of the specification.
fn parse_line(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, LayerError> {
    let most = &bytes[..bytes.len().min(LINE_LIMIT)];
    let Some(end) = most.iter().position(|&byte| byte == b'\r') else {
        return if most.len() < LINE_LIMIT { Ok(None) } else { Err(malformed("its line is longer than 107 bytes")) };
    };
    match most.get(end + 1) {
        Some(b'\n') => {}
        None if most.len() < LINE_LIMIT => return Ok(None),
        _ => return Err(malformed("its line does not end in CRLF")),
    }
    // Lossy, because what stands behind UNKNOWN is to be ignored, whatever it is.
    let line = String::from_utf8_lossy(&most[LINE_SIGNATURE.len()..end]);
    let (family, rest) = line.split_once(' ').unwrap_or((&line, ""));
    let addresses = match family {
        "UNKNOWN" => HeaderAddresses::Unspecified,
        "TCP4" => {
            let (source, destination) = parse_addresses::<Ipv4Addr>(rest)?;
            HeaderAddresses::tcp(source, destination)
        }
        "TCP6" => {
            let (source, destination) = parse_addresses::<Ipv6Addr>(rest)?;
            HeaderAddresses::tcp(source, destination)
        }
        _ => return Err(malformed("its family is neither TCP4 nor TCP6 nor UNKNOWN")),
    };
    Ok(Some((ProxyHeader::new(HeaderVersion::V1, Command::Proxy, addresses), end + 2)))
}

fn parse_addresses<A>(words: &str) -> Result<(SocketAddr, SocketAddr), LayerError>
where
    A: FromStr + Into<std::net::IpAddr>,
{
    let words: Vec<&str> = words.split(' ').collect();
    let [from, to, from_port, to_port] = words[..] else {
        return Err(malformed("its line does not have two addresses and two ports"));
    };
    let address = |word: &str| word.parse::<A>().map_err(|_| malformed("an address is not of its family"));
    let port = |word: &str| {
        let canonical = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse().ok().filter(|_| canonical).ok_or_else(|| malformed("a port is not a number up to 65535"))
    };
    let source = SocketAddr::new(address(from)?.into(), port(from_port)?);
    let destination = SocketAddr::new(address(to)?.into(), port(to_port)?);
    Ok((source, destination))
}

/// Section 2.2 of the specification.
fn parse_block(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, LayerError> {
    if bytes.get(VERSION_AND_COMMAND).is_some_and(|byte| byte >> 4 != V2) {
        return Err(malformed("its version is not 2"));
    }
    let Some(len) = announced_len(bytes) else { return Ok(None) };
    let Some(bytes) = bytes.get(..len) else { return Ok(None) };
    let (first, block) = bytes.split_at(BLOCK_HEADER);
    let command = match first[VERSION_AND_COMMAND] & 0x0f {
        PROXY => Command::Proxy,
        // All that it says beyond that is to be ignored, the family too.
        LOCAL => {
            return Ok(Some((ProxyHeader::new(HeaderVersion::V2, Command::Local, HeaderAddresses::Unspecified), len)));
        }
        _ => return Err(malformed("its command is neither LOCAL nor PROXY")),
    };
    let (addresses, rest) = match first[FAMILY] {
        0 => (HeaderAddresses::Unspecified, block),
        0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32 => {
            read_addresses(first[FAMILY], block).ok_or_else(|| malformed("it is too short for its addresses"))?
        }
        _ => return Err(malformed("its address family is not known")),
    };
    let mut header = ProxyHeader::new(HeaderVersion::V2, command, addresses);
    match tlv::read_all(rest) {
        Some(tlvs) => header.tlvs = tlvs,
        // What it is for an unknown family is not known either.
        None if header.addresses == HeaderAddresses::Unspecified => {}
        None => return Err(malformed("the lengths in it do not come out even")),
    }
    check_sum(&header, bytes)?;
    Ok(Some((header, len)))
}

fn read_addresses(family: u8, block: &[u8]) -> Option<(HeaderAddresses, &[u8])> {
    let transport = if family & 0x0f == 1 { SocketType::Stream } else { SocketType::Datagram };
    match family >> 4 {
        1 => {
            let (ips, rest) = block.split_first_chunk::<8>()?;
            let (ports, rest) = read_ports(rest)?;
            let [a, b, c, d, e, f, g, h] = *ips;
            let source = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), ports.0);
            let destination = SocketAddrV4::new(Ipv4Addr::new(e, f, g, h), ports.1);
            Some((HeaderAddresses::Ipv4 { source, destination, transport }, rest))
        }
        2 => {
            let (from, rest) = block.split_first_chunk::<16>()?;
            let (to, rest) = rest.split_first_chunk::<16>()?;
            let (ports, rest) = read_ports(rest)?;
            let source = SocketAddrV6::new(Ipv6Addr::from(*from), ports.0, 0, 0);
            let destination = SocketAddrV6::new(Ipv6Addr::from(*to), ports.1, 0, 0);
            Some((HeaderAddresses::Ipv6 { source, destination, transport }, rest))
        }
        _ => {
            let (from, rest) = block.split_first_chunk::<UNIX_PATH>()?;
            let (to, rest) = rest.split_first_chunk::<UNIX_PATH>()?;
            Some((HeaderAddresses::Unix { source: path(from), destination: path(to), transport }, rest))
        }
    }
}

fn read_ports(block: &[u8]) -> Option<((u16, u16), &[u8])> {
    let (&[a, b, c, d], rest) = block.split_first_chunk::<4>()?;
    Some(((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])), rest))
}

/// Without the zeros behind it. An abstract name begins with one.
fn path(padded: &[u8]) -> Vec<u8> {
    let len = padded.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    padded[..len].to_vec()
}

/// Section 2.2.3: the sum is over the whole header, with zeros where the sum itself stands.
fn check_sum(header: &ProxyHeader, bytes: &[u8]) -> Result<(), LayerError> {
    let Some(sum) = header.tlv(TlvKind::Crc32c) else { return Ok(()) };
    let wrong = || malformed("its checksum is wrong");
    let sum: [u8; 4] = sum.try_into().map_err(|_| wrong())?;
    let before: usize = header.tlvs.iter().take_while(|tlv| tlv.kind != TlvKind::Crc32c).map(tlv_len).sum();
    let all: usize = header.tlvs.iter().map(tlv_len).sum();
    let at = bytes.len() - all + before + tlv::TLV_HEADER;
    let zeroed = bytes.iter().enumerate().map(|(i, &byte)| if (at..at + 4).contains(&i) { 0 } else { byte });
    if crc32c(zeroed) == u32::from_be_bytes(sum) { Ok(()) } else { Err(wrong()) }
}

fn tlv_len(tlv: &super::Tlv) -> usize {
    tlv::TLV_HEADER + tlv.value.len()
}

pub(super) fn malformed(what: &str) -> LayerError {
    LayerError::new(LayerErrorKind::Protocol, format!("the PROXY header is malformed: {what}"))
}

/// What a header of version 1 begins with.
pub(super) const LINE_SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, with its end.
pub(super) const LINE_LIMIT: usize = 107;

/// What a header of version 2 begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
pub(super) const BLOCK_HEADER: usize = 16;

/// The most that can stand behind the first 16 bytes.
pub(super) const TLV_LIMIT: usize = 65_535;

pub(super) const UNIX_PATH: usize = 108;

pub(super) const V2: u8 = 2;
pub(super) const LOCAL: u8 = 0;
pub(super) const PROXY: u8 = 1;

const VERSION_AND_COMMAND: usize = 12;
const FAMILY: usize = 13;

const SAMPLE: usize = 32;
