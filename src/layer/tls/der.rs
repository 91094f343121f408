//! As much of DER (X.690) as it takes to say what a certificate or a key is.
//!
//! What is accepted is for rustls to decide. This reader finds the words when it has not, and the dates and purposes of a
//! certificate that was itself named as trusted. It borrows, never recurses, and says `None` of whatever it does not know.

/// The tags that are met here.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// A context-specific, constructed tag: `[number]`.
pub(super) const fn tagged(number: u8) -> u8 {
    0xa0 | number
}

/// What is left of a piece of DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// The content of the one value of this tag that `der` is.
    pub(super) fn only(der: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let mut reader = Self::new(der);
        let content = reader.take(tag)?;
        reader.is_empty().then_some(content)
    }

    /// The next value, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content, rest) = split(self.0)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// The next value, with its tag.
    pub(super) fn take_any(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, content, rest) = split(self.0)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next value, if it has this tag.
    pub(super) fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.take(tag) } else { None }
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The tag and the content of the first value, and what stands behind it.
fn split(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Four bytes of length are more than any file here has.
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// An object identifier as it is written: `1.2.840.113549.1.1.5`.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0_u64;
    for &byte in oid {
        arc = arc.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if arcs.is_empty() {
            // The first two arcs share a number.
            let first = (arc / 40).min(2);
            arcs.extend([first, arc - 40 * first]);
        } else {
            arcs.push(arc);
        }
        arc = 0;
    }
    let arcs: Vec<String> = arcs.iter().map(ToString::to_string).collect();
    arcs.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_and_nothing_is_read_beyond_them() {
        let mut reader = Reader::new(&[0x30, 3, 2, 1, 5, 4, 0x81, 1, 9]);
        assert_eq!(reader.take_if(INTEGER), None);
        assert_eq!(reader.take(SEQUENCE), Some(&[2, 1, 5][..]));
        assert_eq!(reader.take_any(), Some((OCTET_STRING, &[9][..])));
        assert!(reader.is_empty());
        for bad in
            [&[][..], &[0x30], &[0x30, 2, 0], &[0x30, 0x80, 0, 0], &[0x30, 0x85, 0, 0, 0, 0, 1, 0], &[0x30, 0x82, 1]]
        {
            assert_eq!(Reader::new(bad).take_any(), None, "{bad:?}");
        }
        assert_eq!(Reader::only(&[2, 1, 5, 0], INTEGER), None, "something behind it");
    }

    #[test]
    fn identifiers_are_written_with_dots() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5]), "1.2.840.113549.1.1.5");
        assert_eq!(dotted(&[0x2b, 0x65, 0x71]), "1.3.101.113");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
        assert_eq!(dotted(&[]), "");
        assert!(!dotted(&[0xff; 40]).contains('-'));
    }
}
