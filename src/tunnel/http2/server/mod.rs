//! The side that is asked for tunnels over HTTP/2.
//!
//! | file | idea |
//! |---|---|
//! | `pending.rs` | a tunnel that is asked for: granted or refused |
//! | `request.rs` | which requests are for a tunnel, and what is answered to the others |
//! | `half.rs`, `questions.rs` | the server's half of h2, and what a client has asked until it is answered |

pub(super) mod half;
mod pending;
pub(super) mod questions;
mod request;

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use self::pending::Way;
use self::request::Wanted;
use super::session::Session;
use super::settings::Settings;
use super::shared::{Shared, Waiting, Who};
use crate::connection::{Connection, Tree, View};
use crate::protocol::{Factory, Running};
use crate::runtime::Socket;
use crate::tunnel::http::refusing::Refusing;
use crate::tunnel::{Credentials, Request};

pub use self::pending::PendingTunnel;

/// The tunnels that one client asks for over a connection of HTTP/2 (RFC 9113, section 8.5), each of which is granted or refused
/// by itself.
///
/// ```
/// use onionskin::Connection;
/// use onionskin::runtime::Socket;
/// use onionskin::tunnel::http2::PendingTunnels;
/// use onionskin::tunnel::{Grant, Reason};
///
/// /// `client` has been found to speak HTTP/2, by ALPN or by what it says first.
/// async fn serve(client: Connection<Socket>, reach: impl AsyncFn(&onionskin::runtime::Address) -> Option<Socket>) {
///     let mut tunnels = PendingTunnels::over(client);
///     while let Some(mut pending) = tunnels.next().await {
///         let target = pending.request().target.clone();
///         match pending.during(reach(&target)).await {
///             Ok(Some(_reached)) => drop(pending.grant(Grant::default()).await), // and joins the two, in a task of its own
///             Ok(None) => drop(pending.refuse(Reason::ConnectionRefused).await),
///             Err(_) => {} // the client waits no longer
///         }
///     }
/// }
/// ```
///
/// # Driving
///
/// Whoever waits for a request, or for anything of a tunnel, drives the whole connection. So each tunnel may be served in a task of
/// its own, and a server that waits for the next request all the while keeps the connection alive: PINGs are answered, and a
/// client that has tunnels and says nothing is asked after 30 seconds whether it is still there, and given up 10 seconds later.
///
/// # What it answers
///
/// What is no request at all has its stream reset (PROTOCOL_ERROR). Otherwise, each with a `Proxy-Status` (RFC 9209): 400 where
/// the target is none or something else is in a CONNECT that must not be, 405 for another method, 407 for a user that is
/// missing or wrong, 431 for a head of more than 16,384 bytes or a hundred fields, 501 for a protocol in the tunnel (RFC 8441), of
/// which this server knows none. The stream is over with that, and the connection goes on.
///
/// # Limits
///
/// A hundred tunnels at once, further ones are refused (REFUSED_STREAM); a window of 1 MiB for each, which a tunnel that is not
/// read fills, and one for all that is never the first to be full. The client has 10 seconds to begin. Without a tunnel, and
/// without a word, for 5 minutes the connection ends. See [`Settings`]. Floods of frames that mean nothing end it
/// (ENHANCE_YOUR_CALM), or wait while the answers to them are not read.
///
/// # Dropping it
///
/// No more requests are answered (GOAWAY), and the tunnels go on. With the last of them goes the connection, then close_notify of
/// TLS, as far as the socket takes them at once.
pub struct PendingTunnels {
    shared: Shared,
    /// As what we wait.
    who: Who,
    way: Arc<Way>,
    login: Option<Login>,
    /// Users that are being looked up.
    checks: FuturesUnordered<BoxFuture<'static, Checked>>,
    wrong: usize,
}

/// Who may come in.
struct Login {
    realm: String,
    check: Check,
}

pub(in crate::tunnel) type Check = Arc<dyn Fn(Credentials) -> BoxFuture<'static, bool> + Send + Sync>;

struct Checked {
    id: u32,
    request: Request,
    may_enter: bool,
}

