//! TLS clients, made once for each place on each way, so that whoever connects there again resumes its session.
//!
//! ```text
//!   tcp:proxy.example:443 + tls:ca=a.pem + connect:origin.example:443 + tls:ca=a.pem
//!   └──────────── place of the outer ─┘                                             │
//!   └──────────────────────────────── place of the inner ───────────────────────────┘
//! ```
//!
//! A place is the whole way up to a step, that step included. Two steps that read the same stand at two places, and what the peer of
//! one gives to resume a session with is never shown to the peer of the other. Everything that is trusted, pinned, named or offered is
//! in the step, so a client for something else is another one too. Places are compared as values: no digest stands for them.
//!
//! The files of a step are not read again while they are what they were, by length, time and place on the disk. A file that is
//! written over in place within one tick of the clock looks the same: `reload` forgets the clients of its way, and so has their files read.
//!
//! The last 64 are kept; what trusts whom the system trusts, for an hour, since that is in no file of the step. Where it cannot be said who is
//! at the other end, as of a socket that was handed down, and behind a step of the program's own, none is.

use std::fs::Metadata;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::step::{Step, TlsStep, TrustStore};
use crate::runtime::Address;
use crate::tls::{ConfigError, TlsClient};

/// The way up to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Whom the transport leads to, if that can be said.
    target: Option<Address>,
    /// With the step itself, the last.
    steps: Vec<Step>,
}

impl Place {
    pub(super) fn new(target: Option<&Address>, steps: &[Step]) -> Self {
        Self { target: target.cloned(), steps: steps.to_vec() }
    }

    /// The client that `tls` describes, at this place: the one that was made before, if there is one and its files are what they
    /// were.
    pub(super) fn client(self, tls: &TlsStep) -> Result<TlsClient, ConfigError> {
        // Who is behind a socket that was handed down, nobody knows; and what a program brings is not kept from it.
        let is_somebody = !matches!(self.target, None | Some(Address::Stdio));
        if !is_somebody || self.steps.iter().any(|step| matches!(step, Step::Own(_))) {
            return tls.client();
        }
        let files: Vec<_> = tls.files().map(Stamp::of).collect();
        if let Some(known) = known(|all| take(all, &self, tls, &files)) {
            return Ok(known);
        }
        // Without the lock: a file system may hang.
        let client = tls.client()?;
        let (made, _evicted) = known(|all| {
            // Somebody else may have been faster.
            if let Some(made) = take(all, &self, tls, &files) {
                return (made, None);
            }
            let evicted = (all.len() >= MAX_CLIENTS).then(|| all.remove(0));
            all.push(Made { place: self, tls: tls.clone(), files, client: client.clone(), time: Instant::now() });
            (client, evicted)
        });
        Ok(made)
    }
}

/// Has the clients of this way made anew.
pub(super) fn forget(target: Option<&Address>, steps: &[Step]) {
    known(|all| all.retain(|made| made.place.target.as_ref() != target || !steps.starts_with(&made.place.steps)));
}

struct Made {
    place: Place,
    /// What of the step is meant: a step of HTTP may offer less than it says.
    tls: TlsStep,
    files: Vec<Stamp>,
    client: TlsClient,
    time: Instant,
}

impl Made {
    fn is(&self, place: &Place, tls: &TlsStep, files: &[Stamp]) -> bool {
        self.place == *place && self.tls == *tls && self.files == files && !self.is_old()
    }

    /// What the system trusts is in no file of the step, and changes too.
    fn is_old(&self) -> bool {
        let asks_system = match self.tls.roots {
            Some(store) => store == TrustStore::System,
            None => self.tls.trust_anchors.is_none(),
        };
        asks_system && self.time.elapsed() >= SYSTEM_LIFETIME
    }
}

/// One that was made, which is then the last to go.
fn take(all: &mut [Made], place: &Place, tls: &TlsStep, files: &[Stamp]) -> Option<TlsClient> {
    let at = all.iter().position(|made| made.is(place, tls, files))?;
    all[at..].rotate_left(1);
    all.last().map(|made| made.client.clone())
}

fn known<T>(look: impl FnOnce(&mut Vec<Made>) -> T) -> T {
    static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
    let mut all: MutexGuard<'_, _> = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    look(&mut all)
}

