//! One client, from its handshakes to the end of its tunnel.
//!
//! ```text
//!   handshakes of LISTEN ── first bytes, log-in, request ── rules, resolver, connect ── granted ── both ways ── the end
//!           │                         │                              │                      ▲
//!           └──────── closed ◀────────┘                              └── refused, and why   └── only when the target is reached
//! ```

use std::fmt;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, pending, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use onionskin::endpoint::Incoming;
use onionskin::protocol::Addresses;
use onionskin::proxy::{Reach, Unreached};
use onionskin::runtime::{Address, Runtime};
use onionskin::tunnel::http2::{PendingTunnels, Settings};
use onionskin::tunnel::{Accepted, Acceptor, Grant, Pending, Reason, Refusal};

use super::line::Line;
use super::options::HalfCloseOption;
use super::users::Logins;
use super::views::Views;
use crate::join::{Cause, Class, ConnectionPair, End, Loss, Outcome, Own, PassOn, Side, Tally, Unfinished};
use crate::peers::{Peers, Seat};
use crate::signals::Stopping;
use crate::waiting::Limit;

/// What all clients share.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) runtime: &'static dyn Runtime,
    /// By the rules as they were last read.
    pub(super) reach: Mutex<Arc<Reach>>,
    pub(super) logins: Option<Arc<Logins>>,
    pub(super) peers: Arc<Peers>,
    pub(super) users: Arc<Peers>,
    pub(super) tunnels: Arc<Peers>,
    pub(super) tally: Arc<Tally>,
    pub(super) counts: Counts,
    pub(super) views: Views,
    pub(super) request_timeout: Duration,
    pub(super) head_size: u32,
    pub(super) idle: Limit,
    pub(super) idle_carrier: Limit,
    pub(super) half_close: HalfCloseOption,
    /// Is done when no tunnel is opened any more.
    pub(super) stopping: Stopping,
    /// Is done when nothing is waited for any more.
    pub(super) aborting: Stopping,
}

/// What has become of what clients have asked for. The number of connections says nothing of that: HTTP/2 has many tunnels in one.
#[derive(Debug, Default)]
pub(super) struct Counts {
    granted: AtomicU64,
    refused: AtomicU64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [granted, refused] = [&self.granted, &self.refused].map(|count| count.load(Relaxed));
        write!(f, "tunnels: {granted} granted, {refused} refused")
    }
}

impl Clients {
    /// Takes the client as far as it comes.
    ///
    /// Each stage is in a box of its own, which is gone when the next one begins: what many clients hold is the last one, and nothing
    /// large is moved about.
    pub(super) async fn serve(&self, listen: String, number: u64, incoming: Box<Incoming>) -> End {
        let mut line = Box::new(Line::new(listen, number, incoming.addresses(), self.runtime.now()));
        let asked = self.unless_aborted(self.ask_unless_stopping(incoming, &mut line).boxed()).await;
        match asked {
            Ok((Accepted::One(pending), _seat)) => self.answer(line, pending).boxed().await,
            Ok((Accepted::Many(tunnels), _seat)) => self.serve_many(&line, tunnels).boxed().await,
            Ok(_) => {
                let unknown = Own(Class::Other, "the client wants something that is not known here");
                line.ends(self.runtime.now(), failed(unknown))
            }
            Err(end) => line.ends(self.runtime.now(), end),
        }
    }

    async fn ask_unless_stopping(&self, incoming: Box<Incoming>, line: &mut Line) -> Result<(Accepted, Seat), End> {
        match select(pin!(self.ask(*incoming, line)), self.stopping.clone()).await {
            Either::Left((asked, _)) => asked,
            // Nobody has been promised anything.
            Either::Right(_) => Err(Outcome::Aborted.into()),
        }
    }