impl PendingTunnels {
    /// Over a connection to a client that speaks HTTP/2. What has been received and not read is the beginning of it.
    #[must_use]
    pub fn over(connection: Connection<Socket>) -> Self {
        Self::with(connection, Settings::new())
    }

    /// As [`over`](Self::over), with these settings.
    #[must_use]
    pub fn with(connection: Connection<Socket>, settings: Settings) -> Self {
        let alarm = connection.alarm();
        let way = Arc::new(Way::of(&connection, alarm.timer()));
        let session = Session::server(settings, alarm.now());
        let shared = Shared::new(connection, session, alarm);
        Self { who: shared.waiter(), shared, way, login: None, checks: FuturesUnordered::new(), wrong: 0 }
    }

    /// Wants a user and a password for this (Basic, RFC 7617), and asks `check` whether they are right. Only requests of those who
    /// may come in are then handed out. Anybody who reads what the client sends can read them.
    ///
    /// Whoever has been wrong ten times over one connection is told to go away.
    #[must_use]
    pub fn authenticating<F>(
        self,
        realm: impl Into<String>,
        check: impl Fn(Credentials) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        self.checking(realm.into(), Arc::new(move |credentials| Box::pin(check(credentials))))
    }

    pub(in crate::tunnel) fn checking(mut self, realm: String, check: Check) -> Self {
        self.login = Some(Login { realm, check });
        self
    }

