//! What all streams of a program have in common.

use std::sync::{Arc, PoisonError, RwLock};

use super::Random;
use super::policy::Destinations;
use crate::runtime::{Runtime, Timer};

/// Shared by all streams of one [`Streams`](super::Streams).
pub(super) struct Shared {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) timer: Arc<dyn Timer>,
    pub(super) random: Random,
    pub(super) destinations: RwLock<Arc<Destinations>>,
}

impl Shared {
    /// Where streams lead to by the policy as it is now.
    pub(super) fn destinations(&self) -> Arc<Destinations> {
        Arc::clone(&self.destinations.read().unwrap_or_else(PoisonError::into_inner))
    }
}
