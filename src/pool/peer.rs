//! Whom connections lead to.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use futures::channel::oneshot;
use futures::future::join_all;

use super::error::{PoolError, PoolErrorKind};
use super::event::Event;
use super::pooled::{Member, Pooled};
use super::shelf::{Handed, Item, Permit, Taken};
use super::{Key, PATIENCE, Pool, Shared};
use crate::connection::{Addresses, Connection};
use crate::endpoint::{Connector, OpenError};
use crate::route::Asked;
use crate::runtime::Socket;

/// Whom connections of a [`Pool`] lead to, and how. While one is kept, so is what its files said.
#[derive(Clone)]
pub struct Peer {
    pool: Pool,
    origin: Arc<Origin>,
}

/// What all connections of a key have in common.
pub(super) struct Origin {
    pub(super) number: u64,
    pub(super) key: Key,
    pub(super) connector: Connector,
}

impl Peer {
    pub(super) fn new(pool: Pool, origin: Arc<Origin>) -> Self {
        Self { pool, origin }
    }

    /// What makes its connections the same.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.origin.key
    }

    /// A connection: the one that was idle for the shortest time and is quiet, or else a new one. Where as many are open
    /// as may be, it waits until one is given back or closed; those who wait have their turn in order. There is no limit of time to that, so race it against a timer where there is to be one.
    ///
    /// A connection that was idle may have been ended by its peer a moment ago, and nobody can know yet. If the first thing
    /// that is said over it fails and it [was used before](Pooled::is_reused), and if it does no harm when it is said twice, say it again over another one.
    ///
    /// # Errors
    ///
    /// When a new one cannot be opened; when too many wait; when the pool was closed.
    ///
    /// # Cancellation
    ///
    /// Closes what was being opened, and leaves the queue. What was just handed over goes to the next.
    pub async fn take(&self) -> Result<Pooled, PoolError> {
        let result = self.try_take().await;
        if let Err(error) = &result {
            self.shared().tell(&Event::Failed { key: self.key(), error });
        }
        result
    }

    async fn try_take(&self) -> Result<Pooled, PoolError> {
        loop {
            let handed = match self.shared().shelf.take(self.origin.number) {
                Taken::Item(item) => Handed::Item(item),
                Taken::Permit(permit) => Handed::Permit(permit),
                Taken::Wait(receiver) => {
                    self.shared().tell(&Event::Waiting { key: self.key() });
                    let place = Place { receiver, shared: self.shared() };
                    place.wait().await.ok_or(PoolErrorKind::Closed)?
                }
                Taken::TooMany(waiting) => return Err(PoolErrorKind::TooManyWaiting(waiting).into()),
                Taken::Closed => return Err(PoolErrorKind::Closed.into()),
            };
            match handed {
                Handed::Permit(permit) => {
                    let item = self.open(permit).await?;
                    return Ok(Pooled::new(Arc::clone(self.shared()), item));
                }
                Handed::Item(item) => {
                    if let Some(item) = self.shared().if_quiet(item) {
                        return Ok(Pooled::new(Arc::clone(self.shared()), item));
                    }
                }
            }
        }
    }

    /// Opens connections until `count` are idle, or as many as may be, all at a time. How many were opened.
    ///
    /// # Errors
    ///
    /// When one of them could not be opened, the first such error; those that could be are there.
    ///
    /// # Cancellation
    ///
    /// Closes those that are being opened.
    pub async fn warm(&self, count: usize) -> Result<usize, PoolError> {
        let shelf = &self.shared().shelf;
        let missing = count.min(shelf.limits().idle_per_peer).saturating_sub(shelf.idle_of(self.origin.number));
        let permits = (0..missing).map_while(|_| shelf.reserve(self.origin.number));
        let mut opened = 0;
        let mut failed = None;
        for result in join_all(permits.map(|permit| self.open(permit))).await {
            match result {
                Ok(item) => {
                    opened += 1;
                    self.shared().rest(item);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => {
                self.shared().tell(&Event::Failed { key: self.key(), error: &error });
                Err(error)
            }
            None => Ok(opened),
        }
    }

    /// Whether a connection can be opened now, with all handshakes: opens one that is not of the pool, and closes it gracefully.
    ///
    /// # Errors
    ///
    /// As [`Connector::connect`].
    ///
    /// # Cancellation
    ///
    /// Closes it as it is.
    pub async fn check(&self) -> Result<(), OpenError> {
        let connection = self.connect().await?;
        // That it could be opened is what was asked.
        let _ = connection.leave(PATIENCE).await;
        Ok(())
    }

    async fn open(&self, permit: Permit<Box<Member>>) -> Result<Item<Box<Member>>, PoolError> {
        let shared = self.shared();
        let (generation, begun) = (shared.generation(), shared.timer.now());
        let connection = self.connect().await?;
        let now = shared.timer.now();
        shared.tell(&Event::Opened { key: self.key(), took: now.saturating_duration_since(begun) });
        let member = |number| {
            let bell = shared.woken.bell(number);
            Box::new(Member::new(connection, Arc::clone(&self.origin), generation, bell))
        };
        Ok(shared.shelf.item(member, permit, now))
    }

    async fn connect(&self) -> Result<Connection<Socket>, OpenError> {
        let Key { target, client, .. } = self.key();
        let connector = &self.origin.connector;
        match (target, client) {
            (Some(target), client) => {
                let nobody = Addresses::default();
                connector.connect_to(Asked::new(target.clone()), client.as_ref().unwrap_or(&nobody)).await
            }
            (None, Some(client)) => connector.connect_for(client).await,
            (None, None) => connector.connect().await,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.pool.0
    }
}

/// A place in the queue. Who leaves it with something in hand hands it on.
struct Place<'a> {
    receiver: oneshot::Receiver<Handed<Box<Member>>>,
    shared: &'a Arc<Shared>,
}

impl Place<'_> {
    async fn wait(mut self) -> Option<Handed<Box<Member>>> {
        pin!(&mut self.receiver).await.ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Some(Handed::Item(item))) = self.receiver.try_recv() {
            self.shared.rest(item);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.key().to_string()).finish()
    }
}
