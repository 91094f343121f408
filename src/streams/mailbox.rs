//! What is between a program and its stream: messages in both directions, the state, and what is reported of it.
//!
//! ```text
//!      Stream (any number of tasks)             one task of the stream
//!        send ──▶ │ waiting │ ─────────────────▶ taken ──▶ settled ──▶ the receipt of who has sent it
//!     receive ◀── │ inbox   │ ◀───────────────── given
//!      events ◀── │ events  │ ◀── machine ◀───── established, failed, done
//! ```
//!
//! Everything is behind one lock, which is held for a few instructions, and everything has a limit: what waits, that of the policy;
//! what has arrived and is not taken, [`INBOX_BYTES`] and one message; events, [`MAX_EVENTS`], of which the oldest are forgotten.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures::channel::oneshot;

use super::message::{Delivery, Message, MessageId};
use super::policy::{Queue, Retry, StreamPolicy, WhenFull};
use super::protocol::{Ending, Wish};
use super::state::{Input, Machine, Output, State};
use super::{Error, ErrorKind, Event, Random};
use crate::runtime::Timer;

/// Named values.
pub(super) type Values = BTreeMap<String, String>;

/// A message on its way, with the values that were set when it was sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) id: MessageId,
    pub(super) message: Message,
    pub(super) values: Arc<Values>,
}

/// Hears what became of a message.
pub(super) type Receipt = oneshot::Receiver<Result<Delivery, Error>>;

pub(super) struct Mailbox {
    timer: Arc<dyn Timer>,
    random: Random,
    inner: Mutex<Inner>,
}

struct Inner {
    machine: Machine,
    limits: Queue,
    values: Arc<Values>,
    last_id: u64,
    waiting: VecDeque<Outgoing>,
    /// Those that the protocol has, and how long each is.
    taken: HashMap<MessageId, usize>,
    /// How long what waits and what is taken is.
    outgoing_bytes: usize,
    receipts: HashMap<MessageId, oneshot::Sender<Result<Delivery, Error>>>,
    inbox: VecDeque<Result<Message, Error>>,
    inbox_bytes: usize,
    events: VecDeque<Event>,
    missed: u64,
    order: Order,
    is_close_told: bool,
    /// A connection was asked for by hand: in HTTP, a request without a body.
    is_asked: bool,
    is_ping_due: bool,
    /// When something last came from the peer, and when something last passed at all.
    heard_at: Instant,
    passed_at: Instant,
    wakers: Wakers,
}

/// What the program wants of the whole stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    None,
    Disconnect,
    Close,
}

#[derive(Default)]
struct Wakers {
    driver: Option<Waker>,
    port: Option<Waker>,
    reader: Option<Waker>,
    inbox_room: Option<Waker>,
    observer: Option<Waker>,
    senders: Vec<Waker>,
}

impl Mailbox {
    pub(super) fn new(stream: &StreamPolicy, retry: Option<Retry>, timer: Arc<dyn Timer>, random: Random) -> Self {
        let now = timer.now();
        let inner = Inner {
            machine: Machine::new(retry, stream.is_opportunistic),
            limits: stream.queue,
            values: Arc::default(),
            last_id: 0,
            waiting: VecDeque::new(),
            taken: HashMap::new(),
            outgoing_bytes: 0,
            receipts: HashMap::new(),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            events: VecDeque::new(),
            missed: 0,
            order: Order::None,
            is_close_told: false,
            is_asked: false,
            is_ping_due: false,
            heard_at: now,
            passed_at: now,
            wakers: Wakers::default(),
        };
        Self { timer, random, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, inner: &mut Inner, input: Input, error: Option<&Error>) {
        let told = inner.machine.handle(input, self.timer.now(), || self.random.next());
        for output in told {
            inner.told(output, error);
        }
    }
}

/// The program's side.
impl Mailbox {
    pub(super) fn state(&self) -> State {
        self.lock().machine.state()
    }

    pub(super) fn connect(&self) {
        let mut inner = self.lock();
        if inner.order == Order::Disconnect {
            inner.order = Order::None;
        }
        inner.is_asked |= matches!(inner.machine.state(), State::Idle | State::Failed);
        self.handle(&mut inner, Input::Connect, None);
        inner.wakers.wake_driver();
    }

    pub(super) fn order(&self, order: Order) {
        let mut inner = self.lock();
        inner.order = inner.order.max(order);
        inner.wakers.wake_driver();
    }

    pub(super) fn values(&self) -> Arc<Values> {
        Arc::clone(&self.lock().values)
    }

    pub(super) fn set_value(&self, name: &str, value: String) {
        Arc::make_mut(&mut self.lock().values).insert(name.to_owned(), value);
    }

