//! The two roles of h2 behind one face.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{PingPong, SendStream};
use http::Request;

use super::port::PortIo;
use super::server::half::{Asked, ServerHalf};
use super::settings::Settings;

/// h2, of a client or of a server.
pub(super) enum Role {
    Client {
        connection: Box<Connection<PortIo, Bytes>>,
        /// `None` when we want no more streams: h2 goes away when none is left.
        requests: Option<SendRequest<Bytes>>,
    },
    Server(Box<ServerHalf>),
    /// It has said all that it had to say.
    Done,
}

impl Role {
    pub(super) fn client(io: PortIo, settings: &Settings, waker: &Waker) -> Result<Self, h2::Error> {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(settings.stream_window)
            .initial_connection_window_size(settings.window(settings.windows()))
            .max_header_list_size(settings.max_head)
            .max_frame_size(MAX_FRAME)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(settings.window(settings.windows()) as usize);
        let shaken = pin!(builder.handshake(io)).poll(&mut Context::from_waker(waker));
        let Poll::Ready(shaken) = shaken else { unreachable!("the preface has room in an empty queue") };
        let (requests, connection) = shaken?;
        Ok(Self::Client { connection: Box::new(connection), requests: Some(requests) })
    }

    pub(super) fn server(io: PortIo, settings: &Settings) -> Self {
        Self::Server(Box::new(ServerHalf::new(io, settings)))
    }

    pub(super) fn ping_pong(&mut self) -> Option<PingPong> {
        match self {
            Self::Client { connection, .. } => connection.ping_pong(),
            Self::Server(half) => half.ping_pong(),
            Self::Done => None,
        }
    }

    /// Lets h2 do what it can. It is done when it has said its last word.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let done = match self {
            Self::Client { connection, .. } => Pin::new(connection).poll(cx),
            Self::Server(half) => half.poll(cx),
            Self::Done => return Poll::Pending,
        };
        if done.is_ready() {
            *self = Self::Done;
        }
        done
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// The next request of a client.
    pub(super) fn take_asked(&mut self) -> Option<Asked> {
        match self {
            Self::Server(half) => half.take_asked(),
            Self::Client { .. } | Self::Done => None,
        }
    }

    /// How many streams the peer lets us have at a time.
    pub(super) fn limit(&self) -> usize {
        match self {
            Self::Client { requests: Some(requests), .. } => requests.current_max_send_streams(),
            Self::Client { requests: None, .. } | Self::Server(_) | Self::Done => 0,
        }
    }

    /// Opens a stream, unless one before still waits for room.
    pub(super) fn ask(
        &mut self,
        request: Request<()>,
    ) -> Result<Option<(ResponseFuture, SendStream<Bytes>)>, h2::Error> {
        let Self::Client { requests: Some(requests), .. } = self else { return Ok(None) };
        match requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(None),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => requests.send_request(request, false).map(Some),
        }
    }

    /// Gives the whole connection this window.
    pub(super) fn set_window(&mut self, size: u32) {
        match self {
            Self::Client { connection, .. } => connection.set_target_window_size(size),
            Self::Server(half) => half.set_window(size),
            Self::Done => {}
        }
    }

    /// Asks for nothing more. h2 says so (GOAWAY) when no stream is left.
    pub(super) fn leave(&mut self) {
        if let Self::Client { requests, .. } = self {
            *requests = None;
        }
    }

    /// Takes no more requests, and says so at once.
    pub(super) fn finish(&mut self) {
        if let Self::Server(half) = self {
            half.finish();
        }
    }

    /// Says that all of it is over.
    pub(super) fn break_off(&mut self, reason: h2::Reason) {
        match self {
            Self::Server(half) => half.break_off(reason),
            Self::Client { .. } | Self::Done => *self = Self::Done,
        }
    }

    /// The peer does not listen any more.
    pub(super) fn abandon(&mut self) {
        *self = Self::Done;
    }
}

/// The most that a frame of the peer's may have in it (SETTINGS_MAX_FRAME_SIZE, RFC 9113, section 6.5.2): what one read brings. Others
/// wait no longer for their turn than they would behind it anyway.
pub(super) const MAX_FRAME: u32 = 64 * 1024;

/// The most that h2 keeps of what a stream has to say.
pub(super) const SEND_BUFFER: usize = 64 * 1024;
