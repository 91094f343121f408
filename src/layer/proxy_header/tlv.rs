//! What a header of version 2 can say beside addresses (sections 2.2.1 to 2.2.8 of the specification).

/// One piece of further information: a kind and a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tlv {
    /// What it is.
    pub kind: TlvKind,
    /// Its bytes, as they were sent.
    pub value: Vec<u8>,
}

/// What a [`Tlv`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlvKind {
    /// The protocol that ALPN agreed on.
    Alpn,
    /// The name that the client asked for, in UTF-8: the SNI of its TLS.
    Authority,
    /// A checksum of the whole header. It is checked when a header is read.
    Crc32c,
    /// To be ignored; for alignment.
    Noop,
    /// An identifier of the connection, up to 128 bytes.
    UniqueId,
    /// What is known of the client's TLS, with further pieces inside.
    Ssl,
    /// The name of the network namespace.
    NetworkNamespace,
    /// Anything else.
    Other(u8),
}

impl TlvKind {
    /// The number that stands for it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Alpn => 0x01,
            Self::Authority => 0x02,
            Self::Crc32c => 0x03,
            Self::Noop => 0x04,
            Self::UniqueId => 0x05,
            Self::Ssl => 0x20,
            Self::NetworkNamespace => 0x30,
            Self::Other(code) => code,
        }
    }
}

impl From<u8> for TlvKind {
    fn from(code: u8) -> Self {
        match code {
            0x01 => Self::Alpn,
            0x02 => Self::Authority,
            0x03 => Self::Crc32c,
            0x04 => Self::Noop,
            0x05 => Self::UniqueId,
            0x20 => Self::Ssl,
            0x30 => Self::NetworkNamespace,
            _ => Self::Other(code),
        }
    }
}

/// Kind and length in front of a value.
pub(super) const TLV_HEADER: usize = 3;

/// All of `block`, or nothing if its lengths do not come out even.
pub(super) fn read_all(mut block: &[u8]) -> Option<Vec<Tlv>> {
    let mut tlvs = Vec::new();
    while let [kind, high, low, rest @ ..] = block {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(len)?;
        tlvs.push(Tlv { kind: TlvKind::from(*kind), value: value.to_vec() });
        block = rest;
    }
    block.is_empty().then_some(tlvs)
}

/// CRC32C (RFC 3720 appendix B.4). A header is short and comes once, so there is no table.
pub(super) fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let byte = |crc: u32, byte: u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ CASTAGNOLI } else { crc >> 1 })
    };
    !bytes.into_iter().fold(!0, byte)
}

const CASTAGNOLI: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // RFC 3720 appendix B.4 has these.
        assert_eq!(crc32c([0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(0..32), 0x46dd_794e);
    }

    #[test]
    fn every_number_is_a_kind_and_every_kind_a_number() {
        assert!((0..=255).all(|code| TlvKind::from(code).code() == code));
    }
}
