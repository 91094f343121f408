//! Options that limit silence, for endpoints that do not say it themselves.

use std::num::NonZeroU32;

use clap::Args;
use onionskin::endpoint::{Endpoint, Silence, SilenceLimit};

/// How long connections may be silent.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct SilenceOptions {
    /// Give up a connection over which nothing has passed for so long; an endpoint with idle= has its own limit
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle: Option<NonZeroU32>,
    /// The same, once one side has sent its end of file; an endpoint with half-open= has its own limit
    #[arg(long, value_name = "SECONDS")]
    pub(crate) half_open: Option<NonZeroU32>,
}

impl SilenceOptions {
    /// Whether there is a limit.
    pub(crate) fn is_set(self) -> bool {
        self.idle.is_some() || self.half_open.is_some()
    }

    /// The endpoint with these limits where it leaves them out.
    pub(crate) fn fill(self, mut endpoint: Endpoint) -> Endpoint {
        let limit = |seconds: Option<NonZeroU32>| seconds.map_or(SilenceLimit::Unset, SilenceLimit::Seconds);
        let mut own = Silence::default();
        (own.idle, own.half_open) = (limit(self.idle), limit(self.half_open));
        endpoint.silence = endpoint.silence.or(own);
        endpoint
    }
}
