//! A proxy that speaks HTTP/2 by h2, and does as a test says; and the frames that it cannot be made to send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use onionskin::testing::WireEnd;

use crate::Bench;

/// A proxy, which answers no request by itself.
pub(crate) struct Proxy {
    requests: mpsc::UnboundedReceiver<Asked>,
    orders: mpsc::UnboundedSender<Order>,
    /// How it has ended.
    pub(crate) ended: oneshot::Receiver<Result<(), h2::Error>>,
}

/// A tunnel that it has been asked for.
pub(crate) struct Asked {
    pub(crate) request: Request<()>,
    pub(crate) recv: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
}

/// A tunnel that it has granted.
pub(crate) struct Far {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) recv: RecvStream,
}

enum Order {
    Leave,
    GiveUp(Reason),
    Drop,
}

impl Proxy {
    pub(crate) fn serve(bench: &Bench, end: impl Wire, builder: h2::server::Builder) -> Self {
        let (proxy, served) = Self::over(end, builder);
        bench.spawn(served);
        proxy
    }

    /// A proxy, and what it does, for whoever polls it.
    pub(crate) fn over<W: Wire>(end: W, builder: h2::server::Builder) -> (Self, impl Future<Output = ()> + use<W>) {
        let ((asked, requests), (orders, mut ordered), (ending, ended)) =
            (mpsc::unbounded(), mpsc::unbounded(), oneshot::channel());
        let served = async move {
            let mut server = match builder.handshake::<_, Bytes>(Io(end)).await {
                Ok(server) => server,
                Err(error) => return drop(ending.send(Err(error))),
            };
            let ended = std::future::poll_fn(|cx| {
                loop {
                    match ordered.poll_next_unpin(cx) {
                        Poll::Ready(Some(Order::Leave)) => server.graceful_shutdown(),
                        Poll::Ready(Some(Order::GiveUp(reason))) => server.abrupt_shutdown(reason),
                        Poll::Ready(Some(Order::Drop)) => return Poll::Ready(Ok(())),
                        Poll::Ready(None) | Poll::Pending => break,
                    }
                }
                loop {
                    match server.poll_accept(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(None) => return Poll::Ready(Ok(())),
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(Some(Ok((request, respond)))) => {
                            let (head, recv) = request.into_parts();
                            let request = Request::from_parts(head, ());
                            let _ = asked.unbounded_send(Asked { request, recv, respond });
                        }
                    }
                }
            })
            .await;
            let _ = ending.send(ended);
        };
        (Self { requests, orders, ended }, served)
    }

    /// The next tunnel that it is asked for.
    pub(crate) async fn next(&mut self) -> Asked {
        self.requests.next().await.unwrap()
    }

    /// The next tunnel that it is asked for, while there is somebody to ask.
    pub(crate) async fn try_next(&mut self) -> Option<Asked> {
        self.requests.next().await
    }

    /// Grants the next tunnel.
    pub(crate) async fn grant(&mut self) -> Far {
        self.next().await.grant()
    }

    /// Goes away as soon as its tunnels are over.
    pub(crate) fn leave(&self) {
        self.orders.unbounded_send(Order::Leave).unwrap();
    }

    pub(crate) fn give_up(&self, reason: Reason) {
        self.orders.unbounded_send(Order::GiveUp(reason)).unwrap();
    }

    /// Hangs up without a word.
    pub(crate) fn hang_up(&self) {
        self.orders.unbounded_send(Order::Drop).unwrap();
    }
}

impl Asked {
    pub(crate) fn grant(self) -> Far {
        self.answer(Response::new(()))
    }

    pub(crate) fn answer(mut self, response: Response<()>) -> Far {
        let send = self.respond.send_response(response, false).unwrap();
        Far { send, recv: self.recv }
    }
}

impl Far {
    pub(crate) fn say(&mut self, said: &[u8]) {
        self.send.send_data(Bytes::copy_from_slice(said), false).unwrap();
    }

    pub(crate) fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }

    /// Hears at least so many bytes.
    pub(crate) async fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        while heard.len() < count {
            let bytes = self.recv.data().await.unwrap().unwrap();
            self.recv.flow_control().release_capacity(bytes.len()).unwrap();
            heard.extend_from_slice(&bytes);
        }
        heard
    }

    /// Hears all that comes until the end.
    pub(crate) async fn hear_all(&mut self) -> Result<Vec<u8>, h2::Error> {
        let mut heard = Vec::new();
        while let Some(bytes) = self.recv.data().await {
            let bytes = bytes?;
            self.recv.flow_control().release_capacity(bytes.len())?;
            heard.extend_from_slice(&bytes);
        }
        Ok(heard)
    }

    /// With which code the tunnel is reset.
    pub(crate) async fn reset(&mut self) -> Reason {
        std::future::poll_fn(|cx| self.send.poll_reset(cx)).await.unwrap()
    }
}

/// What carries a proxy.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + 'static {}

impl Wire for WireEnd {}

impl<IO: Wire> Wire for onionskin::Connection<IO> {}

impl Wire for onionskin::runtime::Socket {}

/// The traits that h2 asks for.
struct Io<T>(T);

impl<T: AsyncRead + Unpin> tokio::io::AsyncRead for Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let most = buffer.remaining().min(bytes.len());
        Pin::new(&mut self.0).poll_read(cx, &mut bytes[..most]).map_ok(|count| buffer.put_slice(&bytes[..count]))
    }
}

impl<T: AsyncWrite + Unpin> tokio::io::AsyncWrite for Io<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `:status: 200`, from the static table (RFC 7541, appendix A).
pub(crate) const OK: &[u8] = &[0x88];

/// A proxy that sends exactly what a test writes.
pub(crate) struct Raw<W = WireEnd>(pub(crate) W);

/// A frame that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl<W: Wire> Raw<W> {
    /// Begins as a server does, with these settings.
    pub(crate) async fn begin(end: W, settings: &[u8]) -> Self {
        let mut raw = Self(end);
        let mut preface = [0; 24];
        raw.0.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&frame(SETTINGS, 0, 0, settings)).await;
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Frame {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.unwrap();
        Frame { kind, flags, stream: u32::from_be_bytes(stream), payload }
    }

    /// The next frame of this kind; those before it are passed over.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await;
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Grants the next tunnel, and says which it is.
    pub(crate) async fn grant(&mut self) -> u32 {
        let Frame { stream, .. } = self.next_of(HEADERS).await;
        self.send(&frame(HEADERS, END_HEADERS, stream, OK)).await;
        stream
    }
}
