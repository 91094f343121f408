//! Streams to servers of others.

mod websocket;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    websocket::cases()
}
