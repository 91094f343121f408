//! The header as a value, and how it is written.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use super::parse::{LOCAL, PROXY, SIGNATURE, TLV_LIMIT, UNIX_PATH, V2};
use super::tlv::{TLV_HEADER, crc32c};
use super::{Tlv, TlvKind};
use crate::printable::Printable;
use crate::stack::{LayerError, LayerErrorKind};

/// What a proxy says of the connection it passes on.
///
/// Every value of this type can be written. Shown as one line: `v2 192.0.2.7:40000 to 192.0.2.1:443`.
///
/// ```
/// use onionskin::layer::proxy_header::{HeaderAddresses, ProxyHeader, TlvKind};
///
/// # fn main() -> Result<(), onionskin::stack::LayerError> {
/// let addresses = HeaderAddresses::tcp("[2001:db8::7]:40000".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap());
/// let header = ProxyHeader::v2(addresses).with_tlv(TlvKind::Authority, "mail.example")?.with_checksum()?;
///
/// let mut stream = header.encode();
/// let len = stream.len();
/// stream.extend(b"what follows");
/// assert_eq!(ProxyHeader::parse(&stream)?, Some((header, len)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyHeader {
    pub(super) version: HeaderVersion,
    pub(super) command: Command,
    pub(super) addresses: HeaderAddresses,
    pub(super) tlvs: Vec<Tlv>,
}

/// The form of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// On whose behalf the connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// On behalf of another: the addresses are those of that connection.
    Proxy,
    /// On the proxy's own, such as a health check: the addresses are those of the socket.
    Local,
}

/// Where the connection that is passed on came from, and where it went to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderAddresses {
    /// Not known, or not told: `UNKNOWN` in version 1.
    Unspecified,
    /// IPv4.
    Ipv4 {
        /// The peer of the proxy.
        source: SocketAddrV4,
        /// What that connected to.
        destination: SocketAddrV4,
        /// What it came over.
        transport: SocketType,
    },
    /// IPv6. A header carries neither flow nor scope.
    Ipv6 {
        /// The peer of the proxy.
        source: SocketAddrV6,
        /// What that connected to.
        destination: SocketAddrV6,
        /// What it came over.
        transport: SocketType,
    },
    /// Unix sockets, version 2 only. At most 108 bytes each, without the zeros behind.
    Unix {
        /// The peer of the proxy.
        source: Vec<u8>,
        /// What that connected to.
        destination: Vec<u8>,
        /// What it came over.
        transport: SocketType,
    },
}

/// What the connection that is passed on came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// TCP, or a stream socket.
    Stream,
    /// UDP, or a datagram socket; version 2 only.
    Datagram,
}

/// Making.
impl ProxyHeader {
    /// A header of version 1, for TCP. If the addresses are of two families, IPv4 is written as IPv6.
    #[must_use]
    pub fn v1(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(HeaderVersion::V1, Command::Proxy, HeaderAddresses::tcp(source, destination).without_scope())
    }

    /// A header of version 1 that tells nothing: `PROXY UNKNOWN`.
    #[must_use]
    pub fn v1_unknown() -> Self {
        Self::new(HeaderVersion::V1, Command::Proxy, HeaderAddresses::Unspecified)
    }

    /// A header of version 2. Paths of Unix sockets are cut after 108 bytes, as in the socket API.
    #[must_use]
    pub fn v2(addresses: HeaderAddresses) -> Self {
        Self::new(HeaderVersion::V2, Command::Proxy, addresses.without_scope())
    }

    /// A header of version 2 for a connection of the proxy's own.
    #[must_use]
    pub fn v2_local() -> Self {
        Self::new(HeaderVersion::V2, Command::Local, HeaderAddresses::Unspecified)
    }