    /// What it calls itself in `Proxy-Status`; `onionskin` unless set.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.way).name = name.into();
        self
    }

    /// The next request for a tunnel. `None` when there will be none: the connection is over, with all its tunnels, or it is
    /// [shut down](Self::shutdown) and the last of them has ended.
    ///
    /// # Cancellation
    ///
    /// No request is lost.
    pub async fn next(&mut self) -> Option<PendingTunnel> {
        let waiting = Waiting::new(&self.shared, self.who);
        let next = poll_fn(|cx| self.poll_next(cx)).await;
        drop(waiting);
        if next.is_none()
            && let Some(carrier) = self.shared.take_carrier()
        {
            // How it has ended, its tunnels know.
            let _ = carrier.leave(PATIENCE).await;
        }
        next
    }

    /// Waits for the next request for a tunnel, and grants it to a protocol that the factory makes, one for each: the client talks
    /// to that, as if it were the target. What comes back [runs it](crate::protocol::run()), and is to be awaited or spawned.
    ///
    /// ```
    /// use onionskin::Connection;
    /// use onionskin::protocol::{Addresses, Factory, Protocol, Result, Transport};
    /// use onionskin::runtime::Socket;
    /// use onionskin::tunnel::http2::PendingTunnels;
    ///
    /// struct Echo;
    ///
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
    ///         let said = transport.take_all();
    ///         transport.write(&said)
    ///     }
    /// }
    ///
    /// /// Only those who ask for this name are answered.
    /// struct Echoes;
    ///
    /// impl Factory for Echoes {
    ///     type Protocol = Echo;
    ///
    ///     fn build(&self, addresses: &Addresses) -> Option<Echo> {
    ///         (addresses.target.as_ref()?.host()? == "echo.example").then_some(Echo)
    ///     }
    /// }
    ///
    /// async fn serve(client: Connection<Socket>, spawn: impl Fn(Box<dyn Future<Output = ()> + Send>)) {
    ///     let mut tunnels = PendingTunnels::over(client);
    ///     while let Some(running) = tunnels.run_next(&Echoes).await {
    ///         spawn(Box::new(async { println!("{}", running.await.reason) }));
    ///     }
    /// }
    /// ```
    ///
    /// A request for which the factory makes none is refused (403), and one whose client waits no longer is passed over; then it
    /// waits for the next. [`PendingTunnel::run`] does the same for one request, where more than its addresses decides. As with
    /// [`next`](Self::next), `None` says that there will be none, and this drives the connection.
    ///
    /// # Cancellation
    ///
    /// No request is lost.
    pub async fn run_next<F: Factory>(&mut self, factory: &F) -> Option<Running<Socket, F::Protocol>> {
        loop {
            // Why one does not run, its client has been told, or does not want to know any more.
            if let Ok(running) = self.next().await?.run(factory).await {
                return Some(running);
            }
        }
    }

    /// Takes no more requests, and tells the client so (GOAWAY); those on their way are refused such that it may ask elsewhere
    /// (REFUSED_STREAM). Tunnels that have been granted go on for so long, and then they are lost.
    ///
    /// It happens while the connection is driven: call [`next`](Self::next) until there is `None`.
    pub fn shutdown(&mut self, patience: Duration) {
        self.shared.act(|state, now| state.session.finish(now.checked_add(patience)));
    }

    /// All tunnels with what stands on each of them, to be printed; if this connection is a tunnel itself, with all of what carries
    /// that.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.shared.tree()
    }

    /// The same for somebody else, who may look as often as they like and holds nothing open by it.
    #[must_use]
    pub fn view(&self) -> View {
        View::new(self.shared.trunk())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<PendingTunnel>> {
        loop {
            if let Poll::Ready(Some(Checked { id, request, may_enter })) = self.checks.poll_next_unpin(cx) {
                if may_enter {
                    return Poll::Ready(Some(self.pending(id, request)));
                }
                self.deny(id);
                continue;
            }
            let asked = self.shared.poll(self.who, cx, |state, now| {
                if let Some(asked) = state.session.take_question() {
                    return Poll::Ready(Some(asked));
                }
                state.session.bid_farewell(now);
                let is_said = state.session.over().is_some() && state.session.output_len() == 0;
                if is_said || state.is_closed() { Poll::Ready(None) } else { Poll::Pending }
            });
            match asked {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some((id, head))) => {
                    if let Some(pending) = self.judge(id, &head) {
                        return Poll::Ready(Some(pending));
                    }
                }
            }
        }
    }

    /// Answers a request that is none, or has its user looked up; or else it is to be handed out.
    fn judge(&mut self, id: u32, head: &http::request::Parts) -> Option<PendingTunnel> {
        let Wanted { mut request, credentials } = match Wanted::of(head, &self.way.name) {
            Ok(wanted) => wanted,
            Err(refusing) => {
                self.refuse(id, &refusing);
                return None;
            }
        };
        let Some(login) = &self.login else { return Some(self.pending(id, request)) };
        let Some(credentials) = credentials else {
            self.refuse(id, &Refusing::login(&self.way.name, &login.realm));
            return None;
        };
        request.user = Some(credentials.user().to_owned());
        let check = (login.check)(credentials);
        self.checks.push(Box::pin(async move { Checked { id, request, may_enter: check.await } }));
        None
    }

    fn deny(&mut self, id: u32) {
        if let Some(login) = &self.login {
            self.refuse(id, &Refusing::login(&self.way.name, &login.realm));
        }
        self.wrong += 1;
        if self.wrong == MAX_WRONG {
            self.shared.act(|state, _| state.session.finish(None));
        }
    }

    fn refuse(&self, id: u32, refusing: &Refusing) {
        refuse(&self.shared, id, refusing);
    }

    fn pending(&self, id: u32, request: Request) -> PendingTunnel {
        PendingTunnel::new(self.shared.clone(), id, request, Arc::clone(&self.way))
    }
}

impl Drop for PendingTunnels {
    fn drop(&mut self) {
        self.shared.unregister(self.who);
        self.shared.act(|state, _| {
            state.session.finish(None);
            state.session.refuse_rest();
        });
    }
}

impl fmt::Debug for PendingTunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingTunnels").field("name", &self.way.name).finish_non_exhaustive()
    }
}

/// Answers in this way; the stream is over with that.
fn refuse(shared: &Shared, id: u32, Refusing { status, fields, body }: &Refusing) {
    shared.act(|state, _| {
        state.session.refuse(id, answer(*status, fields), Bytes::copy_from_slice(body.as_bytes()));
    });
}

/// An answer of this status. Its fields are ours, and fit.
fn answer(status: u16, fields: &[(String, Vec<u8>)]) -> http::Response<()> {
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

/// So many wrong passwords are not mistyped.
const MAX_WRONG: usize = 10;

/// How long the client is waited for when the connection is left.
const PATIENCE: Duration = Duration::from_secs(2);
