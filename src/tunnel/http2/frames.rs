//! Frames are read as they pass: what h2 keeps to itself.
//!
//! h2 does not say whether the peer has ever spoken HTTP/2, whether it has taken our settings, or with what last number it goes
//! away. Nor does it say when it has written what a stream gave it, which it throws away if the stream is dropped before. All of that
//! stands in the heads of frames (RFC 9113, section 4.1), so they are looked at on their way to h2, which judges them, and from it:
//!
//! ```text
//!    0            3      4       5                9
//!   ┌────────────┬──────┬───────┬────────────────┬─────────────
//!   │   length   │ kind │ flags │     stream     │ payload ...      of GOAWAY: last stream, code
//!   └────────────┴──────┴───────┴────────────────┴─────────────
//! ```

/// The frames that pass in one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// How much is still to come of what a client says before its frames (RFC 9113, section 3.4).
    preface: usize,
    head: Vec<u8>,
    /// The beginning of the payload.
    first: Vec<u8>,
    /// How much of the payload is still to come.
    left: usize,
    /// How much has passed, all in all.
    passed: u64,
}

/// A frame, all of which has passed.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    /// At most the first eight bytes of its payload.
    first: &'a [u8],
    /// How much had passed with its last byte, all in all.
    at: u64,
}

/// What a peer has said, of what h2 keeps to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Settings,
    SettingsTaken,
    GoAway(GoAway),
}

/// A peer that goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoAway {
    /// The last stream that it may have done anything for.
    pub(super) last: u32,
    pub(super) code: u32,
}

/// What h2 has written of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) stream: u32,
    pub(super) bytes: usize,
    /// Whether our direction ends behind them (END_STREAM).
    pub(super) ends: bool,
    /// How much h2 had written when it had written that, all in all.
    pub(super) at: u64,
}

impl Frames {
    /// Those of a client.
    pub(super) fn behind_preface() -> Self {
        Self { preface: PREFACE, ..Self::default() }
    }

    /// Looks at what passes next, and tells of each frame that is whole with it.
    pub(super) fn look(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&Frame<'_>)) {
        self.passed += bytes.len() as u64;
        bytes = &bytes[skip(&mut self.preface, bytes)..];
        while !bytes.is_empty() {
            if self.head.len() < HEAD {
                let count = (HEAD - self.head.len()).min(bytes.len());
                self.head.extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
                if let [high, middle, low, _, _, _, _, _, _] = self.head[..] {
                    self.left = length(high, middle, low);
                }
            } else {
                let count = skip(&mut self.left, bytes);
                let kept = count.min(FIRST - self.first.len());
                self.first.extend_from_slice(&bytes[..kept]);
                bytes = &bytes[count..];
            }
            if self.left == 0
                && let [high, middle, low, kind, flags, a, b, c, d] = self.head[..]
            {
                let (stream, at) = (number([a, b, c, d]), self.passed - bytes.len() as u64);
                tell(&Frame { kind, flags, stream, length: length(high, middle, low), first: &self.first, at });
                self.head.clear();
                self.first.clear();
            }
        }
    }
}

impl Seen {
    pub(super) fn of(frame: &Frame<'_>) -> Option<Self> {
        match (frame.kind, frame.first) {
            (SETTINGS, _) if frame.flags & ACK != 0 => Some(Self::SettingsTaken),
            (SETTINGS, _) => Some(Self::Settings),
            (GO_AWAY, &[a, b, c, d, e, f, g, h]) => {
                Some(Self::GoAway(GoAway { last: number([a, b, c, d]), code: u32::from_be_bytes([e, f, g, h]) }))
            }
            _ => None,
        }
    }
}

impl Departed {
    pub(super) fn of(frame: &Frame<'_>) -> Option<Self> {
        let &Frame { kind, flags, stream, length: bytes, at, .. } = frame;
        (kind == DATA).then_some(Self { stream, bytes, ends: flags & END_STREAM != 0, at })
    }
}

/// As much of these bytes as is left, which is less then.
fn skip(left: &mut usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(*left);
    *left -= count;
    count
}

fn length(high: u8, middle: u8, low: u8) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// Of a stream: the first bit is reserved.
fn number(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

const PREFACE: usize = 24;
const HEAD: usize = 9;
const FIRST: usize = 8;

const DATA: u8 = 0;
pub(super) const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn look<T>(frames: &mut Frames, bytes: &[u8], cut: usize, of: impl Fn(&Frame<'_>) -> Option<T>) -> Vec<T> {
        let mut found = Vec::new();
        bytes.chunks(cut).for_each(|bytes| frames.look(bytes, |frame| found.extend(of(frame))));
        found
    }

    #[test]
    fn frames_are_seen_at_any_cut() {
        let mut frames = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 4, 1, 0, 0, 0, 0];
        frames.extend([0, 0, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 11, b'h', b'i']);
        frames.extend([0, 1, 0, 0, 0, 0, 0, 0, 1]);
        frames.extend([7; 256]);
        frames.extend([0, 0, 0, 4, 1, 0, 0, 0, 0]);
        let expected =
            [Seen::Settings, Seen::SettingsTaken, Seen::GoAway(GoAway { last: 5, code: 11 }), Seen::SettingsTaken];
        for cut in [1, 2, 3, 10, 1000] {
            assert_eq!(look(&mut Frames::default(), &frames, cut, Seen::of), expected, "cut {cut}");
        }
    }

    #[test]
    fn a_go_away_that_is_too_short_is_nothing_to_be_told_of() {
        let frames = [0, 0, 4, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 1, 0, 0, 0, 0];
        assert_eq!(look(&mut Frames::default(), &frames, 13, Seen::of), [Seen::SettingsTaken]);
    }

    #[test]
    fn data_is_seen_at_any_cut_when_its_frame_is_whole() {
        let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frames.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
        frames.extend([0, 1, 0, 0, 0, 0, 0, 0, 3]);
        frames.extend([7; 256]);
        frames.extend([0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 4, 8, 0, 0, 0, 0, 3, 0, 0, 0, 9]);
        frames.extend([0, 0, 2, 0, 1, 0, 0, 0, 3, 1, 1]);
        let departed = |stream, bytes, ends, at| Departed { stream, bytes, ends, at };
        let (last, most) = (frames.len(), frames.len() - 1);
        for cut in [1, 2, 3, 10, 24, 1000] {
            let mut passing = Frames::behind_preface();
            let found = look(&mut passing, &frames[..most], cut, Departed::of);
            assert_eq!(found, [departed(3, 256, false, 304), departed(5, 0, true, 313)], "cut {cut}");
            let found = look(&mut passing, &frames[most..], cut, Departed::of);
            assert_eq!(found, [departed(3, 2, true, last as u64)], "cut {cut}");
        }
    }
}