    /// Adds further information. The value of a checksum is computed, whatever is given for it.
    ///
    /// # Errors
    ///
    /// In version 1 and in a header of the proxy's own, which have no place for it; and when the header would be longer
    /// than its length can tell, 65,535 bytes.
    pub fn with_tlv(mut self, kind: TlvKind, value: impl AsRef<[u8]>) -> Result<Self, LayerError> {
        if self.version == HeaderVersion::V1 || self.command == Command::Local {
            let message = "only a PROXY header of version 2, for another's connection, carries further information";
            return Err(LayerError::new(LayerErrorKind::Unsupported, message));
        }
        // The value of a checksum is for us to say.
        let value = if kind == TlvKind::Crc32c { &[0; 4] } else { value.as_ref() };
        if self.block_len() + TLV_HEADER + value.len() > TLV_LIMIT {
            let message = format!("a PROXY header is at most {TLV_LIMIT} bytes");
            return Err(LayerError::new(LayerErrorKind::Limit, message));
        }
        // The checksum is that of all, so it is made anew.
        let checked = self.tlv(TlvKind::Crc32c).is_some();
        self.tlvs.push(Tlv { kind, value: value.to_vec() });
        if checked || kind == TlvKind::Crc32c {
            self.fill_checksum();
        }
        Ok(self)
    }

    /// Adds a checksum of the whole header.
    ///
    /// # Errors
    ///
    /// As [`with_tlv`](Self::with_tlv).
    pub fn with_checksum(self) -> Result<Self, LayerError> {
        self.with_tlv(TlvKind::Crc32c, [0; 4])
    }

    pub(super) fn new(version: HeaderVersion, command: Command, addresses: HeaderAddresses) -> Self {
        Self { version, command, addresses, tlvs: Vec::new() }
    }

    fn fill_checksum(&mut self) {
        self.tlvs.retain(|tlv| tlv.kind != TlvKind::Crc32c);
        self.tlvs.push(Tlv { kind: TlvKind::Crc32c, value: vec![0; 4] });
        let sum = crc32c(self.encode());
        if let Some(last) = self.tlvs.last_mut() {
            last.value = sum.to_be_bytes().to_vec();
        }
    }
}

/// Reading.
impl ProxyHeader {
    /// The form in which it came, or goes.
    #[must_use]
    pub fn version(&self) -> HeaderVersion {
        self.version
    }

    /// On whose behalf the connection was opened.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> &HeaderAddresses {
        &self.addresses
    }

    /// Who connected to the proxy, if the header tells an IP address.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        match self.addresses {
            HeaderAddresses::Ipv4 { source, .. } => Some(source.into()),
            HeaderAddresses::Ipv6 { source, .. } => Some(source.into()),
            HeaderAddresses::Unix { .. } | HeaderAddresses::Unspecified => None,
        }
    }

    /// What that client connected to, if the header tells an IP address.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        match self.addresses {
            HeaderAddresses::Ipv4 { destination, .. } => Some(destination.into()),
            HeaderAddresses::Ipv6 { destination, .. } => Some(destination.into()),
            HeaderAddresses::Unix { .. } | HeaderAddresses::Unspecified => None,
        }
    }

    /// All further information, in the order in which it came.
    #[must_use]
    pub fn tlvs(&self) -> &[Tlv] {
        &self.tlvs
    }

    /// The first piece of information of a kind.
    #[must_use]
    pub fn tlv(&self, kind: TlvKind) -> Option<&[u8]> {
        self.tlvs.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value.as_slice())
    }

    /// The name that the client asked for, if it is told and is text.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        std::str::from_utf8(self.tlv(TlvKind::Authority)?).ok()
    }
}