    /// One tunnel, from the request to its line.
    async fn answer(&self, mut line: Box<Line>, pending: Pending) -> End {
        line.asks(pending.request());
        match self.unless_aborted(self.open(&mut line, pending).boxed()).await {
            Ok(Answered::Granted(pair, _seats)) => self.pass(&mut line, pair).await,
            Ok(Answered::Refused(end)) => end,
            Err(end) => line.ends(self.runtime.now(), end),
        }
    }

    /// The tunnels of a connection of HTTP/2, side by side in this task.
    async fn serve_many(&self, line: &Line, tunnels: PendingTunnels) -> End {
        let _seen = self.views.add(line.number(), line.to_string(), tunnels.view());
        let mut tunnels = Some(tunnels);
        let mut live = FuturesUnordered::new();
        let (mut count, mut is_stopping, mut is_aborting) = (0, false, false);
        while tunnels.is_some() || !live.is_empty() {
            let happened = {
                let asked = async {
                    match &mut tunnels {
                        Some(tunnels) => Happened::Asked(tunnels.next().await.map(Pending::from)),
                        None => pending().await,
                    }
                };
                let ended = async {
                    match live.next().await {
                        Some(_) => Happened::Ended,
                        None => pending().await,
                    }
                };
                let ordered = async {
                    match (is_stopping, is_aborting) {
                        (false, _) => self.stopping.clone().map(|()| Happened::Stopping).await,
                        (true, false) => self.aborting.clone().map(|()| Happened::Aborting).await,
                        (true, true) => pending().await,
                    }
                };
                // Orders come first: what is asked for behind one is not granted.
                let (ended, asked) = (pin!(ended), pin!(asked));
                let others = select(ended, asked).map(|either| either.factor_first().0);
                select(pin!(ordered), others).await.factor_first().0
            };
            match happened {
                Happened::Asked(Some(pending)) => {
                    count += 1;
                    let line = Box::new(line.tunnel(count, self.runtime.now()));
                    live.push(self.answer(line, pending));
                }
                // Those that are there find out for themselves.
                Happened::Asked(None) => tunnels = None,
                Happened::Ended => {}
                Happened::Stopping => {
                    is_stopping = true;
                    if let Some(tunnels) = &mut tunnels {
                        // Patience is one for all, and not up to each connection: `aborting` ends it.
                        tunnels.shutdown(Duration::MAX);
                    }
                }
                Happened::Aborting => (is_aborting, tunnels) = (true, None),
            }
        }
        if is_aborting { Outcome::Aborted.into() } else { Outcome::Graceful.into() }
    }

    /// Does the handshakes, and hears what the client wants.
    async fn ask(&self, incoming: Incoming, line: &mut Line) -> Result<(Accepted, Seat), End> {
        let incoming = incoming.identify().await.map_err(failed)?;
        let addresses = incoming.addresses().clone();
        line.peer = addresses.to_string();
        let seat = match self.peers.seat(&addresses) {
            Ok(seat) => seat,
            Err(full) => {
                incoming.turn_away();
                return Err(End::of(Outcome::TurnedAway, Loss::new(Side::Listen, Own(Class::Limit, full))));
            }
        };
        let connection = incoming.ready().await.map_err(failed)?;
        self.tally.add_handshakes(Side::Listen, connection.layers().tls().count());
        let accepted = self.acceptor(&addresses).accept(connection).await.map_err(failed)?;
        Ok((accepted, seat))
    }

    fn acceptor(&self, addresses: &Addresses) -> Acceptor {
        let settings = Settings::new().idle_timeout(self.idle_carrier.0);
        let acceptor = Acceptor::new().timeout(self.request_timeout).max_head(self.head_size).with_settings(settings);
        let Some(logins) = &self.logins else { return acceptor };
        let peer: Option<IpAddr> = addresses.peer.as_ref().and_then(Address::as_tcp).map(|address| address.ip());
        let logins = Arc::clone(logins);
        acceptor.authenticating(REALM, move |credentials| {
            let logins = Arc::clone(&logins);
            async move { logins.check(peer, &credentials).await }
        })
    }

