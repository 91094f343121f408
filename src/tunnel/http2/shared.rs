//! A session and the connection that carries it, shared by all its tunnels.
//!
//! Whoever polls any tunnel drives the carrier: what the session has to say is sent, what has come goes to its streams, deadlines
//! fire. So no task of ours is needed. The carrier is given one waker that stands for everybody who waits, because it remembers
//! one only; what one of them has got further for another, that one is woken for by name.
//!
//! What the carrier has said that it has not, to read or room to write, it is not asked for again before it has woken: most of those
//! who poll have come for bytes that are there already, and each question would be a call of the system.
//!
//! While somebody drives, a wake from the carrier is for them: they go on, and the others sleep (no thundering herd). While nobody does, it
//! is for those who wait for a tunnel, a request, or the end, if there are any: they poll again, or are dropped, which is noticed
//! and has the others woken. A reader or a writer may have turned to something else, so of these all are woken.
//!
//! A tunnel may carry a connection of tunnels itself, whose lock is then taken before that of its carrier: always from the inside
//! out.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::BytesMut;
use futures::io::AsyncWrite;

use super::fault::Fault;
use super::session::{News, Session};
use crate::Connection;
use crate::connection::tree::{Plate, Section, Tree, Trunk};
use crate::driver::{Alarm, MAX_ROUNDS};
use crate::runtime::{Address, Socket};

/// A session and what carries it. Clones are the same.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inside>);

struct Inside {
    /// Of the tunnel that carries it, if one does.
    plate: Option<Arc<Plate>>,
    state: Mutex<State>,
    tasks: Arc<Tasks>,
    all: Waker,
}

pub(super) struct State {
    pub(super) session: Session,
    carrier: Carrier,
    /// What it has shown, and the session had no room for.
    arrived: BytesMut,
    stalled: Stalled,
    /// How much of what the session has to say the carrier was given, all in all.
    given: u64,
    /// How much of that has left the carrier.
    flushed: u64,
    /// How much is to leave before the carrier is given more, because somebody waits for it.
    awaited: Option<u64>,
    /// Whether that has left, and nobody was told yet.
    has_flushed: bool,
    alarm: Alarm,
    /// The number of the next one who waits for something other than a stream.
    next_waiter: u64,
}

/// What the carrier cannot do before it has woken somebody.
#[derive(Clone, Copy, Debug, Default)]
struct Stalled {
    reading: bool,
    writing: bool,
    flushing: bool,
}

enum Carrier {
    Open(Box<Connection<Socket>>),
    /// All has been said, or nothing more can be.
    Closed(Box<Connection<Socket>>),
    Taken,
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Reader(u32),
    Writer(u32),
    /// For whatever is no affair of one stream.
    Waiter(u64),
}

#[derive(Debug, Default)]
struct Tasks {
    waiting: Mutex<HashMap<Who, Waker>>,
    /// [`IDLE`], [`DRIVEN`], [`AGAIN`] or [`WOKEN`].
    driver: AtomicU8,
    /// Whether the carrier has woken since this was last asked.
    has_woken: AtomicBool,
}

impl Shared {
    pub(super) fn new(carrier: Connection<Socket>, session: Session, alarm: Alarm) -> Self {
        let tasks = Arc::new(Tasks { has_woken: AtomicBool::new(true), ..Tasks::default() });
        let all = Waker::from(Arc::clone(&tasks));
        let plate = carrier.plate().cloned();
        let carrier = Carrier::Open(Box::new(carrier));
        let state = Mutex::new(State {
            session,
            carrier,
            arrived: BytesMut::new(),
            stalled: Stalled::default(),
            given: 0,
            flushed: 0,
            awaited: None,
            has_flushed: false,
            alarm,
            next_waiter: 0,
        });
        let shared = Self(Arc::new(Inside { plate, state, tasks, all }));
        if let Some(plate) = &shared.0.plate {
            plate.carries(shared.trunk());
        }
        shared
    }

    /// As what carries tunnels, to be drawn.
    pub(super) fn trunk(&self) -> Weak<dyn Trunk> {
        let inside: Weak<Inside> = Arc::downgrade(&self.0);
        inside
    }

    /// A stream that somebody asks for shows this of itself from now on.
    pub(super) fn label(&self, id: u32, target: &Address) -> Arc<Plate> {
        let carrier = self.0.plate.iter().flat_map(|plate| plate.way().iter().cloned());
        let way = carrier.chain([format!("http2#{id}")]).collect();
        let plate = Plate::new(target.clone(), way, self.trunk());
        self.lock().session.label(id, Arc::clone(&plate));
        plate
    }

    /// All tunnels, and in what they stand.
    pub(super) fn tree(&self) -> Tree {
        let inside: Arc<Inside> = Arc::clone(&self.0);
        Tree::of(inside)
    }

    /// Registers who waits, drives, and looks at what has come of it; what that did is sent too.
    pub(super) fn poll<T>(
        &self,
        who: Who,
        cx: &Context<'_>,
        look: impl FnMut(&mut State, Instant) -> Poll<T>,
    ) -> Poll<T> {
        self.0.tasks.register(who, cx.waker());
        self.act(look)
    }

