//! One connection through the relay, from its handshakes to its line in the log.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{Either, select};
use log::Level;
use onionskin::Connection;
use onionskin::endpoint::{Admitted, Connector, Incoming, OpenError};
use onionskin::protocol::Addresses;
use onionskin::runtime::{Runtime, Socket};
use onionskin::tls::TlsServer;

use super::cancel;
use super::ftp;
use super::greeting::Greeting;
use super::plan::Route;
use crate::join::{
    Class, ConnectionPair, Delivered, End, Loss, Outcome, Own, PassOn, Side, Tally, Unfinished, break_off,
};
use crate::peers::{Peers, Seat};
use crate::signals::Stopping;
use crate::waiting::Limit;

/// What all passages share.
#[derive(Debug)]
pub(super) struct Passages {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) route: Arc<Route>,
    pub(super) connector: Connector,
    pub(super) greeting: Greeting,
    /// Whether data connections of FTP go through here too.
    pub(super) relays_ftp: bool,
    /// Whether it is the custom to end without a close_notify.
    pub(super) customarily_truncated: bool,
    pub(super) peers: Arc<Peers>,
    pub(super) truncated: PassOn,
    /// Whether outer TLS is taken off once there is TLS inside.
    pub(super) peels: bool,
    pub(super) tally: Arc<Tally>,
    /// How long the end of the LISTEN side is kept back, if it is.
    pub(super) hold: Option<Limit>,
    /// Is done when nothing is waited for any more.
    pub(super) aborting: Stopping,
}

impl Passages {
    /// Does the handshakes of the LISTEN side, then opens the CONNECT side, and joins them until the end.
    pub(super) async fn pass(&self, number: u64, incoming: Incoming) -> End {
        let mut line = Line::new(Arc::clone(&self.route), number, incoming.addresses(), self.runtime.now());
        line.tells("accepted");
        let (admitted, addresses, tls, _seat) = match self.unless_aborted(self.accept(incoming)).await {
            Ok(accepted) => accepted,
            Err(end) => return line.ends(self.runtime.now(), end),
        };
        line.peer = addresses.to_string();
        let mut near = match admitted {
            Admitted::Session(near) => Unfinished::new(near),
            Admitted::Cancel(near) => return self.cancel(line, Unfinished::new(near), &addresses).await,
            _ => {
                let unknown = Own(Class::Other, "the client has come for something that the relay does not know");
                return line.ends(self.runtime.now(), End::of(Outcome::Failed, Loss::new(Side::Listen, unknown)));
            }
        };
        line.near = Layers::of(&near);
        self.tally.add_handshakes(Side::Listen, near.layers().tls().count());
        line.tells("its handshakes are done");
        let connecting = async {
            let far = self.connect(&addresses, &mut near).await;
            far.map_err(|loss| End::of(Outcome::Failed, loss))
        };
        let far = match self.unless_aborted(connecting).await {
            Ok(far) => far,
            Err(end) => {
                let end = line.ends(self.runtime.now(), end);
                if end.outcome == Outcome::Failed {
                    break_off(self.runtime, near, Delivered::Nothing).await;
                }
                return end;
            }
        };
        line.far = Layers::of(&far);
        self.tally.add_handshakes(Side::Connect, far.layers().tls().count());
        line.tells(format_args!("joined to {}", line.far));
        if let Some(tls) = tls {
            return self.pass_ftp(line, (near, far), tls).await;
        }
        let pair = ConnectionPair::new(self.runtime, near, far, self.truncated, Arc::clone(&self.tally));
        let pair = if self.peels { pair.peeling() } else { pair };
        let mut pair = pair.holding_back(self.hold);
        let joined = match select(pin!(pair.run()), self.aborting.clone()).await {
            Either::Left((end, _)) if end.outcome == Outcome::Truncated && self.customarily_truncated => {
                End { outcome: Outcome::TruncatedByCustom, ..end }
            }
            Either::Left((end, _)) => end,
            Either::Right(_) => Outcome::Aborted.into(),
        };
        (line.there, line.back) = pair.bytes();
        match pair.peeled() {
            Some(true) => line.tells("its outer TLS was taken off when there was TLS inside"),
            Some(false) => line.tells("its outer TLS stayed: what passed was no TLS that could be followed"),
            None if self.peels => line.tells("its outer TLS stayed: the other relay has not agreed to take it off"),
            None => {}
        }
        let end = line.ends(self.runtime.now(), joined);
        match end.outcome {
            Outcome::Aborted => {}
            _ => self.leave(pair).await,
        }
        end
    }

    /// The same for FTP, whose data connections have to be looked after.
    async fn pass_ftp(&self, mut line: Line, sides: (Unfinished, Unfinished), tls: TlsServer) -> End {
        let mut session = ftp::Session::new(self, sides, tls);
        let ended = match select(pin!(session.run()), self.aborting.clone()).await {
            Either::Left((Ok(()), _)) => Outcome::Graceful.into(),
            Either::Left((Err(end), _)) => end,
            Either::Right(_) => Outcome::Aborted.into(),
        };
        (line.there, line.back) = session.bytes();
        let end = line.ends(self.runtime.now(), ended);
        let is_end = end.outcome == Outcome::Truncated && self.truncated == PassOn::Fin;
        let lost = end.loss.as_ref().map(|loss| loss.side).filter(|_| !is_end);
        if end.outcome != Outcome::Aborted {
            select(pin!(session.leave(lost)), self.aborting.clone()).await;
        }
        end
    }

