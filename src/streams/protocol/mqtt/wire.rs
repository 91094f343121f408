//! The packets of MQTT 3.1.1 as bytes, those that a client sends and those that it gets.
//!
//! There are few of them, and each byte of what a broker sends is looked at here: a length that lies, an identifier 0, a topic that
//! is none. The crates that do the same without I/O hold to brokers that mean well, which is not enough for a peer.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::super::super::policy::Qos;

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connack { has_session: bool, code: u8 },
    Publish { topic: String, payload: Bytes, qos: Qos, id: u16 },
    Puback(u16),
    Pubrec(u16),
    Pubrel(u16),
    Pubcomp(u16),
    Suback { id: u16, codes: Vec<u8> },
    Pingresp,
}

/// What breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Packet {
    /// Takes the first packet off `input`, if all of it is there (section 2.2).
    pub(super) fn take(input: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let Some((len, header)) = remaining_length(input)? else { return Ok(None) };
        if len > MAX_PACKET {
            return Err(Malformed("a packet is longer than 16 MiB"));
        }
        if input.len() < header + len {
            return Ok(None);
        }
        let first = input[0];
        input.advance(header);
        let body = input.split_to(len).freeze();
        Self::of(first, body).map(Some)
    }

    fn of(first: u8, mut body: Bytes) -> Result<Self, Malformed> {
        match first {
            0x20 => match body[..] {
                [flags @ 0..=1, code] => Ok(Self::Connack { has_session: flags == 1, code }),
                _ => Err(Malformed("a CONNACK that is none")),
            },
            0x40 => Ok(Self::Puback(only_id(&body)?)),
            0x50 => Ok(Self::Pubrec(only_id(&body)?)),
            0x62 => Ok(Self::Pubrel(only_id(&body)?)),
            0x70 => Ok(Self::Pubcomp(only_id(&body)?)),
            0x90 if body.len() >= 2 => {
                let id = take_id(&mut body)?;
                Ok(Self::Suback { id, codes: body.to_vec() })
            }
            0xd0 if body.is_empty() => Ok(Self::Pingresp),
            0x30..=0x3f => publish(first, body),
            _ => Err(Malformed("a packet that no broker sends")),
        }
    }
}

/// Whether a packet that begins so is a message.
pub(super) fn is_publish(first: u8) -> bool {
    first & 0xf0 == 0x30
}

/// The length behind the first byte, and how long what says it is.
fn remaining_length(input: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut len = 0;
    for (number, byte) in input.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Ok(Some((len, number + 2)));
        }
    }
    if input.len() > 4 { Err(Malformed("the length of a packet is none")) } else { Ok(None) }
}

fn publish(first: u8, mut body: Bytes) -> Result<Packet, Malformed> {
    let qos = match first >> 1 & 3 {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => Qos::ExactlyOnce,
        _ => return Err(Malformed("a PUBLISH of a quality of service that there is not")),
    };
    let len = body.get(..2).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])));
    let topic =
        len.and_then(|len| body.get(2..2 + len)).ok_or(Malformed("a PUBLISH that is shorter than its topic"))?;
    let topic = std::str::from_utf8(topic).map_err(|_| Malformed("a PUBLISH from a topic that is no text"))?.to_owned();
    if !is_topic(&topic) {
        return Err(Malformed("a PUBLISH from what is no topic"));
    }
    body.advance(2 + topic.len());
    let id = if qos == Qos::AtMostOnce { 0 } else { take_id(&mut body)? };
    Ok(Packet::Publish { topic, payload: body, qos, id })
}

/// Whether something can be published there (section 4.7).
pub(super) fn is_topic(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(['+', '#', '\0'])
}

fn only_id(body: &Bytes) -> Result<u16, Malformed> {
    let mut body = body.clone();
    let id = take_id(&mut body)?;
    if body.is_empty() { Ok(id) } else { Err(Malformed("an acknowledgement with more in it")) }
}

fn take_id(body: &mut Bytes) -> Result<u16, Malformed> {
    match body.try_get_u16() {
        Ok(0) | Err(_) => Err(Malformed("a packet without its identifier")),
        Ok(id) => Ok(id),
    }
}

/// A message and where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

impl Publish {
    /// The packet, with this identifier where its quality of service needs one (section 3.3).
    pub(super) fn packet(&self, id: u16, is_again: bool) -> Bytes {
        let with_id = self.qos != Qos::AtMostOnce;
        let first = 0x30 | u8::from(is_again) << 3 | level(self.qos) << 1 | u8::from(self.retain);
        let len = 2 + self.topic.len() + usize::from(with_id) * 2 + self.payload.len();
        let mut packet = header(first, len);
        put_text(&mut packet, self.topic.as_bytes());
        if with_id {
            packet.put_u16(id);
        }
        packet.put_slice(&self.payload);
        packet.freeze()
    }

    /// Whether there is such a packet.
    pub(super) fn is_possible(&self) -> bool {
        is_topic(&self.topic) && self.topic.len() + self.payload.len() + 4 <= MAX_LENGTH
    }
}

