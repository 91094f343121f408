//! A pool: connections that are used again, with all their layers and all the proxies before them.
//!
//! # The problem
//!
//! A connection through a proxy and two layers of TLS costs a dozen round trips, and a request over it one. So it is kept. What is
//! kept must be **the same** to whoever gets it next: to the same target, by the same way, with the same trust, as the same client.
//! And it must be **quiet**: nobody has said anything since, in any layer.
//!
//! ```text
//!                      take                              give_back
//!   a Peer ──────────────────────────►  Pooled  ────────────────────────►  idle
//!     │     one that is idle and quiet,    │  quiet, whole, as it was opened │
//!     │     or the right to open one,      └── dropped: closed               │  watched by one task:
//!     │     or a place in the queue                                          │  a byte, an end, an alert,
//!     └──────────────────────────────────────────────────────────────────────┘  its time: closed
//! ```
//!
//! # The rules
//!
//! - **The key is a value.** Two peers share connections if the whole [`Key`] is equal: every step of the endpoint with every
//!   key in it, whom a PROXY header speaks for, whom a proxy is asked for, and a group of your own. A hash finds it, and decides nothing.
//! - **Quiet in every layer.** The innermost layer is asked whether there is anything to read. Tickets of TLS 1.3 are taken by
//!   their layer and are nothing; a late close_notify, an alert or one byte, in whichever layer, is the end of it.
//! - **One carrier for many.** Where the last proxy speaks HTTP/2, what is opened to it is one connection with many tunnels
//!   ([`Connector::sharing`]); when it goes away (GOAWAY), its tunnels go on, and new ones are opened over another one.
//! - **Given back on purpose.** Only who has spoken a protocol knows whether an answer is whole. What is dropped is closed.
//! - **Closed from the inside out**, gracefully, with all that the layers have to say at their end.
//!
//! ```no_run
//! use futures::io::AsyncWriteExt;
//! use onionskin::pool::{Limits, Pool};
//!
//! # async fn ask(runtime: &'static dyn onionskin::runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(runtime, Limits::default());
//! let peer = pool.peer("tcp:proxy.example:3128+connect:origin.example:7000+tls".parse::<onionskin::endpoint::Endpoint>()?)?;
//! let mut conn = peer.take().await?;
//! conn.write_all(b"PING\n").await?;
//! let _answer = conn.read_line().await?;
//! conn.give_back();
//! # Ok(())
//! # }
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `peer.rs`, `key.rs` | whom connections lead to, and what makes two of them the same |
//! | `pooled.rs` | a connection that was taken |
//! | `shelf.rs` | who has what, who waits, and who is thrown out: no I/O, no clock |
//! | `watch.rs` | the one task that looks after all that are idle |
//! | `limits.rs`, `event.rs`, `error.rs` | how many, what has happened, and what can go wrong |

mod error;
mod event;
mod key;
mod limits;
mod peer;
mod pooled;
mod shelf;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use futures::future::join_all;

pub use self::error::{PoolError, PoolErrorKind};
use self::event::Tally;
pub use self::event::{Dismissal, Event, Statistics};
pub use self::key::Key;
pub use self::limits::Limits;
use self::peer::Origin;
pub use self::peer::Peer;
use self::pooled::Member;
pub use self::pooled::Pooled;
use self::shelf::{Given, Item, Shelf};
use self::watch::{Woken, watch};
use crate::endpoint::{Connector, Endpoint, OpenError};
use crate::route::Departures;
use crate::runtime::{Runtime, Timer};

/// Connections that are used again. Clones are the same pool.
///
/// When the last clone and the last [`Peer`] are dropped, those that are idle are dropped too; [`close`](Self::close) closes them gracefully.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    runtime: &'static dyn Runtime,
    timer: Arc<dyn Timer>,
    shelf: Arc<Shelf<Box<Member>>>,
    origins: Mutex<Origins>,
    woken: Arc<Woken>,
    /// How often the files were read again: what was opened before is not used again.
    generation: AtomicU64,
    tally: Tally,
    observer: OnceLock<Box<Observer>>,
}

