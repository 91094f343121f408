//! A tunnel that is asked for, until it is granted or refused.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use h2::Reason as Code;

use super::{answer, refuse};
use crate::connection::Addresses;
use crate::connection::Connection;
use crate::connection::tree::Plate;
use crate::protocol::{Factory, Running, run};
use crate::runtime::{Address, Socket, Timer};
use crate::tunnel::http::ProxyStatus;
use crate::tunnel::http::refusing::Refusing;
use crate::tunnel::http2::fault::Fault;
use crate::tunnel::http2::shared::{Shared, State, Who};
use crate::tunnel::http2::tunnel::Tunnel;
use crate::tunnel::{Error, ErrorKind, Grant, Reason, Refusal, Request};

/// A tunnel that a client asks for over HTTP/2; got from [`PendingTunnels::next`](super::PendingTunnels::next).
///
/// Dropping it refuses: the client is told that the proxy has failed.
pub struct PendingTunnel {
    shared: Shared,
    id: u32,
    request: Request,
    way: Arc<Way>,
    plate: Arc<Plate>,
    state: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    NotYet,
    Granted,
    Refused,
}

/// What all tunnels of a connection have in common.
#[derive(Clone)]
pub(super) struct Way {
    /// What we call ourselves.
    pub(super) name: String,
    ends: [Address; 2],
    addresses: Addresses,
    /// How many layers the connection has.
    layers: usize,
    timer: Arc<dyn Timer>,
}

impl Way {
    pub(super) fn of(connection: &Connection<Socket>, timer: Arc<dyn Timer>) -> Self {
        let addresses = connection.addresses().clone();
        let known = |address: &Option<Address>| address.clone().unwrap_or(Address::Unix(None));
        let ends = [known(&addresses.local), known(&addresses.peer)];
        Self { name: "onionskin".to_owned(), ends, addresses, layers: connection.stack().depth_in_all(), timer }
    }
}

impl PendingTunnel {
    pub(super) fn new(shared: Shared, id: u32, request: Request, way: Arc<Way>) -> Self {
        let plate = shared.label(id, &request.target);
        Self { plate, shared, id, request, way, state: Answered::NotYet }
    }

    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Who has connected, and asks for this and other tunnels.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.way.addresses
    }

    /// Finds out what to answer, and has an eye on the client meanwhile: what it sends is kept for the tunnel, as far as there is
    /// room, and when it waits no longer `work` is dropped.
    ///
    /// # Errors
    ///
    /// When the client has given up, or is lost, before `work` is done.
    ///
    /// # Cancellation
    ///
    /// Drops `work`; the request stays.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        let given_up = poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.poll(cx, |state| match state.session.fault(self.id) {
                Some(fault) => Poll::Ready(Err(fault)),
                None => Poll::Pending,
            })
        })
        .await;
        given_up.map_err(|fault| self.error(fault))
    }

    /// Grants it; the answer is on its way. The tunnel is the connection.
    ///
    /// The end of one direction (END_STREAM) leaves the other open. To [reset](Connection::reset) it tells the client that the
    /// connection to the target broke off (CONNECT_ERROR); dropped before it has ended, it is cancelled. If the client resets it,
    /// or is lost, reading and writing fail, and the connection to the target is to be reset as well.
    ///
    /// # Errors
    ///
    /// When the client has given up, or is lost.
    ///
    /// # Cancellation
    ///
    /// It is granted, and reset.
    pub async fn grant(mut self, _grant: Grant) -> Result<Connection<Socket>, Error> {
        self.state = Answered::Granted;
        let stated = ProxyStatus::of(&self.way.name).to_string().into_bytes();
        // From here on it is reset when it is dropped.
        let tunnel = Tunnel::new(self.shared.clone(), self.id, self.request.target.clone(), None);
        let tunnel = tunnel.broken_by(Code::CONNECT_ERROR);
        let is_granted = self
            .shared
            .act(|state, _| state.session.grant(self.id, answer(200, &[("proxy-status".to_owned(), stated.clone())])));
        if !is_granted {
            return Err(self.error(self.fault()));
        }
        let [local, peer] = self.way.ends.clone();
        let socket = Socket::over(tunnel, local, peer, self.request.target.clone(), Vec::new());
        let socket = socket.knowing(Arc::clone(&self.plate));
        let mut connection = Connection::over(socket, Arc::clone(&self.way.timer));
        connection.lie_inside(self.way.layers);
        Ok(connection)
    }

    /// Grants it, and hands the tunnel over to a protocol that the factory makes: the client talks to that. What comes back
    /// [runs it](crate::protocol::run()), and is to be awaited or spawned.
    ///
    /// The factory sees whom the client has asked for as the target of the addresses, and who has connected beside it. If it makes
    /// none, the client is refused (403).
    ///
    /// # Errors
    ///
    /// [`Declined`](ErrorKind::Declined) if the factory makes none; when the client has given up, or is lost.
    ///
    /// # Cancellation
    ///
    /// It does not wait for anything.
    pub async fn run<F: Factory>(self, factory: &F) -> Result<Running<Socket, F::Protocol>, Error> {
        let target = self.request.target.clone();
        let addresses = self.way.addresses.clone().towards(target.clone());
        let Some(protocol) = factory.build(&addresses) else {
            self.refuse(Reason::Denied).await?;
            let declined = ErrorKind::Declined("the factory makes no protocol for the tunnel".to_owned());
            return Err(Fault::from(declined).of(Some(target), None));
        };
        Ok(run(self.grant(Grant::default()).await?.between(addresses), protocol))
    }

    /// Refuses it; the answer is on its way.
    ///
    /// # Errors
    ///
    /// When the client has given up, or is lost.
    ///
    /// # Cancellation
    ///
    /// It is refused all the same.
    pub async fn refuse(mut self, refusal: impl Into<Refusal>) -> Result<(), Error> {
        self.state = Answered::Refused;
        if let Some(fault) = self.shared.act(|state, _| state.session.fault(self.id)) {
            return Err(self.error(fault));
        }
        refuse(&self.shared, self.id, &Refusing::tunnel(&self.way.name, &refusal.into()));
        Ok(())
    }

    fn poll<T>(&self, cx: &Context<'_>, mut look: impl FnMut(&mut State) -> Poll<T>) -> Poll<T> {
        self.shared.poll(Who::Reader(self.id), cx, |state, _| look(state))
    }

    fn fault(&self) -> Fault {
        let fault = self.shared.act(|state, _| state.session.fault(self.id));
        fault.unwrap_or_else(|| ErrorKind::Ended("the answer was given").into())
    }

    fn error(&self, fault: Fault) -> Error {
        fault.of(Some(self.request.target.clone()), None)
    }
}

impl Drop for PendingTunnel {
    fn drop(&mut self) {
        match self.state {
            Answered::NotYet => {
                refuse(&self.shared, self.id, &Refusing::tunnel(&self.way.name, &Reason::Internal.into()));
            }
            // The tunnel takes care of itself.
            Answered::Granted => return,
            Answered::Refused => {}
        }
        self.shared.unregister(Who::Reader(self.id));
        self.shared.act(|state, _| state.session.forget(self.id));
    }
}

impl fmt::Debug for PendingTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingTunnel").field("request", &self.request).finish_non_exhaustive()
    }
}