/// What a file looks like from outside. One that cannot be looked at is like no other: whoever reads it says why.
#[derive(Clone, Debug)]
struct Stamp(Option<(u64, SystemTime, (u64, u64))>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let look = |found: Metadata| Some((found.len(), found.modified().ok()?, number(&found)));
        Self(std::fs::metadata(path).ok().and_then(look))
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_some() && self.0 == other.0
    }
}

/// What the file has beside its name: another one in its place has another.
#[cfg(unix)]
fn number(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

const MAX_CLIENTS: usize = 64;

/// So long one is kept that trusts whom the system trusts.
const SYSTEM_LIFETIME: Duration = Duration::from_secs(3600);

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "ring")))]
#[allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::Endpoint;

    /// The configuration at the end of a way.
    fn config(endpoint: &str) -> Arc<rustls::ClientConfig> {
        at(endpoint, usize::MAX)
    }

    /// That of one of the steps.
    fn at(endpoint: &str, step: usize) -> Arc<rustls::ClientConfig> {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let steps = &endpoint.steps[..step.min(endpoint.steps.len() - 1) + 1];
        let tls = steps.last().and_then(Step::tls).unwrap();
        Place::new(endpoint.transport.target().as_ref(), steps).client(tls).unwrap().to_rustls()
    }

    /// All in one, since there is one store, and it is bounded.
    #[test]
    fn p5_equal_ways_have_one_configuration_and_all_others_another() {
        let file = std::env::temp_dir().join(format!("onionskin-clients-{}.pem", std::process::id()));
        let ca = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        std::fs::write(&file, ca("a.example")).unwrap();
        let trust = format!("ca={}", file.display());
        let same = |one: &str, other: &str| Arc::ptr_eq(&config(one), &config(other));
        let own = format!("tcp:a.example:1+tls:{trust}");
        assert!(same(&own, &own), "a certificate of one's own");
        assert!(same("tcp:a.example:1+tls:insecure=yes", "tcp:a.example:1+tls:insecure=yes"));
        for other in [
            format!("tcp:a.example:2+tls:{trust}"),
            format!("tcp:b.example:1+tls:{trust}"),
            format!("tcp:a.example:1+tls:{trust}+tls:{trust}"),
            format!("tcp:a.example:1+connect:a.example:1+tls:{trust}"),
            format!("tcp:a.example:1+tls:{trust}:sni=a.example"),
            format!("tcp:a.example:1+tls:{trust}:alpn=h2"),
            format!("tcp:a.example:1+tls:{trust}:groups=X25519"),
            format!("tcp:a.example:1+tls:{trust}:max=1.2"),
            format!("tcp:a.example:1+tls:{trust}:resumption=off"),
            "tcp:a.example:1+tls:insecure=yes".to_owned(),
        ] {
            assert!(!same(&own, &other), "{other}");
            assert!(same(&other, &other), "{other}");
        }
        // Two layers that read the same are two places.
        let both = format!("tcp:a.example:1+tls:{trust}+tls:{trust}");
        assert!(!Arc::ptr_eq(&at(&both, 0), &at(&both, 1)));
        assert!(Arc::ptr_eq(&at(&both, 0), &config(&own)), "the same place");

        // Another file in its place is another trust.
        let before = config(&own);
        let new = file.with_extension("new");
        std::fs::write(&new, ca("b.example")).unwrap();
        std::fs::rename(&new, &file).unwrap();
        let after = config(&own);
        assert!(!Arc::ptr_eq(&before, &after));
        assert!(Arc::ptr_eq(&after, &config(&own)));
        let endpoint: Endpoint = own.parse().unwrap();
        forget(endpoint.transport.target().as_ref(), &endpoint.steps);
        assert!(!Arc::ptr_eq(&after, &config(&own)));

        // No more than so many, and the one that was wanted last stays.
        let first = config(&own);
        for port in 1..200 {
            config(&format!("tcp:c.example:{port}+tls:insecure=yes"));
            assert!(Arc::ptr_eq(&first, &config(&own)));
        }
        assert_eq!(known(|all| all.len()), MAX_CLIENTS);
        std::fs::remove_file(&file).unwrap();
        assert!(Place::new(None, &[]).client(own.parse::<Endpoint>().unwrap().steps[0].tls().unwrap()).is_err());
    }
}
