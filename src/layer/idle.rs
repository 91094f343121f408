//! A layer that does not wait for ever.

use std::fmt;
use std::time::{Duration, Instant};

use crate::stack::{End, Ends, Failure, Layer, LayerError, LayerErrorKind, Opens, Order, Queue};

/// Ends the connection when no bytes have passed for a time ([`LayerErrorKind::Idle`]).
///
/// Bytes count when they pass this layer: what a peer sends and the application does not read comes to a halt once the
/// buffers are full, unless [`spare_unread`](Self::spare_unread) says otherwise. Where it stands decides what it sees; above
/// TLS, records without data are no sign of life.
///
/// The connection is aborted ([`Failure::abort`]), and the peer told nothing: it may be there all the same, and a close_notify or an end of
/// file would tell it that nothing more was to come.
///
/// A peer that reads slowly is not silent. While bytes that have passed this layer still wait below it, or in the system as
/// far as the driver can tell ([`Ends::unsent`]), it ends the connection only when none of them has left for the whole
/// time; then the time may be twice as long, because it looks only when the time is over.
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
    /// While both directions are open.
    timeout: Option<Duration>,
    /// Once one has ended.
    half_open: Option<Duration>,
    watch: Watch,
    spares_unread: bool,
    inbound: Direction,
    outbound: Direction,
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

/// How far a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Open,
    /// A layer has ended in it; bytes outside that layer may follow.
    Ended,
    /// Nothing more can follow.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdleClock {
    /// Until then, if that is a time at all. If it has run before and no bytes have passed since, so many were unsent then.
    Running { until: Option<Instant>, unsent: Option<usize> },
    /// Nothing more is to come, so there is nothing to wait for.
    Over,
}

impl IdleTimeout {
    /// A timeout over both directions.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self::with(Some(timeout), None)
    }

    /// One that begins when one direction has ended, and not before.
    #[must_use]
    pub fn once_half_open(timeout: Duration) -> Self {
        Self::with(None, Some(timeout))
    }

    fn with(timeout: Option<Duration>, half_open: Option<Duration>) -> Self {
        Self {
            timeout,
            half_open,
            watch: Watch::default(),
            spares_unread: false,
            inbound: Direction::Open,
            outbound: Direction::Open,
            clock: IdleClock::Running { until: None, unsent: None },
        }
    }

    /// Chooses which bytes count.
    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// Another time once one direction has ended: the shorter of the two is in force then.
    ///
    /// What ends a direction is what passes this layer: right above the wire the peer's end of file and our close, above TLS
    /// also a close_notify of either side.
    #[must_use]
    pub fn half_open(mut self, timeout: Duration) -> Self {
        self.half_open = Some(timeout);
        self
    }

    /// Never ends the connection while bytes from the peer wait for the application: then it is not the peer that is slow. A
    /// part of a record, or of a line that the application has looked at, waits for the peer ([`Ends::unread`]).
    #[must_use]
    pub fn spare_unread(mut self) -> Self {
        self.spares_unread = true;
        self
    }

    /// The time that is in force.
    fn limit(&self) -> Option<Duration> {
        let is_open = self.inbound == Direction::Open && self.outbound == Direction::Open;
        let half_open = self.half_open.filter(|_| !is_open);
        self.timeout.into_iter().chain(half_open).min()
    }

    fn restart(&mut self, now: Instant) {
        self.wait(now, None);
    }

    fn wait(&mut self, now: Instant, unsent: Option<usize>) {
        if matches!(self.clock, IdleClock::Running { .. }) {
            let until = self.limit().and_then(|limit| now.checked_add(limit.max(MIN_WAIT)));
            self.clock = IdleClock::Running { until, unsent };
        }
    }

    fn error(&self) -> LayerError {
        let what = match self.watch {
            Watch::Either => "nothing was sent or received",
            Watch::Inbound => "nothing was received",
            Watch::Outbound => "nothing was sent",
        };
        let limit = self.limit().unwrap_or_default();
        let since = if Some(limit) == self.timeout { "" } else { " after one direction had ended" };
        LayerError::new(LayerErrorKind::Idle, format!("{what} for {limit:?}{since}"))
    }
}

