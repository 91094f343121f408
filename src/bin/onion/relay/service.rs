//! One listener and its connections.
//!
//! One task owns the listener and the number of connections. Everything that concerns them all comes to it as an
//! [`Event`], one after the other: a peer, a signal, the end of a connection, the end of patience. Each connection has a task
//! of its own, which tells its end by a [`Ticket`] even if it panics. So there is no state that two tasks share.
//!
//! ```text
//!               SIGTERM, SIGINT, or no more peers          patience is over
//!   [ Serving ] ───────────────────────▶ [ Finishing ] ───────────────────▶ [ Aborting ]
//!        │ SIGHUP reads the files again       └──────────────────────────────────┴──▶ the last connection is gone
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, pending, select};
use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{FutureExt, StreamExt};
use onionskin::endpoint::{Connector, Incoming, Listener};
use onionskin::runtime::Runtime;

use super::custom;
use super::ftp;
use super::metrics::Shown;
use super::passage::Passages;
use super::plan::Plan;
use super::reload::{self, Reading};
use crate::attend::{Reload, Reloads};
use crate::failure::Failure;
use crate::join::{End, Outcome, Side, Tally};
use crate::peers::Peers;
use crate::signals::Stopping;

/// A listener, and where its connections are joined to.
pub(super) struct Relay {
    listener: Listener,
    passages: Arc<Passages>,
    /// Dropped when nothing is waited for any more.
    abort: oneshot::Sender<()>,
    most: usize,
    patience: Duration,
}

impl Relay {
    /// Reads the files that the endpoints name, and listens.
    ///
    /// It may have as many connections as its plan says, until there is [less room](Self::limit).
    pub(super) async fn open(runtime: &'static dyn Runtime, plan: Plan) -> Result<Self, Failure> {
        let Plan { mut route, greeting, limits, hold } = plan;
        let (listen, connect) = (&route.listen, &route.connect);
        let connector = Connector::new(runtime, &connect.endpoint);
        let connector = connector.map_err(|error| route.at(connect.blame(error)))?;
        let listener = Listener::new(runtime, &listen.endpoint).await;
        let listener = listener.map_err(|error| route.at(listen.blame(error)))?;
        let (abort, aborting) = oneshot::channel::<()>();
        let aborting = aborting.map(drop).boxed().shared();
        let (peers, tally) = (Arc::new(Peers::new(limits.max_per_peer)), Arc::default());
        if route.name.is_none() {
            route.label = listener.endpoint().transport.to_string();
        }
        route.warn();
        let relays_ftp = ftp::is_whole(&route.listen.endpoint, &route.connect.endpoint);
        let customarily_truncated = custom::is_without_close_notify(&route.listen.endpoint, &route.connect.endpoint);
        let route = Arc::new(route);
        let (most, patience) = (limits.max_connections.get(), Duration::from_secs(limits.patience.into()));
        let (truncated, peels) = (limits.truncated, limits.peel_when_inner_tls);
        let passages = Passages {
            runtime,
            route,
            connector,
            greeting,
            relays_ftp,
            customarily_truncated,
            peers,
            truncated,
            peels,
            tally,
            hold,
            aborting,
        };
        let passages = Arc::new(passages);
        Ok(Self { listener, passages, abort, most, patience })
    }

    /// There is room for so many connections.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// A line that says where it listens, with the port that was picked.
    pub(super) fn place(&self) -> String {
        let place = &self.listener.endpoint().transport;
        match &self.passages.route.name {
            Some(name) => format!("listening on {place} for {name}"),
            None => format!("listening on {place}"),
        }
    }

    pub(super) fn shown(&self) -> Shown {
        let Passages { route, tally, .. } = &*self.passages;
        Shown { label: route.label.clone(), tally: Arc::clone(tally), most: self.most }
    }

    /// Serves until it is to stop, and then until the last connection is gone.
    ///
    /// Connections come and go, and how they end is for the log; but where there was only one to accept, its end is that
    /// of the relay.
    pub(super) async fn run(self, stopping: Stopping, reloads: Reloads) -> Result<(), Failure> {
        let Self { listener, passages, abort, most, patience } = self;
        let (gone, ends) = mpsc::unbounded();
        let (read, reads) = mpsc::unbounded();
        let messages = select_all([
            stopping.into_stream().map(|()| Message::Stop).boxed(),
            reloads.map(Message::Reload).boxed(),
            ends.map(Message::Gone).boxed(),
            reads.map(Message::Read).boxed(),
        ]);
        let (tally, reading) = (Arc::clone(&passages.tally), [Reading::default(); 2]);
        let asked = Default::default();
        let serving =
            Serving { passages, gone, messages, read, reading, asked, most, live: 0, was_full: false, patience, tally };
        serving.run(listener, abort).await
    }
}

/// A relay at work.
struct Serving {
    passages: Arc<Passages>,
    gone: mpsc::UnboundedSender<End>,
    messages: SelectAll<BoxStream<'static, Message>>,
    read: mpsc::UnboundedSender<Side>,
    /// Of each side.
    reading: [Reading; 2],
    /// Who waits for each of them.
    asked: [Vec<Reload>; 2],
    most: usize,
    live: usize,
    /// Whether there were ever as many as there may be, which is told once.
    was_full: bool,
    patience: Duration,
    tally: Arc<Tally>,
}

