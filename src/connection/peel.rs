//! Outer TLS that is taken off once there is TLS inside.
//!
//! Two who pass on what others say, with TLS between them, encrypt twice where the others speak TLS with each other:
//!
//! ```text
//!   client ──────────── relay ════════════ relay ──────────── server
//!      └ inner TLS ───────┼── outer TLS ──────┼─────────────────┘
//! ```
//!
//! Once the inner handshake is done the outer layer protects only what is protected, and can go. Both must take it off at the same
//! byte, and must know that they do. How do they?
//!
//! *That they do* is agreed in the outer handshake: each offers, or accepts, the application protocol [`OuterPeel::ALPN`]. It is said
//! inside what that handshake authenticates, and with a peer that does not know it nothing is agreed, and all stays as it was.
//!
//! *When* need not be said at all. Both follow the inner handshake through the bytes that pass, and each answers the same question by
//! the same rule (`tls/overheard.rs`): is all that either says from here on protected? A yes depends on nothing but what has been
//! said, and stays a yes. Who comes to it first stops the outer layer: sends its close_notify, and what it says next right behind,
//! in clear. Who gets that close_notify knows all that the other knew, for it was said before: all that has come, and all that it
//! has sent itself. So it comes to a yes as well, and answers in kind. A close_notify that comes before the yes is what it always
//! was, the end of that direction. The boundary is that of a stop like any other: exactly behind the close_notify, and no record of
//! the outer layer can follow, since nobody has its keys any more.
//!
//! One case takes care. Somebody may have sent its close_notify as an end, shortly before it would have come to a yes, while the other
//! already has. So an end that is to be passed on before there is an answer closes the outer layer, and not the socket: if the
//! close_notify that comes next is that of a peel, there is still a direction to go on in, and its end follows in clear.
//!
//! What is given up: the outer layer hides no lengths, no times and no ends of the inner one any more, proves to nobody who is at the
//! other end of the socket, and whoever is on the way can put bytes in. What the inner layer does not protect, nothing does.

use std::pin::pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::{Connection, Error};
use crate::driver::Half;
use crate::stack::{End, LayerId, Stop};
use crate::tls::{Eavesdropper, Overheard, Role};

/// The outer TLS of a connection whose bytes are passed on, which is taken off as soon as they are TLS themselves and protected.
///
/// It does no reading or writing. Who passes the bytes on tells it of all that is [written](Self::written) and
/// [read](Self::read), and asks it over each [end](Self::poll_end), both before it says one and when it reads one.
#[derive(Debug)]
pub struct OuterPeel {
    layer: LayerId,
    role: Role,
    handshake: Eavesdropper,
    stage: Stage,
    read_has_ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The inner handshake is under way, if it is one.
    Listening,
    /// Our close_notify is ordered, and that of the peer still to come or to be read.
    Stopping,
    Peeled,
    /// The layer stays.
    Staying,
}

impl OuterPeel {
    /// The application protocol (ALPN) by which both sides agree. Its number is that of the rule.
    pub const ALPN: &str = "onionskin-peel/1";

    /// If the innermost layer of `connection` is TLS, and both sides have agreed.
    pub fn agreed<IO>(connection: &Connection<IO>) -> Option<Self> {
        let layers = connection.layers();
        let facts = layers.iter().last()?.tls.as_ref()?;
        let handshake = Eavesdropper::default();
        (facts.alpn.as_deref() == Some(Self::ALPN.as_bytes())).then_some(Self {
            layer: facts.layer,
            role: facts.role,
            handshake,
            stage: Stage::Listening,
            read_has_ended: false,
        })
    }

    /// Whether the layer is gone.
    #[must_use]
    pub fn is_peeled(&self) -> bool {
        self.stage == Stage::Peeled
    }

    /// These bytes were written to the connection. To be followed by [`act`](Self::act).
    pub fn written(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Listening {
            match self.role {
                Role::Client => self.handshake.client_says(bytes),
                Role::Server => self.handshake.server_says(bytes),
            }
        }
    }

    /// These bytes were read from the connection. To be followed by [`act`](Self::act).
    pub fn read(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Listening {
            match self.role {
                Role::Client => self.handshake.server_says(bytes),
                Role::Server => self.handshake.client_says(bytes),
            }
        }
    }

    /// Orders the stop of the layer, if it is time for that. It leaves with what is written next, or with a flush. Whether it
    /// did order it.
    pub fn act<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, connection: &mut Connection<IO>) -> bool {
        if self.stage != Stage::Listening {
            return false;
        }
        self.stage = match self.handshake.overheard() {
            Overheard::Unfinished => Stage::Listening,
            Overheard::Never => Stage::Staying,
            // A connection that is closed already, or lost, takes no order.
            Overheard::Protected => connection.begin_stop(stop()).map_or(Stage::Staying, |_| Stage::Stopping),
        };
        self.stage == Stage::Stopping
    }

    /// A read has come to an end: whether that is the end of the peer's direction, and not that of the layer alone. If it is not,
    /// reading continues on the layer below.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub fn poll_end<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Error>> {
        if self.stage == Stage::Stopping && connection.end() == Some(End::Layer(self.layer)) {
            let stopped = ready!(pin!(connection.stop_with(stop())).poll(cx))?;
            debug_assert!(stopped.late.is_empty(), "all was read");
            self.stage = Stage::Peeled;
            return Poll::Ready(Ok(false));
        }
        self.read_ended();
        Poll::Ready(Ok(true))
    }

    /// The peer's direction is over, whatever its end was.
    pub fn read_ended(&mut self) {
        self.read_has_ended = true;
        match self.role {
            Role::Client => self.handshake.server_ends(),
            Role::Server => self.handshake.client_ends(),
        }
    }

    /// Our direction is over: ready when the connection may be closed. To be asked again whenever something was read. Unless
    /// `is_truncated`, the peer is told at once.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub fn poll_may_close<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<IO>,
        is_truncated: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        match self.role {
            Role::Client => self.handshake.client_ends(),
            Role::Server => self.handshake.server_ends(),
        }
        self.act(connection);
        match self.stage {
            Stage::Peeled | Stage::Staying => return Poll::Ready(Ok(())),
            Stage::Listening | Stage::Stopping if self.read_has_ended => return Poll::Ready(Ok(())),
            // What was written last is to arrive, and the close_notify behind it.
            Stage::Stopping => ready!(connection.poll_flushed(Half::Writer, cx))?,
            Stage::Listening if is_truncated => ready!(connection.poll_flushed(Half::Writer, cx))?,
            Stage::Listening => ready!(pin!(connection.finish()).poll(cx))?,
        }
        Poll::Pending
    }
}

/// The peer answers when it has read so far, and reads when it likes. What we say next it takes for the bytes of the layer below.
fn stop() -> Stop {
    Stop::new().timeout(None).writes_at_once()
}
