//! What becomes of the end of standard input: many servers take it for the end of the conversation.
//!
//! A client that has nothing more to say can close its direction and read on. But servers that do not half close (Node and
//! asyncio unless told otherwise, and whoever follows RFC 5246 section 7.2.1) end with it, and what they had still to say is
//! lost. So where standard input is a pipe or a file, its end is kept back until the peer has ended, or has been silent for so
//! long that it seems to wait for us.

use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use clap::Args;
use futures::future::BoxFuture;
use onionskin::runtime::Timer;

/// What the command line says of the end of standard input.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct EndOfInput {
    /// End our direction as soon as standard input ends, as if that were a terminal
    #[arg(long, conflicts_with = "wait")]
    half_close: bool,
    /// When standard input ends: how long the peer may be silent before our direction ends too, or none for as long as it
    /// likes; 10 unless given, if standard input is no terminal
    #[arg(long, value_name = "SECONDS")]
    wait: Option<Limit>,
}

/// When our direction is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// At once.
    HalfClose,
    /// When the peer has ended, or has been silent for so long.
    Wait(Limit),
}

impl EndOfInput {
    /// Whether something was said about it.
    pub(crate) fn is_set(self) -> bool {
        self.half_close || self.wait.is_some()
    }

    /// Must be asked before anything else takes standard input.
    pub(crate) fn choice(self) -> AtEnd {
        match self.wait {
            Some(limit) => AtEnd::Wait(limit),
            None if self.half_close || io::stdin().is_terminal() => AtEnd::HalfClose,
            None => AtEnd::Wait(WAIT),
        }
    }
}

/// A time, or `none` for one that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Limit {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<u32>() {
            _ if text == "none" => Ok(Self(None)),
            Ok(seconds @ 1..) => Ok(Self::seconds(seconds.into())),
            _ => Err("write whole seconds from 1 up, or none"),
        }
    }
}

/// Runs while nothing passes.
pub(crate) struct Quiet {
    timer: &'static dyn Timer,
    limit: Option<Duration>,
    alarm: Option<BoxFuture<'static, ()>>,
    /// If it has run out before and nothing has passed since: how many bytes were on their way to the peer then.
    unsent: Option<usize>,
}

impl Quiet {
    pub(crate) fn new(timer: &'static dyn Timer, limit: Limit) -> Self {
        Self { timer, limit: limit.0, alarm: None, unsent: None }
    }

    /// Something has passed.
    pub(crate) fn restart(&mut self) {
        (self.alarm, self.unsent) = (None, None);
    }

    /// How long it runs, for those who are told.
    pub(crate) fn limit(&self) -> Duration {
        self.limit.unwrap_or(Duration::MAX)
    }

    /// Whether nothing has passed for the whole time. A peer that takes what is on its way to it, however slowly, is not
    /// quiet: `unsent` tells how much there is, and is asked only when the time is over.
    pub(crate) fn poll_over(&mut self, unsent: impl FnOnce() -> usize, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let timer = self.timer;
        let sleep = || timer.sleep_until(timer.now() + limit);
        ready!(self.alarm.get_or_insert_with(sleep).as_mut().poll(cx));
        let unsent = unsent();
        if unsent > 0 && self.unsent.is_none_or(|before| unsent < before) {
            self.unsent = Some(unsent);
            let alarm = self.alarm.insert(sleep());
            return alarm.as_mut().poll(cx);
        }
        Poll::Ready(())
    }
}

/// Long enough for a server that thinks, and short enough for whoever waits for one that will never end.
const WAIT: Limit = Limit::seconds(10);

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::poll_fn;
    use onionskin::testing::Clock;

    use super::*;

    #[test]
    fn limits_are_seconds_or_none() {
        assert_eq!("5".parse(), Ok(Limit::seconds(5)));
        assert_eq!("none".parse(), Ok(Limit(None)));
        for wrong in ["0", "-1", "", "never", "1.5", "99999999999"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_peer_that_takes_what_is_sent_is_not_quiet() {
        let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
        let second = Duration::from_secs(1);
        let mut quiet = Quiet::new(clock, Limit::seconds(10));
        let is_over =
            |quiet: &mut Quiet, unsent: usize| poll_fn(|cx| quiet.poll_over(|| unsent, cx)).now_or_never().is_some();
        assert!(!is_over(&mut quiet, 0));
        clock.advance(9 * second);
        quiet.restart();
        assert!(!is_over(&mut quiet, 0));
        for left in [300, 200, 100] {
            clock.advance(10 * second);
            assert!(!is_over(&mut quiet, left), "{left}");
        }
        clock.advance(9 * second);
        assert!(!is_over(&mut quiet, 100));
        clock.advance(second);
        assert!(is_over(&mut quiet, 100));
        let mut never = Quiet::new(clock, Limit(None));
        assert!(!is_over(&mut never, 0));
        clock.advance(1_000_000 * second);
        assert!(!is_over(&mut never, 0));
    }
}