    /// Waits for room, and puts a message behind those that wait. What is full is as the policy says: whoever sends waits, or one
    /// message is dropped, and that may be this one.
    pub(super) fn poll_send(
        &self,
        message: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(MessageId, Receipt), Error>> {
        let mut inner = self.lock();
        if inner.machine.state() == State::Closed || inner.order == Order::Close {
            return Poll::Ready(Err(ErrorKind::Closed.into()));
        }
        let len = message.as_ref().map_or(0, |message| message.payload.len());
        while !inner.has_room(len) {
            match inner.limits.when_full {
                WhenFull::Wait => {
                    inner.wakers.register_sender(cx);
                    return Poll::Pending;
                }
                WhenFull::DropOldest => match inner.waiting.pop_front() {
                    Some(oldest) => {
                        inner.outgoing_bytes -= oldest.message.payload.len();
                        inner.settle(oldest.id, Err(ErrorKind::Dropped.into()));
                    }
                    // All of it is on its way.
                    None => return Poll::Ready(Err(ErrorKind::Dropped.into())),
                },
                WhenFull::DropNewest => return Poll::Ready(Err(ErrorKind::Dropped.into())),
            }
        }
        let message = message.take().expect("it is polled until it is done, and no longer");
        inner.last_id += 1;
        let id = MessageId(inner.last_id);
        let (sender, receipt) = oneshot::channel();
        inner.receipts.insert(id, sender);
        inner.outgoing_bytes += len;
        let values = Arc::clone(&inner.values);
        inner.waiting.push_back(Outgoing { id, message, values });
        self.handle(&mut inner, Input::Send, None);
        inner.wakers.wake_driver();
        Poll::Ready(Ok((id, receipt)))
    }

    /// The next of what has arrived; `None` when nothing will.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        let mut inner = self.lock();
        let was_full = !inner.has_inbox_room();
        if let Some(next) = inner.inbox.pop_front() {
            if let Ok(message) = &next {
                inner.inbox_bytes -= message.payload.len();
            }
            if was_full {
                // Silence is counted from where the peer can be heard again.
                let now = self.timer.now();
                (inner.heard_at, inner.passed_at) = (now, now);
            }
            if let Some(waker) = inner.wakers.inbox_room.take() {
                waker.wake();
            }
            return Poll::Ready(Some(next));
        }
        if inner.machine.state() == State::Closed {
            return Poll::Ready(None);
        }
        inner.wakers.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next event; `None` behind the last.
    pub(super) fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut inner = self.lock();
        let missed = std::mem::take(&mut inner.missed);
        if missed > 0 {
            return Poll::Ready(Some(Event::Missed(missed)));
        }
        match inner.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if inner.machine.state() == State::Closed => Poll::Ready(None),
            None => {
                inner.wakers.observer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until nothing that was sent is unsettled.
    pub(super) fn poll_all_settled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.receipts.is_empty() {
            return Poll::Ready(());
        }
        inner.wakers.register_sender(cx);
        Poll::Pending
    }

    /// Waits until the stream is closed.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.machine.state() == State::Closed {
            return Poll::Ready(());
        }
        inner.wakers.register_sender(cx);
        Poll::Pending
    }
}