    /// Reaches the target, and grants the tunnel; or refuses.
    async fn open(&self, line: &mut Line, mut pending: Pending) -> Result<Answered, End> {
        let user = pending.request().user.clone().filter(|_| self.logins.is_some());
        let of_user = || user.map(|user| self.users.seat_of_user(&user)).transpose();
        let seats = match self.tunnels.seat_of_all().and_then(|seat| Ok((seat, of_user()?))) {
            Ok(seats) => seats,
            Err(full) => {
                line.reason = Some(Reason::LimitReached);
                let refusing = self.refuse(line, pending, Reason::LimitReached, Own(Class::Limit, full));
                return Ok(Answered::Refused(refusing.boxed().await));
            }
        };
        let reach = Arc::clone(&self.reach.lock().unwrap_or_else(PoisonError::into_inner));
        let request = pending.request().clone();
        let client = pending.addresses().clone();
        let far = match pending.during(reach.open(&request, &client)).await.map_err(failed)? {
            Ok(far) => Unfinished::new(far),
            Err(unreached) => {
                let cause = Own(class_of(&unreached), unreached.clone());
                line.reason = Some(unreached.reason());
                return Ok(Answered::Refused(self.refuse(line, pending, unreached, cause).boxed().await));
            }
        };
        line.reaches(&far);
        // Through another proxy our end of it says nothing.
        let bound = far.route().is_empty().then(|| far.get_ref().local_address().clone());
        let grant = bound.map(Grant::bound_to).unwrap_or_default();
        let near = Unfinished::new(pending.grant(grant).await.map_err(failed)?);
        self.counts.granted.fetch_add(1, Relaxed);
        let HalfCloseOption { half_close, limit } = self.half_close;
        let pair = ConnectionPair::new(self.runtime, near, far, PassOn::default(), Arc::clone(&self.tally));
        Ok(Answered::Granted(Box::new(pair.half_closing(half_close).limited(self.idle, limit)), seats))
    }

    /// Passes on until the end.
    async fn pass(&self, line: &mut Line, mut pair: Box<ConnectionPair>) -> End {
        let end = match select(pin!(pair.run()), self.aborting.clone()).await {
            Either::Left((end, _)) => end,
            Either::Right(_) => Outcome::Aborted.into(),
        };
        line.bytes = pair.bytes();
        let end = line.ends(self.runtime.now(), end);
        if end.outcome != Outcome::Aborted {
            select(pair.leave().boxed(), self.aborting.clone()).await;
        }
        end
    }

    /// Says no in the client's language, and to the log why.
    async fn refuse(&self, line: &Line, pending: Pending, refusal: impl Into<Refusal>, cause: impl Cause) -> End {
        self.counts.refused.fetch_add(1, Relaxed);
        let end = line.ends(self.runtime.now(), End::of(Outcome::Failed, Loss::new(Side::Connect, cause)));
        if let Err(error) = pending.refuse(refusal).await {
            log::debug!("{line}: the client has not heard that: {error}");
        }
        end
    }

    async fn unless_aborted<T>(&self, step: impl Future<Output = Result<T, End>>) -> Result<T, End> {
        match select(pin!(step), self.aborting.clone()).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Outcome::Aborted.into()),
        }
    }
}

/// What has become of a request.
enum Answered {
    Granted(Box<ConnectionPair>, (Seat, Option<Seat>)),
    Refused(End),
}

/// What happens to a connection with many tunnels.
enum Happened {
    Asked(Option<Pending>),
    Ended,
    Stopping,
    Aborting,
}

fn failed(cause: impl Cause) -> End {
    End::of(Outcome::Failed, Loss::new(Side::Listen, cause))
}

fn class_of(unreached: &Unreached) -> Class {
    match unreached.reason() {
        _ if unreached.is_denied() => Class::Limit,
        Reason::ConnectionTimeout | Reason::DnsTimeout => Class::Timeout,
        _ => Class::Unreachable,
    }
}

/// What HTTP tells a client that is to log in.
const REALM: &str = "onion";
