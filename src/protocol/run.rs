//! A protocol over a connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::{EndReason, Handle, Protocol, Session};
use crate::Connection;
use crate::driver::{Alarm, Rounds, Step, Wire};
use crate::stack::Stack;

/// Hands a connection over to a protocol. The future is to be awaited, or spawned: it is done when the connection is
/// over.
///
/// ```
/// use futures::io::{AsyncRead, AsyncWrite};
/// use onionskin::Connection;
/// use onionskin::protocol::{Protocol, run};
///
/// async fn serve<IO, P>(connection: Connection<IO>, protocol: P)
/// where
///     IO: AsyncRead + AsyncWrite + Unpin,
///     P: Protocol,
/// {
///     let finished = run(connection, protocol).await;
///     println!("{}", finished.reason);
/// }
/// ```
///
/// The protocol knows the addresses that the connection has ([`Connection::between`]). Layers that are there stay, and so does
/// all input that was not read; an end in it is told where it stands. The protocol is not told that layers are ready that were
/// so before; one that waits for an answer asks it.
pub fn run<IO, P>(connection: Connection<IO>, protocol: P) -> Running<IO, P>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    P: Protocol,
{
    let addresses = connection.addresses().clone();
    let (mut stack, wire) = connection.into_driven();
    stack.tell_who_asks();
    let alarm = wire.alarm();
    let session = Session::new(protocol, addresses);
    Running { handle: session.handle(), live: Some(Live { stack, wire, session, alarm }) }
}

/// A protocol that runs on a connection: a future that is done when the connection is over.
///
/// Dropping it drops the socket, and the protocol is told that the connection was aborted.
#[must_use = "the protocol runs while this is polled"]
pub struct Running<IO, P: Protocol> {
    handle: Handle,
    /// Until the connection is over.
    live: Option<Live<IO, P>>,
}

struct Live<IO, P: Protocol> {
    stack: Stack,
    wire: Wire<IO>,
    session: Session<P>,
    alarm: Alarm,
}

/// What a protocol left behind.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<P> {
    /// The protocol.
    pub protocol: P,
    /// Why its connection is over.
    pub reason: EndReason,
}

impl<IO, P: Protocol> Running<IO, P> {
    /// A way to the connection from other tasks and threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, P: Protocol> Running<IO, P> {
    fn poll_over(live: &mut Live<IO, P>, cx: &mut Context<'_>) -> Poll<()> {
        let Live { stack, wire, session, alarm } = live;
        session.register(cx);
        // First of all, it hears of the connection, whatever the socket has by now.
        session.dispatch(stack, wire.now());
        if session.is_over() {
            return Poll::Ready(());
        }
        let clock = wire.timer();
        let rounds = wire.rounds(stack, cx, |stack, cx| {
            let dispatched = session.dispatch(stack, clock.now());
            if session.is_over() {
                return Step::Done;
            }
            let is_due = alarm.is_due(session.poll_deadline(), cx);
            if dispatched || is_due { Step::Busy } else { Step::Idle }
        });
        match rounds {
            Rounds::Done => Poll::Ready(()),
            Rounds::Idle { .. } => Poll::Pending,
            Rounds::Tired => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, P: Protocol> Future for Running<IO, P> {
    type Output = Finished<P>;

    /// # Panics
    ///
    /// When it is polled after it was done.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished<P>> {
        let this = self.get_mut();
        let live = this.live.as_mut().expect("a future that is done is not polled again");
        if Self::poll_over(live, cx).is_pending() {
            return Poll::Pending;
        }
        let over = this.live.take().map(|live| live.session.into_protocol());
        let Some((protocol, Some(reason))) = over else { unreachable!("the session has just been over") };
        Poll::Ready(Finished { protocol, reason })
    }
}

/// Nothing in it is pinned: the protocol is only ever called.
impl<IO: Unpin, P: Protocol> Unpin for Running<IO, P> {}

impl<IO, P: Protocol> fmt::Debug for Running<IO, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("session", &self.live.as_ref().map(|live| &live.session))
            .finish_non_exhaustive()
    }
}
