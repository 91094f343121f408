//! How a wire hands over what was sent.

/// How the bytes of one direction are cut into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// As they were sent.
    Whole,
    /// One at a time.
    Bytes,
    /// So many at a time, but never none.
    Pieces(usize),
    /// All that both sides have to say is collected and then handed over in one read.
    Coalesced,
    /// In pieces of random length, the two directions taking turns at random. The number is the seed.
    Random(u64),
}

impl Cut {
    /// The generator that its randomness comes from.
    pub(super) fn dice(self) -> Dice {
        match self {
            Self::Random(seed) => Dice::new(seed),
            _ => Dice::new(0),
        }
    }

    /// How many of `ready` bytes, which must be some, come at once.
    pub(super) fn piece(self, dice: &mut Dice, ready: usize) -> usize {
        match self {
            Self::Whole | Self::Coalesced => ready,
            Self::Bytes => 1,
            Self::Pieces(size) => size.clamp(1, ready),
            Self::Random(_) => dice.piece().min(ready),
        }
    }
}

/// A small random generator (SplitMix64), so that a seed printed by a failed test repeats it anywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `times` throws.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// The length of a piece: longer than a handshake's small messages, shorter than its large ones.
    pub(super) fn piece(&mut self) -> usize {
        1 + self.below(700)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
