//! A graceful close: leaving a connection so that what was said last arrives.

use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite};
use onionskin::Connection;

/// Closes every layer from the inside out, then the socket, and waits for the peer's end, but no longer than [`PATIENCE`].
///
/// Nothing that happens here matters to the caller any more: failures are only logged.
pub(crate) async fn leave<IO: AsyncRead + AsyncWrite + Unpin>(conn: Connection<IO>) {
    if let Err(error) = conn.leave(PATIENCE).await {
        log::debug!("while closing: {error}");
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
