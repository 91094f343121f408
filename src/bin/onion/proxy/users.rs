//! Who may come in: a file of users with the hashes of their passwords, and the look at one that somebody has sent.
//!
//! The hashes are slow by design (Argon2id, RFC 9106), tens of milliseconds and 19 MiB each. So a password is hashed on a thread of
//! its own, a few at a time; one that was right is remembered for a while, as a keyed digest from which nothing can be had without
//! the key that only this process has; and who was wrong too often is told no without a look. A user that is not in the file takes
//! as long as one that is.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::lock::Mutex as AsyncMutex;
use onionskin::runtime::Timer;
use onionskin::tls::default_provider;
use onionskin::tunnel::Credentials;
use password_auth::{generate_hash, is_hash_obsolete, verify_password};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::peers::Network;

/// The users of a file, and who has tried what.
pub(super) struct Logins {
    timer: &'static dyn Timer,
    file: PathBuf,
    users: Mutex<Arc<Users>>,
    /// What a user that does not exist is compared with.
    nobody: Arc<str>,
    key: [u8; 32],
    right: Mutex<HashMap<[u8; 32], Instant>>,
    wrong: Mutex<HashMap<Network, Tries>>,
    /// Hashing takes turns in these.
    turns: [AsyncMutex<()>; MAX_HASHING],
    next: AtomicUsize,
}

/// The hashes, by user.
type Users = HashMap<String, Arc<str>>;

/// How often an address was wrong, and since when.
struct Tries {
    count: u32,
    since: Instant,
}

impl Logins {
    /// The users in `file`. It blocks.
    pub(super) fn read(timer: &'static dyn Timer, file: &Path) -> Result<Self, Failure> {
        let users = read(file)?;
        let mut key = [0; 32];
        let provider = default_provider()?;
        provider.secure_random.fill(&mut key).map_err(|_| Failure::new("the system has no random numbers"))?;
        Ok(Self {
            timer,
            file: file.to_owned(),
            users: Mutex::new(Arc::new(users)),
            nobody: generate_hash(key).into(),
            key,
            right: Mutex::default(),
            wrong: Mutex::default(),
            turns: Default::default(),
            next: AtomicUsize::new(0),
        })
    }

    /// Reads the file again, and keeps what there is if that fails. It blocks.
    pub(super) fn reload(&self) -> Result<(), Failure> {
        let users = read(&self.file)?;
        *lock(&self.users) = Arc::new(users);
        Ok(())
    }

