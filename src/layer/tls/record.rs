//! What all who work on records have in common (RFC 8446 section 5.1): what stands at the front of the input, what came of it,
//! and who gets that.

/// What stands at the front of a layer's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// Nothing, or a part of a record.
    Incomplete,
    /// A whole record, with this many bytes of body.
    Record(usize),
    /// Something that no TLS record begins with.
    NotTls,
}

impl Front {
    pub(super) fn of(input: &[u8]) -> Self {
        match *input {
            [content_type, ..] if !CONTENT_TYPES.contains(&content_type) => Self::NotTls,
            [_, _, _, high, low, ref body @ ..] => {
                let len = usize::from(u16::from_be_bytes([high, low]));
                // A length that rustls will refuse is its to refuse at once: it would never be complete.
                if body.len() >= len || len > MAX_BODY { Self::Record(len) } else { Self::Incomplete }
            }
            _ => Self::Incomplete,
        }
    }
}

/// What came of the record at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// One record's plaintext was given on; there may be more to do.
    Plaintext,
    /// Something between the two sides, and nothing for others.
    Message,
    /// Nothing more can be done with this input.
    Blocked,
    /// The peer's close_notify; what follows in the input is not this connection's.
    PeerClosed,
}

/// Who gets what was in a record, or a record that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onwards {
    /// Another layer, which takes each record at once: it is given the very storage that the record was opened or sealed in.
    ToLayer,
    /// The application or the wire, which take what they like of one run of bytes.
    ToOutside,
}

impl Onwards {
    pub(super) fn to(layer: bool) -> Self {
        if layer { Self::ToLayer } else { Self::ToOutside }
    }
}

/// change_cipher_spec, alert, handshake, application_data, and heartbeat, which rustls knows and refuses.
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

/// The length of a record's header.
pub(super) const HEADER: usize = 5;

/// The largest plaintext of one record.
pub(super) const MAX_PLAINTEXT: usize = 1 << 14;

/// The largest body that TLS 1.2 allows (RFC 5246 section 6.2.3); TLS 1.3 allows less.
pub(super) const MAX_BODY: usize = MAX_PLAINTEXT + 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_is_told_by_its_header() {
        assert_eq!(Front::of(b""), Front::Incomplete);
        assert_eq!(Front::of(&[22, 3, 3, 0]), Front::Incomplete);
        assert_eq!(Front::of(&[22, 3, 3, 0, 2, 1]), Front::Incomplete);
        assert_eq!(Front::of(&[22, 3, 3, 0, 2, 1, 1]), Front::Record(2));
        assert_eq!(Front::of(&[22, 3, 3, 0, 2, 1, 1, 22, 3]), Front::Record(2));
        assert_eq!(Front::of(b"2"), Front::NotTls);
        assert_eq!(Front::of(&[23, 3, 3, 0xff, 0xff]), Front::Record(0xffff));
    }
}