/// How far the relay is.
enum Stage {
    Serving(Listener),
    /// Nobody is accepted any more; connections go on until then.
    Finishing(BoxFuture<'static, ()>),
    Aborting,
}

/// What happens to the relay.
enum Event {
    Accepted(Box<Incoming>),
    /// The only connection that there was to accept is gone.
    NoMorePeers,
    OutOfPatience,
    Message(Message),
}

/// What others have to tell.
enum Message {
    Stop,
    Reload(Reload),
    /// The files of this side have been read again.
    Read(Side),
    Gone(End),
}

impl Serving {
    /// Until the last connection is gone. Dropping `abort` aborts those that are there.
    async fn run(mut self, listener: Listener, abort: oneshot::Sender<()>) -> Result<(), Failure> {
        let runtime = self.passages.runtime;
        let mut abort = Some(abort);
        let mut stage = Stage::Serving(listener);
        let mut is_only_one = false;
        let mark = self.passages.route.mark();
        while matches!(stage, Stage::Serving(_)) || self.live > 0 {
            match self.next(&mut stage).await {
                Event::Accepted(incoming) => self.begin(*incoming),
                Event::Message(Message::Gone(end)) => {
                    self.live -= 1;
                    self.tally.end(&end);
                }
                Event::Message(Message::Reload(_)) if !matches!(stage, Stage::Serving(_)) => {}
                Event::Message(Message::Reload(reload)) => {
                    for side in [Side::Listen, Side::Connect] {
                        self.asked[side as usize].push(reload.clone());
                        if self.reading[side as usize].ask(side, &mark) {
                            self.reload(side, &stage);
                        }
                    }
                }
                Event::Message(Message::Read(side)) => {
                    if self.reading[side as usize].finish() {
                        self.reload(side, &stage);
                    } else {
                        self.asked[side as usize].clear();
                    }
                }
                Event::NoMorePeers => {
                    is_only_one = true;
                    stage = Stage::Finishing(pending().boxed());
                }
                Event::Message(Message::Stop) => {
                    // The listener is closed before anybody is told.
                    stage = Stage::Finishing(runtime.sleep_until(runtime.now() + self.patience));
                    let (live, patience) = (self.live, self.patience);
                    let relay = &self.passages.route.label;
                    log::info!(relay, live; "{mark}asked to end: {live} connections may go on for {patience:?}");
                }
                Event::OutOfPatience => {
                    let (relay, live) = (&self.passages.route.label, self.live);
                    log::warn!(relay, live; "{mark}out of patience: {live} connections have not ended and are aborted");
                    drop(abort.take());
                    stage = Stage::Aborting;
                }
            }
        }
        log::info!(relay = self.passages.route.label; "{mark}{}", self.tally);
        if is_only_one && self.tally.accepted() == 1 && self.tally.ended(Outcome::Graceful) == 0 {
            return Err(Failure::new("the connection did not end gracefully"));
        }
        Ok(())
    }

    async fn next(&mut self, stage: &mut Stage) -> Event {
        let has_room = self.live < self.most;
        let own = match stage {
            Stage::Serving(listener) if has_room => accept(&self.passages, listener).boxed(),
            Stage::Serving(_) | Stage::Aborting => pending().boxed(),
            Stage::Finishing(until) => until.map(|()| Event::OutOfPatience).boxed(),
        };
        match select(own, self.messages.next()).await {
            Either::Left((event, _)) => event,
            Either::Right((message, _)) => Event::Message(message.expect("the relay has a sender of its own")),
        }
    }

    /// Joins the peer in a task of its own.
    fn begin(&mut self, incoming: Incoming) {
        let number = self.tally.begin();
        self.live += 1;
        if self.live == self.most && !std::mem::replace(&mut self.was_full, true) {
            let (route, most) = (&self.passages.route, self.most);
            let mark = route.mark();
            log::warn!(relay = route.label; "{mark}{most} connections, as many as there may be: further clients wait");
        }
        let passages = Arc::clone(&self.passages);
        let ticket = Ticket { end: None, gone: self.gone.clone() };
        self.passages.runtime.spawn(Box::pin(async move {
            let end = passages.pass(number, incoming).await;
            ticket.hand_in(end);
        }));
    }

    /// Reads the files of a side again, for connections to come.
    fn reload(&self, side: Side, stage: &Stage) {
        let Stage::Serving(listener) = stage else { return };
        let Passages { runtime, route, connector, .. } = &*self.passages;
        let done = self.read.clone();
        match side {
            Side::Listen => reload::begin(*runtime, side, Arc::clone(route), listener.reload(), done),
            Side::Connect => reload::begin(*runtime, side, Arc::clone(route), connector.reload(), done),
        }
    }
}

/// The next peer. Its handshakes are for a task of its own.
async fn accept(passages: &Passages, listener: &Listener) -> Event {
    let Passages { runtime, route, .. } = passages;
    loop {
        match listener.accept().await {
            Ok(incoming) => return Event::Accepted(Box::new(incoming)),
            Err(_) if listener.has_ended() => return Event::NoMorePeers,
            // A client that is gone again is none of ours.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::error!(relay = route.label; "{}cannot accept a connection: {error}", route.mark());
                // Too many open files is an error that stays for a while.
                runtime.sleep_until(runtime.now() + ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Tells the end of a connection when its task is over, however that came.
struct Ticket {
    end: Option<End>,
    gone: mpsc::UnboundedSender<End>,
}

impl Ticket {
    fn hand_in(mut self, end: End) {
        self.end = Some(end);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Without an end the task has panicked, which is our own doing.
        let end = self.end.take().unwrap_or(Outcome::Aborted.into());
        // Nobody listens any more when the process is over.
        let _ = self.gone.unbounded_send(end);
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
