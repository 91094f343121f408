//! PostgreSQL's CancelRequest: a connection of its own, whose client is told nothing but its end.
//!
//! It comes in clear, also where the session that it is about has TLS. We hand it on behind the steps of CONNECT, so with TLS
//! if there is any. PostgreSQL closes the connection when it has done what was asked, and clients wait for that: so our end of
//! the client's connection stays open until then, else the next query of the session could be the one that is cancelled.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join, select};
use futures::io::AsyncReadExt;
use onionskin::connection::Error;
use onionskin::runtime::Timer;

use crate::join::{Class, Loss, Own, Side, Unfinished};
use crate::leave::leave;

/// The request at the front of what the client says, which is all there.
pub(super) async fn read(near: &mut Unfinished) -> Result<Vec<u8>, Loss> {
    let reading = async {
        let mut request = vec![0; LENGTH];
        near.read_exact(&mut request).await?;
        let len = request.iter().fold(0, |len: usize, &byte| len << 8 | usize::from(byte));
        request.resize(len.clamp(LENGTH, MAX_CANCEL_REQUEST), 0);
        near.read_exact(&mut request[LENGTH..]).await?;
        Ok(request)
    };
    reading.await.map_err(|error: std::io::Error| Loss::new(Side::Listen, error))
}

/// Sends it, and waits for the server to close, which is its only answer.
pub(super) async fn hand_on(timer: &dyn Timer, request: &[u8], far: &mut Unfinished) -> Result<(), Loss> {
    far.send_all(request).await.map_err(|error: Error| Loss::new(Side::Connect, error))?;
    let ended = async {
        let mut ignored = [0; 256];
        // It need not end TLS first.
        while let Ok(1..) = far.read(&mut ignored).await {}
    };
    match select(pin!(ended), timer.sleep_until(timer.now() + PATIENCE)).await {
        Either::Left(_) => Ok(()),
        Either::Right(_) => Err(Loss::new(Side::Connect, Own(Class::Timeout, SILENT))),
    }
}

/// Tells the client that it was done.
pub(super) async fn leave_both(near: Unfinished, far: Unfinished) {
    join(leave(near.finished()), leave(far.finished())).await;
}

/// Servers only have to send a signal to another process of theirs.
const PATIENCE: Duration = Duration::from_secs(10);

const SILENT: &str = "the server does not close behind a cancel request";

const LENGTH: usize = 4;

/// As the negotiation has taken it for one.
const MAX_CANCEL_REQUEST: usize = 268;
