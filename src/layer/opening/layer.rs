//! The layer that drives a negotiation.

use std::fmt;
use std::time::Duration;

use super::exchange::{Allowance, Missing};
use super::{Advance, Answerable, ErrorKind, Exchange, Negotiation};
use crate::stack::{
    End, Ends, Facts, Failure, Layer, LayerId, Opens, Order, Overdue, Patience, PeerAnswer, Report, Way,
};

/// Says what a [`Negotiation`] says, and then leaves or becomes another layer; see the [module](super).
///
/// When it leaves, [`Event::Ready`](crate::stack::Event::Ready) comes first, and the layer shows there with all that its
/// negotiation knows. When it becomes another layer it keeps its id, and the event is that of the new one. Closing before
/// anything was written ends it, and nothing that the peer says is shown any more.
///
/// # Errors
///
/// Those of the negotiation, and an [`Error`](super::Error) for what no negotiation tolerates; the connection is lost with
/// them unless the negotiation decides otherwise.
#[derive(Debug)]
pub struct Opening<N: Negotiation> {
    negotiation: N,
    state: State<N>,
    /// How many questions there were.
    questions: u64,
    /// What it waits for, as long as it does.
    missing: Missing,
    allowance: Allowance,
    optional: bool,
    /// How many more refusals there are.
    refusals: usize,
    timeout: Option<Duration>,
}

enum State<N: Negotiation> {
    Talking,
    /// The application owes an answer.
    Asked(N::Question),
    /// It has given one, which is still to be said.
    Answered(Answer<N>),
    /// The layer has reported what becomes of it.
    Done,
    /// It has failed by itself, and nothing is asked any more.
    Failed,
    /// Our side was closed before it came to that: nobody reads any more, least of all what was said here.
    Closed,
}

type Answer<N> = Box<dyn FnOnce(&mut N, &mut Exchange<'_>) -> Stepped<N> + Send + Sync>;

type Stepped<N> = Result<Advance<<N as Negotiation>::Question>, Failure>;

impl<N: Negotiation> Opening<N> {
    /// Lets this negotiation do its work, with a peer that may say 64 KiB, has thirty seconds, and is refused twenty times.
    pub fn of(negotiation: N) -> Self {
        Self {
            negotiation,
            state: State::Talking,
            questions: 0,
            missing: Missing::default(),
            allowance: Allowance { limit: LIMIT, used: 0 },
            optional: false,
            refusals: REFUSALS,
            timeout: Some(TIMEOUT),
        }
    }

    /// How long the peer may take for the negotiation; `None` for ever. Thirty seconds unless set. The time in which our own
    /// words have not yet left the stack does not count, nor does that in which the application owes an answer. What the
    /// layer becomes has a deadline of its own.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes the peer may say in the negotiation, all in all; 64 KiB unless set. One message of it must have room in a
    /// boundary of the stack ([`Limits::buffer`](crate::stack::Limits::buffer)), or it never comes.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.allowance.limit = bytes;
        self
    }

    /// How many messages of the peer are refused ([`Exchange::refuse`]) before it is turned away
    /// ([`TurnedAway`](ErrorKind::TurnedAway)), in words of the protocol if that has any; twenty unless set.
    #[must_use]
    pub fn refusals(mut self, most: usize) -> Self {
        self.refusals = most;
        self
    }

    /// The peer may go on without what is negotiated, as far as the negotiation knows how
    /// ([`Exchange::is_optional`]).
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The negotiation, and what it knows.
    pub fn negotiation(&self) -> &N {
        &self.negotiation
    }

    pub(crate) fn negotiation_mut(&mut self) -> &mut N {
        &mut self.negotiation
    }

    /// What the application is asked, as long as it owes an answer.
    pub fn question(&self) -> Option<&N::Question> {
        match &self.state {
            State::Asked(question) => Some(question),
            _ => None,
        }
    }

    /// Which of its questions it has asked, as long as an answer is owed.
    pub(crate) fn question_number(&self) -> Option<u64> {
        self.question().map(|_| self.questions)
    }

    fn answer(&mut self, answer: Answer<N>) -> bool {
        let is_asked = matches!(self.state, State::Asked(_));
        if is_asked {
            self.state = State::Answered(answer);
        }
        is_asked
    }
}

