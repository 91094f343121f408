//! How far h2 is with what it was given: which bytes of which stream it has written.
//!
//! h2 takes what a stream says and does not tell when it has written it, but throws it away if the stream is dropped before. So what
//! it writes is looked at: the heads of its frames (RFC 9113, section 4.1) say it.

/// Looks at the frames that h2 writes.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// What a client says before its frames (RFC 9113, section 3.4), and is still to come.
    preface: usize,
    head: Vec<u8>,
    /// How much is still to come of the payload behind that.
    left: usize,
    /// How much was seen, all in all.
    seen: u64,
    departed: Vec<Departed>,
}

/// What was written of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) stream: u32,
    pub(super) bytes: usize,
    /// Whether our direction ends behind them (END_STREAM).
    pub(super) ends: bool,
    /// How much h2 had written when it had written that, all in all.
    pub(super) at: u64,
}

impl Departures {
    /// Those of a client.
    pub(super) fn behind_preface() -> Self {
        Self { preface: PREFACE, ..Self::default() }
    }

    /// What was seen since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Departed> {
        std::mem::take(&mut self.departed)
    }

    /// Looks at what is written next.
    pub(super) fn look(&mut self, mut bytes: &[u8]) {
        let end = self.seen + bytes.len() as u64;
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.left == 0 {
                let count = (HEAD - self.head.len()).min(bytes.len());
                self.head.extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
                let [high, middle, low, ..] = self.head[..] else { continue };
                if self.head.len() < HEAD {
                    continue;
                }
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            } else {
                let count = self.left.min(bytes.len());
                self.left -= count;
                bytes = &bytes[count..];
            }
            if self.left == 0 {
                self.note(end - bytes.len() as u64);
            }
        }
        self.seen = end;
    }

    /// A frame is whole.
    fn note(&mut self, at: u64) {
        if let [high, middle, low, DATA, flags, a, b, c, d] = self.head[..] {
            let bytes = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            let stream = u32::from_be_bytes([a & 0x7f, b, c, d]);
            self.departed.push(Departed { stream, bytes, ends: flags & END_STREAM != 0, at });
        }
        self.head.clear();
    }
}

const PREFACE: usize = 24;
const HEAD: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_seen_at_any_cut_when_its_frame_is_whole() {
        let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frames.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
        frames.extend([0, 1, 0, 0, 0, 0, 0, 0, 3]);
        frames.extend([7; 256]);
        frames.extend([
            0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 4, 8, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 2, 0, 1, 0, 0, 0, 3, 1, 1,
        ]);
        let departed = |stream, bytes, ends, at| Departed { stream, bytes, ends, at };
        for cut in [1, 2, 3, 10, 24, 1000] {
            let mut departures = Departures::behind_preface();
            frames[..frames.len() - 1].chunks(cut).for_each(|bytes| departures.look(bytes));
            assert_eq!(departures.take(), [departed(3, 256, false, 304), departed(5, 0, true, 313)], "cut {cut}");
            departures.look(&frames[frames.len() - 1..]);
            assert_eq!(departures.take(), [departed(3, 2, true, frames.len() as u64)], "cut {cut}");
        }
    }
}
