//! What a ServerHello says that rustls does not tell, read as it passes: keys of TLS 1.2 for others are derived from it
//! (RFC 5705 section 4).

use super::record::HEADER;

/// As much of a ServerHello (RFC 5246 section 7.4.1.3) as is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) random: [u8; 32],
    /// Whether the master secret depends on the whole handshake (RFC 7627).
    pub(super) extended_master_secret: bool,
}

impl ServerHello {
    /// The one that these records begin with. `None` if they do not, or not all of it is there.
    pub(super) fn at_front_of(mut records: &[u8]) -> Option<Self> {
        let mut message = Vec::new();
        while let [HANDSHAKE, _, _, high, low, rest @ ..] = records {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            message.extend(rest.get(..len)?);
            if let [kind, high, middle, low, body @ ..] = &message[..] {
                if *kind != SERVER_HELLO {
                    return None;
                }
                let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                if let Some(body) = body.get(..len) {
                    return Self::read(body);
                }
            }
            records = &records[HEADER + len..];
        }
        None
    }

    fn read(body: &[u8]) -> Option<Self> {
        let random = body.get(2..34)?.try_into().ok()?;
        let session_id = usize::from(*body.get(34)?);
        // Cipher suite and compression stand between.
        let mut extensions = body.get(35 + session_id + 3..)?.get(2..).unwrap_or_default();
        let mut extended_master_secret = false;
        while let [kind_high, kind_low, high, low, rest @ ..] = extensions {
            extended_master_secret |= [*kind_high, *kind_low] == EXTENDED_MASTER_SECRET;
            extensions = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)?;
        }
        Some(Self { random, extended_master_secret })
    }
}

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const EXTENDED_MASTER_SECRET: [u8; 2] = [0, 23];

#[cfg(test)]
mod tests {
    use super::*;

    /// A ServerHello with these extensions, in records of at most so many bytes.
    fn records(extensions: &[u8], size: usize) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[2, 0, 0], &[0xc0, 0x2b, 0]].concat();
        if !extensions.is_empty() {
            body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
            body.extend(extensions);
        }
        let message = [&[SERVER_HELLO, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 3, 0, u8::try_from(part.len()).unwrap()][..], part].concat();
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn it_is_read_however_it_is_cut() {
        for (extensions, extended) in
            [(&[][..], false), (&[0, 23, 0, 0], true), (&[0, 5, 0, 1, 23, 0, 23, 0, 0], true), (&[0, 5, 0, 0], false)]
        {
            for size in [1, 3, 100] {
                let records = records(extensions, size);
                let expected = ServerHello { random: [7; 32], extended_master_secret: extended };
                assert_eq!(ServerHello::at_front_of(&records), Some(expected));
                for cut in 0..records.len() {
                    assert_eq!(ServerHello::at_front_of(&records[..cut]), None);
                }
            }
        }
        assert_eq!(ServerHello::at_front_of(b"\x15\x03\x03\x00\x02\x02\x28"), None);
        assert_eq!(ServerHello::at_front_of(&records(&[0, 23, 0, 9], 100)), None, "an extension that goes too far");
    }
}