    /// As [`poll`](Self::poll), for somebody who does not wait.
    pub(super) fn act<T>(&self, mut look: impl FnMut(&mut State, Instant) -> T) -> T {
        let Inside { tasks, all, .. } = &*self.0;
        let mut state = self.lock();
        tasks.driver.store(DRIVEN, Ordering::Release);
        let mut cx = Context::from_waker(all);
        // Otherwise nothing has changed since somebody last drove.
        let mut tired = tasks.has_woken.load(Ordering::Acquire) && state.drive(tasks, &mut cx);
        let now = state.alarm.now();
        let seen = look(&mut state, now);
        tired |= state.drive(tasks, &mut cx);
        for _ in 0..MAX_AGAIN {
            if tasks.driver.compare_exchange(AGAIN, DRIVEN, Ordering::AcqRel, Ordering::Acquire).is_err() {
                break;
            }
            tired |= state.drive(tasks, &mut cx);
        }
        tired |= tasks.driver.swap(IDLE, Ordering::AcqRel) == AGAIN;
        let news = state.session.news();
        let is_flushed = std::mem::take(&mut state.has_flushed);
        drop(state);
        tasks.tell(&news, is_flushed);
        if tired {
            all.wake_by_ref();
        }
        seen
    }

    /// A name for one more who waits.
    pub(super) fn waiter(&self) -> Who {
        let mut state = self.lock();
        state.next_waiter += 1;
        Who::Waiter(state.next_waiter)
    }

    /// Nobody waits under this name any more. If the carrier has woken somebody who has not come, that may have been this one.
    pub(super) fn unregister(&self, who: Who) {
        let Inside { tasks, all, .. } = &*self.0;
        tasks.lock().remove(&who);
        if tasks.driver.load(Ordering::Acquire) == WOKEN {
            all.wake_by_ref();
        }
    }

