//! Who has what: a shelf for those that are idle, a queue for each peer, and the right to have one open.
//!
//! Whatever is open has a [`Permit`] of its peer, wherever it is: on the shelf, in use, being opened, being closed. When a permit
//! is dropped, the next in the queue gets one. So none is counted twice or forgotten, whoever gives up wherever.
//!
//! ```text
//!   take ──► an item of the shelf, the one that was idle for the shortest time (LIFO: those behind it run out)
//!        ──► else a permit to open one, if fewer are open than may be
//!        ──► else a place in the queue (FIFO), which ends in an item or in a permit
//! ```
//!
//! It knows neither connections nor a clock, so that a model can be held against it. Nothing of the caller's runs, and nothing is
//! dropped, while the shelf is locked.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use futures::channel::oneshot;

use super::event::Dismissal;
use super::limits::Limits;

/// All that is idle, and who waits.
pub(super) struct Shelf<T> {
    limits: Limits,
    state: Mutex<State<T>>,
}

struct State<T> {
    idle: HashMap<ItemNumber, Resting<T>>,
    /// All that is idle by its place, what was idle for the longest first.
    order: BTreeMap<u64, ItemNumber>,
    deadlines: BTreeSet<(Instant, ItemNumber)>,
    peers: HashMap<u64, Queue<T>>,
    next_place: u64,
    next_item: u64,
    open: usize,
    is_watched: bool,
    is_closed: bool,
}

struct Queue<T> {
    open: usize,
    /// The places of what is idle.
    idle: BTreeSet<u64>,
    waiting: VecDeque<oneshot::Sender<Handed<T>>>,
}

struct Resting<T> {
    item: Item<T>,
    deadline: Instant,
}

/// What tells one item from another for as long as the shelf lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ItemNumber(u64);

/// Something that can be kept, with its permit.
pub(super) struct Item<T> {
    pub(super) value: T,
    pub(super) number: ItemNumber,
    pub(super) born: Instant,
    pub(super) since: Instant,
    pub(super) uses: u32,
    /// Its place among all that is idle; it has none while it is in use.
    place: Option<u64>,
    pub(super) permit: Permit<T>,
}

/// The right to have one open to a peer.
pub(super) struct Permit<T> {
    shelf: Arc<Shelf<T>>,
    peer: u64,
}

/// What comes to who waits.
pub(super) enum Handed<T> {
    Item(Item<T>),
    Permit(Permit<T>),
}

/// What there is for who asks.
pub(super) enum Taken<T> {
    Item(Item<T>),
    Permit(Permit<T>),
    /// It comes; or nothing does, if the shelf is closed.
    Wait(oneshot::Receiver<Handed<T>>),
    /// So many wait already.
    TooMany(usize),
    Closed,
}

/// What has become of what was given.
pub(super) enum Given<T> {
    Shelved {
        /// What had to make room.
        crowded_out: Option<Item<T>>,
        /// Whether somebody is to look after the shelf who does not yet.
        needs_watch: bool,
        /// Whether its time is over before that of all others.
        is_first_due: bool,
    },
    /// Somebody had waited for it.
    Handed,
    /// It cannot be kept.
    Refused(Item<T>, Dismissal),
}

impl<T> Item<T> {
    /// Whether it is fresh from a user, and not only looked at while it was idle.
    pub(super) fn is_given_back(&self) -> bool {
        self.place.is_none()
    }
}

impl<T> Shelf<T> {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            idle: HashMap::new(),
            order: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            peers: HashMap::new(),
            next_place: 0,
            next_item: 0,
            open: 0,
            is_watched: false,
            is_closed: false,
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// One that is idle, the right to open one, or a place in the queue.
    pub(super) fn take(self: &Arc<Self>, peer: u64) -> Taken<T> {
        let mut state = self.lock();
        if state.is_closed {
            return Taken::Closed;
        }
        if let Some(number) = state.latest_of(peer) {
            let mut item = state.unshelve(number).expect("what has a place is on the shelf");
            item.place = None;
            return Taken::Item(item);
        }
        let queue = state.peers.entry(peer).or_default();
        if queue.open < self.limits.open_per_peer {
            queue.open += 1;
            state.open += 1;
            return Taken::Permit(self.permit(peer));
        }
        if queue.waiting.len() >= self.limits.waiting_per_peer {
            queue.waiting.retain(|waiting| !waiting.is_canceled());
            if queue.waiting.len() >= self.limits.waiting_per_peer {
                return Taken::TooMany(queue.waiting.len());
            }
        }
        let (sender, receiver) = oneshot::channel();
        queue.waiting.push_back(sender);
        Taken::Wait(receiver)
    }

