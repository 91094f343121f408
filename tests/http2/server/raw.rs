//! A client of HTTP/2 that says what it is told to, frame by frame, right or wrong.

use futures::io::{AsyncReadExt, AsyncWriteExt};

use onionskin::testing::WireEnd;

/// One frame (RFC 9113, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    /// HEADERS with these fields, whole.
    pub(crate) fn headers(stream: u32, fields: &[(&str, &str)]) -> Self {
        Self::new(HEADERS, END_HEADERS, stream, &block(fields))
    }

    /// CONNECT as it should be.
    pub(crate) fn connect(stream: u32, authority: &str) -> Self {
        Self::headers(stream, &[(":method", "CONNECT"), (":authority", authority)])
    }

    pub(crate) fn data(stream: u32, bytes: &[u8]) -> Self {
        Self::new(DATA, 0, stream, bytes)
    }

    pub(crate) fn reset(stream: u32, code: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    pub(crate) fn ending(mut self) -> Self {
        self.flags |= END_STREAM;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The error of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status of HEADERS, which is the first field of them.
    pub(crate) fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS, "{self:?}");
        // The size of the table may come first (RFC 7541, section 6.3).
        let block = match &self.payload[..] {
            [first, rest @ ..] if first & 0xe0 == 0x20 => rest,
            block => block,
        };
        match block {
            [first @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)],
            // A new value for the name of entry 8, indexed or not, its digits in the code of Huffman or plain.
            [0x48 | 0x08 | 0x18, length, rest @ ..] if length & 0x80 != 0 => {
                digits(&rest[..usize::from(length & 0x7f)])
            }
            [0x48 | 0x08 | 0x18, 3, rest @ ..] => std::str::from_utf8(&rest[..3]).unwrap().parse().unwrap(),
            other => panic!("no status: {other:x?}"),
        }
    }
}

/// Digits in the code of RFC 7541, appendix B: the first three have five bits, the others six.
fn digits(coded: &[u8]) -> u16 {
    let bits: Vec<u16> =
        coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let (mut number, mut at) = (0, 0);
    for _ in 0..3 {
        let take = |count: usize| bits[at..at + count].iter().fold(0, |value, bit| value * 2 + bit);
        let digit = match take(5) {
            digit @ 0..=2 => {
                at += 5;
                digit
            }
            _ => {
                let code = take(6);
                at += 6;
                code - 0b01_1001 + 3
            }
        };
        number = number * 10 + digit;
    }
    number
}

/// Fields as literals that nobody has to remember (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(0x7f) else { return block.push(u8::try_from(length).unwrap()) };
    block.push(0x7f);
    while rest >= 0x80 {
        block.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
        rest /= 0x80;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The client: its end of the wire, and what came.
pub(crate) struct Raw {
    pub(crate) end: WireEnd,
    received: Vec<u8>,
}

impl Raw {
    /// Begins with the preface and a window of 16 MiB for each stream, has the server remember no fields, and takes its settings.
    pub(crate) async fn begin(end: WireEnd) -> Self {
        let mut raw = Self { end, received: Vec::new() };
        raw.end.write_all(PREFACE).await.unwrap();
        raw.send(&Frame::new(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0])).await;
        raw.next_kind(SETTINGS).await;
        raw.send(&Frame::new(SETTINGS, ACK, 0, &[])).await;
        raw
    }

    /// Says it, and takes no notice of a server that is gone.
    pub(crate) async fn send(&mut self, frame: &Frame) {
        let _ = self.end.write_all(&frame.bytes()).await;
    }

    /// The next frame, or the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            match self.end.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.received.extend(&buffer[..count]),
            }
        }
    }

    /// The next frame of this stream.
    pub(crate) async fn next_of(&mut self, stream: u32) -> Option<Frame> {
        while let Some(frame) = self.next().await {
            if frame.stream == stream && frame.kind != WINDOW_UPDATE {
                return Some(frame);
            }
        }
        None
    }

    /// The next frame of this kind.
    pub(crate) async fn next_kind(&mut self, kind: u8) -> Option<Frame> {
        while let Some(frame) = self.next().await {
            if frame.kind == kind {
                return Some(frame);
            }
        }
        None
    }

    /// All that comes until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    fn take(&mut self) -> Option<Frame> {
        take_frame(&mut self.received)
    }
}

/// The frames that these bytes begin with.
pub(crate) fn frames_in(bytes: &[u8]) -> Vec<Frame> {
    let mut bytes = bytes.to_vec();
    std::iter::from_fn(|| take_frame(&mut bytes)).collect()
}

fn take_frame(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (header, rest) = bytes.split_first_chunk::<9>()?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    let payload = rest.get(..length)?.to_vec();
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    let frame = Frame { kind: header[3], flags: header[4], stream, payload };
    bytes.drain(..9 + length);
    Some(frame)
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const CONNECT_ERROR: u32 = 10;
