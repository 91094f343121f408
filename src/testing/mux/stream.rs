//! One stream of a [`Mux`](super::Mux): a stack, and how much may cross.

use std::io;
use std::time::Instant;

use super::StreamId;
use super::frame::{Frame, MAX_PAYLOAD};
use crate::stack::{Output, Reason, Stack};

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) stack: Stack,
    /// How much the peer has room for.
    credit: usize,
    /// How much we have told the peer that we have room for, and has not come.
    announced: usize,
    /// What came within that, and found less room than there was: a layer that is put in takes some of it.
    waiting: Vec<u8>,
    theirs: Theirs,
    /// Whether our direction has ended.
    ours_ended: bool,
}

/// The peer's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theirs {
    Open,
    /// Its end has come, and is behind what waits.
    Ending,
    Over,
}

impl Stream {
    pub(super) fn new(stack: Stack) -> Self {
        let theirs = Theirs::Open;
        Self { stack, credit: 0, announced: 0, waiting: Vec::new(), theirs, ours_ended: false }
    }

    /// Whether nothing crosses any more, either way.
    pub(super) fn is_over(&self) -> bool {
        self.ours_ended && self.theirs == Theirs::Over
    }

    pub(super) fn receive(&mut self, now: Instant, frame: Frame<'_>) {
        match frame {
            Frame::Credit(more) => self.credit = self.credit.saturating_add(more as usize),
            Frame::Reset => {
                self.end_both();
                self.stack.handle_error(now, io::ErrorKind::ConnectionReset.into());
            }
            Frame::End if self.theirs == Theirs::Open => self.theirs = Theirs::Ending,
            Frame::Data(bytes) if self.theirs == Theirs::Open => match self.announced.checked_sub(bytes.len()) {
                Some(left) => {
                    self.announced = left;
                    self.waiting.extend_from_slice(bytes);
                }
                None => self.fail(now, "the peer has sent more than there is room for"),
            },
            // What it had sent before it heard of our end; and one that is there is not opened.
            Frame::End | Frame::Data(_) | Frame::Open => {}
        }
        self.deliver(now);
    }

    /// Hands on what waits, as far as there is room, and the end behind it.
    pub(super) fn deliver(&mut self, now: Instant) -> bool {
        let taken = if self.waiting.is_empty() { 0 } else { self.stack.handle_input(now, &self.waiting) };
        self.waiting.drain(..taken);
        let ends = self.theirs == Theirs::Ending && self.waiting.is_empty();
        if ends {
            self.theirs = Theirs::Over;
            self.stack.handle_eof(now);
        }
        let is_unfinished = self.stack.is_unfinished();
        if is_unfinished {
            self.stack.handle_timeout(now);
        }
        taken > 0 || ends || is_unfinished
    }

    /// Writes the next frame that is to be sent, if there is one.
    pub(super) fn send(&mut self, id: StreamId, now: Instant, output: &mut Vec<u8>) -> bool {
        self.announce(id, output) || self.send_output(id, now, output) || self.send_loss(id, output)
    }

    /// The carrier has ended, and the peer's direction has not.
    pub(super) fn cut(&mut self, now: Instant) {
        if self.theirs == Theirs::Open {
            self.fail(now, "the carrier has ended before the stream");
        }
    }

    /// The carrier is lost, or what comes from it is.
    pub(super) fn lose(&mut self, now: Instant, reason: Reason) {
        if self.theirs == Theirs::Open || !reason.is_inbound_only() {
            self.stack.handle_loss(now, reason);
        }
    }

    /// Nothing more goes to the peer; whether there is anything that should have gone.
    pub(super) fn refuse(&mut self, now: Instant) -> bool {
        let is_refused = !self.ours_ended && !matches!(self.stack.poll_output(), Output::Nothing);
        if is_refused {
            self.stack.handle_error(now, io::ErrorKind::BrokenPipe.into());
        }
        is_refused
    }

    fn fail(&mut self, now: Instant, message: &'static str) {
        self.stack.handle_error(now, io::Error::new(io::ErrorKind::InvalidData, message));
    }

    fn end_both(&mut self) {
        self.ours_ended = true;
        self.theirs = Theirs::Over;
        self.waiting.clear();
    }

    /// Gives back the room that the stack's own reader has made, and no earlier.
    fn announce(&mut self, id: StreamId, output: &mut Vec<u8>) -> bool {
        if self.theirs != Theirs::Open {
            return false;
        }
        let more = self.stack.input_room().saturating_sub(self.announced + self.waiting.len());
        if more == 0 || more < WORTHWHILE && self.announced > 0 {
            return false;
        }
        let Ok(credit) = u32::try_from(more) else { return false };
        self.announced += more;
        Frame::Credit(credit).write(id, output);
        true
    }

    fn send_output(&mut self, id: StreamId, now: Instant, output: &mut Vec<u8>) -> bool {
        if self.ours_ended {
            return false;
        }
        match self.stack.poll_output() {
            Output::Nothing => false,
            Output::Shutdown => {
                self.stack.handle_shutdown();
                // What is lost does not end: the reset says so.
                if self.stack.lost().is_none() {
                    self.ours_ended = true;
                    Frame::End.write(id, output);
                }
                true
            }
            Output::Bytes(bytes) => {
                let count = bytes.len().min(self.credit).min(MAX_PAYLOAD);
                if count > 0 {
                    Frame::Data(&bytes[..count]).write(id, output);
                    self.credit -= count;
                    self.stack.handle_sent(now, count);
                }
                count > 0
            }
        }
    }

    /// Tells the peer of a loss, behind what layers have had to say to it.
    fn send_loss(&mut self, id: StreamId, output: &mut Vec<u8>) -> bool {
        let is_told = self.stack.lost().is_some() && self.stack.is_flushed() && !self.is_over();
        if is_told {
            self.end_both();
            Frame::Reset.write(id, output);
        }
        is_told
    }
}

/// So much room is worth a frame, unless the peer waits for it.
const WORTHWHILE: usize = 16 * 1024;
