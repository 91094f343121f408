//! A local socket in the place of a connection, for crates that take none but a socket of the system.
//!
//! ```text
//!    crate that wants        local socket                              the peer
//!    a socket          ◀──▶  [ stack without layers ]  ◀──▶  [ stack with its layers ]  ◀──▶
//! ```
//!
//! Both sides are connections, so nothing is copied into a buffer between them: what one stack shows is written to the other,
//! and only as much is taken as that one took. Backpressure goes from one socket to the other. Where the peer's stack has no
//! layers either, the system moves the bytes ([`ZeroCopy`]).

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::future::select;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Connection, Error, ZeroCopy};
use crate::driver::{Alarm, Half};
use crate::runtime::{Socket, Timer};
use crate::stack::with_chain;

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Connection<IO> {
    /// Passes on between this connection and a local socket, both ways, until both sides have ended: whoever holds the
    /// other end of `local` talks to the peer through all layers. [`tcp_pair`](crate::runtime::tcp_pair) makes two
    /// ends; a listener on loopback will do as well, for crates that want an address. It joins two peers as well, as a proxy does:
    /// `local` is then the connection to the other one. Where there is no layer, Linux moves the bytes between TCP sockets itself
    /// ([`ZeroCopy`]).
    ///
    /// ```
    /// # #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))] {
    /// use onionskin::{Connection, runtime};
    ///
    /// # fn example(conn: Connection<runtime::Socket>) -> std::io::Result<()> {
    /// let runtime = runtime::preferred().expect("built with a runtime");
    /// let (stream, local) = runtime::tcp_pair(runtime)?;
    /// runtime.spawn(Box::pin(async {
    ///     if let Err(error) = conn.bridge(local).await {
    ///         eprintln!("{error}");
    ///     }
    /// }));
    /// // `stream` is a std::net::TcpStream, for whatever crate takes one.
    /// # drop(stream);
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    ///
    /// # Ends and losses
    ///
    /// The end of one direction is passed on behind the last byte: the end of the innermost layer as an end of file, an end of
    /// file as the close of all layers. The other direction goes on for as long as it likes; an
    /// [`IdleTimeout`](crate::layer::IdleTimeout) in this connection sets a limit.
    ///
    /// A loss is never passed on as an end, and an end inside TLS without a close_notify is one: a local socket has no other
    /// word for it. What came before it is written to the other side, and then that one is broken
    /// off such that it can tell: a local TCP socket is reset, and the peer sees a truncation inside TLS, or a reset where
    /// there is no TLS and this is a [`Socket`]. A reset does not overtake the last bytes where [`Socket::unsent`] is known;
    /// elsewhere it waits up to a second for them to be read. Who takes none of them for half a minute has had them. A Unix
    /// socket has no reset, and its other end sees an end of file.
    ///
    /// # Errors
    ///
    /// When one side is lost before both have ended. A local side that closes and is then written to is lost too: it did
    /// not want to read the rest.
    ///
    /// # Cancellation
    ///
    /// Dropped before it is done, also before it is polled, it breaks both sides off at once.
    pub fn bridge(self, local: Socket) -> impl Future<Output = Result<Bridged, BridgeError>> + use<IO> {
        let timer = self.wire.timer();
        let mut both = Both {
            last: LastBytes { alarm: self.wire.alarm(), waiting: usize::MAX, until: None },
            local: Unfinished::new(Connection::with_timer(local, Arc::clone(&timer))),
            peer: Unfinished::new(self),
            out: Way::default(),
            back: Way::default(),
            lost: None,
        };
        async move {
            let ended = poll_fn(|cx| both.poll(cx)).await;
            let Both { local, peer, out, back, .. } = both;
            match &ended {
                Ok(()) => {
                    local.finished();
                    peer.finished();
                }
                Err(error) if error.is_local() => break_off(&*timer, peer, out.bytes).await,
                Err(_) => break_off(&*timer, local, back.bytes).await,
            }
            ended.map(|()| Bridged { to_peer: out.bytes, from_peer: back.bytes })
        }
    }
}

/// What has crossed a bridge when both sides had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bridged {
    /// Bytes from the local side to the peer.
    pub to_peer: u64,
    /// Bytes from the peer to the local side.
    pub from_peer: u64,
}