/// Who hears of everything.
type Observer = dyn Fn(&Event<'_>) + Send + Sync;

#[derive(Default)]
struct Origins {
    by_key: HashMap<Key, Weak<Origin>>,
    next: u64,
    /// With how many keys those that nobody has any more are taken out.
    sweep_at: usize,
}

impl Pool {
    /// An empty pool on this runtime.
    pub fn new(runtime: &'static dyn Runtime, limits: Limits) -> Self {
        Self::with_timer(runtime, limits, Arc::new(runtime))
    }

    /// The same, where times are taken from this clock: for tests.
    pub fn with_timer(runtime: &'static dyn Runtime, limits: Limits, timer: Arc<dyn Timer>) -> Self {
        Self(Arc::new(Shared {
            runtime,
            timer,
            shelf: Shelf::new(limits),
            origins: Mutex::default(),
            woken: Arc::default(),
            generation: AtomicU64::new(0),
            tally: Tally::default(),
            observer: OnceLock::new(),
        }))
    }

    /// Tells `observer` of everything that happens, on whatever thread it happens: it is to be quick, and to call nothing of the pool.
    /// Only the first observer is taken.
    #[must_use]
    pub fn observed_by(self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        let _ = self.0.observer.set(Box::new(observer));
        self
    }

    /// Whom connections are to lead to. Its files are read unless there is an equal peer already; a [`Peer`] that is kept keeps them, with the
    /// TLS sessions that can be resumed.
    ///
    /// # Errors
    ///
    /// As [`Connector::new`].
    pub fn peer(&self, key: impl Into<Key>) -> Result<Peer, OpenError> {
        let key = key.into();
        loop {
            if let Some(peer) = self.try_peer(&key)? {
                return Ok(peer);
            }
        }
    }

    /// The peer, unless files were read again while its own were: what is in them may be old.
    fn try_peer(&self, key: &Key) -> Result<Option<Peer>, OpenError> {
        if let Some(origin) = self.0.origins().by_key.get(key).and_then(Weak::upgrade) {
            return Ok(Some(Peer::new(self.clone(), origin)));
        }
        let generation = self.0.generation();
        let connector = Connector::new(self.0.runtime, &key.endpoint)?;
        // Tunnels of HTTP/2 have one connection to their proxy, which stays for as long as one of them may be idle.
        let connector = connector.sharing(Some(self.0.shelf.limits().idle_time)).hearing_of(self.departures(key));
        let mut origins = self.0.origins();
        // Somebody else may have been faster.
        if let Some(origin) = origins.by_key.get(key).and_then(Weak::upgrade) {
            return Ok(Some(Peer::new(self.clone(), origin)));
        }
        if self.0.generation() != generation {
            return Ok(None);
        }
        if origins.by_key.len() >= origins.sweep_at {
            origins.by_key.retain(|_, origin| origin.strong_count() > 0);
            origins.sweep_at = (2 * origins.by_key.len()).max(64);
        }
        let origin = Arc::new(Origin { number: origins.next, key: key.clone(), connector });
        origins.next += 1;
        origins.by_key.insert(key.clone(), Arc::downgrade(&origin));
        Ok(Some(Peer::new(self.clone(), origin)))
    }

    /// Tells of proxies that go away.
    fn departures(&self, key: &Key) -> Departures {
        let (shared, key) = (Arc::downgrade(&self.0), key.clone());
        Departures(Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.tell(&Event::GoingAway { key: &key });
            }
        }))
    }

    /// A connection to this endpoint: [`peer`](Self::peer) and [`Peer::take`] in one.
    ///
    /// # Errors
    ///
    /// As those.
    ///
    /// # Cancellation
    ///
    /// As [`Peer::take`].
    pub async fn take(&self, endpoint: &Endpoint) -> Result<Pooled, PoolError> {
        self.peer(endpoint.clone())?.take().await
    }

    /// Reads the files of all peers again (certificates, keys, trust anchors, passwords), and closes what is idle. What is in
    /// use now is closed when it is given back. For a peer whose files are wrong nothing changes but that: the first such error is returned.
    ///
    /// # Errors
    ///
    /// As [`Connector::reload`].
    ///
    /// # Cancellation
    ///
    /// May leave some of the peers as they were; none of them half.
    pub async fn reload(&self) -> Result<(), OpenError> {
        // Also where it is not gone through with: what is idle was opened by files that somebody holds to be old.
        self.0.outdate();
        let origins: Vec<Arc<Origin>> = self.0.origins().by_key.values().filter_map(Weak::upgrade).collect();
        let results = join_all(origins.iter().map(|origin| origin.connector.reload())).await;
        // Who has connected while files were read may have done so by the old ones.
        self.0.outdate();
        results.into_iter().collect()
    }

    /// Closes the pool: what is idle is closed gracefully, whoever waits or comes later is refused
    /// ([`PoolError::is_closed`]), and what is in use is closed when it is given back. Idempotent.
    pub fn close(&self) {
        self.0.dismiss_all(self.0.shelf.close(), Dismissal::Closed);
    }

    /// What has happened so far, and how it stands.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (idle, open, waiting) = self.0.shelf.counts();
        self.0.tally.read(idle, open, waiting)
    }
}

