//! SIGHUP: the files of both sides are read again, each in a task of its own.
//!
//! A file system that hangs holds up the task of one side. The relay goes on meanwhile, with what it has, and another
//! SIGHUP is heard when that task is done.

use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use onionskin::endpoint::OpenError;
use onionskin::runtime::Runtime;

use super::plan::Route;
use crate::join::{Loss, Side};

/// How far a side is with its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    Resting,
    Busy,
    /// They are to be read once more then.
    BusyAndAskedAgain,
}

impl Reading {
    /// Whether the files are to be read now.
    pub(super) fn ask(&mut self, side: Side, mark: &str) -> bool {
        match self {
            Self::Resting => *self = Self::Busy,
            Self::Busy | Self::BusyAndAskedAgain => {
                log::warn!("{mark}{side}: its files are still being read, and will be again when that is done");
                *self = Self::BusyAndAskedAgain;
                return false;
            }
        }
        true
    }

    /// They have been read; whether they are to be read now once more.
    pub(super) fn finish(&mut self) -> bool {
        let again = *self == Self::BusyAndAskedAgain;
        *self = if again { Self::Busy } else { Self::Resting };
        again
    }
}

/// Reads the files of `side` in a task of its own, logs what came of it, and then tells that it is done.
pub(super) fn begin(
    runtime: &dyn Runtime,
    side: Side,
    route: Arc<Route>,
    read: impl Future<Output = Result<(), OpenError>> + Send + 'static,
    done: UnboundedSender<Side>,
) {
    runtime.spawn(Box::pin(async move {
        let (relay, mark, word) = (&route.label, route.mark(), side.word());
        match read.await {
            Ok(()) => log::info!(relay, side = word; "{mark}{side}: certificates and keys were read again"),
            Err(error) => {
                let (loss, endpoint) = (Loss::new(side, error), route.of(side));
                log::error!(relay, side = word, cause = loss.cause; "{mark}{loss}; {endpoint} keeps what it has");
            }
        }
        // Nobody listens any more when the process is over.
        let _ = done.unbounded_send(side);
    }));
}
