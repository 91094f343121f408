//! The streams of a program.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::driver::{self, Driver};
use super::mailbox::Mailbox;
use super::policy::{Auth, DestinationError, Destinations, Policy, PolicyError};
use super::protocol::{self, SharedClients};
use super::shared::Shared;
use super::{Error, ErrorKind, Random, Stream};
use crate::runtime::{Runtime, Timer};

/// The streams of a program, which its policy names. Clones are the same.
///
/// ```no_run
/// use onionskin::streams::{Streams, policy::Policy};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = onionskin::runtime::preferred().ok_or("no runtime")?;
/// let streams = Streams::new(Policy::read_file("policy.json")?, runtime)?;
/// let echo = streams.open("echo")?;
/// echo.send("hello").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

impl Streams {
    /// The streams of this policy, driven by tasks of this runtime.
    ///
    /// # Errors
    ///
    /// When [`Policy::check`] finds something.
    pub fn new(policy: Policy, runtime: &'static dyn Runtime) -> Result<Self, PolicyError> {
        Self::with(policy, runtime, Arc::new(runtime), Random::default())
    }

    /// The same where times are those of this clock, and chance is these numbers: for tests.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_timer(
        policy: Policy,
        runtime: &'static dyn Runtime,
        timer: Arc<dyn Timer>,
        random: impl Fn() -> u32 + Send + Sync + 'static,
    ) -> Result<Self, PolicyError> {
        Self::with(policy, runtime, timer, Random::new(random))
    }

    fn with(
        policy: Policy,
        runtime: &'static dyn Runtime,
        timer: Arc<dyn Timer>,
        random: Random,
    ) -> Result<Self, PolicyError> {
        policy.check()?;
        let destinations = RwLock::new(Arc::new(Destinations::new(policy)));
        Ok(Self(Arc::new(Shared { runtime, timer, random, destinations, clients: SharedClients::default() })))
    }

    /// The policy as it is now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(self.0.destinations().policy())
    }

    /// Goes by another policy, if it is in order: each stream from its next attempt on. A connection that stands stays as it is.
    ///
    /// # Errors
    ///
    /// When [`Policy::check`] finds something; nothing changes then.
    pub fn set_policy(&self, policy: Policy) -> Result<(), PolicyError> {
        policy.check()?;
        *self.0.destinations.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Destinations::new(policy));
        Ok(())
    }

    /// Opens the stream of this name: any number of them, each with a connection, values and messages of its own. A stream that is
    /// `nailed_up` begins to connect.
    ///
    /// # Errors
    ///
    /// When the policy has no such stream, or what it speaks is nothing for this version.
    pub fn open(&self, name: &str) -> Result<Stream, Error> {
        let destinations = self.0.destinations();
        let (stream, retry) = driver::of(&destinations, name).ok_or_else(|| DestinationError::unknown(name))?;
        let auth = stream.auth.as_ref().and_then(|auth| destinations.policy().auth.get(auth));
        if let Some(Auth::ClientCredentials { .. } | Auth::SigV4) = auth {
            return Err(
                ErrorKind::Unsupported("who asks is said by Basic and Bearer only (use_auth)".to_owned()).into()
            );
        }
        let speaker = protocol::speaker(stream)?;
        let (timer, random) = (Arc::clone(&self.0.timer), self.0.random.clone());
        let mailbox = Arc::new(Mailbox::new(stream, retry.cloned(), timer, random));
        let name: Arc<str> = name.into();
        let driver = Driver {
            shared: Arc::clone(&self.0),
            name: Arc::clone(&name),
            mailbox: Arc::clone(&mailbox),
            speaker: Some((stream.protocol, speaker)),
        };
        self.0.runtime.spawn(Box::pin(driver.run()));
        if stream.is_nailed_up {
            mailbox.connect();
        }
        Ok(Stream::new(name, Arc::new(stream.clone()), mailbox))
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("policy", &self.policy()).finish_non_exhaustive()
    }
}
