//! The tunnels of clients that have many over one connection, for whoever wonders what the proxy does (SIGUSR1).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use onionskin::connection::View;

/// The connections that carry many tunnels, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<BTreeMap<u64, (String, View)>>);

/// One of them, for as long as it is served.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    views: &'a Views,
    number: u64,
}

impl Views {
    /// Shows one more from now on, until what comes back is dropped. `title` is what the log calls it.
    pub(super) fn add(&self, number: u64, title: String, view: View) -> Seen<'_> {
        self.lock().insert(number, (title, view));
        Seen { views: self, number }
    }

    /// Draws them into the log, the oldest first.
    pub(super) fn log(&self, live: u64) {
        let views: Vec<_> = self.lock().values().cloned().collect();
        log::info!(live; "connections: {live}, of which carry many tunnels: {}", views.len());
        for (title, tree) in views.iter().take(MOST).filter_map(|(title, view)| Some((title, view.tree()?))) {
            log::info!("{title}:\n{tree:#}");
        }
        if views.len() > MOST {
            log::info!("and {} more", views.len() - MOST);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (String, View)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.views.lock().remove(&self.number);
    }
}

/// So many connections are drawn.
const MOST: usize = 20;