    /// Finds out who the peer is, whether there is a seat for it, and does its handshakes. With the TLS of its data connections,
    /// if it may have any.
    async fn accept(&self, incoming: Incoming) -> Result<(Admitted, Addresses, Option<TlsServer>, Seat), End> {
        let failed = |error: OpenError| End::of(Outcome::Failed, Loss::new(Side::Listen, error));
        let incoming = incoming.identify().await.map_err(failed)?;
        let addresses = incoming.addresses().clone();
        let seat = match self.peers.seat(&addresses) {
            Ok(seat) => seat,
            Err(full) => {
                incoming.turn_away();
                return Err(End::of(Outcome::TurnedAway, Loss::new(Side::Listen, Own(Class::Limit, full))));
            }
        };
        let tls = incoming.tls_server().filter(|_| self.relays_ftp).cloned();
        let admitted = incoming.admit().await.map_err(failed)?;
        Ok((admitted, addresses, tls, seat))
    }

    /// Hands a CancelRequest on to a server of its own connection.
    async fn cancel(&self, mut line: Line, mut near: Unfinished, addresses: &Addresses) -> End {
        line.near = Layers::of(&near);
        let passed = async {
            let request = cancel::read(&mut near).await?;
            let far = self.connector.connect_for(addresses).await;
            let mut far = far.map(Unfinished::new).map_err(|error| Loss::new(Side::Connect, error))?;
            line.far = Layers::of(&far);
            cancel::hand_on(self.runtime, &request, &mut far).await?;
            Ok((request.len(), far))
        };
        let passed = async { passed.await.map_err(|loss| End::of(Outcome::Failed, loss)) };
        match self.unless_aborted(passed).await {
            Ok((len, far)) => {
                line.there = len as u64;
                let end = line.ends(self.runtime.now(), Outcome::Cancel.into());
                select(pin!(cancel::leave_both(near, far)), self.aborting.clone()).await;
                end
            }
            // The client is reset, so that it does not believe that it was heard.
            Err(end) => line.ends(self.runtime.now(), end),
        }
    }

    async fn leave(&self, pair: ConnectionPair) {
        select(pin!(pair.leave()), self.aborting.clone()).await;
    }

    async fn connect(&self, addresses: &Addresses, near: &mut Unfinished) -> Result<Unfinished, Loss> {
        let far = self.connector.connect_for(addresses).await;
        let mut far = far.map(Unfinished::new).map_err(|error| Loss::new(Side::Connect, error))?;
        let brought = self.greeting.bring(near, &mut far).await;
        brought.map_err(|(side, error)| Loss::new(side, OpenError::from(error)))?;
        Ok(far)
    }

    async fn unless_aborted<T>(&self, step: impl Future<Output = Result<T, End>>) -> Result<T, End> {
        match select(pin!(step), self.aborting.clone()).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Outcome::Aborted.into()),
        }
    }
}

/// What the log says of a connection.
struct Line {
    route: Arc<Route>,
    number: u64,
    peer: String,
    since: Instant,
    near: Layers,
    far: Layers,
    there: u64,
    back: u64,
}

impl Line {
    fn new(route: Arc<Route>, number: u64, addresses: &Addresses, since: Instant) -> Self {
        let peer = addresses.to_string();
        let (near, far) = (Layers::only(&peer), Layers::only("nothing"));
        Self { route, number, peer, since, near, far, there: 0, back: 0 }
    }

    /// Logs how far it is.
    fn tells(&self, how_far: impl fmt::Display) {
        log::debug!(relay = self.route.label, connection = self.number, peer = self.peer; "{self}: {how_far}");
    }

    /// Logs the end, and hands it through.
    fn ends(&self, now: Instant, end: End) -> End {
        let Self { near, far, there, back, .. } = self;
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let loss = end.loss.as_ref();
        let level = match loss {
            // What the relay's own peer cannot be blamed for is for its operator to look at.
            Some(loss) if end.outcome == Outcome::Failed && loss.side == Side::Connect => Level::Warn,
            _ => Level::Info,
        };
        log::log!(
            level,
            relay = self.route.label,
            listen:% = self.route.listen,
            connect:% = self.route.connect,
            connection = self.number,
            peer = self.peer,
            outcome = end.outcome.word(),
            side = loss.map(|loss| loss.side.word()),
            class = loss.map(|loss| loss.class.word()),
            cause = loss.map(|loss| loss.cause.as_str()),
            bytes_there = there,
            bytes_back = back,
            seconds,
            listen_layers = near.list,
            connect_layers = far.list;
            "{self}: {end}; {there} bytes there, {back} back, {seconds:.3} s; {near} ⇄ {far}"
        );
        end
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.route.name {
            write!(f, "{name} ")?;
        }
        write!(f, "#{} from {}", self.number, self.peer)
    }
}

/// What there is of a side.
struct Layers {
    line: String,
    /// One layer on each line.
    list: String,
}

impl Layers {
    /// Nothing but a wire, or not even that.
    fn only(wire: &str) -> Self {
        Self { line: wire.to_owned(), list: String::new() }
    }

    fn of(connection: &Connection<Socket>) -> Self {
        let layers = connection.layers();
        let list: Vec<_> = layers.iter().map(|layer| layer.description.as_str()).collect();
        Self { line: layers.to_string(), list: list.join("\n") }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}
