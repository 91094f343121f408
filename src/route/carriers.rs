//! Connections of HTTP/2 to the last proxy of a route, which many tunnels use.
//!
//! # The problem
//!
//! A tunnel in HTTP/2 is a stream, and to go the whole way for each of them is to open a connection with all its handshakes for one
//! stream. But who is first does not know yet whether there will be a connection to share; the proxy may have room for so many
//! streams and no more, or go away; and a connection that nobody drives answers no PING.
//!
//! ```text
//!    asked ──▶ one that has room? ── yes ──▶ a tunnel in it
//!                    │ no
//!                    └──▶ a turn: goes the way ──▶ HTTP/1.1: whoever waits goes too, now and always
//!                           the others wait          HTTP/2: kept, the turn is over ──▶ one that has room?
//! ```
//!
//! # The rule
//!
//! The turn is over as soon as there is a connection, and not when the target has been reached: nobody waits for the target of somebody
//! else. A connection is asked of no more when its proxy goes away, and its tunnels go on. One that is lost under a request takes
//! nothing with it, because nothing was sent in the tunnel: another one is tried.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use futures::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::asked::{Departures, Sharing};
use super::{HopError, RouteError};
use crate::connection::{Connection, Hop};
use crate::runtime::{Address, Runtime, Socket};
use crate::tunnel::ErrorKind;
use crate::tunnel::http2::{Connect, Tunnels};

/// Those to one proxy.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    kept: Arc<Mutex<Vec<Arc<Carrier>>>>,
    turns: Arc<AsyncMutex<()>>,
    /// How many there were so far.
    opened: AtomicU64,
    /// The proxy speaks HTTP/1.1, or an HTTP/2 in which tunnels fail, so there will never be one.
    never: AtomicBool,
}

#[derive(Debug)]
struct Carrier {
    tunnels: Tunnels,
    /// That of a tunnel in it, but for the target, and how many there are before it.
    hop: Hop,
    behind: usize,
    /// How many tunnels were asked for.
    asked: AtomicU64,
}

/// Others wait while somebody has it.
#[derive(Clone, Debug)]
pub(super) struct Turn(Arc<Mutex<Option<OwnedMutexGuard<()>>>>);

impl Turn {
    pub(super) fn end(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Carriers {
    /// A tunnel in one of them; or the turn to go the way, if others are to wait meanwhile.
    ///
    /// # Errors
    ///
    /// What the proxy has said.
    pub(super) async fn open(
        &self,
        target: &Address,
        may_fall_back: bool,
        connect: impl Fn() -> Connect,
    ) -> Result<Result<Connection<Socket>, Option<Turn>>, RouteError> {
        loop {
            if self.never.load(Relaxed) {
                return Ok(Err(None));
            }
            let opened = self.opened.load(Acquire);
            if let Some(tunnel) = self.try_each(target, may_fall_back, &connect).await? {
                return Ok(Ok(tunnel));
            }
            let waited_for = match self.turns.clone().try_lock_owned() {
                Some(turn) if self.opened.load(Acquire) == opened => {
                    return Ok(Err(Some(Turn(Arc::new(Mutex::new(Some(turn)))))));
                }
                Some(_) => None,
                None => Some(Arc::clone(&self.turns).lock_owned().await),
            };
            // Who was waited for has opened none: what has failed for one is not tried by the others one after another.
            if waited_for.is_some() && self.opened.load(Acquire) == opened {
                return Ok(Err(None));
            }
        }
    }

    async fn try_each(
        &self,
        target: &Address,
        may_fall_back: bool,
        connect: &impl Fn() -> Connect,
    ) -> Result<Option<Connection<Socket>>, RouteError> {
        let kept = self.lock().clone();
        for carrier in kept {
            let Carrier { tunnels, hop, behind, asked } = &*carrier;
            asked.fetch_add(1, Relaxed);
            let error = match tunnels.try_open(connect()).await {
                Ok(tunnel) => return Ok(Some(tunnel)),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::TooManyTunnels(_) => continue,
                // What may be done about that is to go the way again, in another HTTP.
                ErrorKind::Http2(_) if may_fall_back => return Ok(None),
                _ => {}
            }
            let is_lost = !tunnels.is_open();
            if is_lost {
                self.lock().retain(|other| !Arc::ptr_eq(other, &carrier));
            }
            if error.is_refused() || !is_lost && !error.is_not_processed() {
                let hop = Hop { target: target.clone(), ..hop.clone() };
                return Err(HopError::new(&hop, *behind, error).into());
            }
        }
        Ok(None)
    }

    /// Keeps this one for others.
    pub(super) fn keep(&self, tunnels: &Tunnels, hop: &Hop, behind: usize, sharing: Sharing) {
        let carrier = Carrier { tunnels: tunnels.clone(), hop: hop.clone(), behind, asked: AtomicU64::new(1) };
        let carrier = Arc::new(carrier);
        self.lock().push(Arc::clone(&carrier));
        self.opened.fetch_add(1, AcqRel);
        let kept = Arc::clone(&self.kept);
        sharing.runtime.spawn(Box::pin(async move {
            carrier.look_after(sharing).await;
            lock(&kept).retain(|other| !Arc::ptr_eq(other, &carrier));
            // Why it is over, its tunnels know.
            let _ = carrier.tunnels.clone().shutdown().await;
        }));
    }

    /// Keeps none, now and always.
    pub(super) fn never(&self) {
        self.never.store(true, Relaxed);
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Carrier>>> {
        lock(&self.kept)
    }
}

impl Carrier {
    /// Drives it until it is over, or has had no tunnel for too long; says once when its proxy goes away.
    async fn look_after(&self, Sharing { runtime, idle, departures }: Sharing) {
        let telling = async {
            if let Some(Departures(tell)) = departures
                && self.tunnels.goes_away().await
            {
                tell();
            }
            pending::<()>().await;
        };
        // Who goes away with nothing left to do is over at once: that is told first.
        select(pin!(telling), pin!(self.drive(runtime, idle))).await;
    }

    async fn drive(&self, runtime: &'static dyn Runtime, idle: Option<Duration>) {
        let mut asked = 0;
        loop {
            let time = async {
                match idle {
                    Some(idle) => runtime.sleep_until(runtime.now() + idle).await,
                    None => pending().await,
                }
            };
            match select(pin!(self.tunnels.drive()), pin!(time)).await {
                Either::Left(_) => return,
                Either::Right(_) => {}
            }
            let now = self.asked.load(Relaxed);
            if self.tunnels.is_empty() && asked == now {
                return;
            }
            asked = now;
        }
    }
}

fn lock(kept: &Mutex<Vec<Arc<Carrier>>>) -> MutexGuard<'_, Vec<Arc<Carrier>>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