    /// The carrier, when all has been said, for whoever closes it.
    pub(super) fn take_carrier(&self) -> Option<Connection<Socket>> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.carrier, Carrier::Taken) {
            Carrier::Open(connection) | Carrier::Closed(connection) => Some(*connection),
            Carrier::Taken => None,
        }
    }

    /// What the carrier has to say of itself, while there is one.
    pub(super) fn of_carrier<T>(&self, ask: impl FnOnce(&Connection<Socket>) -> T) -> Option<T> {
        match &self.lock().carrier {
            Carrier::Open(connection) | Carrier::Closed(connection) => Some(ask(connection)),
            Carrier::Taken => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trunk for Inside {
    fn stands_on(&self) -> Option<Arc<Plate>> {
        self.plate.clone()
    }

    fn look(&self, most: usize, wanted: &[Arc<Plate>]) -> Section {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (branches, others) = state.session.look(most, wanted);
        let section = match &state.carrier {
            Carrier::Open(connection) | Carrier::Closed(connection) => Section::of(connection),
            Carrier::Taken => Section::closed(),
        };
        Section { facts: state.session.facts(), branches, others, ..section }
    }
}

/// A wait for something that is no affair of one stream; forgotten when it is over, or dropped.
pub(super) struct Waiting {
    shared: Shared,
    pub(super) who: Who,
}

impl Waiting {
    pub(super) fn new(shared: &Shared, who: Who) -> Self {
        Self { shared: shared.clone(), who }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.unregister(self.who);
    }
}

impl State {
    /// Does all that can be done without waiting, but not without end; whether there was more to do.
    fn drive(&mut self, tasks: &Tasks, cx: &mut Context<'_>) -> bool {
        for _ in 0..MAX_ROUNDS {
            if tasks.has_woken.swap(false, Ordering::AcqRel) {
                self.stalled = Stalled::default();
            }
            self.session.run();
            if !(self.send(cx) | self.receive(cx) | self.fire(cx)) {
                return false;
            }
        }
        true
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let (Carrier::Open(connection), most @ 1..) = (&mut self.carrier, self.session.input_room()) else {
            return false;
        };
        if self.arrived.is_empty() {
            if self.stalled.reading {
                return false;
            }
            match connection.poll_read_to(&mut self.arrived, most, cx) {
                Poll::Pending => {
                    self.stalled.reading = true;
                    return false;
                }
                Poll::Ready(Ok(0)) => {
                    self.session.handle_end(None);
                    return true;
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    self.session.handle_end(Some(Fault::from(io::Error::from(error))));
                    return true;
                }
            }
        }
        self.session.handle_input(self.alarm.now(), &mut self.arrived);
        true
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let Carrier::Open(connection) = &mut self.carrier else {
            // What is over has nobody to say it to.
            let left = self.session.output_len();
            self.session.drop_output();
            return left > 0;
        };
        let mut moved = false;
        loop {
            let most = self.awaited.map_or(u64::MAX, |until| until.saturating_sub(self.given));
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.session.output_len());
            if most == 0 {
                break;
            }
            if self.stalled.writing {
                return moved;
            }
            match self.session.with_output(|output| connection.poll_write_of(output, most, cx)) {
                Poll::Pending => {
                    self.stalled.writing = true;
                    return moved;
                }
                Poll::Ready(Ok(count)) => self.given += count as u64,
                // Why, its reader learns.
                Poll::Ready(Err(_)) => {
                    self.given += self.session.output_len() as u64;
                    self.session.drop_output();
                }
            }
            self.session.run();
            moved = true;
        }
        if self.session.output_len() == 0 && (self.session.is_shut() || self.session.over().is_some()) {
            if self.stalled.writing || Pin::new(connection).poll_close(cx).is_pending() {
                self.stalled.writing = true;
                if moved {
                    self.session.tell_all();
                }
                return moved;
            }
            self.close();
            return true;
        }
        if self.flushed < self.given && !self.stalled.flushing {
            if Pin::new(connection).poll_flush(cx).is_pending() {
                self.stalled.flushing = true;
                return moved;
            }
            self.flushed = self.given;
            if self.awaited.take_if(|until| *until <= self.flushed).is_some() {
                self.has_flushed = true;
                // What was held back for it goes on.
                moved = true;
            }
        }
        moved
    }

    fn close(&mut self) {
        self.session.tell_all();
        self.has_flushed |= self.awaited.take().is_some();
        self.carrier = match std::mem::replace(&mut self.carrier, Carrier::Taken) {
            Carrier::Open(connection) | Carrier::Closed(connection) => Carrier::Closed(connection),
            Carrier::Taken => Carrier::Taken,
        };
    }

    fn fire(&mut self, cx: &mut Context<'_>) -> bool {
        let is_due = self.alarm.is_due(self.session.poll_deadline(), cx);
        if is_due {
            self.session.handle_timeout(self.alarm.now());
        }
        is_due
    }

    /// Waits until so much of what the session has to say has left.
    ///
    /// With many who always have more to say, the carrier would never be found empty. So it is given nothing behind that before it
    /// is: whoever waits, waits for what was said before, and for no more.
    pub(super) fn poll_flushed(&mut self, until: u64) -> Poll<()> {
        if self.is_closed() || self.flushed >= until {
            return Poll::Ready(());
        }
        self.awaited = self.awaited.into_iter().chain([until]).min();
        Poll::Pending
    }

    /// Whether all has been said, or nothing more can be.
    pub(super) fn is_closed(&self) -> bool {
        !matches!(self.carrier, Carrier::Open(_))
    }
}

/// The last one goes: what is left to say is said as far as the socket takes it at once.
impl Drop for Inside {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let cx = &mut Context::from_waker(Waker::noop());
        state.session.leave();
        for last in [false, true] {
            if last {
                state.session.depart();
            }
            self.tasks.has_woken.store(true, Ordering::Release);
            state.drive(&self.tasks, cx);
        }
    }
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, who: Who, waker: &Waker) {
        let mut tasks = self.lock();
        match tasks.get_mut(&who) {
            Some(known) => known.clone_from(waker),
            None => drop(tasks.insert(who, waker.clone())),
        }
    }

    /// Wakes those whom the news is for.
    fn tell(&self, news: &News, is_flushed: bool) {
        if news.streams.is_empty() && !news.is_general && !is_flushed {
            return;
        }
        let mut tasks = self.lock();
        let of_streams = news.streams.iter().flat_map(|id| [Who::Reader(*id), Who::Writer(*id)]);
        let mut woken: Vec<Waker> = of_streams.filter_map(|who| tasks.remove(&who)).collect();
        let is_told = |who: &Who| match who {
            Who::Waiter(_) => news.is_general,
            Who::Writer(_) => is_flushed,
            Who::Reader(_) => false,
        };
        woken.extend(tasks.extract_if(|who, _| is_told(who)).map(|(_, waker)| waker));
        drop(tasks);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_woken.store(true, Ordering::Release);
        let told = self.driver.compare_exchange(DRIVEN, AGAIN, Ordering::AcqRel, Ordering::Acquire);
        if matches!(told, Ok(_) | Err(AGAIN)) {
            return;
        }
        self.driver.store(WOKEN, Ordering::Release);
        let mut tasks = self.lock();
        let is_anyone_there = tasks.keys().any(|who| matches!(who, Who::Waiter(_)));
        let woken: Vec<_> = tasks
            .extract_if(|who, _| !is_anyone_there || matches!(who, Who::Waiter(_)))
            .map(|(_, waker)| waker)
            .collect();
        drop(tasks);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Nobody drives.
const IDLE: u8 = 0;

/// Somebody does.
const DRIVEN: u8 = 1;

/// Somebody does, and the carrier has woken meanwhile.
const AGAIN: u8 = 2;

/// Nobody does, and the carrier has woken somebody.
const WOKEN: u8 = 3;

/// So often a driver goes on because the carrier has woken meanwhile, before others have their turn.
const MAX_AGAIN: usize = 8;
