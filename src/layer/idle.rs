//! A layer that does not wait for ever.

use std::fmt;
use std::time::{Duration, Instant};

use crate::stack::{End, Ends, Failure, Layer, LayerError, LayerErrorKind};

/// Ends the connection when no bytes have passed for a time ([`LayerErrorKind::Idle`]).
///
/// Bytes count when they pass this layer: what a peer sends and the application does not read comes to a halt once the
/// buffers are full. Where it stands decides what it sees; above TLS, records without data are no sign of life.
///
/// ```
/// use std::time::Duration;
/// use onionskin::layer::{IdleTimeout, Watch};
/// use onionskin::testing::{Cut, Pair};
///
/// let mut pair = Pair::new(Cut::Whole);
/// pair.left.splice(IdleTimeout::new(Duration::from_secs(60)).watch(Watch::Inbound));
/// pair.advance(Duration::from_secs(61));
/// let error = pair.left.lost().and_then(|reason| reason.layer_error()).unwrap();
/// assert_eq!(error.to_string(), "nothing was received for 60s");
/// ```
#[derive(Debug)]
pub struct IdleTimeout {
    timeout: Duration,
    watch: Watch,
    clock: IdleClock,
}

/// Which bytes an [`IdleTimeout`] waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watch {
    /// Bytes in any direction start the time anew.
    #[default]
    Either,
    /// Only bytes from the peer do: for a peer that must keep talking.
    Inbound,
    /// Only bytes to the peer do: for a peer that must keep taking.
    Outbound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdleClock {
    /// Until then, if that is a time at all.
    Running { until: Option<Instant> },
    /// Nothing more is to come, so there is nothing to wait for.
    Over,
}

impl IdleTimeout {
    /// A timeout over both directions.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, watch: Watch::default(), clock: IdleClock::Running { until: None } }
    }

    /// Chooses which bytes count.
    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    fn restart(&mut self, now: Instant) {
        if matches!(self.clock, IdleClock::Running { .. }) {
            self.clock = IdleClock::Running { until: now.checked_add(self.timeout) };
        }
    }
}

impl Layer for IdleTimeout {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "idle {:?}", self.timeout)
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.restart(ends.now());
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let before = ends.inbound_below().len();
        if ends.inbound_below().marks().any(|&end| end == End::Lost) {
            self.clock = IdleClock::Over;
        }
        ends.pass_inbound();
        if ends.inbound_below().len() < before && self.watch != Watch::Outbound {
            self.restart(ends.now());
        }
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let before = ends.outbound_above().len();
        ends.pass_outbound();
        if ends.outbound_above().len() < before && self.watch != Watch::Inbound {
            self.restart(ends.now());
        }
        Ok(())
    }

    fn leave(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        match self.clock {
            IdleClock::Running { until } => until,
            IdleClock::Over => None,
        }
    }

    fn timeout(&mut self, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.clock = IdleClock::Over;
        let what = match self.watch {
            Watch::Either => "nothing was sent or received",
            Watch::Inbound => "nothing was received",
            Watch::Outbound => "nothing was sent",
        };
        Err(LayerError::new(LayerErrorKind::Idle, format!("{what} for {:?}", self.timeout)).into())
    }
}
