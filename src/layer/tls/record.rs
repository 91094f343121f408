//! As much of a TLS record as must be known before rustls gets it (RFC 8446 section 5.1).

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