/// The first packet of a client (section 3.1).
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) client_id: String,
    pub(super) clean_session: bool,
    /// In seconds.
    pub(super) keep_alive: u16,
    pub(super) will: Option<Publish>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl Connect {
    pub(super) fn packet(&self) -> Bytes {
        let will = self.will.as_ref();
        let flags = u8::from(self.user.is_some()) << 7
            | u8::from(self.password.is_some()) << 6
            | will.map_or(0, |will| u8::from(will.retain) << 5 | level(will.qos) << 3 | 0x04)
            | u8::from(self.clean_session) << 1;
        let mut texts: Vec<&[u8]> = vec![self.client_id.as_bytes()];
        texts.extend(will.into_iter().flat_map(|will| [will.topic.as_bytes(), &will.payload]));
        texts.extend([&self.user, &self.password].into_iter().flatten().map(String::as_bytes));
        let len = NAME_AND_LEVEL.len() + 3 + texts.iter().map(|text| 2 + text.len()).sum::<usize>();
        let mut packet = header(0x10, len);
        packet.put_slice(NAME_AND_LEVEL);
        packet.put_u8(flags);
        packet.put_u16(self.keep_alive);
        texts.into_iter().for_each(|text| put_text(&mut packet, text));
        packet.freeze()
    }
}

/// Asks for what these filters match (section 3.8).
pub(super) fn subscribe(id: u16, filters: &[(String, Qos)]) -> Bytes {
    let len = 2 + filters.iter().map(|(filter, _)| 3 + filter.len()).sum::<usize>();
    let mut packet = header(0x82, len);
    packet.put_u16(id);
    for (filter, qos) in filters {
        put_text(&mut packet, filter.as_bytes());
        packet.put_u8(level(*qos));
    }
    packet.freeze()
}

/// An answer that has nothing but an identifier.
pub(super) fn answer(first: u8, id: u16) -> Bytes {
    let mut packet = header(first, 2);
    packet.put_u16(id);
    packet.freeze()
}

fn level(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

fn header(first: u8, mut len: usize) -> BytesMut {
    let mut packet = BytesMut::with_capacity(5 + len);
    packet.put_u8(first);
    loop {
        let (byte, rest) = ((len & 0x7f) as u8, len >> 7);
        packet.put_u8(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            return packet;
        }
        len = rest;
    }
}

/// A text with its length, which was seen to fit.
fn put_text(packet: &mut BytesMut, text: &[u8]) {
    packet.put_u16(text.len() as u16);
    packet.put_slice(text);
}

pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBREC: u8 = 0x50;
pub(super) const PUBREL: u8 = 0x62;
pub(super) const PUBCOMP: u8 = 0x70;
pub(super) const PINGREQ: Bytes = Bytes::from_static(&[0xc0, 0]);
pub(super) const DISCONNECT: Bytes = Bytes::from_static(&[0xe0, 0]);

/// So long is a text, and a packet without its first bytes, at most.
pub(super) const MAX_TEXT: usize = 0xffff;
const MAX_LENGTH: usize = 0x0fff_ffff;

/// So long is a packet that arrives at most.
const MAX_PACKET: usize = 16 << 20;

const NAME_AND_LEVEL: &[u8] = b"\0\x04MQTT\x04";

#[cfg(test)]
mod tests {
    use super::{Bytes, BytesMut, Malformed, Packet, Publish, Qos};

    /// Whatever comes, cut wherever: the same packets or the same mistake, and no panic.
    #[test]
    fn any_bytes_in_any_pieces() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let firsts = [0x20, 0x30, 0x32, 0x34, 0x3c, 0x40, 0x50, 0x62, 0x70, 0x90, 0xd0, 0x36, 0x10, 0xff];
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..next() % 4 {
                let len = next() % 12;
                bytes.push(firsts[next() as usize % firsts.len()]);
                bytes.push(if next() % 8 == 0 { next() as u8 } else { len as u8 });
                bytes.extend((0..len).map(|_| if next() % 2 == 0 { next() as u8 % 3 } else { next() as u8 }));
            }
            let whole = all(&mut BytesMut::from(&bytes[..]), &[]);
            let mut input = BytesMut::new();
            assert_eq!(all(&mut input, &bytes), whole, "{bytes:02x?}");
        }
    }

    /// All packets of what is there, and then of more bytes, one by one.
    fn all(input: &mut BytesMut, more: &[u8]) -> (Vec<Packet>, Option<Malformed>) {
        let mut packets = Vec::new();
        let mut more = more.iter();
        loop {
            match Packet::take(input) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => match more.next() {
                    Some(byte) => input.extend_from_slice(&[*byte]),
                    None => return (packets, None),
                },
                Err(error) => return (packets, Some(error)),
            }
        }
    }

    #[test]
    fn lengths_of_one_to_four_bytes() {
        for len in [0, 122, 123, 16_378, 16_379, 2_097_146, 2_097_147] {
            let publish =
                Publish { topic: "abc".to_owned(), payload: vec![7; len].into(), qos: Qos::AtMostOnce, retain: false };
            let mut bytes = BytesMut::from(&publish.packet(0, false)[..]);
            let Ok(Some(Packet::Publish { topic, payload, .. })) = Packet::take(&mut bytes) else { panic!("{len}") };
            assert_eq!((topic.as_str(), payload), ("abc", Bytes::from(vec![7; len])));
            assert!(bytes.is_empty());
        }
    }
}
