//! What a server gives its clients to resume a session with (RFC 8446 section 4.6.1, RFC 5077).
//!
//! A ticket *is* the session, sealed with a key that only servers have, those of this process unless said otherwise; so the server keeps nothing, whatever
//! number of clients it has, and any server of the process could resume it. May it? A session that is resumed skips all that the
//! first handshake has looked at: the client does not look at the certificate again, and the server not at the client's. So a
//! ticket is good where the first handshake would have gone the same way, and nowhere else:
//!
//! ```text
//!   sealed:   world │ verified at │ what rustls needs to resume
//!             ──┬──   ─────┬─────
//!               │          └ when certificates were last shown: a day later they are shown again
//!               └ digest of the certificates that the server shows, for which names, and of whom it demands one
//! ```
//!
//! Otherwise a client that was let in without a certificate could go on where one is demanded, and whoever can lead connections
//! astray could take a client's session with one server to another of the same name. That the name is the same rustls sees to,
//! cipher suite and version as well.
//!
//! Files that are read again and are the same make the same world. Two servers of one process that are the same share one, be they
//! at two ports or at two depths of one connection.
//!
//! The keys are rustls's: made at random, new ones every six hours, and gone six hours after that. Or they are in a file for several
//! processes (`ticket_keys.rs`), and live as long as the operator has them there. What a ticket is good for is the same.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::Output;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

use super::config::Roots;
use super::ticket_keys::TicketKeys;

/// The tickets of servers of one world.
#[derive(Clone)]
pub(super) struct Tickets {
    keys: Arc<dyn ProducesTickets>,
    world: Arc<[u8]>,
}

impl Tickets {
    /// Those of a world, with keys of this process unless there are others. `None` if nothing was built in to make keys with.
    pub(super) fn of(world: &World, provider: &CryptoProvider, keys: Option<TicketKeys>) -> Option<Self> {
        let keys = match keys {
            Some(keys) => Arc::new(keys),
            None => own_keys()?,
        };
        Some(Self { keys, world: world.digest(provider)?.as_ref().into() })
    }

    /// Those for one handshake.
    pub(super) fn for_one(&self) -> Arc<dyn ProducesTickets> {
        Arc::new(OfOneHandshake { tickets: self.clone(), verified: AtomicU64::new(NOW) })
    }

    fn seal(&self, session: &[u8], verified: u64) -> Option<Vec<u8>> {
        if session.len() > MAX_SESSION {
            return None;
        }
        self.keys.encrypt(&[&self.world, &verified.to_be_bytes()[..], session].concat())
    }

    /// The session, and when certificates were last shown in it.
    fn open(&self, ticket: &[u8], now: u64) -> Option<(Vec<u8>, u64)> {
        let opened = self.keys.decrypt(ticket)?;
        let (verified, session) = opened.strip_prefix(&*self.world)?.split_first_chunk()?;
        let verified = u64::from_be_bytes(*verified);
        (now.saturating_sub(verified) < MAX_UNVERIFIED).then(|| (session.to_vec(), verified))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// Hands the time when certificates were last shown from the ticket that came to those that go. rustls would forget it, and
/// tickets for tickets would keep a session alive for ever.
#[derive(Debug)]
struct OfOneHandshake {
    tickets: Tickets,
    /// In seconds since 1970. [`NOW`] in a handshake that shows them; if it does although a ticket was good, since that could not
    /// be used, the next one comes a little earlier than it must.
    verified: AtomicU64,
}

impl ProducesTickets for OfOneHandshake {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.tickets.keys.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let verified = match self.verified.load(Ordering::Relaxed) {
            NOW => UnixTime::now().as_secs(),
            verified => verified,
        };
        self.tickets.seal(session, verified)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (session, verified) = self.tickets.open(ticket, UnixTime::now().as_secs())?;
        self.verified.store(verified, Ordering::Relaxed);
        Some(session)
    }
}

/// All that the first handshake of a session depends on. What decides whom a server lets in, or whom a client takes it for,
/// belongs in here.
#[derive(Debug)]
pub(super) struct World(Vec<u8>);

impl World {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn part(&mut self, part: &[u8]) {
        // With its length, so that no two lists of parts read the same.
        self.count(part.len());
        self.0.extend(part);
    }