/// To be called through [`Stack::with_layer`](crate::stack::Stack::with_layer), which has the answer said at once;
/// connections and transports have methods for it.
impl<N: Answerable> Opening<N> {
    /// Grants what was asked for. Whether anything was still to be answered; if not, nothing changes.
    #[must_use]
    pub fn grant(&mut self, grant: N::Grant) -> bool {
        self.answer(Box::new(|negotiation, exchange| negotiation.grant(grant, exchange)))
    }

    /// As [`grant`](Self::grant), refuses it.
    #[must_use]
    pub fn refuse(&mut self, refusal: N::Refusal) -> bool {
        self.answer(Box::new(|negotiation, exchange| negotiation.refuse(refusal, exchange)))
    }
}

/// How it does its work.
impl<N: Negotiation> Opening<N> {
    /// Does what can be done with what is there.
    fn go_on(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Talking) {
                State::Answered(answer) => self.call(ends, answer)?,
                State::Talking => {
                    if !has_room(ends) {
                        return Ok(());
                    }
                    let front = ends.inbound_below().front();
                    if !self.negotiation.is_foreign(front) && self.missing.is_still(front) {
                        return self.check_end(ends);
                    }
                    self.call(ends, N::advance)?
                }
                other => {
                    self.state = other;
                    return Ok(());
                }
            };
            match step {
                Advance::Going => {}
                Advance::Waiting => return self.check_end(ends),
                Advance::Ask(question) => {
                    self.state = State::Asked(question);
                    self.questions += 1;
                    ends.report(Report::Asked);
                    return self.check_lost(ends);
                }
                Advance::Leave => {
                    self.state = State::Done;
                    ends.report(Report::Ready);
                    ends.report(Report::Stopped(PeerAnswer::NotNeeded));
                }
                Advance::Become(layer) => {
                    self.state = State::Done;
                    ends.report(Report::Become(layer));
                }
                Advance::BecomeOver { layer, below } => {
                    self.state = State::Done;
                    ends.report(Report::Insert(below));
                    ends.report(Report::Become(layer));
                }
            }
        }
    }

    /// One call of the negotiation, and what it takes and says.
    fn call(&mut self, ends: &mut Ends<'_>, act: impl FnOnce(&mut N, &mut Exchange<'_>) -> Stepped<N>) -> Stepped<N> {
        let mut exchange = Exchange::new(ends.inbound_below().front(), self.allowance, self.optional);
        let step = act(&mut self.negotiation, &mut exchange);
        let outcome = exchange.into_outcome();
        say(ends, &outcome.said);
        if step.is_ok() || outcome.takes_anyway {
            ends.inbound_below().consume(outcome.taken);
            self.allowance.used += outcome.taken;
        }
        let step = step?;
        if outcome.has_refused {
            self.count_refusal(ends)?;
        }
        self.missing = match step {
            Advance::Waiting => outcome.missing,
            _ => Missing::default(),
        };
        Ok(step)
    }

    /// Real servers have a limit too: whoever goes on after so many refusals is no honest client.
    fn count_refusal(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.refusals = self.refusals.saturating_sub(1);
        if self.refusals > 0 {
            return Ok(());
        }
        self.say_last(ends, N::turn_away);
        Err(self.fail(ErrorKind::TurnedAway))
    }

    /// What is said before the connection is lost. Nothing is taken any more.
    fn say_last(&mut self, ends: &mut Ends<'_>, words: fn(&mut N, &mut Exchange<'_>)) {
        let mut exchange = Exchange::new(ends.inbound_below().front(), self.allowance, self.optional);
        words(&mut self.negotiation, &mut exchange);
        let said = exchange.unsay();
        say(ends, &said);
    }

    fn check_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        match ends.inbound_below().next_mark() {
            Some(_) => Err(self.ended()),
            None => Ok(()),
        }
    }

    /// While an answer is owed, an end waits in its place: the peer may have said all that it has to say. Behind a loss
    /// nothing can be answered.
    fn check_lost(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        match ends.inbound_below().marks().any(|end| *end == End::Lost) {
            true => Err(self.ended()),
            false => Ok(()),
        }
    }

    fn ended(&mut self) -> Failure {
        let owed = match self.state {
            State::Asked(_) => "the application had answered",
            _ => self.negotiation.awaits(),
        };
        self.fail(ErrorKind::Ended(owed))
    }

    fn fail(&mut self, kind: ErrorKind) -> Failure {
        self.state = State::Failed;
        self.negotiation.failure(kind.into())
    }

    /// Our side is closed. If something was written before, that still has to go through what is negotiated.
    fn close(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let is_asked = matches!(self.state, State::Asked(_));
        let has_written = ends.outbound_above().has_bytes();
        if is_asked && has_written {
            // Whoever closes will not answer.
            self.state = State::Answered(Box::new(N::decline));
            ends.report(Report::Waits);
            return self.go_on(ends);
        }
        if is_asked {
            // What is said is all that comes of it: the close follows in any case.
            let _ = self.call(ends, N::decline);
        }
        if !has_written {
            self.state = State::Closed;
            ends.report(Report::Waits);
        }
        Ok(())
    }
}