impl Opens for IdleTimeout {
    type Facts = ();
}

impl Layer for IdleTimeout {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.timeout, self.half_open) {
            (Some(timeout), None) => write!(f, "idle {timeout:?}"),
            (None, Some(half_open)) => write!(f, "half-open {half_open:?}"),
            (Some(timeout), Some(half_open)) => write!(f, "idle {timeout:?}, half-open {half_open:?}"),
            (None, None) => f.write_str(self.name()),
        }
    }

    fn attach(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.restart(ends.now());
        Ok(())
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let before = Amount::of(ends.inbound_below());
        if ends.inbound_below().marks().any(|&end| end == End::Lost) {
            self.clock = IdleClock::Over;
        }
        ends.pass_inbound();
        let passed = before.less(Amount::of(ends.inbound_below()));
        let is_other =
            passed.is_any() && std::mem::replace(&mut self.inbound, after(ends.inbound_above())) != self.inbound;
        if (passed.bytes > 0 && self.watch != Watch::Outbound) || (is_other && self.half_open.is_some()) {
            self.restart(ends.now());
        }
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let before = Amount::of(ends.outbound_above());
        ends.pass_outbound();
        let passed = before.less(Amount::of(ends.outbound_above()));
        let is_other =
            passed.is_any() && std::mem::replace(&mut self.outbound, after(ends.outbound_below())) != self.outbound;
        if (passed.bytes > 0 && self.watch != Watch::Inbound) || (is_other && self.half_open.is_some()) {
            self.restart(ends.now());
        }
        Ok(())
    }

    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        match self.clock {
            IdleClock::Running { until, .. } => until,
            IdleClock::Over => None,
        }
    }

    fn timeout(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let IdleClock::Running { unsent: before, .. } = self.clock else { return Ok(()) };
        let (now, unsent) = (ends.now(), ends.unsent());
        if self.spares_unread && ends.unread() > 0 {
            self.restart(now);
            return Ok(());
        }
        let is_progress = before.is_none_or(|before| unsent < before);
        if unsent > 0 && is_progress {
            self.wait(now, Some(unsent));
            return Ok(());
        }
        self.clock = IdleClock::Over;
        if unsent == 0 && self.inbound == Direction::Over && self.outbound == Direction::Over {
            return Ok(());
        }
        Err(Failure::abort(self.error()))
    }
}

/// What a queue holds.
#[derive(Clone, Copy)]
struct Amount {
    bytes: usize,
    marks: usize,
}

impl Amount {
    fn of<M>(queue: &Queue<M>) -> Self {
        Self { bytes: queue.len(), marks: queue.marks().count() }
    }

    fn less(self, rest: Self) -> Self {
        Self { bytes: self.bytes - rest.bytes, marks: self.marks - rest.marks }
    }

    fn is_any(self) -> bool {
        self.bytes > 0 || self.marks > 0
    }
}

/// How far a direction is when this is what has passed last.
fn after<M>(given: &Queue<M>) -> Direction
where
    Direction: for<'a> From<&'a M>,
{
    given.mark_behind().map_or(Direction::Open, Direction::from)
}

impl From<&End> for Direction {
    fn from(end: &End) -> Self {
        match end {
            End::Layer(_) => Self::Ended,
            End::Wire | End::Truncated | End::Lost => Self::Over,
        }
    }
}

impl From<&Order> for Direction {
    fn from(order: &Order) -> Self {
        match order {
            Order::Finish(_) | Order::Stop(_) => Self::Ended,
            Order::Close | Order::CloseWire => Self::Over,
        }
    }
}

/// A clock may be coarse, and a deadline has to move on.
const MIN_WAIT: Duration = Duration::from_millis(1);
