//! The simplest layer that greets, ends and stops.

use crate::stack::{End, Ends, Failure, Layer, LayerError, LayerErrorKind, Order, PeerAnswer, Report, Way};

/// A layer for tests of what happens at layer changes, without certificates and without cryptography.
///
/// Each side greets the other; what is written goes in records, each a kind, a length in one byte, and a payload that
/// does not look like the plaintext; a record of its own says that no more will come.
#[derive(Debug)]
pub(super) struct Envelope {
    reading: Reading,
    writing: Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Greeting,
    Open,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    Finished,
    Stopped,
}

impl Envelope {
    pub(super) fn new() -> Self {
        Self { reading: Reading::Greeting, writing: Writing::Open }
    }

    fn finish(&mut self, ends: &mut Ends<'_>, next: Writing) {
        if self.writing == Writing::Open {
            ends.outbound_below().push(&[CLOSE, 0]);
        }
        self.writing = next;
    }
}

impl Layer for Envelope {
    fn name(&self) -> &'static str {
        "envelope"
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.outbound_below().push(&[GREETING, 0]);
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        while self.reading != Reading::Ended {
            let Way { from: below, to: above } = ends.all().inbound;
            let [kind, length, rest @ ..] = below.front() else { break };
            let length = usize::from(*length);
            let Some(payload) = rest.get(..length).filter(|_| above.room() >= length) else { break };
            match (*kind, self.reading) {
                (GREETING, Reading::Greeting) => {
                    self.reading = Reading::Open;
                    below.consume(2);
                    ends.report(Report::Ready);
                }
                (DATA, Reading::Open) => {
                    let payload: Vec<u8> = payload.iter().map(|byte| byte ^ VEIL).collect();
                    above.push(&payload);
                    below.consume(2 + length);
                }
                (CLOSE, Reading::Open) => {
                    self.reading = Reading::Ended;
                    below.consume(2);
                    ends.end_inbound();
                }
                _ => return Err(broken("the peer did not send a record").into()),
            }
        }
        let cut_off = self.reading != Reading::Ended;
        let Way { from: below, to: above } = ends.all().inbound;
        match below.mark() {
            Some(End::Layer(_) | End::Wire) if cut_off => Err(broken("the peer did not end the layer").into()),
            Some(_) => {
                above.take_from(below);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        while self.reading != Reading::Greeting && self.writing != Writing::Stopped {
            let id = ends.id();
            let Way { from: above, to: below } = ends.all().outbound;
            let most = below.room().saturating_sub(2).min(usize::from(u8::MAX));
            let count = if self.writing == Writing::Open { above.front().len().min(most) } else { 0 };
            if let Some(length) = u8::try_from(count).ok().filter(|&length| length > 0) {
                let veiled: Vec<u8> = above.front()[..count].iter().map(|byte| byte ^ VEIL).collect();
                below.push(&[DATA, length]);
                below.push(&veiled);
                above.consume(count);
                continue;
            }
            match above.take_mark() {
                Some(Order::Stop(stopped)) if stopped == id => self.finish(ends, Writing::Stopped),
                Some(Order::Finish(finished)) if finished == id => self.finish(ends, Writing::Finished),
                Some(Order::Close) => {
                    self.finish(ends, Writing::Finished);
                    ends.outbound_below().push_mark(Order::Close);
                }
                Some(other) => below.push_mark(other),
                None => break,
            }
        }
        if (self.reading, self.writing) == (Reading::Ended, Writing::Stopped) {
            ends.report(Report::Stopped(PeerAnswer::CloseNotify));
        }
        Ok(())
    }

    fn can_stop(&self) -> bool {
        true
    }
}

fn broken(message: &str) -> LayerError {
    LayerError::new(LayerErrorKind::Protocol, message)
}

const GREETING: u8 = 0xe0;
const DATA: u8 = 0xe1;
const CLOSE: u8 = 0xe2;
const VEIL: u8 = 0xa5;
