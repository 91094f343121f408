//! What all streams of a program have in common.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::Random;
use super::policy::Destinations;
use super::protocol::SharedClients;
use crate::runtime::{Runtime, Timer};

/// Shared by all streams of one [`Streams`](super::Streams).
pub(super) struct Shared {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) timer: Arc<dyn Timer>,
    pub(super) random: Random,
    pub(super) destinations: RwLock<Arc<Destinations>>,
    /// Connections that carry the requests of many streams.
    pub(super) clients: SharedClients,
}

impl Shared {
    /// What a calendar says, for dates that servers write.
    pub(super) fn now_of_day(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Where streams lead to by the policy as it is now.
    pub(super) fn destinations(&self) -> Arc<Destinations> {
        Arc::clone(&self.destinations.read().unwrap_or_else(PoisonError::into_inner))
    }
}
