//! What each of two peers must read: a model that is simple enough to be believed.
//!
//! # The picture
//!
//! Two peers agree on a list of *changes*, each the start of a layer or the stop of one. Before the first change is
//! epoch 0, behind the n-th is epoch n. Both peers go through the same epochs, but not at the same time, and each
//! goes through them twice: once with what it writes, once with what it reads.
//!
//! ```text
//!   changes          start    start    stop     stop
//!   epoch         0        1        2        1        0       <- depth
//!                 0        1        2        3        4       <- number
//!   left writes   ─────────────────────────▲
//!   left reads    ────────────────▲
//!   right writes  ────────────────▲
//!   right reads   ────────▲
//! ```
//!
//! # The rule
//!
//! **What a peer reads in epoch n is what the other wrote in epoch n: the same bytes, in the same order, all of
//! them before the change, none of them behind it.** The model keeps, for each peer and epoch, the bytes written. A
//! reader compares; there is nothing to predict, and no TLS, buffer, cut or time in the model.
//!
//! # Who may change what
//!
//! - A *start* takes a peer to the next epoch with both directions at once, as a splice does. Whoever is first may
//!   start only if it has read everything that the other wrote, and the other writes no more until it follows: just
//!   as with STARTTLS, or the other's plaintext would run into TLS. The other follows when it has read everything
//!   in front of the start.
//! - A *stop* takes what a peer writes to the next epoch at once; what it reads goes there when it has read the end of
//!   the layer and continues below. Either may be first, or both at once; data in flight is still epoch n.
//! - A *finish* ends what a peer writes in an epoch, and leaves it only a stop to go on with.
//! - A peer whose stack answers a stop by itself stops when the stack says so. The model cannot know the moment, and
//!   need not: what the stack still accepts in that epoch must be read in it.

use std::collections::HashMap;

use onionskin::stack::LayerId;
use onionskin::tls::Version;

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Left,
    Right,
}

impl Who {
    pub(crate) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// A layer that both agree to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) client: Who,
    pub(crate) version: Version,
    /// Who lets the stack answer the other's close_notify by itself.
    pub(crate) answers_itself: Option<Who>,
}

/// What leads from one epoch to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Start(Start),
    Stop,
}

/// What both have agreed on, and how far each has come.
#[derive(Debug)]
pub(crate) struct Model {
    changes: Vec<Change>,
    /// For each epoch, the numbers of the changes that started the layers in it, outer to inner.
    nests: Vec<Vec<usize>>,
    parties: HashMap<Who, Party>,
}

