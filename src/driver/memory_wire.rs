//! The wire of one stack, in memory.

use std::fmt;
use std::time::Instant;

use crate::stack::{Output, Stack};

/// What is on the wire of one [`Stack`], both ways: the half of a driver that knows no socket.
///
/// It does what the documentation of [`Stack`] asks of a driver, and leaves to its owner where the bytes come from and go to.
/// [`Pair`](crate::testing::Pair) is two of them, each of which gets what the other has sent;
/// [`StringTransport`](crate::testing::StringTransport) is one, with the test at its other end.
///
/// ```
/// use std::time::Instant;
///
/// use onionskin::stack::{Limits, Readable, Stack};
/// use onionskin::testing::MemoryWire;
///
/// let (mut stack, mut wire, now) = (Stack::new(Limits::default()), MemoryWire::new(), Instant::now());
/// wire.arrive(b"hello");
/// while wire.turn(&mut stack, now) {}
/// assert!(matches!(stack.readable(), Readable::Bytes(b"hello")));
/// stack.write(now, b"goodbye")?;
/// stack.close(now);
/// while wire.turn(&mut stack, now) {}
/// assert_eq!((wire.take_sent(), wire.take_shutdown()), (b"goodbye".to_vec(), true));
/// # Ok::<_, onionskin::stack::CommandError>(())
/// ```
#[derive(Default)]
pub struct MemoryWire {
    arriving: Vec<u8>,
    end_arriving: bool,
    /// Nothing arrives.
    hold: bool,
    /// Nothing leaves.
    stall: bool,
    sent: Vec<u8>,
    shutdown: bool,
}

impl MemoryWire {
    /// A wire with nothing on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts bytes on the way to the stack.
    pub fn arrive(&mut self, bytes: &[u8]) {
        self.arriving.extend_from_slice(bytes);
    }

    /// Puts the end of file on the way to the stack, behind the bytes.
    pub fn arrive_end(&mut self) {
        self.end_arriving = true;
    }

    /// While held, nothing arrives; it piles up on the way.
    pub fn hold(&mut self, hold: bool) {
        self.hold = hold;
    }

    /// While stalled, nothing leaves: a peer that reads nothing.
    pub fn stall(&mut self, stall: bool) {
        self.stall = stall;
    }

    /// The number of bytes on the way to the stack.
    #[must_use]
    pub fn arriving(&self) -> usize {
        self.arriving.len()
    }

    /// Whether the end of file is on the way to the stack.
    #[must_use]
    pub fn is_end_arriving(&self) -> bool {
        self.end_arriving
    }

    /// Takes what is on the way to the stack off the wire.
    pub fn intercept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.arriving)
    }

    /// Takes what the stack has sent since this was last asked.
    pub fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// Whether the stack has closed its direction since this was last asked.
    pub fn take_shutdown(&mut self) -> bool {
        std::mem::take(&mut self.shutdown)
    }

    /// Sends, delivers all that there is room for, and does what the stack has put off; whether there was anything.
    pub fn turn(&mut self, stack: &mut Stack, now: Instant) -> bool {
        self.send(stack, now) | self.deliver(stack, now, usize::MAX) | self.resume(stack, now)
    }

    /// Sends all that the stack has; whether there was anything.
    pub fn send(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let mut moved = false;
        while !self.stall {
            match stack.poll_output() {
                Output::Bytes(bytes) => {
                    self.sent.extend_from_slice(bytes);
                    let count = bytes.len();
                    stack.handle_sent(now, count);
                }
                Output::Shutdown => {
                    self.shutdown = true;
                    stack.handle_shutdown();
                }
                Output::Nothing => break,
            }
            moved = true;
        }
        moved
    }

    /// Delivers at most `most` bytes, in one piece, as far as the stack has room, or else the end of file; whether the stack
    /// took any of it.
    pub fn deliver(&mut self, stack: &mut Stack, now: Instant, most: usize) -> bool {
        if self.hold {
            return false;
        }
        if !self.arriving.is_empty() {
            let count = self.arriving.len().min(most);
            let taken = stack.handle_input(now, &self.arriving[..count]);
            self.arriving.drain(..taken);
            return taken > 0;
        }
        let ends = std::mem::take(&mut self.end_arriving);
        if ends {
            stack.handle_eof(now);
        }
        ends
    }

    /// Does what the stack has put off; whether there was anything.
    pub fn resume(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let is_unfinished = stack.is_unfinished();
        if is_unfinished {
            stack.handle_timeout(now);
        }
        is_unfinished
    }
}

impl fmt::Debug for MemoryWire {
    /// Counts only: a test may send megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWire")
            .field("arriving", &self.arriving.len())
            .field("sent", &self.sent.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Limits, Readable};

    #[test]
    fn the_end_of_file_stays_behind_the_bytes_also_while_none_are_let_through() {
        let (mut stack, mut wire, now) = (Stack::new(Limits::default()), MemoryWire::new(), Instant::now());
        wire.arrive(b"last");
        wire.arrive_end();
        assert!(!wire.deliver(&mut stack, now, 0));
        assert!(matches!(stack.readable(), Readable::Nothing));
        assert!(wire.deliver(&mut stack, now, 10) && wire.deliver(&mut stack, now, 0));
        assert!(matches!(stack.readable(), Readable::Bytes(b"last")));
        stack.consume(now, 4);
        assert!(matches!(stack.readable(), Readable::EndOfInput));
    }
}
