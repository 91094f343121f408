//! Small layers for the list: one that does nothing, and some that do one thing.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onionskin::stack::{Ends, Failure, Layer, LayerError, LayerErrorKind, LayerId, Order, PeerAnswer, Report, Way};

/// Changes nothing, by the defaults of the trait.
#[derive(Debug)]
pub(crate) struct PassThrough;

impl Layer for PassThrough {}

/// Eats the first line of its input and is gone, like a PROXY header.
#[derive(Debug)]
pub(crate) struct FirstLine;

impl Layer for FirstLine {
    fn name(&self) -> &'static str {
        "first line"
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let input = ends.inbound_below();
        if let Some(end) = input.front().iter().position(|&byte| byte == b'\n') {
            input.consume(end + 1);
            ends.report(Report::Stopped(PeerAnswer::NotNeeded));
        }
        Ok(())
    }
}

/// Keeps a copy of what goes down through it.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Vec<u8>>>);

impl Tap {
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

impl Layer for Tap {
    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        // Marks cut the front into pieces, so the pieces are taken one by one.
        let Way { from: above, to: below } = ends.all().outbound;
        loop {
            let passed = above.front().len().min(below.room());
            self.0.lock().unwrap().extend_from_slice(&above.front()[..passed]);
            below.push(&above.front()[..passed]);
            above.consume(passed);
            match above.take_mark() {
                Some(mark) => below.push_mark(mark),
                None => return Ok(()),
            }
        }
    }
}

/// Stands on a layer, and closes that one's write half when told to: what a sound peer never does while there are
/// layers above.
#[derive(Debug)]
pub(crate) struct ClosesBelow {
    below: LayerId,
    now: bool,
}

impl ClosesBelow {
    pub(crate) fn new(below: LayerId) -> Self {
        Self { below, now: false }
    }

    pub(crate) fn close(&mut self) {
        self.now = true;
    }
}

impl Layer for ClosesBelow {
    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.pass_outbound();
        if std::mem::take(&mut self.now) {
            ends.outbound_below().push_mark(Order::Finish(self.below));
        }
        Ok(())
    }
}

/// Passes everything on until it is told to fail.
#[derive(Debug, Default)]
pub(crate) struct FailsWhenTold(bool);

impl FailsWhenTold {
    pub(crate) fn fail(&mut self) {
        self.0 = true;
    }
}

impl Layer for FailsWhenTold {
    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.pass_inbound();
        if self.0 {
            return Err(LayerError::new(LayerErrorKind::Protocol, "it was told to fail").into());
        }
        Ok(())
    }
}

/// Breaks the contract: each call changes something.
#[derive(Debug)]
pub(crate) struct Restless;

impl Layer for Restless {
    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.outbound_below().push(b"!");
        Ok(())
    }
}

/// Breaks the contract: its deadline does not move on when it has passed.
#[derive(Debug, Default)]
pub(crate) struct StuckDeadline(Option<Instant>);

impl Layer for StuckDeadline {
    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.0 = Some(ends.now() + Duration::from_secs(1));
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.0
    }
}