#[derive(Debug)]
struct Party {
    /// The epoch of the next byte written.
    writing: usize,
    /// The epoch of the next byte read.
    reading: usize,
    /// How many bytes of that epoch have been read.
    read: usize,
    finished: bool,
    /// For each epoch, what was written in it.
    written: Vec<Vec<u8>>,
    /// The layers, by the number of the change that started them.
    layers: HashMap<usize, LayerId>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let party = || Party {
            writing: 0,
            reading: 0,
            read: 0,
            finished: false,
            written: vec![Vec::new()],
            layers: HashMap::new(),
        };
        Self { changes: Vec::new(), nests: vec![Vec::new()], parties: Who::BOTH.map(|who| (who, party())).into() }
    }

    /// The change that `who` has to make next with what it writes, if the other was there first.
    pub(crate) fn next_change(&self, who: Who) -> Option<Change> {
        self.changes.get(self.party(who).writing).copied()
    }

    /// The change that ends the epoch in which `who` reads, if it is decided.
    pub(crate) fn change_ahead(&self, who: Who) -> Option<Change> {
        self.changes.get(self.party(who).reading).copied()
    }

    /// How many layers there are around what `who` writes.
    pub(crate) fn depth(&self, who: Who) -> usize {
        self.nests[self.party(who).writing].len()
    }

    /// Whether `who` reads and writes in one epoch.
    pub(crate) fn is_even(&self, who: Who) -> bool {
        let party = self.party(who);
        party.reading == party.writing
    }

    /// Whether a write of `who` belongs anywhere.
    pub(crate) fn may_write(&self, who: Who) -> bool {
        !self.party(who).finished && !matches!(self.next_change(who), Some(Change::Start(_)))
    }

    /// Whether `who` may be the first to start a layer.
    pub(crate) fn may_start(&self, who: Who) -> bool {
        self.is_even(who) && self.next_change(who).is_none() && self.unread(who).is_empty()
    }

    /// Whether `who` may stop or finish the layer around what it writes.
    pub(crate) fn may_stop(&self, who: Who) -> bool {
        self.depth(who) > 0 && !matches!(self.next_change(who), Some(Change::Start(_)))
    }

    /// The layer around what `who` writes.
    pub(crate) fn layer_of_writes(&self, who: Who) -> Option<LayerId> {
        self.layer(who, self.party(who).writing)
    }

    /// The layer around what `who` reads.
    pub(crate) fn layer_of_reads(&self, who: Who) -> Option<LayerId> {
        self.layer(who, self.party(who).reading)
    }

    /// The layer through which the other writes what `who` reads.
    pub(crate) fn layer_of_other(&self, who: Who) -> Option<LayerId> {
        self.layer(who.other(), self.party(who).reading)
    }

    /// Whether the other writes no more in the epoch in which `who` reads.
    pub(crate) fn has_ended(&self, who: Who) -> bool {
        let (writer, epoch) = (self.party(who.other()), self.party(who).reading);
        writer.writing > epoch || writer.writing == epoch && writer.finished
    }

    /// What is still to be read by `who` in its epoch.
    pub(crate) fn unread(&self, who: Who) -> &[u8] {
        let reader = self.party(who);
        self.party(who.other()).written.get(reader.reading).map_or(&[], |written| &written[reader.read..])
    }

    /// What `who` wrote within layers.
    pub(crate) fn secrets(&self, who: Who) -> impl Iterator<Item = &[u8]> {
        let epochs = self.party(who).written.iter().zip(&self.nests);
        epochs.filter(|(_, nest)| !nest.is_empty()).map(|(written, _)| written.as_slice())
    }

    /// How many layers `who` has started, and below how many it has continued.
    pub(crate) fn started_and_left(&self, who: Who) -> (usize, usize) {
        let party = self.party(who);
        let stops = self.changes[..party.reading].iter().filter(|change| matches!(change, Change::Stop)).count();
        (party.layers.len(), stops)
    }

    pub(crate) fn wrote(&mut self, who: Who, bytes: &[u8]) {
        let reading = self.party(who.other()).reading;
        let party = self.party_mut(who);
        assert!(bytes.is_empty() || reading <= party.writing, "written where the other does not read any more");
        party.written[party.writing].extend_from_slice(bytes);
    }

    pub(crate) fn read(&mut self, who: Who, count: usize) {
        self.party_mut(who).read += count;
    }

    /// `who` has spliced its side of a layer, as the first or in answer.
    pub(crate) fn started(&mut self, who: Who, start: Start, layer: LayerId) {
        assert!(self.is_even(who) && self.unread(who).is_empty());
        let number = self.party(who).writing;
        if self.changes.len() == number {
            let mut nest = self.nests[number].clone();
            nest.push(number);
            self.changes.push(Change::Start(start));
            self.nests.push(nest);
        }
        self.party_mut(who).layers.insert(number, layer);
        self.go_on_writing(who);
        self.go_on_reading(who);
    }

    pub(crate) fn finished(&mut self, who: Who) {
        self.decide_stop(who);
        self.party_mut(who).finished = true;
    }

    /// `who` has ordered a stop, as the first or in answer.
    pub(crate) fn stopped(&mut self, who: Who) {
        self.decide_stop(who);
        self.go_on_writing(who);
    }

    /// `who` has continued below the end of a layer.
    pub(crate) fn passed_end(&mut self, who: Who) {
        assert!(self.unread(who).is_empty(), "the layer has ended before all that was written in it was read");
        self.go_on_reading(who);
    }

    fn decide_stop(&mut self, who: Who) {
        let number = self.party(who).writing;
        if self.changes.len() == number {
            let mut nest = self.nests[number].clone();
            nest.pop().expect("there is a layer to stop");
            self.changes.push(Change::Stop);
            self.nests.push(nest);
        }
    }

    fn go_on_writing(&mut self, who: Who) {
        let party = self.party_mut(who);
        party.writing += 1;
        party.finished = false;
        party.written.push(Vec::new());
    }

    fn go_on_reading(&mut self, who: Who) {
        let party = self.party_mut(who);
        party.reading += 1;
        party.read = 0;
    }

    fn layer(&self, who: Who, epoch: usize) -> Option<LayerId> {
        let started = self.nests[epoch].last()?;
        self.party(who).layers.get(started).copied()
    }

    fn party(&self, who: Who) -> &Party {
        &self.parties[&who]
    }

    fn party_mut(&mut self, who: Who) -> &mut Party {
        self.parties.get_mut(&who).expect("there are two")
    }
}