    /// The right to open one more for later, if nobody waits and there is room for it to be idle.
    pub(super) fn reserve(self: &Arc<Self>, peer: u64) -> Option<Permit<T>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        let queue = state.peers.entry(peer).or_default();
        if queue.open >= self.limits.open_per_peer {
            return None;
        }
        queue.open += 1;
        state.open += 1;
        Some(self.permit(peer))
    }

    /// Something new, which was opened with this permit.
    pub(super) fn item(&self, value: impl FnOnce(ItemNumber) -> T, permit: Permit<T>, now: Instant) -> Item<T> {
        let number = {
            let mut state = self.lock();
            state.next_item += 1;
            ItemNumber(state.next_item)
        };
        Item { value: value(number), number, born: now, since: now, uses: 0, place: None, permit }
    }

    /// Gives it to who waits, or puts it on the shelf; where it was, if it was picked from there.
    pub(super) fn give(&self, mut item: Item<T>, now: Instant) -> Given<T> {
        if item.is_given_back() {
            item.since = now;
        }
        if let Err(why) = self.check(&item, now) {
            return Given::Refused(item, why);
        }
        loop {
            let mut state = self.lock();
            if state.is_closed {
                return Given::Refused(item, Dismissal::Closed);
            }
            let Some(waiting) = state.next_waiting(item.permit.peer) else {
                return self.shelve(state, item);
            };
            drop(state);
            match waiting.send(Handed::Item(item)) {
                Ok(()) => return Given::Handed,
                Err(Handed::Item(back)) => item = back,
                Err(Handed::Permit(_)) => unreachable!("what comes back is what was sent"),
            }
        }
    }

    /// Whether an item may be given out, as far as its age and its uses go.
    pub(super) fn check(&self, item: &Item<T>, now: Instant) -> Result<(), Dismissal> {
        if item.uses >= self.limits.uses {
            return Err(Dismissal::Uses);
        }
        if now.saturating_duration_since(item.born) >= self.limits.age {
            return Err(Dismissal::Age);
        }
        if now.saturating_duration_since(item.since) >= self.limits.idle_time {
            return Err(Dismissal::IdleTime);
        }
        Ok(())
    }

    /// Takes this one off the shelf, if it is there.
    pub(super) fn pick(&self, number: ItemNumber) -> Option<Item<T>> {
        self.lock().unshelve(number)
    }

    /// Takes one off the shelf whose time is over.
    pub(super) fn overdue(&self, now: Instant) -> Option<Item<T>> {
        let mut state = self.lock();
        let &(deadline, number) = state.deadlines.first()?;
        if deadline > now {
            return None;
        }
        state.unshelve(number)
    }

    /// When the time of the next one is over. `None` if the shelf is empty: then nobody needs to look after it any more.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let mut state = self.lock();
        let deadline = state.deadlines.first().map(|&(deadline, _)| deadline);
        state.is_watched = deadline.is_some();
        deadline
    }

    /// Takes all off the shelf.
    pub(super) fn clear(&self) -> Vec<Item<T>> {
        self.lock().clear()
    }

    /// Takes all off the shelf, and gives and keeps nothing any more.
    pub(super) fn close(&self) -> Vec<Item<T>> {
        let mut state = self.lock();
        state.is_closed = true;
        let waiting: Vec<_> = state.peers.values_mut().flat_map(|queue| std::mem::take(&mut queue.waiting)).collect();
        let items = state.clear();
        drop(state);
        drop(waiting);
        items
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many are idle, are open, and wait.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let waiting = state.peers.values().flat_map(|queue| &queue.waiting).filter(|waiting| !waiting.is_canceled());
        (state.idle.len(), state.open, waiting.count())
    }

    /// How many are idle to this peer.
    pub(super) fn idle_of(&self, peer: u64) -> usize {
        self.lock().peers.get(&peer).map_or(0, |queue| queue.idle.len())
    }

    fn shelve(&self, mut state: MutexGuard<'_, State<T>>, mut item: Item<T>) -> Given<T> {
        if self.limits.idle == 0 || self.limits.idle_per_peer == 0 {
            drop(state);
            return Given::Refused(item, Dismissal::Crowded);
        }
        let (number, peer) = (item.number, item.permit.peer);
        let (by_idleness, by_age) =
            (item.since.checked_add(self.limits.idle_time), item.born.checked_add(self.limits.age));
        // A time that no clock will show never comes.
        let deadline = [by_idleness, by_age].into_iter().flatten().min().unwrap_or(item.since + FAR);
        let place = item.place.unwrap_or(state.next_place);
        item.place = Some(place);
        state.next_place += 1;
        state.order.insert(place, number);
        state.deadlines.insert((deadline, number));
        let is_first_due = state.deadlines.first() == Some(&(deadline, number));
        let queue = state.peers.entry(peer).or_default();
        queue.idle.insert(place);
        let is_crowded = queue.idle.len() > self.limits.idle_per_peer;
        let eldest_of_peer = queue.idle.first().copied().filter(|_| is_crowded);
        state.idle.insert(number, Resting { item, deadline });
        let is_crowded = state.idle.len() > self.limits.idle;
        let eldest = state.order.first_key_value().map(|(place, _)| *place).filter(|_| is_crowded);
        let crowded_out = eldest_of_peer.or(eldest).and_then(|place| {
            let number = state.order.get(&place).copied()?;
            state.unshelve(number)
        });
        let needs_watch = !std::mem::replace(&mut state.is_watched, true);
        Given::Shelved { crowded_out, needs_watch, is_first_due }
    }

    fn permit(self: &Arc<Self>, peer: u64) -> Permit<T> {
        Permit { shelf: Arc::clone(self), peer }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("nothing panics while it has the shelf")
    }
}

