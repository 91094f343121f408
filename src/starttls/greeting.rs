//! The greeting by itself.

use super::{Exchange, Progress, StartTls};

/// What a server of this protocol says first, or nothing: for those who speak in the place of a server whose greeting they
/// have taken themselves.
#[must_use]
pub fn greeting(protocol: impl StartTls) -> Vec<u8> {
    let mut server = protocol.server();
    let mut exchange = Exchange::of(&[]);
    while let Ok(Progress::Going) = server.advance(&mut exchange) {}
    exchange.unsay()
}
