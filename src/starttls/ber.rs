//! BER (X.690), as much of it as LDAP needs (RFC 4511 section 5.1): tags of one byte, lengths that are definite.
//!
//! A library would bring a model of all of ASN.1 for five tags, and would want the whole message before it looks at the
//! length. Here the length is seen as soon as it has come, and so can be refused before anything is waited for.

/// One element, in input that holds all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The element at the front of `input`, and what stands behind it; nothing if there is no whole one.
    pub(super) fn first(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let header = Header::parse(input).ok()??;
        let (content, rest) = input[header.len..].split_at_checked(header.content_len)?;
        Some((Self { tag: header.tag, content }, rest))
    }

    /// The element at the front of `input`, if it has this tag: its content, and what stands behind it.
    pub(super) fn tagged(tag: u8, input: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let (element, rest) = Self::first(input)?;
        (element.tag == tag).then_some((element.content, rest))
    }
}

/// The tag and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: u8,
    /// How many bytes the header has.
    pub(super) len: usize,
    /// How many bytes follow it.
    pub(super) content_len: usize,
}

/// An indefinite length, one of more than four bytes, or a tag of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotRead;

impl Header {
    /// The header at the front of `input`; none if more of it is needed.
    pub(super) fn parse(input: &[u8]) -> Result<Option<Self>, NotRead> {
        let Some((&tag, rest)) = input.split_first() else { return Ok(None) };
        if tag & MORE_TAG == MORE_TAG {
            return Err(NotRead);
        }
        let Some((&first, rest)) = rest.split_first() else { return Ok(None) };
        if first & LONG == 0 {
            return Ok(Some(Self { tag, len: 2, content_len: usize::from(first) }));
        }
        let count = usize::from(first & !LONG);
        if !(1..=MAX_LENGTH_BYTES).contains(&count) {
            return Err(NotRead);
        }
        let Some(digits) = rest.get(..count) else { return Ok(None) };
        let content_len = digits.iter().fold(0, |len: u32, &digit| len << 8 | u32::from(digit));
        Ok(Some(Self { tag, len: 2 + count, content_len: content_len as usize }))
    }

    /// How many bytes the element has, as far as that can be counted.
    pub(super) fn whole(&self) -> usize {
        self.len.saturating_add(self.content_len)
    }
}

/// An element of this tag around these contents.
pub(super) fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let content = contents.concat();
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(len) if len & LONG == 0 => bytes.push(len),
        _ => {
            bytes.push(LONG | MAX_LENGTH_BYTES as u8);
            bytes.extend((content.len() as u32).to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

/// All five bits of the number are set: more bytes of it follow.
const MORE_TAG: u8 = 0x1f;

/// The byte says how many bytes of length follow; none of them for an indefinite one.
const LONG: u8 = 0x80;

/// No message has 4 GiB.
const MAX_LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_when_all_of_it_is_there() {
        let long = [0x30, 0x84, 0, 0, 1, 2];
        for count in 0..long.len() {
            assert_eq!(Header::parse(&long[..count]), Ok(None));
        }
        assert_eq!(Header::parse(&long), Ok(Some(Header { tag: 0x30, len: 6, content_len: 258 })));
        assert_eq!(Header::parse(&[4, 0x7f]), Ok(Some(Header { tag: 4, len: 2, content_len: 127 })));
        let most = Header::parse(&[4, 0x84, 255, 255, 255, 255]).unwrap().unwrap();
        assert!(most.whole() >= u32::MAX as usize);
    }

    #[test]
    fn what_ldap_does_not_allow_is_not_read() {
        assert_eq!(Header::parse(&[0x30, 0x80]), Err(NotRead), "indefinite");
        assert_eq!(Header::parse(&[0x30, 0x85]), Err(NotRead), "a length of five bytes");
        assert_eq!(Header::parse(&[0x3f]), Err(NotRead), "a tag of several bytes");
    }

    #[test]
    fn what_is_written_is_read() {
        for len in [0, 1, 127, 128, 70_000] {
            let content = vec![7; len];
            let written = element(4, &[&content, b"behind"]);
            let (read, rest) = Element::tagged(4, &written).unwrap();
            assert_eq!((read.len(), rest), (len + 6, &b""[..]));
            assert!(Element::first(&written[..written.len() - 1]).is_none());
        }
    }
}
