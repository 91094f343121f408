//! What waits to be sent.

/// How much may wait in a stream, and what becomes of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// `client_buflen`: how many bytes may wait; 32768 unless set.
    pub bytes: usize,
    /// `queue_messages`: how many messages may wait; 1024 unless set.
    pub messages: usize,
    /// `when_full`: what happens with one more.
    pub when_full: WhenFull,
}

impl Queue {
    /// So much, after which whoever sends waits.
    pub fn new(bytes: usize, messages: usize) -> Self {
        Self { bytes, messages, when_full: WhenFull::Wait }
    }

    /// Sets what happens with one more.
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new(32 * 1024, 1024)
    }
}

/// What happens with a message for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// `wait`: whoever sends it waits.
    #[default]
    Wait,
    /// `drop-oldest`: the oldest that waits and is not on its way yet makes room.
    DropOldest,
    /// `drop-newest`: it is dropped itself.
    DropNewest,
}