    pub(super) fn parts<P: AsRef<[u8]>>(&mut self, parts: &[P]) {
        self.count(parts.len());
        for part in parts {
            self.part(part.as_ref());
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        self.0.extend((count as u64).to_be_bytes());
    }

    /// Under whom clients must have been issued.
    pub(super) fn roots(&mut self, roots: &Roots) {
        self.parts(&roots.named);
        self.count(roots.store.len());
        for anchor in &roots.store.roots {
            let constraints = anchor.name_constraints.as_deref();
            self.parts(&[&anchor.subject[..], &anchor.subject_public_key_info, constraints.unwrap_or_default()]);
        }
        let Some(lists) = &roots.revoked else { return };
        self.parts(&lists.der().collect::<Vec<_>>());
        self.part(&[u8::from(lists.accepts_unknown()), u8::from(lists.accepts_expired())]);
    }

    fn digest(&self, provider: &CryptoProvider) -> Option<Output> {
        let hash = provider.cipher_suites.first().map(|suite| match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        })?;
        Some(hash.hash(&self.0))
    }
}

/// The keys of this process, whoever makes the first server.
fn own_keys() -> Option<Arc<dyn ProducesTickets>> {
    static KEYS: OnceLock<Option<Arc<dyn ProducesTickets>>> = OnceLock::new();
    KEYS.get_or_init(make_keys).clone()
}

#[cfg(feature = "aws-lc-rs")]
fn make_keys() -> Option<Arc<dyn ProducesTickets>> {
    rustls::crypto::aws_lc_rs::Ticketer::new().ok()
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn make_keys() -> Option<Arc<dyn ProducesTickets>> {
    rustls::crypto::ring::Ticketer::new().ok()
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn make_keys() -> Option<Arc<dyn ProducesTickets>> {
    None
}

/// No time of a ticket.
const NOW: u64 = u64::MAX;

/// In seconds: for how long nobody need show a certificate again.
const MAX_UNVERIFIED: u64 = 24 * 60 * 60;

/// A client's certificates are in its session. With more than this it gets no ticket; one can have 65,535 bytes.
const MAX_SESSION: usize = 16 * 1024;

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "ring")))]
#[allow(clippy::unwrap_used, reason = "there is a provider, so there are tickets")]
mod tests {
    use super::super::config::default_provider;
    use super::*;

    fn tickets(world: &[&str]) -> Tickets {
        let mut parts = World::new();
        parts.parts(world);
        Tickets::of(&parts, &default_provider().unwrap(), None).unwrap()
    }

    #[test]
    fn certificates_are_shown_again_a_day_after_they_were_shown() {
        let tickets = tickets(&["one"]);
        let mut ticket = tickets.seal(b"session", 1_000).unwrap();
        // A ticket for a ticket is no younger.
        for hours in [1, 5, 23] {
            let (session, verified) = tickets.open(&ticket, 1_000 + hours * 3600).unwrap();
            assert_eq!((&session[..], verified), (&b"session"[..], 1_000));
            ticket = tickets.seal(&session, verified).unwrap();
        }
        assert!(tickets.open(&ticket, 1_000 + MAX_UNVERIFIED - 1).is_some());
        assert!(tickets.open(&ticket, 1_000 + MAX_UNVERIFIED).is_none());
        // A clock that was set back is none the wiser.
        assert!(tickets.open(&ticket, 0).is_some());
    }

    #[test]
    fn a_handshake_that_resumes_hands_the_time_on_and_another_begins_anew() {
        let tickets = tickets(&["one"]);
        let now = UnixTime::now().as_secs();
        let old = tickets.seal(b"session", now - 3600).unwrap();
        let verified = |handshake: &dyn ProducesTickets| {
            let ticket = handshake.encrypt(b"next").unwrap();
            tickets.open(&ticket, now).unwrap().1
        };
        let resuming = tickets.for_one();
        assert_eq!(resuming.decrypt(&old).unwrap(), b"session");
        assert_eq!(verified(&*resuming), now - 3600);
        assert!(verified(&*tickets.for_one()) >= now);
    }

    #[test]
    fn a_ticket_is_good_in_its_world_only() {
        let ticket = tickets(&["one", "two"]).seal(b"session", 0).unwrap();
        assert!(tickets(&["one", "two"]).open(&ticket, 0).is_some());
        for other in [&["two", "one"][..], &["one"], &["onetwo"], &["one", "two", ""], &[]] {
            assert!(tickets(other).open(&ticket, 0).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_ticket_that_was_touched_is_none() {
        let tickets = tickets(&["one"]);
        let ticket = tickets.seal(b"session", 0).unwrap();
        for at in 0..ticket.len() {
            let mut touched = ticket.clone();
            touched[at] ^= 1;
            assert!(tickets.open(&touched, 0).is_none(), "byte {at}");
            assert!(tickets.open(&ticket[..at], 0).is_none(), "cut at {at}");
        }
        assert!(tickets.open(&ticket, 0).is_some());
    }

    #[test]
    fn a_session_with_a_huge_certificate_gets_no_ticket() {
        let tickets = tickets(&["one"]);
        assert!(tickets.seal(&[0; MAX_SESSION], 0).unwrap().len() < usize::from(u16::MAX));
        assert!(tickets.seal(&[0; MAX_SESSION + 1], 0).is_none());
    }
}
