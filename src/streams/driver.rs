//! The task of a stream: it makes the attempts that the state machine asks for, and watches the times while a protocol speaks.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::mailbox::{Mailbox, Rest};
use super::policy::{Destinations, Protocol, Retry, StreamPolicy};
use super::protocol::{Attempt, Ending, Port, Speaker, speaker};
use super::shared::Shared;
use super::state::State;
use super::{Error, ErrorKind};
use crate::driver::Alarm;

/// What one stream is driven with.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) name: Arc<str>,
    pub(super) mailbox: Arc<Mailbox>,
    /// What was spoken last, and by whom: it remembers what was not acknowledged.
    pub(super) speaker: Option<(Protocol, Box<dyn Speaker>)>,
}

impl Driver {
    /// Runs until the stream is closed.
    pub(super) async fn run(mut self) {
        let timer = Arc::clone(&self.shared.timer);
        let mut alarms = Alarms::new(|| Alarm::new(Arc::clone(&timer)));
        let port = Port::new(Arc::clone(&self.mailbox));
        // When all has to be done that was asked for; it goes over all attempts.
        let mut whole: Option<Instant> = None;
        loop {
            let limit = match poll_fn(|cx| poll_rest(&self.mailbox, whole, &mut alarms, cx)).await {
                Rested::Attempt => self.limits(),
                Rested::OutOfTime => {
                    whole = None;
                    self.mailbox.out_of_time(&ErrorKind::OutOfTime(self.limits().whole.unwrap_or_default()).into());
                    continue;
                }
                Rested::Idle => {
                    whole = None;
                    continue;
                }
                Rested::Closed => return,
            };
            if let (None, Some(time)) = (whole, limit.whole) {
                whole = timer.now().checked_add(time);
            }
            let attempt = self.attempt();
            let speaker = attempt.policy().and_then(|stream| speaker_for(&mut self.speaker, stream));
            let speaker = match speaker {
                Ok(speaker) => speaker,
                Err(error) => {
                    self.mailbox.ended(error.into(), |_| false);
                    continue;
                }
            };
            let is_transactional = speaker.is_transactional();
            let mut watch = Watch { limit, is_transactional, whole, pinged_at: None, closing_at: None };
            let mut speaking = speaker.speak(&attempt, &port);
            let over = poll_fn(|cx| {
                if let Poll::Ready(ending) = speaking.as_mut().poll(cx) {
                    return Poll::Ready(Over::Ended(ending));
                }
                watch.poll(&self.mailbox, &mut alarms, cx)
            })
            .await;
            drop(speaking);
            whole = watch.whole;
            match over {
                Over::Ended(ending) => self.mailbox.ended(ending, |id| speaker.keeps(id)),
                Over::OutOfTime(time) => {
                    whole = None;
                    self.mailbox.out_of_time(&ErrorKind::OutOfTime(time).into());
                }
                Over::NotClosed => self.mailbox.ended(Ending::Done, |id| speaker.keeps(id)),
            }
            if self.mailbox.state() == State::Idle {
                whole = None;
            }
        }
    }

    /// What the next attempt goes by: the policy as it is now.
    fn attempt(&self) -> Attempt {
        let destinations = self.shared.destinations();
        if let Some((stream, retry)) = of(&destinations, &self.name) {
            self.mailbox.set_policy(stream, retry.cloned());
        }
        Attempt {
            name: Arc::clone(&self.name),
            destinations,
            values: self.mailbox.values(),
            shared: Arc::clone(&self.shared),
        }
    }

    fn limits(&self) -> Limit {
        let destinations = self.shared.destinations();
        let Some((stream, retry)) = of(&destinations, &self.name) else { return Limit::default() };
        Limit {
            whole: stream.timeout,
            idle: stream.idle_timeout,
            ping: retry.and_then(|retry| retry.ping_after),
            hang_up: retry.and_then(|retry| retry.hang_up_after),
        }
    }
}

/// Waits until there is an attempt to make.
fn poll_rest(mailbox: &Mailbox, whole: Option<Instant>, alarms: &mut Alarms, cx: &mut Context<'_>) -> Poll<Rested> {
    loop {
        mailbox.register_driver(cx);
        match mailbox.rest() {
            Rest::Over => return Poll::Ready(Rested::Attempt),
            Rest::Closed => return Poll::Ready(Rested::Closed),
            // What was to be done in time is not asked for any more.
            Rest::Until(None) if whole.is_some() => return Poll::Ready(Rested::Idle),
            Rest::Until(None) => return Poll::Pending,
            Rest::Until(deadline) => {
                if alarms.whole.is_due(whole, cx) {
                    return Poll::Ready(Rested::OutOfTime);
                }
                if !alarms.next.is_due(deadline, cx) {
                    return Poll::Pending;
                }
            }
        }
    }
}

