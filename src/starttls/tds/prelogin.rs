//! The options of PRELOGIN (MS-TDS section 2.2.6.5): a table of tokens with offsets, and what they point to.

/// What is read of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prelogin {
    pub(super) encryption: Option<u8>,
}

impl Prelogin {
    /// None if an option points to where nothing is, is there twice, or the table has no end.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut encryption = None;
        let mut table = payload;
        loop {
            let (&token, rest) = table.split_first()?;
            if token == TERMINATOR {
                return Some(Self { encryption });
            }
            let (&[offset_high, offset_low, len_high, len_low], rest) = rest.split_first_chunk()?;
            let offset = usize::from(u16::from_be_bytes([offset_high, offset_low]));
            let len = usize::from(u16::from_be_bytes([len_high, len_low]));
            let value = payload.get(offset..offset + len)?;
            if token == ENCRYPTION {
                let [value] = value else { return None };
                if encryption.replace(*value).is_some() {
                    return None;
                }
            }
            table = rest;
        }
    }
}

/// What a client says.
pub(super) fn request(version: [u8; 6], encryption: u8, instance: &[u8]) -> Vec<u8> {
    let instance = [instance, b"\0"].concat();
    write(&[(VERSION, &version), (ENCRYPTION, &[encryption]), (INSTANCE, &instance), (THREAD, &[0; 4]), (MARS, &[0])])
}

/// What a server says: the instance is the right one.
pub(super) fn answer(version: [u8; 6], encryption: u8) -> Vec<u8> {
    write(&[(VERSION, &version), (ENCRYPTION, &[encryption]), (INSTANCE, &[0]), (THREAD, &[]), (MARS, &[0])])
}

fn write(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut offset = options.len() * ENTRY + 1;
    let mut table = Vec::new();
    let mut values = Vec::new();
    for (token, value) in options {
        table.push(*token);
        table.extend((offset as u16).to_be_bytes());
        table.extend((value.len() as u16).to_be_bytes());
        values.extend_from_slice(value);
        offset += value.len();
    }
    table.push(TERMINATOR);
    table.extend(values);
    table
}

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const TERMINATOR: u8 = 0xff;

/// Token, offset, length.
const ENTRY: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for encryption in 0..4 {
            let expected = Some(Prelogin { encryption: Some(encryption) });
            assert_eq!(Prelogin::parse(&request([1; 6], encryption, b"instance")), expected);
            assert_eq!(Prelogin::parse(&answer([1; 6], encryption)), expected);
        }
        assert_eq!(Prelogin::parse(&[TERMINATOR]), Some(Prelogin { encryption: None }));
    }

    #[test]
    fn every_part_of_it_alone_is_refused() {
        let whole = request([15, 0, 0, 0, 0, 0], 1, b"");
        for count in 0..whole.len() {
            assert_eq!(Prelogin::parse(&whole[..count]), None, "{count} bytes");
        }
        assert_eq!(Prelogin::parse(&[1, 0xff, 0xff, 0xff, 0xff, 0xff]), None, "an offset beyond the end");
        assert_eq!(Prelogin::parse(&[1, 0, 6, 0, 2, 0xff, 1, 1]), None, "a value of two bytes");
        assert_eq!(Prelogin::parse(&[1, 0, 11, 0, 1, 1, 0, 11, 0, 1, 0xff, 1]), None, "an option twice");
    }
}