/// Which side of a bridge was lost, and why.
#[derive(Clone)]
pub struct BridgeError {
    side: Side,
    error: Error,
}

impl BridgeError {
    /// Whether the local side was lost, and not the peer's.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.side == Side::Local
    }

    /// Why it was lost.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Local => "the local side of the bridge",
            Side::Peer => "the peer's side of the bridge",
        };
        write!(f, "{side}: {}", self.error)
    }
}

impl fmt::Debug for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for BridgeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Local,
    Peer,
}

/// The two sides, and how far the ways between them are.
struct Both<IO: 'static> {
    local: Unfinished<Socket>,
    peer: Unfinished<IO>,
    out: Way,
    back: Way,
    lost: Option<BridgeError>,
    last: LastBytes,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Both<IO> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BridgeError>> {
        if self.lost.is_none() {
            match (self.poll_out(cx), self.poll_back(cx)) {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
                (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => self.lost = Some(error),
                _ => return Poll::Pending,
            }
        }
        let Some(lost) = self.lost.clone() else { return Poll::Pending };
        if self.poll_last_words(lost.side, cx).is_pending() && self.poll_stuck(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Err(lost))
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BridgeError>> {
        self.out.poll(Side::Local, &mut self.local, &mut self.peer, cx)
    }

    fn poll_back(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BridgeError>> {
        self.back.poll(Side::Peer, &mut self.peer, &mut self.local, cx)
    }

    /// Passes on what the lost side had said before, up to the loss, or an end that was said before it.
    fn poll_last_words(&mut self, lost: Side, cx: &mut Context<'_>) -> Poll<()> {
        match lost {
            Side::Local => {
                let _ = ready!(self.poll_out(cx));
                self.peer.poll_flushed(Half::Writer, cx).map(drop)
            }
            Side::Peer => {
                let _ = ready!(self.poll_back(cx));
                self.local.poll_flushed(Half::Writer, cx).map(drop)
            }
        }
    }

    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stacks = [self.local.stack(), self.peer.stack()];
        let in_stacks: usize = stacks.map(|stack| stack.inbound_len() + stack.outbound_len()).iter().sum();
        self.last.poll_stuck(in_stacks + self.out.zero_copy.held() + self.back.zero_copy.held(), cx)
    }
}

/// How many of the last bytes still wait, and until when they have to become fewer.
struct LastBytes {
    alarm: Alarm,
    waiting: usize,
    until: Option<Instant>,
}

impl LastBytes {
    fn poll_stuck(&mut self, waiting: usize, cx: &mut Context<'_>) -> Poll<()> {
        if waiting < self.waiting {
            self.waiting = waiting;
            self.until = self.alarm.now().checked_add(STALL_TIMEOUT);
        }
        if self.alarm.is_due(self.until, cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    stage: Stage,
    bytes: u64,
    zero_copy: ZeroCopy,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// All that came has left.
    #[default]
    Open,
    /// Something has been written that may not have left.
    Unsent,
    /// The sender has ended, and its end is on its way to the receiver.
    Ending,
    Over,
}

impl Way {
    fn poll<A, B>(
        &mut self,
        sender: Side,
        from: &mut Connection<A>,
        to: &mut Connection<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BridgeError>>
    where
        A: AsyncRead + AsyncWrite + Unpin + 'static,
        B: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let lost = |side, error| BridgeError { side, error };
        let receiver = if sender == Side::Local { Side::Peer } else { Side::Local };
        for _ in 0..MAX_WRITES {
            if matches!(self.stage, Stage::Open | Stage::Unsent) {
                let passed = ready!(self.zero_copy.poll_pass(from, to, cx)).map_err(|error| lost(receiver, error))?;
                if passed > 0 {
                    self.bytes += passed as u64;
                    self.stage = Stage::Unsent;
                    continue;
                }
            }
            match self.stage {
                Stage::Open | Stage::Unsent => match from.poll_readable(cx) {
                    Poll::Ready(Ok(None)) => self.stage = Stage::Ending,
                    Poll::Ready(Ok(Some(bytes))) => {
                        self.zero_copy.has_read(bytes.len());
                        let count = ready!(from.poll_pass_on(to, cx)).map_err(|error| lost(receiver, error))?;
                        self.bytes += count as u64;
                        self.stage = Stage::Unsent;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(sender, error))),
                    Poll::Pending if matches!(self.stage, Stage::Open) => return Poll::Pending,
                    Poll::Pending => {
                        // Somebody must send what waits, and the sender's socket does not wake us for that.
                        ready!(to.poll_flushed(Half::Writer, cx)).map_err(|error| lost(receiver, error))?;
                        self.stage = Stage::Open;
                        return Poll::Pending;
                    }
                },
                Stage::Ending => {
                    let closed = ready!(AsyncWrite::poll_close(Pin::new(&mut *to), cx));
                    closed.map_err(|error| lost(receiver, Error::of(&error).expect(OUR_OWN).clone()))?;
                    self.stage = Stage::Over;
                }
                Stage::Over => return Poll::Ready(Ok(())),
            }
        }
        // The other way, and other tasks, have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Ends a side such that whoever is behind it can tell that this is no end of what there was to say: inside TLS without a
/// close_notify, else by a reset.
async fn break_off<IO>(timer: &dyn Timer, mut conn: Unfinished<IO>, said: u64)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if conn.layers().tls().next().is_some() {
        let later = timer.sleep_until(timer.now() + LAST_BYTES);
        let mut io = conn.finished().into_inner().io;
        let truncate = async {
            let _ = io.close().await;
            read_to_end(&mut io).await;
        };
        select(Box::pin(truncate), later).await;
    } else if said > 0 {
        until_taken(timer, &mut conn).await;
    }
}

/// Waits until a reset does not overtake what was said: the other end's system has taken all of it, or takes nothing more.
/// Where that cannot be known, until the other end closes, or has had time enough.
async fn until_taken<IO>(timer: &dyn Timer, conn: &mut Connection<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut least, mut stuck) = (usize::MAX, timer.now());
    loop {
        let io: &dyn Any = conn.get_ref();
        let Some(unsent) = io.downcast_ref().and_then(Socket::unsent) else {
            let later = timer.sleep_until(timer.now() + LAST_BYTES);
            select(Box::pin(read_to_end(conn)), later).await;
            return;
        };
        let now = timer.now();
        if unsent < least {
            (least, stuck) = (unsent, now + STALL_TIMEOUT);
        }
        if unsent == 0 || now >= stuck {
            return;
        }
        timer.sleep_until(now + LOOK_AGAIN).await;
    }
}

async fn read_to_end(from: &mut (impl AsyncRead + Unpin)) {
    let mut ignored = vec![0; 4096];
    while let Ok(1..) = from.read(&mut ignored).await {}
}

/// A connection that is reset when it is dropped: who gives up does not pretend that everything was said.
struct Unfinished<IO: 'static>(Option<Connection<IO>>);

impl<IO> Unfinished<IO> {
    fn new(conn: Connection<IO>) -> Self {
        Self(Some(conn))
    }

    /// The connection, to be dropped like any other.
    fn finished(mut self) -> Connection<IO> {
        self.0.take().expect(TAKEN_LAST)
    }
}

impl<IO> Deref for Unfinished<IO> {
    type Target = Connection<IO>;

    fn deref(&self) -> &Connection<IO> {
        self.0.as_ref().expect(TAKEN_LAST)
    }
}

impl<IO> DerefMut for Unfinished<IO> {
    fn deref_mut(&mut self) -> &mut Connection<IO> {
        self.0.as_mut().expect(TAKEN_LAST)
    }
}

impl<IO> Drop for Unfinished<IO> {
    fn drop(&mut self) {
        let Some(conn) = self.0.take() else { return };
        if let Err(error) = conn.reset() {
            log::debug!("closed without a reset: {error}");
        }
    }
}

const OUR_OWN: &str = "a connection fails with an error of its own";

const TAKEN_LAST: &str = "the connection is taken only by who consumes this";

/// After so many writes in one direction without a wait, others have their turn.
const MAX_WRITES: usize = 64;

/// How long somebody may take nothing at all of the last bytes.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long until we look again whether last bytes have been taken.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long last bytes may be on their way before a reset follows them.
const LAST_BYTES: Duration = Duration::from_secs(1);
