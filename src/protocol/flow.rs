//! Who writes how much: producers and water marks, the backpressure of the callback side.
//!
//! What counts is everything on its way down, in all boundaries of the stack. So the two marks mean the same whatever the
//! depth, and there is one pause and one resume for each time that the level rises above the high mark and sinks to the
//! low one.

use std::error::Error as StdError;
use std::fmt;

use super::{Result, Transport};
use crate::stack::with_chain;

/// A source of bytes that are written to one connection, and that can be told to wait.
///
/// Registered with [`Transport::register_producer`]. A [`Handle`](super::Handle) is one too: registered with another
/// connection's transport, it stops reading its own while that one is full, as a relay needs it.
pub trait Producer: Send + 'static {
    /// There is room, now or since it was registered. A push producer may go on writing until it is paused; a pull
    /// producer writes one piece, and is called again while there is room. One that is done calls
    /// [`Transport::unregister_producer`].
    ///
    /// A pull producer that wrote nothing is asked again when something else has happened to the connection.
    ///
    /// # Errors
    ///
    /// An error closes the connection, as in a [`Protocol`](super::Protocol). The producer need not be unregistered.
    fn resume_producing(&mut self, transport: &mut Transport<'_>) -> Result;

    /// There is enough for now. Never called for a pull producer.
    fn pause_producing(&mut self) {}

    /// Nothing can be written any more: the connection is over, or lost, or is closed because of an error.
    fn stop_producing(&mut self) {}
}

/// Who sets the pace of a [`Producer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Streaming {
    /// It writes when it has something, until it is paused.
    Push,
    /// It writes when it is asked, one piece each time.
    Pull,
}

/// Another producer is registered already.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerError;

impl fmt::Display for ProducerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another producer is registered: unregister that one first")
    }
}

impl fmt::Debug for ProducerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for ProducerError {}

/// The level of what waits to be sent, and the producer that follows it.
pub(super) struct Flow {
    pub(super) high: usize,
    pub(super) low: usize,
    level: Level,
    slot: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Producers may write.
    Open,
    /// The high mark was passed, and the low one not yet reached again.
    Full,
}

enum Slot {
    Empty,
    Resting(Registered),
    /// Its producer is being called: what it does with this slot meanwhile counts.
    Calling,
    /// Nothing can be written any more.
    Ended,
}

pub(super) struct Registered {
    pub(super) producer: Box<dyn Producer>,
    pub(super) streaming: Streaming,
    /// What it was last told.
    pub(super) announced: Option<Level>,
    /// Whether a pull producer wrote nothing when it was last asked.
    pub(super) dry: bool,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { high: HIGH_WATER, low: LOW_WATER, level: Level::Open, slot: Slot::Empty }
    }

    pub(super) fn is_full(&self) -> bool {
        self.level == Level::Full
    }

    /// The level that follows from so many bytes, if it is another one.
    pub(super) fn change(&mut self, waiting: usize) -> Option<Level> {
        let next = match self.level {
            Level::Open if waiting > self.high => Level::Full,
            Level::Full if waiting <= self.low => Level::Open,
            _ => return None,
        };
        self.level = next;
        Some(next)
    }

    pub(super) fn has_producer(&self) -> bool {
        matches!(self.slot, Slot::Resting(_) | Slot::Calling)
    }

    pub(super) fn register(
        &mut self,
        mut producer: Box<dyn Producer>,
        streaming: Streaming,
    ) -> Result<(), ProducerError> {
        match self.slot {
            Slot::Empty => self.slot = Slot::Resting(Registered { producer, streaming, announced: None, dry: false }),
            Slot::Resting(_) | Slot::Calling => return Err(ProducerError),
            Slot::Ended => producer.stop_producing(),
        }
        Ok(())
    }

    pub(super) fn unregister(&mut self) {
        if self.has_producer() {
            self.slot = Slot::Empty;
        }
    }

    /// Whether there is a producer that is to be called for the first time.
    pub(super) fn has_new_producer(&self) -> bool {
        matches!(&self.slot, Slot::Resting(new) if new.announced.is_none() && new.is_to_be_called(self.level))
    }

    /// The producer, if it is to be called: lent, so that it may use the transport that it is registered with.
    pub(super) fn lend(&mut self) -> Option<Registered> {
        match std::mem::replace(&mut self.slot, Slot::Empty) {
            Slot::Resting(registered) if registered.is_to_be_called(self.level) => {
                self.slot = Slot::Calling;
                Some(registered)
            }
            other => {
                self.slot = other;
                None
            }
        }
    }

    /// Whether what was lent is still registered.
    pub(super) fn has_lent(&self) -> bool {
        matches!(self.slot, Slot::Calling)
    }

    /// Takes back what was lent, unless it was unregistered meanwhile.
    pub(super) fn give_back(&mut self, registered: Registered) {
        if self.has_lent() {
            self.slot = Slot::Resting(registered);
        }
    }

    /// A pull producer that had nothing may have something now.
    pub(super) fn refresh(&mut self) {
        if let Slot::Resting(registered) = &mut self.slot {
            registered.dry = false;
        }
    }

    /// Stops the producer, and every later one at once; whether there was one.
    pub(super) fn end(&mut self) -> bool {
        match std::mem::replace(&mut self.slot, Slot::Ended) {
            Slot::Resting(mut registered) => {
                registered.producer.stop_producing();
                true
            }
            _ => false,
        }
    }
}

impl Registered {
    pub(super) fn pause(&mut self) {
        self.announced = Some(Level::Full);
        self.producer.pause_producing();
    }

    fn is_to_be_called(&self, level: Level) -> bool {
        match self.streaming {
            Streaming::Push => self.announced != Some(level),
            Streaming::Pull => level == Level::Open && !self.dry,
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("level", &self.level)
            .field("producer", &self.has_producer())
            .finish_non_exhaustive()
    }
}

const HIGH_WATER: usize = 64 * 1024;

const LOW_WATER: usize = 16 * 1024;
