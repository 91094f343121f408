//! One connection through the relay, from its handshakes to its line in the log.

use std::fmt;
use std::pin::pin;
use std::time::Instant;

use futures::future::{Either, select};
use onionskin::endpoint::{Connector, Incoming, OpenError};
use onionskin::protocol::Addresses;
use onionskin::runtime::Runtime;

use super::greeting::Greeting;
use super::join::{Joint, Loss, Said, Side, Unfinished, break_off};
use super::tally::Outcome;
use crate::signals::Stopping;

/// What all passages share.
#[derive(Debug)]
pub(super) struct Passages {
    pub(super) runtime: &'static dyn Runtime,
    pub(super) connector: Connector,
    pub(super) greeting: Greeting,
    /// Is done when nothing is waited for any more.
    pub(super) aborting: Stopping,
}

/// How a connection ended, and which side was to blame for it if one was.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) outcome: Outcome,
    loss: Option<Loss>,
}

impl End {
    fn of(outcome: Outcome, loss: Loss) -> Self {
        Self { outcome, loss: Some(loss) }
    }
}

impl From<Outcome> for End {
    /// One that no side is to blame for.
    fn from(outcome: Outcome) -> Self {
        Self { outcome, loss: None }
    }
}

impl Passages {
    /// Does the handshakes of the LISTEN side, then opens the CONNECT side, and joins them until the end.
    pub(super) async fn pass(&self, number: u64, incoming: Incoming) -> End {
        let mut line = Line::new(number, incoming.addresses(), self.runtime.now());
        log::debug!("{line}: accepted");
        let (mut near, addresses) = match self.unless_aborted(accept(incoming)).await {
            Ok(accepted) => accepted,
            Err(end) => return line.ends(self.runtime.now(), end),
        };
        line.near = near.to_string();
        line.peer = addresses.to_string();
        log::debug!("{line}: its handshakes are done");
        let far = match self.unless_aborted(self.connect(&addresses, &mut near)).await {
            Ok(far) => far,
            Err(end) => {
                let end = line.ends(self.runtime.now(), end);
                if end.outcome == Outcome::Failed {
                    break_off(self.runtime, near, Said::Nothing).await;
                }
                return end;
            }
        };
        line.far = far.to_string();
        log::debug!("{line}: joined to {far}", far = line.far);
        let mut joint = Joint::new(self.runtime, near, far);
        let joined = match select(pin!(joint.run()), self.aborting.clone()).await {
            Either::Left((Ok(()), _)) => Outcome::InOrder.into(),
            Either::Left((Err(loss), _)) => End::of(Outcome::Lost, loss),
            Either::Right(_) => Outcome::Aborted.into(),
        };
        (line.there, line.back) = joint.bytes();
        let end = line.ends(self.runtime.now(), joined);
        match end.outcome {
            Outcome::Aborted => {}
            _ => self.leave(joint, end.loss.as_ref().map(|loss| loss.side)).await,
        }
        end
    }

    async fn leave(&self, joint: Joint, lost: Option<Side>) {
        select(pin!(joint.leave(lost)), self.aborting.clone()).await;
    }

    async fn connect(&self, addresses: &Addresses, near: &mut Unfinished) -> Result<Unfinished, Loss> {
        let far = self.connector.connect_for(addresses).await;
        let mut far = far.map(Unfinished::new).map_err(|error| Loss::new(Side::Connect, error))?;
        let brought = self.greeting.bring(near, &mut far).await;
        brought.map_err(|(side, error)| Loss::new(side, OpenError::from(error)))?;
        Ok(far)
    }

    async fn unless_aborted<T>(&self, step: impl Future<Output = Result<T, Loss>>) -> Result<T, End> {
        match select(pin!(step), self.aborting.clone()).await {
            Either::Left((result, _)) => result.map_err(|loss| End::of(Outcome::Failed, loss)),
            Either::Right(_) => Err(Outcome::Aborted.into()),
        }
    }
}

async fn accept(incoming: Incoming) -> Result<(Unfinished, Addresses), Loss> {
    let loss = |error: OpenError| Loss::new(Side::Listen, error);
    let incoming = incoming.identify().await.map_err(loss)?;
    let addresses = incoming.addresses().clone();
    let near = incoming.ready().await.map_err(loss)?;
    Ok((Unfinished::new(near), addresses))
}

/// What the log says of a connection.
struct Line {
    number: u64,
    peer: String,
    since: Instant,
    /// The layers of each side, once they are there.
    near: String,
    far: String,
    there: u64,
    back: u64,
}

impl Line {
    fn new(number: u64, addresses: &Addresses, since: Instant) -> Self {
        let peer = addresses.to_string();
        let (near, far) = (peer.clone(), "nothing".to_owned());
        Self { number, peer, since, near, far, there: 0, back: 0 }
    }

    /// Logs the end, and hands it through.
    fn ends(&self, now: Instant, end: End) -> End {
        let Self { near, far, there, back, .. } = self;
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let counts = format_args!("{there} bytes there, {back} back, {seconds:.3} s");
        match &end.loss {
            // What the relay's own peer cannot be blamed for is for its operator to look at.
            Some(loss) if end.outcome == Outcome::Failed && loss.side == Side::Connect => {
                log::warn!("{self}: {end}; {counts}; {near} ⇄ {far}")
            }
            _ => log::info!("{self}: {end}; {counts}; {near} ⇄ {far}"),
        }
        end
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} from {}", self.number, self.peer)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.loss {
            Some(loss) => write!(f, "{}, {loss}", self.outcome),
            None => self.outcome.fmt(f),
        }
    }
}
