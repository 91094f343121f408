//! Small layers for the list: one that does nothing, and some that do one thing.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onionskin::stack::{
    Ends, Facts, Failure, Layer, LayerError, LayerErrorKind, LayerId, Opens, Order, PeerAnswer, Report, Way,
};

/// Changes nothing, by the defaults of the trait.
#[derive(Debug)]
pub(crate) struct PassThrough;

impl Layer for PassThrough {}

impl Opens for PassThrough {
    type Facts = ();
}

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

/// Takes the peer's banner, a line that is not `no`, and is gone: the line is its facts.
#[derive(Debug, Default)]
pub(crate) struct Banner {
    line: Option<String>,
    on_no: OnNo,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OnNo {
    #[default]
    Lose,
    Peel,
}

impl Banner {
    /// Leaves the connection to others where the banner is `no`.
    pub(crate) fn or_not() -> Self {
        Self { line: None, on_no: OnNo::Peel }
    }
}

impl Opens for Banner {
    type Facts = String;
}

impl Layer for Banner {
    fn name(&self) -> &'static str {
        "banner"
    }

    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        self.line.clone().map(Facts::of::<Self>)
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Some(line) = take_line(ends) else {
            return match ends.inbound_below().next_mark() {
                Some(_) => Err(LayerError::new(LayerErrorKind::Truncated, "the banner is not whole").into()),
                None => Ok(()),
            };
        };
        if line == "no" {
            let error = LayerError::new(LayerErrorKind::Protocol, "the banner says no");
            return Err(if self.on_no == OnNo::Peel { Failure::peel(error) } else { Failure::lose(error) });
        }
        self.line = Some(line);
        ends.report(Report::Ready);
        ends.report(Report::Stopped(PeerAnswer::NotNeeded));
        Ok(())
    }
}

/// Says a name to the peer, takes the peer's, which is its facts, and stays: a handshake.
#[derive(Debug)]
pub(crate) struct Names {
    own: &'static str,
    peer: Option<String>,
}

impl Names {
    pub(crate) fn new(own: &'static str) -> Self {
        Self { own, peer: None }
    }
}

impl Opens for Names {
    type Facts = String;
}

impl Layer for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        self.peer.clone().map(Facts::of::<Self>)
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.outbound_below().push(format!("{}\n", self.own).as_bytes());
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.peer.is_none() {
            self.peer = take_line(ends);
            if self.peer.is_none() {
                return Ok(());
            }
            ends.report(Report::Ready);
        }
        ends.pass_inbound();
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.peer.is_some() {
            ends.pass_outbound();
        }
        Ok(())
    }

    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }
}

fn take_line(ends: &mut Ends<'_>) -> Option<String> {
    let input = ends.inbound_below();
    let end = input.front().iter().position(|&byte| byte == b'\n')?;
    let line = String::from_utf8_lossy(&input.front()[..end]).into_owned();
    input.consume(end + 1);
    Some(line)
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
