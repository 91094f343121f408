//! The frames of a [`Mux`](super::Mux).
//!
//! ```text
//!    0        1                    5            7
//!   ┌────────┬────────────────────┬────────────┬─────────────
//!   │  kind  │ stream, big-endian │   length   │ payload ...
//!   └────────┴────────────────────┴────────────┴─────────────
//! ```

use super::StreamId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// There is a new stream.
    Open,
    Data(&'a [u8]),
    /// The sender's direction has ended.
    End,
    /// The stream is over, both ways.
    Reset,
    /// So many bytes more may be sent.
    Credit(u32),
}

/// What the front of the bytes is that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front<'a> {
    /// A frame, with its length in bytes.
    Frame(StreamId, Frame<'a>, usize),
    /// The beginning of one.
    Part,
    /// None.
    Malformed(&'static str),
}

impl<'a> Front<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let Some((&[kind, a, b, c, d, high, low], rest)) = bytes.split_first_chunk() else { return Self::Part };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_PAYLOAD {
            return Self::Malformed("a frame is longer than a frame may be");
        }
        let Some(payload) = rest.get(..length) else { return Self::Part };
        let frame = match (kind, payload) {
            (OPEN, []) => Frame::Open,
            (DATA, payload) => Frame::Data(payload),
            (END, []) => Frame::End,
            (RESET, []) => Frame::Reset,
            (CREDIT, &[a, b, c, d]) => Frame::Credit(u32::from_be_bytes([a, b, c, d])),
            _ => return Self::Malformed("a frame is of no known kind"),
        };
        Self::Frame(StreamId(u32::from_be_bytes([a, b, c, d])), frame, HEADER + length)
    }
}

impl Frame<'_> {
    pub(super) fn write(self, stream: StreamId, output: &mut Vec<u8>) {
        let credit;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Open => (OPEN, &[]),
            Self::Data(payload) => (DATA, payload),
            Self::End => (END, &[]),
            Self::Reset => (RESET, &[]),
            Self::Credit(more) => {
                credit = more.to_be_bytes();
                (CREDIT, &credit)
            }
        };
        let length = u16::try_from(payload.len()).expect("no payload is longer than the longest");
        output.push(kind);
        output.extend(stream.0.to_be_bytes());
        output.extend(length.to_be_bytes());
        output.extend(payload);
    }
}

const OPEN: u8 = 1;
const DATA: u8 = 2;
const END: u8 = 3;
const RESET: u8 = 4;
const CREDIT: u8 = 5;

const HEADER: usize = 7;

/// The most that one frame carries.
pub(super) const MAX_PAYLOAD: usize = 16 * 1024;
