//! Streams to servers of others.

mod mqtt;
mod websocket;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    mqtt::cases().into_iter().chain(websocket::cases()).collect()
}
