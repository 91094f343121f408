//! The ledger of layers that are gone, for as long as somebody has still to hear of them.
//!
//! A layer is peeled when it has nothing more to do, and that may be before anybody has looked: a handshake, bytes and the end
//! can come in one segment. Two things may be left of it then. What it has to say, until the event that says it was ready is
//! asked for; and how it went, until its end has been read, which stands behind all that it delivered.

use super::{Layer, LayerError, LayerId, PeerAnswer};

/// How a layer went whose end is still to be read ([`Stack::departure`](super::Stack::departure)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Departure {
    /// It was stopped, and the peer took its part so.
    Stopped(PeerAnswer),
    /// It failed, and its options asked for the connection to live.
    Failed(LayerError),
}

#[derive(Debug, Default)]
pub(super) struct Departed(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    id: LayerId,
    /// The layer itself, while it is to come that it was ready.
    layer: Option<Box<dyn Layer>>,
    /// While its end is to be read.
    end: Option<Departure>,
}

impl Departed {
    /// A layer has been peeled before anybody asked for the event that says it is ready.
    pub(super) fn keep(&mut self, id: LayerId, layer: Box<dyn Layer>) {
        self.0.push(Entry { id, layer: Some(layer), end: None });
    }

    /// A layer has been peeled and left an end to be read.
    pub(super) fn leave_end(&mut self, id: LayerId, end: Departure) {
        match self.0.iter_mut().find(|entry| entry.id == id) {
            Some(entry) => entry.end = Some(end),
            None => self.0.push(Entry { id, layer: None, end: Some(end) }),
        }
    }

    /// The layer, if it may still be asked what it has to say.
    pub(super) fn layer(&self, id: LayerId) -> Option<&dyn Layer> {
        self.0.iter().find(|entry| entry.id == id)?.layer.as_deref()
    }

    /// How the layer went, if its end is still to be read.
    pub(super) fn end(&self, id: LayerId) -> Option<&Departure> {
        self.0.iter().find(|entry| entry.id == id)?.end.as_ref()
    }

    /// Forgets what those layers had to say of which it is no longer to come that they were ready.
    pub(super) fn forget_told(&mut self, is_to_come: impl Fn(LayerId) -> bool) {
        // Asked for every event, and nearly always there is nobody.
        if self.0.is_empty() {
            return;
        }
        self.0.iter_mut().filter(|entry| !is_to_come(entry.id)).for_each(|entry| entry.layer = None);
        self.clean();
    }

    /// Forgets how those layers went whose end is no longer to be read.
    pub(super) fn forget_read(&mut self, is_read: impl Fn(LayerId) -> bool) {
        self.0.iter_mut().filter(|entry| is_read(entry.id)).for_each(|entry| entry.end = None);
        self.clean();
    }

    fn clean(&mut self) {
        self.0.retain(|entry| entry.layer.is_some() || entry.end.is_some());
    }
}
