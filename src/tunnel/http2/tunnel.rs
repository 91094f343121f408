//! One tunnel as a socket.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures::io::{AsyncRead, AsyncWrite};
use h2::Reason as Code;

use super::fault::Fault;
use super::shared::{Shared, State, Who};
use super::stream::{Next, Stream};
use crate::runtime::{Address, Carrier, KeepAlive};
use crate::stack::copy_to_slice;
use crate::tunnel::ErrorKind;

/// One tunnel, as what carries a connection. Dropped before both directions have ended, it is reset.
pub(super) struct Tunnel {
    shared: Shared,
    id: u32,
    target: Address,
    proxy: Option<Address>,
    /// What the peer is told when the tunnel is reset.
    broken: Code,
}

impl Tunnel {
    /// The stream of this number, which is open.
    pub(super) fn new(shared: Shared, id: u32, target: Address, proxy: Option<Address>) -> Self {
        Self { shared, id, target, proxy, broken: Code::CANCEL }
    }

    /// The same, of which the peer is told so when it is reset.
    pub(super) fn broken_by(mut self, broken: Code) -> Self {
        self.broken = broken;
        self
    }

    fn poll<T>(
        &self,
        who: Who,
        cx: &Context<'_>,
        mut look: impl FnMut(&mut State) -> Poll<Result<T, Fault>>,
    ) -> Poll<io::Result<T>> {
        let polled = self.shared.poll(who, cx, |state, _| look(state));
        polled.map_err(|fault| fault.into_io_error(self.target.clone(), self.proxy.clone()))
    }

    /// Has `take` take of the bytes that are to be read, of which there are so many, and say how many it has taken.
    fn poll_take(
        &self,
        cx: &Context<'_>,
        mut take: impl FnMut(&mut Stream, usize) -> usize,
    ) -> Poll<io::Result<usize>> {
        self.poll(Who::Reader(self.id), cx, |state| {
            let Some(stream) = state.session.stream(self.id) else { return Poll::Ready(Err(Self::gone())) };
            let count = match stream.next() {
                Next::Nothing => return Poll::Pending,
                Next::Ended => return Poll::Ready(Ok(0)),
                Next::Failed(fault) => return Poll::Ready(Err(fault.clone())),
                Next::Bytes(bytes) => bytes.len(),
            };
            Poll::Ready(Ok(take(stream, count)))
        })
    }

    /// Has `put` put bytes, and waits while there is no room for any.
    fn poll_put(
        &self,
        cx: &Context<'_>,
        is_nothing: bool,
        mut put: impl FnMut(&mut Stream) -> Option<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll(Who::Writer(self.id), cx, |state| {
            let Some(stream) = state.session.stream(self.id) else { return Poll::Ready(Err(Self::gone())) };
            match put(stream) {
                Some(0) if !is_nothing => Poll::Pending,
                Some(count) => Poll::Ready(Ok(count)),
                None => Poll::Ready(Err(unwritable(&stream.next()))),
            }
        })
    }

    fn gone() -> Fault {
        ErrorKind::Ended("the tunnel had").into()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, |stream, bytes| {
            let count = bytes.min(buffer.len());
            if let Next::Bytes(bytes) = stream.next() {
                copy_to_slice(&mut buffer[..count], &bytes[..count]);
            }
            stream.take(count);
            count
        })
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, bytes.is_empty(), |stream| stream.put(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Who::Writer(self.id), cx, |state| {
            match state.session.stream(self.id).map(|stream| stream.is_written().then(|| stream.written_at())) {
                Some(Some(until)) => state.poll_flushed(until).map(Ok),
                Some(None) => Poll::Pending,
                None => Poll::Ready(Err(Self::gone())),
            }
        })
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.act(|state, _| state.session.stream(self.id).map(Stream::close));
        self.poll_flush(cx)
    }
}

/// Why nothing more can be written. A loss that concerns only what the peer sends is for the reader.
fn unwritable(next: &Next<'_>) -> Fault {
    match next {
        Next::Failed(Fault::Below(reason)) if reason.is_inbound_only() => Tunnel::gone(),
        Next::Failed(fault) => (*fault).clone(),
        Next::Nothing | Next::Bytes(_) | Next::Ended => Tunnel::gone(),
    }
}

impl Carrier for Tunnel {
    fn reset(self) -> io::Result<()> {
        self.shared.act(|state, _| {
            if let Some(stream) = state.session.stream(self.id) {
                stream.reset(self.broken, Self::gone());
            }
        });
        Ok(())
    }

    fn unsent(&self) -> Option<usize> {
        self.shared.of_carrier(Carrier::unsent)?
    }

    fn poll_read_piece(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut BytesMut,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        Some(self.poll_take(cx, |stream, bytes| {
            let count = bytes.min(most);
            stream.take_to(to, count);
            count
        }))
    }

    fn poll_write_piece(
        &mut self,
        cx: &mut Context<'_>,
        piece: &mut BytesMut,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        Some(self.poll_put(cx, most == 0, |stream| stream.put_of(piece, most)))
    }

    fn keep_alive(&self) -> io::Result<Option<KeepAlive>> {
        self.shared.of_carrier(Carrier::keep_alive).unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) -> io::Result<()> {
        let set = self.shared.of_carrier(|carrier| Carrier::set_keep_alive(carrier, keep_alive));
        set.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        let (fault, is_deaf) = self.shared.act(|state, _| {
            let stream = state.session.stream(self.id).map(|stream| stream.is_deaf());
            (state.session.fault(self.id), stream.unwrap_or(true))
        });
        let fault = fault.map(|fault| fault.into_io_error(self.target.clone(), self.proxy.clone()));
        Ok(fault.or_else(|| is_deaf.then(|| io::ErrorKind::ConnectionReset.into())))
    }
}

impl fmt::Display for Tunnel {
    /// The layers of the connection that carries it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_drawing = f.alternate();
        let show = |carrier: &_| if is_drawing { format!("{carrier:#}") } else { format!("{carrier}") };
        match self.shared.of_carrier(show) {
            Some(shown) => f.write_str(&shown),
            None => f.write_str("closed"),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        for who in [Who::Reader(self.id), Who::Writer(self.id)] {
            self.shared.unregister(who);
        }
        self.shared.act(|state, _| state.session.forget(self.id));
    }
}
