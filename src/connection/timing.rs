//! How long it took to reach whoever the socket leads to.

use std::fmt;
use std::time::Duration;

use super::Connection;

/// How long the phases took that come before any layer: [`Connection::timing`]. What each proxy took is in its
/// [`Hop`](super::Hop), what a handshake took in the [`TlsFacts`](crate::tls::TlsFacts) of its layer.
///
/// Prints as `resolved 0.4 ms  connected 12.0 ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// To find the addresses of the name; `None` where there was none to be found, or nobody has looked at the clock.
    pub resolve: Option<Duration>,
    /// To reach one of them, of all attempts together.
    pub connect: Option<Duration>,
}

impl<IO> Connection<IO> {
    /// How long it took to reach whoever the socket leads to, if it was a [`Connector`](crate::endpoint::Connector) that did: behind a
    /// proxy, the proxy.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    pub(crate) fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |word: &str, took: Option<Duration>| {
            took.map(|took| format!("{word} {:.1} ms", took.as_secs_f64() * 1000.0))
        };
        let phases = [milliseconds("resolved", self.resolve), milliseconds("connected", self.connect)];
        f.write_str(&phases.into_iter().flatten().collect::<Vec<_>>().join("  "))
    }
}
