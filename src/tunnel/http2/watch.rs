//! Frames are counted as they pass: what h2 keeps to itself about a connection.
//!
//! h2 does not say whether the peer has ever spoken HTTP/2, whether it has taken our settings, or with what last number it goes
//! away. All of that stands in the heads of frames (RFC 9113, section 4.1), so they are looked at on their way to h2, which judges
//! them:
//!
//! ```text
//!    0            3      4       5                9
//!   ┌────────────┬──────┬───────┬────────────────┬─────────────
//!   │   length   │ kind │ flags │     stream     │ payload ...      of GOAWAY: last stream, code
//!   └────────────┴──────┴───────┴────────────────┴─────────────
//! ```

/// Looks at the frames of a peer that pass.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The head of a frame, and the beginning of the payload of a GOAWAY.
    seen: Vec<u8>,
    /// How much is still to come of the frame behind what was seen.
    left: usize,
    /// How much is still to come of what a client says before its frames (RFC 9113, section 3.4).
    preface: usize,
}

/// What there was to be seen.
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

impl Watch {
    /// Looks at those of a client.
    pub(super) fn behind_preface() -> Self {
        Self { preface: 24, ..Self::default() }
    }

    /// Looks at what comes next.
    pub(super) fn look(&mut self, bytes: &[u8], mut tell: impl FnMut(Seen)) {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        let mut bytes = &bytes[preface..];
        while let [next, rest @ ..] = bytes {
            if self.left > 0 && !self.wants_more() {
                let count = self.left.min(bytes.len());
                self.left -= count;
                bytes = &bytes[count..];
            } else {
                self.left = self.left.saturating_sub(usize::from(self.seen.len() >= HEAD));
                self.seen.push(*next);
                bytes = rest;
                self.tell(&mut tell);
            }
            if self.left == 0 && self.seen.len() >= HEAD {
                self.seen.clear();
            }
        }
    }

    /// Whether the payload of this frame is looked at, and not all of that has come.
    fn wants_more(&self) -> bool {
        match self.seen.get(3) {
            Some(&GO_AWAY) => self.seen.len() < HEAD + 8,
            _ => self.seen.len() < HEAD,
        }
    }

    fn tell(&mut self, tell: &mut impl FnMut(Seen)) {
        match self.seen[..] {
            [high, middle, low, kind, flags, _, _, _, _] => {
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                match (kind, flags & ACK) {
                    (SETTINGS, ACK) => tell(Seen::SettingsTaken),
                    (SETTINGS, _) => tell(Seen::Settings),
                    _ => {}
                }
            }
            [_, _, _, GO_AWAY, _, _, _, _, _, a, b, c, d, e, f, g, h] => {
                let last = u32::from_be_bytes([a & 0x7f, b, c, d]);
                tell(Seen::GoAway(GoAway { last, code: u32::from_be_bytes([e, f, g, h]) }));
            }
            _ => {}
        }
    }
}

const HEAD: usize = 9;

pub(super) const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const ACK: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

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
            let (mut watch, mut seen) = (Watch::default(), Vec::new());
            frames.chunks(cut).for_each(|bytes| watch.look(bytes, |what| seen.push(what)));
            assert_eq!(seen, expected, "cut {cut}");
        }
    }

    #[test]
    fn a_go_away_that_is_too_short_is_nothing_to_be_told_of() {
        let (mut watch, mut seen) = (Watch::default(), Vec::new());
        watch.look(&[0, 0, 4, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5], |what| seen.push(what));
        watch.look(&[0, 0, 0, 4, 1, 0, 0, 0, 0], |what| seen.push(what));
        assert_eq!(seen, [Seen::SettingsTaken]);
    }
}
