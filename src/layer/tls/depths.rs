//! What a TLS client offers to resume, told apart by how deep its layer lies.
//!
//! rustls keeps the sessions of a configuration by the name of the server alone. But two layers of one connection may ask for
//! the same name and mean two peers: a ticket of the outer one, offered to the inner peer, tells it who we are outside, and lets
//! whoever opened it there be believed here.
//!
//! ```text
//!   the wire ── tls, depth 0 ── tls, depth 1 ── the application
//!               sessions of 0   sessions of 1
//! ```
//!
//! So a client has one configuration for each depth, equal but for where sessions are kept. A layer learns its depth when it is
//! put into a stack, and begins its handshake then: rustls takes a ticket out of its store while it makes the ClientHello.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

/// The configurations of a client, one for each depth.
pub(super) struct Depths {
    outermost: Arc<ClientConfig>,
    inner: InnerSessions,
    /// From depth 1 on, made when a layer first lies there: no more of them than stacks in each other have layers.
    deeper: Mutex<BTreeMap<usize, Arc<ClientConfig>>>,
}

/// What layers inside of others keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InnerSessions {
    /// As many as rustls does by itself, for each depth.
    Kept,
    /// None, as the outermost one does.
    Off,
    /// None: where the outermost one keeps its own, a program has said, and that store knows no depth.
    OfAProgram,
}

impl Depths {
    pub(super) fn new(outermost: Arc<ClientConfig>, inner: InnerSessions) -> Self {
        Self { outermost, inner, deeper: Mutex::default() }
    }

    pub(super) fn outermost(&self) -> &Arc<ClientConfig> {
        &self.outermost
    }

    /// The one for a layer with so many between it and the wire.
    fn at(&self, depth: usize) -> Arc<ClientConfig> {
        if depth == 0 {
            return Arc::clone(&self.outermost);
        }
        // What is guarded is whole also when a thread has panicked.
        let mut deeper = self.deeper.lock().unwrap_or_else(PoisonError::into_inner);
        let config = deeper.entry(depth).or_insert_with(|| {
            let mut config = ClientConfig::clone(&self.outermost);
            config.resumption = match self.inner {
                InnerSessions::Kept => Resumption::default(),
                InnerSessions::Off | InnerSessions::OfAProgram => Resumption::disabled(),
            };
            Arc::new(config)
        });
        Arc::clone(config)
    }
}

impl fmt::Debug for Depths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Depths").field("outermost", &self.outermost).field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A client's half of a handshake that has not begun.
pub(super) struct Opener {
    pub(super) depths: Arc<Depths>,
    pub(super) name: ServerName<'static>,
    /// Application protocols (ALPN) instead of those of the configuration.
    pub(super) protocols: Option<Vec<Vec<u8>>>,
    /// How many layers of its kind are between it and the wire, once it has been told.
    pub(super) depth: usize,
}

impl Opener {
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        let config = self.depths.at(self.depth);
        match &self.protocols {
            None => config,
            Some(protocols) => {
                let mut config = ClientConfig::clone(&config);
                config.alpn_protocols.clone_from(protocols);
                Arc::new(config)
            }
        }
    }
}
