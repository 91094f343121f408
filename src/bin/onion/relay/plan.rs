//! What a relay is to do, read and found to make sense before anything is opened.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use onionskin::endpoint::Endpoint;

use super::greeting::Greeting;
use super::options::Options;
use crate::failure::Failure;
use crate::open;
use crate::silence::SilenceOptions;

/// One relay that is to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) route: Route,
    pub(super) greeting: Greeting,
    pub(super) max_connections: NonZeroUsize,
    pub(super) max_per_peer: Option<NonZeroUsize>,
    pub(super) patience: Duration,
}

/// From where to where, as the log and the metrics call it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: Option<String>,
    /// What tells it from the others of the process: its name, or else where it listens.
    pub(super) label: String,
    pub(super) listen: Written,
    pub(super) connect: Written,
}

/// An endpoint, and the text that it was read from, by which its user knows it.
#[derive(Debug)]
pub(super) struct Written {
    text: String,
    pub(super) endpoint: Endpoint,
}

impl Plan {
    /// What the command line asks for.
    pub(super) fn new(options: &Options) -> Result<Self, Failure> {
        let written = |text| Written::new(text, options.silence);
        let [listen, connect] = [written(&options.listen)?, written(&options.connect)?];
        let greeting = Greeting::between(&listen.endpoint, &connect.endpoint)?;
        let patience = Duration::from_secs(options.patience.into());
        let route = Route { name: None, label: listen.text.clone(), listen, connect };
        let Options { max_connections, max_per_peer, .. } = *options;
        Ok(Self { route, greeting, max_connections, max_per_peer, patience })
    }
}

impl Written {
    fn new(text: &str, silence: SilenceOptions) -> Result<Self, Failure> {
        Ok(Self { text: text.to_owned(), endpoint: silence.fill(open::parse(text)?) })
    }

    /// Says of an error that it is this endpoint's.
    pub(super) fn blame(&self, error: impl Into<Failure>) -> Failure {
        error.into().at(format_args!("endpoint {self}"))
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
