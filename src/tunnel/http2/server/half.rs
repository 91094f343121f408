//! The server's half of h2, over byte queues: requests come out of it, and it is told when to end.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{PingPong, Reason, RecvStream};
use http::Request;

use crate::tunnel::http2::port::PortIo;
use crate::tunnel::http2::role::{MAX_FRAME, SEND_BUFFER};
use crate::tunnel::http2::settings::Settings;

/// A request, what comes behind it, and the way to answer.
pub(in crate::tunnel::http2) type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// h2 of a server, and the requests that nobody has taken out of it.
pub(in crate::tunnel::http2) struct ServerHalf {
    stage: Stage,
    asked: VecDeque<Asked>,
}

/// How far the connection has come.
enum Stage {
    /// The client's preface has not come.
    Beginning(Handshake<PortIo, Bytes>),
    Live(Connection<PortIo, Bytes>),
    Over,
}

impl ServerHalf {
    pub(in crate::tunnel::http2) fn new(io: PortIo, settings: &Settings) -> Self {
        let window = settings.window(settings.windows());
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(settings.max_tunnels)
            .max_header_list_size(settings.max_head)
            .max_frame_size(MAX_FRAME)
            .initial_window_size(settings.stream_window)
            .initial_connection_window_size(window)
            // Small frames are counted against it for as long as they lie in h2, and they do not: they are taken out at once.
            .data_frame_budget(window as usize)
            .max_send_buffer_size(SEND_BUFFER)
            // So that whoever asks for a protocol that we do not know hears that (RFC 9220, section 3), and not that it is wrong
            // to ask.
            .enable_connect_protocol();
        Self { stage: Stage::Beginning(builder.handshake(io)), asked: VecDeque::new() }
    }

    /// Gets as far as it can. It is over when it is ready.
    pub(in crate::tunnel::http2) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match ready!(self.poll_asked(cx)) {
                Some(Ok(asked)) => self.asked.push_back(asked),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// The next request that has come.
    pub(in crate::tunnel::http2) fn take_asked(&mut self) -> Option<Asked> {
        self.asked.pop_front()
    }

    /// The next request, if there is one. `None` at the end of the connection.
    fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Asked, h2::Error>>> {
        if let Stage::Beginning(handshake) = &mut self.stage {
            match ready!(Pin::new(handshake).poll(cx)) {
                Ok(live) => self.stage = Stage::Live(live),
                Err(error) => {
                    self.stage = Stage::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        let Stage::Live(live) = &mut self.stage else { return Poll::Ready(None) };
        let asked = live.poll_accept(cx);
        if matches!(asked, Poll::Ready(None | Some(Err(_)))) {
            self.stage = Stage::Over;
        }
        asked
    }

    /// No more requests; those that are there go on (RFC 9113, section 6.8).
    pub(in crate::tunnel::http2) fn finish(&mut self) {
        match &mut self.stage {
            Stage::Live(live) => live.graceful_shutdown(),
            Stage::Beginning(_) | Stage::Over => self.stage = Stage::Over,
        }
    }

    /// All of it ends, now.
    pub(in crate::tunnel::http2) fn break_off(&mut self, reason: Reason) {
        match &mut self.stage {
            Stage::Live(live) => live.abrupt_shutdown(reason),
            Stage::Beginning(_) | Stage::Over => self.stage = Stage::Over,
        }
    }

    /// What pings are sent with, once the client has begun. It is given out once.
    pub(in crate::tunnel::http2) fn ping_pong(&mut self) -> Option<PingPong> {
        match &mut self.stage {
            Stage::Live(live) => live.ping_pong(),
            Stage::Beginning(_) | Stage::Over => None,
        }
    }

    pub(in crate::tunnel::http2) fn set_window(&mut self, size: u32) {
        if let Stage::Live(live) = &mut self.stage {
            live.set_target_window_size(size);
        }
    }
}
