//! A listener for a connection that is there already.

use std::io;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared};

use super::{Accept, ListeningSocket, Socket};

/// Hands out `socket`. The next `accept` waits until that one is dropped, and then fails: a server that serves until it
/// can accept no more has served by then.
pub(super) fn listener(socket: Socket) -> ListeningSocket {
    let local = socket.local_address().clone();
    let (alive, ended) = oneshot::channel::<()>();
    let socket = socket.holding(alive);
    ListeningSocket::new(Single { socket: Mutex::new(Some(socket)), ended: ended.shared() }, local)
}

#[derive(Debug)]
struct Single {
    socket: Mutex<Option<Socket>>,
    /// Is done when the socket has been dropped.
    ended: Shared<oneshot::Receiver<()>>,
}

impl Accept for Single {
    fn accept(&self) -> BoxFuture<'_, io::Result<Socket>> {
        Box::pin(async {
            let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(socket) = socket {
                return Ok(socket);
            }
            let _ = self.ended.clone().await;
            Err(io::Error::new(io::ErrorKind::NotConnected, "the only connection there was has ended"))
        })
    }

    fn has_ended(&self) -> bool {
        self.ended.clone().now_or_never().is_some()
    }
}