/// The protocol's side: see [`Port`](super::protocol::Port).
impl Mailbox {
    pub(super) fn poll_wish(&self, has_room: bool, cx: &mut Context<'_>) -> Poll<Wish> {
        let mut inner = self.lock();
        if inner.order != Order::None && !inner.is_close_told {
            inner.is_close_told = true;
            return Poll::Ready(Wish::Close);
        }
        if std::mem::take(&mut inner.is_ping_due) {
            return Poll::Ready(Wish::Ping);
        }
        if has_room
            && !inner.is_close_told
            && let Some(outgoing) = inner.take()
        {
            inner.passed_at = self.timer.now();
            return Poll::Ready(Wish::Send(outgoing));
        }
        inner.wakers.port = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_message(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        let mut inner = self.lock();
        if !inner.is_close_told
            && let Some(outgoing) = inner.take()
        {
            inner.passed_at = self.timer.now();
            return Poll::Ready(outgoing);
        }
        inner.wakers.port = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn take_or_begin(&self) -> Option<Outgoing> {
        let mut inner = self.lock();
        inner.passed_at = self.timer.now();
        let is_asked = std::mem::take(&mut inner.is_asked);
        if let Some(outgoing) = inner.take() {
            return Some(outgoing);
        }
        is_asked.then(|| {
            inner.last_id += 1;
            let id = MessageId(inner.last_id);
            inner.taken.insert(id, 0);
            Outgoing { id, message: Message::new(""), values: Arc::clone(&inner.values) }
        })
    }

    pub(super) fn put_back(&self, outgoing: Outgoing) {
        let mut inner = self.lock();
        if inner.taken.remove(&outgoing.id).is_some() {
            inner.waiting.push_front(outgoing);
        }
    }

    pub(super) fn is_taken(&self, id: MessageId) -> bool {
        self.lock().taken.contains_key(&id)
    }

    pub(super) fn settle(&self, id: MessageId, outcome: Result<Delivery, Error>) {
        let mut inner = self.lock();
        let now = self.timer.now();
        inner.passed_at = now;
        if let Some(len) = inner.taken.remove(&id) {
            inner.outgoing_bytes -= len;
            inner.settle(id, outcome);
            inner.wakers.wake_senders();
        }
    }

    pub(super) fn connected(&self) {
        let mut inner = self.lock();
        let now = self.timer.now();
        (inner.heard_at, inner.passed_at) = (now, now);
        self.handle(&mut inner, Input::Established, None);
        inner.wakers.wake_driver();
    }

    pub(super) fn tell(&self, event: Event) {
        self.lock().tell(event);
    }

    pub(super) fn poll_inbox_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.has_inbox_room() {
            return Poll::Ready(());
        }
        inner.wakers.inbox_room = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn give(&self, message: Message) {
        let mut inner = self.lock();
        let now = self.timer.now();
        (inner.heard_at, inner.passed_at) = (now, now);
        inner.inbox_bytes += message.payload.len();
        inner.inbox.push_back(Ok(message));
        inner.wakers.wake_reader();
    }

    pub(super) fn heard(&self) {
        let mut inner = self.lock();
        let now = self.timer.now();
        (inner.heard_at, inner.passed_at) = (now, now);
    }
}

/// The side of the task that drives the stream.
impl Mailbox {
    /// Is asked whenever something may be to do.
    pub(super) fn register_driver(&self, cx: &Context<'_>) {
        self.lock().wakers.driver = Some(cx.waker().clone());
    }

    /// Follows orders where no connection is in the way, and says what to do.
    pub(super) fn rest(&self) -> Rest {
        let mut inner = self.lock();
        match inner.order {
            Order::Close => self.close(&mut inner),
            Order::Disconnect => {
                inner.order = Order::None;
                if inner.machine.state() == State::Backoff {
                    self.handle(&mut inner, Input::Disconnect, None);
                }
            }
            Order::None => {}
        }
        self.handle(&mut inner, Input::Due, None);
        match inner.machine.state() {
            State::Connecting | State::Connected => {
                (inner.is_close_told, inner.is_ping_due) = (false, false);
                Rest::Over
            }
            State::Closed => Rest::Closed,
            State::Idle | State::Backoff | State::Failed => Rest::Until(inner.machine.deadline()),
        }
    }

    pub(super) fn has_order(&self) -> bool {
        self.lock().order != Order::None
    }

    pub(super) fn set_policy(&self, stream: &StreamPolicy, retry: Option<Retry>) {
        let mut inner = self.lock();
        inner.machine.set_retry(retry, stream.is_opportunistic);
        inner.limits = stream.queue;
    }

    pub(super) fn is_standing(&self) -> bool {
        self.lock().machine.state() == State::Connected
    }

    /// When something last came from the peer, and when something last passed; `None` unless the stream stands, and while it is
    /// the program that holds the peer up.
    pub(super) fn activity(&self) -> Option<(Instant, Instant)> {
        let inner = self.lock();
        let is_heard = inner.machine.state() == State::Connected && inner.has_inbox_room();
        is_heard.then_some((inner.heard_at, inner.passed_at))
    }

    pub(super) fn ping(&self) {
        let mut inner = self.lock();
        inner.is_ping_due = true;
        inner.wakers.wake_port();
    }

    /// All was to be done by now, and is not.
    pub(super) fn out_of_time(&self, error: &Error) {
        let mut inner = self.lock();
        self.handle(&mut inner, Input::OutOfTime, Some(error));
        inner.fail_all(error);
    }

    /// How an attempt has ended, and which of the messages that were taken outlive it.
    pub(super) fn ended(&self, ending: Ending, keeps: impl Fn(MessageId) -> bool) {
        let mut inner = self.lock();
        let order = std::mem::replace(&mut inner.order, Order::None);
        let error = match &ending {
            Ending::Failed { error, .. } => error.clone(),
            Ending::Done => ErrorKind::Closed.into(),
        };
        inner.fail_taken(&error, keeps);
        match (order, ending) {
            (Order::Close, _) => {
                inner.order = order;
                self.close(&mut inner);
            }
            (Order::Disconnect, _) => self.handle(&mut inner, Input::Disconnect, None),
            (Order::None, Ending::Done) => self.handle(&mut inner, Input::Done, None),
            (Order::None, Ending::Failed { error, retry_after }) => {
                self.handle(&mut inner, Input::Failed { retry_after }, Some(&error));
                if inner.machine.state() == State::Failed {
                    inner.fail_all(&error);
                }
            }
        }
        // What was sent meanwhile has asked for a connection.
        if order == Order::None && inner.machine.state() == State::Idle && !inner.waiting.is_empty() {
            self.handle(&mut inner, Input::Send, None);
        }
    }

    fn close(&self, inner: &mut Inner) {
        self.handle(inner, Input::Close, None);
        inner.fail_all(&ErrorKind::Closed.into());
        inner.wakers.wake_reader();
        inner.wakers.wake_observer();
    }
}

/// What the task of a stream does while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing, until this time or until it is woken.
    Until(Option<Instant>),
    /// It makes an attempt.
    Over,
    /// It ends.
    Closed,
}

impl Inner {
    fn has_inbox_room(&self) -> bool {
        self.inbox_bytes < INBOX_BYTES && self.inbox.len() < INBOX_MESSAGES
    }

