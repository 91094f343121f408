//! The client: the same requests, whichever HTTP was agreed on.

use std::error::Error;
use std::fmt;

use futures::channel::oneshot;
use futures::io::{AsyncRead, AsyncWrite};
use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;

use super::HyperIo;
use crate::connection::{self, Connection};
use crate::runtime::Runtime;

/// A client of HTTP over one connection: HTTP/2 if its innermost layer is TLS that has agreed on that (ALPN `h2`), and else HTTP/1.1.
///
/// ```no_run
/// use onionskin::http::{Client, http::Request};
///
/// # #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = onionskin::runtime::preferred().expect("there is one");
/// let connection = onionskin::connect("tcp:proxy.example:3128+connect:www.example:443+tls:alpn=h2,http/1.1").await?;
/// let mut client = Client::over(connection, runtime).await?;
/// let answer = client.send(Request::get("https://www.example/").body(String::new())?).await?;
/// println!("{}", answer.status());
/// # Ok(())
/// # }
/// ```
///
/// What is between the requests and the connection runs in the background, on the runtime. It holds what hyper holds: one
/// request at a time in HTTP/1.1, and the windows of HTTP/2. A body that is not read is not taken from the connection.
///
/// An error of the connection is found in that of hyper by [`connection_error`].
pub struct Client<B> {
    sender: Sender<B>,
    /// Resolves, with an error that says no more, when the connection is over.
    over: oneshot::Receiver<()>,
}

enum Sender<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

impl<B> Client<B>
where
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Begins HTTP over this connection.
    ///
    /// # Errors
    ///
    /// As hyper has them, when the first bytes of HTTP/2 cannot be sent.
    ///
    /// # Cancellation
    ///
    /// Drops the connection.
    pub async fn over<IO>(connection: Connection<IO>, runtime: &'static dyn Runtime) -> Result<Self, hyper::Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let layers = connection.layers();
        let tls = layers.iter().last().and_then(|layer| layer.tls.as_ref());
        let is_http2 = tls.is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2"));
        drop(layers);
        let (ended, over) = oneshot::channel();
        let io = HyperIo(connection);
        let sender = if is_http2 {
            let (sender, driver) = http2::handshake(Background(runtime), io).await?;
            drive(runtime, driver, ended);
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(io).await?;
            drive(runtime, driver, ended);
            Sender::Http1(sender)
        };
        Ok(Self { sender, over })
    }

    /// Which HTTP is spoken.
    pub fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    /// Sends a request with an absolute URI, and waits for the head of the answer. In HTTP/1.1 the URI becomes the path and a field
    /// `Host`, unless there is one (RFC 9112 section 3.2); in HTTP/2 it becomes what that has for both.
    ///
    /// Nothing is added else, no redirection followed, and whether the URI leads to whom the connection leads to is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// As hyper has them: the connection is over, or the answer is none.
    ///
    /// # Cancellation
    ///
    /// In HTTP/1.1 the connection is over then, in HTTP/2 the request is reset.
    pub async fn send(&mut self, mut request: Request<B>) -> Result<Response<Incoming>, hyper::Error> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                *request.version_mut() = Version::HTTP_11;
                name_host(&mut request);
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                *request.version_mut() = Version::HTTP_2;
                sender.send_request(request).await
            }
        }
    }

    /// Says that no request follows, and waits until the connection is closed: every layer of it, from the inside out. The bodies of
    /// answers are to be read or dropped before.
    ///
    /// # Cancellation
    ///
    /// It is closed all the same.
    pub async fn close(self) {
        drop(self.sender);
        let _ = self.over.await;
    }
}

impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The error of the connection in one of hyper, if that is what came of it. HTTP/2 hands it on as a text only.
#[must_use]
pub fn connection_error(error: &hyper::Error) -> Option<&connection::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref().and_then(connection::Error::of) {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Moves the authority of the URI to where HTTP/1.1 has it.
fn name_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority().cloned() else { return };
    // The request for a tunnel has nothing else.
    if request.method() == Method::CONNECT {
        return;
    }
    if let Ok(host) = HeaderValue::from_str(without_user(&authority)) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
}

/// Who asks is not for this field (RFC 9110 section 4.2.4).
fn without_user(authority: &Authority) -> &str {
    let authority = authority.as_str();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Runs what moves a connection; `ended` is dropped when it is over.
pub(crate) fn drive(
    runtime: &'static dyn Runtime,
    driver: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
    ended: impl Send + 'static,
) {
    runtime.spawn(Box::pin(async move {
        if let Err(error) = driver.await {
            // Who has sent a request is told by its answer.
            log::debug!("a connection with HTTP ended: {error}");
        }
        drop(ended);
    }));
}

/// Runs what HTTP/2 has to do for each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Background(pub(crate) &'static dyn Runtime);

impl<F> Executor<F> for Background
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(async move {
            task.await;
        }));
    }
}