    /// Whether somebody at this address may come in.
    pub(super) async fn check(&self, peer: Option<IpAddr>, credentials: &Credentials) -> bool {
        let network = peer.map(Network::of);
        if network.is_some_and(|network| self.has_tried_enough(network)) {
            log::debug!("{peer:?} was wrong too often, and is told no without a look");
            return false;
        }
        let hash = lock(&self.users).get(credentials.user()).cloned();
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| Arc::clone(&self.nobody));
        let digest = self.digest(credentials, &hash);
        let now = self.timer.now();
        if lock(&self.right).get(&digest).is_some_and(|until| now < *until) {
            return true;
        }
        let password = credentials.password().to_owned();
        let turn = self.turns[self.next.fetch_add(1, Relaxed) % MAX_HASHING].lock().await;
        let is_right = blocking::unblock(move || verify_password(password, &hash).is_ok()).await && is_known;
        drop(turn);
        if is_right {
            self.remember(digest, now);
        } else if let Some(network) = network {
            self.count(network, now);
        }
        is_right
    }

    fn digest(&self, credentials: &Credentials, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        // With their lengths, so that no two of them become one.
        for part in [credentials.user().as_bytes(), hash.as_bytes(), credentials.password()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn remember(&self, digest: [u8; 32], now: Instant) {
        let mut right = lock(&self.right);
        if right.len() >= MAX_REMEMBERED {
            right.retain(|_, until| now < *until);
        }
        if right.len() >= MAX_REMEMBERED {
            right.clear();
        }
        right.insert(digest, now + REMEMBERED);
    }

    fn has_tried_enough(&self, network: Network) -> bool {
        let now = self.timer.now();
        lock(&self.wrong).get(&network).is_some_and(|tries| tries.count >= MAX_TRIES && now < tries.since + WINDOW)
    }

    fn count(&self, network: Network, now: Instant) {
        let mut wrong = lock(&self.wrong);
        if wrong.len() >= MAX_REMEMBERED {
            wrong.retain(|_, tries| now < tries.since + WINDOW);
        }
        if wrong.len() >= MAX_REMEMBERED {
            wrong.clear();
        }
        let tries = wrong.entry(network).or_insert(Tries { count: 0, since: now });
        if now >= tries.since + WINDOW {
            *tries = Tries { count: 0, since: now };
        }
        tries.count += 1;
        if tries.count == MAX_TRIES {
            log::warn!("{network} was wrong {MAX_TRIES} times, and is not looked at for a while");
        }
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The line of a user with this password.
pub(super) fn line(user: &str, password: &[u8]) -> Result<String, Failure> {
    // Who could not say that to us is not written down.
    Credentials::new(user, password).map_err(Failure::usage)?;
    Ok(format!("{user}:{}", generate_hash(password)))
}

fn read(file: &Path) -> Result<Users, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| Failure::new(error).at(format_args!("users in {shown}")))?;
    let mut users = Users::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| Failure::new(why).at(format_args!("users in {shown}, line {}", index + 1));
        let (user, hash) = line.split_once(':').ok_or_else(|| wrong("write NAME:HASH"))?;
        Credentials::new(user, "").map_err(|error| wrong(&error.to_string()))?;
        // Nothing of the line is shown: it may be a password.
        if !hash.starts_with(ARGON2) || is_hash_obsolete(hash).is_err() {
            return Err(wrong(
                "behind the name stands no hash of Argon2: `onion proxy --hash-password NAME` makes the line",
            ));
        }
        if users.insert(user.to_owned(), hash.into()).is_some() {
            return Err(wrong("the user was there before"));
        }
    }
    Ok(users)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const ARGON2: &str = "$argon2";

/// For how long a password that was right is not hashed again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// So many are remembered, of passwords and of addresses.
const MAX_REMEMBERED: usize = 10_000;

/// After so many wrong passwords, an address is not looked at until the time is over.
const MAX_TRIES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

const MAX_HASHING: usize = 4;

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use onionskin::testing::Clock;

    use super::*;

    fn logins(name: &str) -> (&'static Clock, Logins, PathBuf) {
        let file = std::env::temp_dir().join(format!("onion-users-{name}-{}", std::process::id()));
        fs::write(&file, format!("# users\n\n{}\n", line("onion", b"peel").unwrap())).unwrap();
        let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
        let logins = Logins::read(clock, &file).unwrap();
        (clock, logins, file)
    }

    fn check(logins: &Logins, peer: &str, user: &str, password: &str) -> bool {
        block_on(logins.check(peer.parse().ok(), &Credentials::new(user, password).unwrap()))
    }

    #[test]
    fn k17_a_password_counts_as_it_is_and_nobody_sees_it() {
        let (_, logins, file) = logins("counts");
        for (user, password, expected) in
            [("onion", "peel", true), ("onion", "peel", true), ("onion", "peel ", false), ("leek", "peel", false)]
        {
            assert_eq!(check(&logins, "", user, password), expected, "{user} {password}");
        }
        assert!(!format!("{logins:?}").contains("argon2"));
        // With another hash in the file, the one that was right is so no longer.
        fs::write(&file, line("onion", b"other").unwrap()).unwrap();
        logins.reload().unwrap();
        assert!(!check(&logins, "", "onion", "peel"));
        assert!(check(&logins, "", "onion", "other"));
        fs::write(&file, "onion:peel").unwrap();
        let error = logins.reload().unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("no hash") && !error.contains("peel"), "{error}");
        assert!(check(&logins, "", "onion", "other"), "what there was is kept");
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn k17_an_address_has_so_many_tries_and_others_have_theirs() {
        let (clock, logins, file) = logins("tries");
        for _ in 0..MAX_TRIES {
            assert!(!check(&logins, "192.0.2.1", "onion", "wrong"));
        }
        assert!(!check(&logins, "192.0.2.1", "onion", "peel"), "not looked at");
        assert!(check(&logins, "192.0.2.2", "onion", "peel"));
        clock.advance(WINDOW);
        assert!(check(&logins, "192.0.2.1", "onion", "peel"));
        fs::remove_file(file).unwrap();
    }
}