/// Those of the negotiation, or of the layer that it becomes.
impl<N: Negotiation> Opens for Opening<N> {
    type Facts = N::Facts;
}

impl<N: Negotiation> Layer for Opening<N> {
    fn name(&self) -> &'static str {
        self.negotiation.name()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.negotiation.describe(f)
    }

    fn details(&self) -> Vec<String> {
        let mut details = self.negotiation.details();
        details.push(match self.state {
            State::Asked(_) => "awaits the application's answer".to_owned(),
            _ => format!("awaits {}", self.negotiation.awaits()),
        });
        details
    }

    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        match self.state {
            State::Done => self.negotiation.facts().map(Facts::of::<Self>),
            _ => None,
        }
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        match self.state {
            State::Talking | State::Answered(_) => self.go_on(ends),
            State::Asked(_) => self.check_lost(ends),
            State::Done | State::Failed => Ok(()),
            State::Closed => {
                drop_inbound(ends);
                Ok(())
            }
        }
    }

    /// Holds what is written. Only an order to close with nothing but other orders before it is passed on.
    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if matches!(self.state, State::Done | State::Failed) {
            return Ok(());
        }
        let held = ends.outbound_above();
        let is_close = |order: &Order| matches!(order, Order::Close | Order::CloseWire);
        if held.marks().any(is_close) && !matches!(self.state, State::Closed) {
            self.close(ends)?;
        }
        if let State::Closed = self.state {
            ends.pass_outbound();
        }
        Ok(())
    }

    fn asks(&self) -> bool {
        self.question().is_some()
    }

    fn decline(&mut self) -> bool {
        self.answer(Box::new(N::decline))
    }

    fn awaits(&self) -> Option<Patience> {
        let is_held = match self.state {
            State::Talking | State::Answered(_) => false,
            State::Asked(_) => true,
            State::Done | State::Failed | State::Closed => return None,
        };
        self.timeout.map(|limit| Patience::new("the end of the negotiation", limit).held(is_held))
    }

    fn overdue(&mut self, overdue: Overdue, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let kind = match overdue {
            Overdue::Reading => ErrorKind::NotRead,
            _ => {
                self.say_last(ends, N::give_up);
                ErrorKind::TimedOut(self.negotiation.awaits())
            }
        };
        Err(self.fail(kind))
    }
}

impl<N: Negotiation> fmt::Debug for State<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Talking => f.write_str("Talking"),
            Self::Asked(question) => f.debug_tuple("Asked").field(question).finish(),
            Self::Answered(_) => f.write_str("Answered"),
            Self::Done => f.write_str("Done"),
            Self::Failed => f.write_str("Failed"),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

fn say(ends: &mut Ends<'_>, words: &[u8]) {
    if !words.is_empty() {
        ends.outbound_below().push(words);
    }
}

/// Whether what was said so far has left, but for a little: a peer that does not read is not answered on and on, and what
/// it says waits below, where there is a limit. Whoever asks for room is called when there is some.
fn has_room(ends: &mut Ends<'_>) -> bool {
    let output = ends.outbound_below();
    let _ = output.room();
    output.len() <= MAX_UNSENT
}

/// Lets ends through and no bytes.
fn drop_inbound(ends: &mut Ends<'_>) {
    let Way { from, to } = ends.all().inbound;
    loop {
        from.consume(from.front().len());
        match from.take_mark() {
            Some(mark) => to.push_mark(mark),
            None => return,
        }
    }
}

/// Much more than any peer says before it comes to the point.
const LIMIT: usize = 64 * 1024;

/// As many wrong commands as Postfix and Dovecot hear before they hang up.
const REFUSALS: usize = 20;

/// More than any server says at once in a negotiation.
const MAX_UNSENT: usize = 4096;

/// Time enough for servers that let strangers wait before they greet.
const TIMEOUT: Duration = Duration::from_secs(30);