/// A stream of a policy, and its table of delays.
pub(super) fn of<'p>(destinations: &'p Destinations, name: &str) -> Option<(&'p StreamPolicy, Option<&'p Retry>)> {
    let policy = destinations.policy();
    let stream = policy.streams.get(name)?;
    Some((stream, stream.retry.as_ref().and_then(|retry| policy.retries.get(retry))))
}

/// The speaker of this stream: the one that there is, unless the policy says another protocol now.
fn speaker_for<'s>(
    kept: &'s mut Option<(Protocol, Box<dyn Speaker>)>,
    stream: &StreamPolicy,
) -> Result<&'s mut Box<dyn Speaker>, Error> {
    let fits = matches!(kept, Some((protocol, _)) if *protocol == stream.protocol);
    if !fits {
        *kept = Some((stream.protocol, speaker(stream)?));
    }
    kept.as_mut().map(|(_, speaker)| speaker).ok_or_else(|| ErrorKind::Closed.into())
}

enum Rested {
    Attempt,
    Idle,
    OutOfTime,
    Closed,
}

/// The limits of time that a policy sets.
#[derive(Clone, Copy, Default)]
struct Limit {
    whole: Option<Duration>,
    idle: Option<Duration>,
    ping: Option<Duration>,
    hang_up: Option<Duration>,
}

struct Alarms {
    whole: Alarm,
    next: Alarm,
}

impl Alarms {
    fn new(alarm: impl Fn() -> Alarm) -> Self {
        Self { whole: alarm(), next: alarm() }
    }
}

/// Looks at the clock while a protocol speaks.
struct Watch {
    limit: Limit,
    is_transactional: bool,
    whole: Option<Instant>,
    /// For which silence the peer was asked already.
    pinged_at: Option<Instant>,
    /// When a protocol that was told to close has to be done with it.
    closing_at: Option<Instant>,
}

enum Over {
    Ended(Ending),
    OutOfTime(Duration),
    /// Told to close, and not done in time.
    NotClosed,
}

impl Watch {
    fn poll(&mut self, mailbox: &Mailbox, alarms: &mut Alarms, cx: &mut Context<'_>) -> Poll<Over> {
        mailbox.register_driver(cx);
        if self.closing_at.is_none() && mailbox.has_order() {
            self.closing_at = Some(alarms.next.now() + CLOSE_TIME);
        }
        let activity = mailbox.activity();
        if !self.is_transactional && mailbox.is_standing() {
            self.whole = None;
        }
        if alarms.whole.is_due(self.whole, cx) {
            return Poll::Ready(Over::OutOfTime(self.limit.whole.unwrap_or_default()));
        }
        loop {
            let (heard, passed) = activity.unzip();
            let now = alarms.next.now();
            let over = |from: Option<Instant>, time: Option<Duration>| Some((from?.checked_add(time?)?, time?));
            let silences = [over(heard, self.limit.hang_up), over(passed, self.limit.idle)];
            for (at, time) in silences.into_iter().flatten() {
                if at <= now {
                    return Poll::Ready(Over::Ended(Error::from(ErrorKind::Silent(time)).into()));
                }
            }
            if self.closing_at.is_some_and(|at| at <= now) {
                return Poll::Ready(Over::NotClosed);
            }
            let ping = over(heard, self.limit.ping).filter(|_| self.pinged_at != heard);
            if ping.is_some_and(|(at, _)| at <= now) {
                self.pinged_at = heard;
                mailbox.ping();
                cx.waker().wake_by_ref();
            }
            let ping = ping.filter(|_| self.pinged_at != heard);
            let deadlines = silences.into_iter().chain([ping]).flatten().map(|(at, _)| at);
            let next = deadlines.chain(self.closing_at).min();
            if !alarms.next.is_due(next, cx) {
                return Poll::Pending;
            }
        }
    }
}

/// So long a protocol has for a graceful end.
const CLOSE_TIME: Duration = Duration::from_secs(5);