    fn has_room(&self, len: usize) -> bool {
        let messages = self.waiting.len() + self.taken.len();
        // What is longer than all of the queue would never be sent otherwise.
        messages == 0 || messages < self.limits.messages && self.outgoing_bytes + len <= self.limits.bytes
    }

    fn take(&mut self) -> Option<Outgoing> {
        let outgoing = self.waiting.pop_front()?;
        self.taken.insert(outgoing.id, outgoing.message.payload.len());
        Some(outgoing)
    }

    fn settle(&mut self, id: MessageId, outcome: Result<Delivery, Error>) {
        self.tell(match &outcome {
            Ok(delivery) => Event::Delivered(id, *delivery),
            Err(error) => Event::Undelivered(id, error.clone()),
        });
        if let Some(receipt) = self.receipts.remove(&id) {
            // Whoever has dropped the receipt hears of it by the event.
            let _ = receipt.send(outcome);
        }
    }

    fn fail_taken(&mut self, error: &Error, keeps: impl Fn(MessageId) -> bool) {
        let mut lost: Vec<_> = self.taken.keys().copied().filter(|&id| !keeps(id)).collect();
        lost.sort_unstable();
        for id in lost {
            self.outgoing_bytes -= self.taken.remove(&id).unwrap_or_default();
            self.settle(id, outcome_of(error));
        }
        self.wakers.wake_senders();
    }

    fn fail_all(&mut self, error: &Error) {
        self.fail_taken(error, |_| false);
        for outgoing in std::mem::take(&mut self.waiting) {
            self.outgoing_bytes -= outgoing.message.payload.len();
            self.settle(outgoing.id, outcome_of(error));
        }
        self.wakers.wake_senders();
    }

    fn told(&mut self, output: Output, error: Option<&Error>) {
        let why = || error.cloned().unwrap_or_else(|| ErrorKind::Closed.into());
        let event = match output {
            Output::Connecting(attempt) => Event::Connecting(attempt),
            Output::Connected => Event::Connected,
            Output::Unreachable => Event::Unreachable(why()),
            Output::Disconnected => Event::Disconnected(error.cloned()),
            Output::Backoff(delay) => Event::Backoff(delay),
            Output::AllRetriesFailed => {
                // One is enough for who has not looked since.
                if matches!(self.inbox.back(), Some(Err(_))) {
                    self.inbox.pop_back();
                }
                self.inbox.push_back(Err(why()));
                self.wakers.wake_reader();
                Event::AllRetriesFailed(why())
            }
            Output::Closed => Event::Closed,
        };
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
            self.missed += 1;
        }
        self.events.push_back(event);
        self.wakers.wake_observer();
    }
}

/// What this failure of the stream is to a message: a status that asks to come again is an answer.
fn outcome_of(error: &Error) -> Result<Delivery, Error> {
    match error.kind() {
        ErrorKind::Status(status) => Ok(Delivery::Refused(*status)),
        _ => Err(error.clone()),
    }
}

impl Wakers {
    fn wake_driver(&mut self) {
        // Most of what there is to do is for the protocol, which may have a waker of its own.
        for waker in [self.port.take(), self.driver.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn wake_port(&mut self) {
        if let Some(waker) = self.port.take() {
            waker.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_observer(&mut self) {
        if let Some(waker) = self.observer.take() {
            waker.wake();
        }
    }

    /// Whoever asks again and again is there once.
    fn register_sender(&mut self, cx: &Context<'_>) {
        if !self.senders.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.senders.push(cx.waker().clone());
        }
    }

    fn wake_senders(&mut self) {
        self.senders.drain(..).for_each(Waker::wake);
    }
}

/// So much of what has arrived and is not taken is kept before no more is read.
const INBOX_BYTES: usize = 64 * 1024;
const INBOX_MESSAGES: usize = 1024;

/// So many events are kept.
const MAX_EVENTS: usize = 256;
