//! The keys `idle` and `half-open`, which every transport has: how long a connection may be silent.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::arguments::Arguments;
use super::error::ParseError;
use super::grammar::Word;
use crate::layer::IdleTimeout;

/// How long nothing may pass over the wire before a connection is given up.
///
/// What a layer says by itself counts as well. The time stands still while the application has not read what came, and while
/// the peer takes what was sent, however slowly it does (over TCP on Linux; elsewhere only what has not left this process
/// shows that). It is told as [`LayerErrorKind::Idle`](crate::stack::LayerErrorKind::Idle), and no close_notify is sent: the
/// peer must not take it for the end of what there was to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Silence {
    /// `idle`: at any time.
    pub idle: SilenceLimit,
    /// `half-open`: once one side has sent its end of file.
    pub half_open: SilenceLimit,
}

/// How long something may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SilenceLimit {
    /// Without the key: as long as it likes, unless somebody else sets a limit.
    #[default]
    Unset,
    /// `SECONDS`
    Seconds(NonZeroU32),
    /// `none`: as long as it likes, whoever sets a limit.
    Never,
}

impl Silence {
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        Ok(Self {
            idle: SilenceLimit::read(arguments, "idle")?,
            half_open: SilenceLimit::read(arguments, "half-open")?,
        })
    }

    /// These limits, and where there is none, that of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { idle: self.idle.or(other.idle), half_open: self.half_open.or(other.half_open) }
    }

    /// What keeps them, if there are any.
    pub(super) fn layer(self) -> Option<IdleTimeout> {
        let layer = match (self.idle.time(), self.half_open.time()) {
            (None, None) => return None,
            (Some(idle), None) => IdleTimeout::new(idle),
            (None, Some(half_open)) => IdleTimeout::once_half_open(half_open),
            (Some(idle), Some(half_open)) => IdleTimeout::new(idle).half_open(half_open),
        };
        Some(layer.spare_unread())
    }
}

impl SilenceLimit {
    /// A limit of so many seconds; of none with 0.
    #[must_use]
    pub fn seconds(seconds: u32) -> Self {
        NonZeroU32::new(seconds).map_or(Self::Never, Self::Seconds)
    }

    pub(super) fn read(arguments: &mut Arguments, key: &'static str) -> Result<Self, ParseError> {
        Ok(match arguments.key(key, Word::seconds)? {
            None => Self::Unset,
            Some(None) => Self::Never,
            Some(Some(seconds)) => Self::Seconds(seconds),
        })
    }

    /// The word that is read back, if it takes one.
    pub(super) fn word(self) -> Option<String> {
        match self {
            Self::Unset => None,
            Self::Seconds(seconds) => Some(seconds.to_string()),
            Self::Never => Some("none".to_owned()),
        }
    }

    fn or(self, other: Self) -> Self {
        if self == Self::Unset { other } else { self }
    }

    pub(super) fn time(self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds.get().into())),
            Self::Unset | Self::Never => None,
        }
    }
}

/// As the keys stand behind a transport.
impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, limit) in [("idle", self.idle), ("half-open", self.half_open)] {
            limit.word().iter().try_for_each(|word| write!(f, ":{key}={word}"))?;
        }
        Ok(())
    }
}
