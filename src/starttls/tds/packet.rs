//! Packets (MS-TDS section 2.2.3): a header of eight bytes, and a payload.

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    /// Whether it is the last of its message.
    pub(super) last: bool,
    /// How many bytes follow.
    pub(super) payload_len: usize,
}

impl Header {
    /// None if the length does not even cover the header.
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let [kind, status, high, low, ..] = *bytes;
        let payload_len = usize::from(u16::from_be_bytes([high, low])).checked_sub(HEADER)?;
        Some(Self { kind, last: status & END_OF_MESSAGE != 0, payload_len })
    }

    /// No SPID, as no session is there yet, and no window, as nobody has one.
    pub(super) fn write(&self, number: u8) -> [u8; HEADER] {
        let [high, low] = ((HEADER + self.payload_len) as u16).to_be_bytes();
        [self.kind, if self.last { END_OF_MESSAGE } else { 0 }, high, low, 0, 0, number, 0]
    }

    pub(super) fn is_reply(&self) -> bool {
        self.kind == REPLY
    }
}

/// A message in one packet.
pub(super) fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header { kind, last: true, payload_len: payload.len() };
    [&header.write(FIRST), payload].concat()
}

pub(super) const HEADER: usize = 8;

/// How large packets are until both sides have agreed on something else (MS-TDS section 2.2.3.1.3).
pub(super) const DEFAULT_SIZE: usize = 4096;

/// Types of packets: PRELOGIN and all that TLS says, and what a server answers otherwise.
pub(super) const PRELOGIN: u8 = 0x12;
pub(super) const REPLY: u8 = 0x04;

/// Packets are numbered within their message, and nobody looks at that.
pub(super) const FIRST: u8 = 1;

const END_OF_MESSAGE: u8 = 1;