impl Shared {
    fn origins(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().expect("nothing panics while it looks for a peer")
    }

    fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// Uses nothing again that was opened before.
    fn outdate(&self) {
        self.generation.fetch_add(1, SeqCst);
        self.dismiss_all(self.shelf.clear(), Dismissal::Outdated);
    }

    fn tell(&self, event: &Event<'_>) {
        self.tally.count(event);
        if let Some(observer) = self.observer.get() {
            observer(event);
        }
    }

    /// One that can be given out, or nothing if it cannot.
    fn if_quiet(&self, mut item: Item<Box<Member>>) -> Option<Item<Box<Member>>> {
        let now = self.timer.now();
        let mut nobody = Context::from_waker(Waker::noop());
        let check = self.shelf.check(&item, now).and_then(|()| item.value.check(self.generation(), &mut nobody));
        match check {
            Ok(()) => {
                let idle = now.saturating_duration_since(item.since);
                self.tell(&Event::Reused { key: &item.value.origin.key, idle, uses: item.uses });
                Some(item)
            }
            Err(why) => {
                self.dismiss(item, why);
                None
            }
        }
    }

    /// Keeps one until it is used again, or closes it if it cannot be.
    fn rest(self: &Arc<Self>, mut item: Item<Box<Member>>) {
        let bell = Arc::clone(&item.value.bell);
        if let Err(why) = item.value.check(self.generation(), &mut Context::from_waker(&bell.listen())) {
            return self.dismiss(item, why);
        }
        let (origin, is_given_back) = (Arc::clone(&item.value.origin), item.is_given_back());
        match self.shelf.give(item, self.timer.now()) {
            Given::Handed => {}
            Given::Refused(item, why) => self.dismiss(item, why),
            Given::Shelved { crowded_out, needs_watch, is_first_due } => {
                if is_given_back {
                    self.tell(&Event::GivenBack { key: &origin.key });
                }
                if let Some(item) = crowded_out {
                    self.dismiss(item, Dismissal::Crowded);
                }
                bell.ring_if_unheard();
                if needs_watch {
                    self.runtime.spawn(Box::pin(watch(Arc::downgrade(self))));
                } else if is_first_due {
                    self.woken.wake_task();
                }
            }
        }
    }

    fn dismiss_all(&self, items: Vec<Item<Box<Member>>>, why: Dismissal) {
        for item in items {
            self.dismiss(item, why);
        }
    }

    /// Closes one that is not used again, from the inside out. It counts as open until it is closed.
    fn dismiss(&self, item: Item<Box<Member>>, why: Dismissal) {
        self.tell(&Event::Dismissed { key: &item.value.origin.key, why });
        log::debug!("{}: closed after {} uses: {why}", item.value.origin.key, item.uses);
        if why == Dismissal::Lost {
            return;
        }
        let Item { value, permit, .. } = item;
        self.runtime.spawn(Box::pin(async move {
            let _ = value.connection.leave(PATIENCE).await;
            drop(permit);
        }));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.shelf.close());
        // The task that watches finds nothing more to watch.
        self.woken.wake_task();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.statistics()).finish()
    }
}

/// How long a peer may take to close its side of a connection that is not used again.
const PATIENCE: Duration = Duration::from_secs(2);