/// Writing.
impl ProxyHeader {
    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self.version {
            HeaderVersion::V1 => self.encode_line().into_bytes(),
            HeaderVersion::V2 => self.encode_block(),
        }
    }

    fn encode_line(&self) -> String {
        let line = |family: &str, source: SocketAddr, destination: SocketAddr| {
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
        };
        match self.addresses {
            HeaderAddresses::Ipv4 { source, destination, .. } => line("TCP4", source.into(), destination.into()),
            HeaderAddresses::Ipv6 { source, destination, .. } => line("TCP6", source.into(), destination.into()),
            HeaderAddresses::Unix { .. } | HeaderAddresses::Unspecified => "PROXY UNKNOWN\r\n".to_owned(),
        }
    }

    fn encode_block(&self) -> Vec<u8> {
        let command = match self.command {
            Command::Proxy => PROXY,
            Command::Local => LOCAL,
        };
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([V2 << 4 | command, self.addresses.family()]);
        let len = u16::try_from(self.block_len()).expect("with_tlv keeps the block in the limit of its length");
        bytes.extend(len.to_be_bytes());
        match &self.addresses {
            HeaderAddresses::Unspecified => {}
            HeaderAddresses::Ipv4 { source, destination, .. } => {
                bytes.extend(source.ip().octets());
                bytes.extend(destination.ip().octets());
                bytes.extend(source.port().to_be_bytes());
                bytes.extend(destination.port().to_be_bytes());
            }
            HeaderAddresses::Ipv6 { source, destination, .. } => {
                bytes.extend(source.ip().octets());
                bytes.extend(destination.ip().octets());
                bytes.extend(source.port().to_be_bytes());
                bytes.extend(destination.port().to_be_bytes());
            }
            HeaderAddresses::Unix { source, destination, .. } => {
                for path in [source, destination] {
                    bytes.extend(path);
                    bytes.resize(bytes.len() + UNIX_PATH - path.len(), 0);
                }
            }
        }
        for tlv in &self.tlvs {
            let len = u16::try_from(tlv.value.len()).expect("with_tlv keeps every value in the limit of its length");
            bytes.push(tlv.kind.code());
            bytes.extend(len.to_be_bytes());
            bytes.extend(&tlv.value);
        }
        bytes
    }

    /// The length of what stands behind the first 16 bytes.
    fn block_len(&self) -> usize {
        let tlvs: usize = self.tlvs.iter().map(|tlv| TLV_HEADER + tlv.value.len()).sum();
        self.addresses.encoded_len() + tlvs
    }
}

impl HeaderAddresses {
    /// Two addresses of TCP. If they are of two families, IPv4 is written as IPv6 (RFC 4291 section 2.5.5.2).
    #[must_use]
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        let transport = SocketType::Stream;
        if let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (source, destination) {
            return Self::Ipv4 { source, destination, transport };
        }
        Self::Ipv6 { source: to_v6(source), destination: to_v6(destination), transport }
    }

    /// What a header can carry: no flow, no scope, no long path.
    fn without_scope(mut self) -> Self {
        match &mut self {
            Self::Ipv6 { source, destination, .. } => {
                for address in [source, destination] {
                    *address = SocketAddrV6::new(*address.ip(), address.port(), 0, 0);
                }
            }
            Self::Unix { source, destination, .. } => {
                for path in [source, destination] {
                    path.truncate(UNIX_PATH);
                    path.truncate(path.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
                }
            }
            Self::Unspecified | Self::Ipv4 { .. } => {}
        }
        self
    }

    /// The byte for family and transport.
    fn family(&self) -> u8 {
        let (family, transport) = match self {
            Self::Unspecified => return 0,
            Self::Ipv4 { transport, .. } => (1, transport),
            Self::Ipv6 { transport, .. } => (2, transport),
            Self::Unix { transport, .. } => (3, transport),
        };
        family << 4
            | match transport {
                SocketType::Stream => 1,
                SocketType::Datagram => 2,
            }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Ipv4 { .. } => 12,
            Self::Ipv6 { .. } => 36,
            Self::Unix { .. } => 2 * UNIX_PATH,
        }
    }
}

fn to_v6(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V4(address) => SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0),
        SocketAddr::V6(address) => address,
    }
}

impl fmt::Display for ProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.version {
            HeaderVersion::V1 => "v1 ",
            HeaderVersion::V2 => "v2 ",
        })?;
        match self.command {
            Command::Proxy => self.addresses.fmt(f),
            Command::Local => f.write_str("local"),
        }
    }
}

impl fmt::Display for HeaderAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unspecified => f.write_str("unknown"),
            Self::Ipv4 { source, destination, .. } => write!(f, "{source} to {destination}"),
            Self::Ipv6 { source, destination, .. } => write!(f, "{source} to {destination}"),
            Self::Unix { source, destination, .. } => {
                write!(f, "unix {} to {}", Printable::new(source), Printable::new(destination))
            }
        }
    }
}