impl<T> State<T> {
    fn unshelve(&mut self, number: ItemNumber) -> Option<Item<T>> {
        let Resting { item, deadline } = self.idle.remove(&number)?;
        let place = item.place.expect("what is on the shelf has a place");
        self.order.remove(&place);
        self.deadlines.remove(&(deadline, number));
        if let Some(queue) = self.peers.get_mut(&item.permit.peer) {
            queue.idle.remove(&place);
        }
        Some(item)
    }

    /// What was idle to this peer for the shortest time.
    fn latest_of(&self, peer: u64) -> Option<ItemNumber> {
        let place = self.peers.get(&peer)?.idle.last()?;
        self.order.get(place).copied()
    }

    fn next_waiting(&mut self, peer: u64) -> Option<oneshot::Sender<Handed<T>>> {
        let queue = self.peers.get_mut(&peer)?;
        loop {
            let waiting = queue.waiting.pop_front()?;
            if !waiting.is_canceled() {
                return Some(waiting);
            }
        }
    }

    fn clear(&mut self) -> Vec<Item<T>> {
        let numbers: Vec<_> = self.order.values().copied().collect();
        numbers.into_iter().filter_map(|number| self.unshelve(number)).collect()
    }
}

impl<T> Drop for Permit<T> {
    /// Gives the right to the next in the queue.
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.shelf.lock();
            let waiting = state.next_waiting(self.peer);
            if waiting.is_none() {
                state.open -= 1;
                let queue = state.peers.get_mut(&self.peer).expect("a peer with a permit is known");
                queue.open -= 1;
                if queue.open == 0 {
                    // Nothing is open, so nothing is idle, and nobody waits.
                    state.peers.remove(&self.peer);
                }
            }
            waiting
        };
        if let Some(waiting) = waiting {
            // If nobody is there any more, this one is dropped in its turn.
            drop(waiting.send(Handed::Permit(self.shelf.permit(self.peer))));
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { open: 0, idle: BTreeSet::new(), waiting: VecDeque::new() }
    }
}

/// A deadline for what has none.
const FAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
#[path = "tests/shelf.rs"]
mod tests;
