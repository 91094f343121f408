//! Leaving a connection so that what was said last arrives.
//!
//! A socket that is dropped while it still has unread bytes resets the connection, and a reset may overtake the
//! answer or the alert sent just before. So whoever leaves closes the write side first, then reads until the peer
//! has closed too. A peer that never does is waited for no longer than [`PATIENCE`].

use std::pin::pin;
use std::time::Duration;

use futures::future::select;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::Timer;

/// Closes every layer from the inside out, then the socket, and waits for the peer's end.
///
/// Nothing that happens here matters to the caller any more: failures are only logged.
pub(crate) async fn part<IO>(timer: &dyn Timer, conn: Connection<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = timer.sleep_until(timer.now() + PATIENCE);
    select(pin!(leave(conn)), deadline).await;
}

async fn leave<IO: AsyncRead + AsyncWrite + Unpin>(mut conn: Connection<IO>) {
    if let Err(error) = conn.close().await {
        log::debug!("while closing: {error}");
    }
    let mut io = conn.into_inner().io;
    if let Err(error) = io.close().await {
        log::debug!("while closing the socket: {error}");
    }
    let mut ignored = vec![0; 4096];
    while let Ok(1..) = io.read(&mut ignored).await {}
}

const PATIENCE: Duration = Duration::from_secs(2);
