//! Protocols at endpoints: one over a connection of ours, and one for each connection of a server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::channel::{mpsc, oneshot};
use futures::future::{AbortHandle, Abortable, BoxFuture, Either, FutureExt, abortable, select};
use futures::stream::StreamExt;

use super::legs::{self, Legs};
use super::{Connector, Endpoint, Incoming, Listener, OpenError, OpenErrorKind};
use crate::protocol::{Factory, Finished, Handle, Protocol, run};
use crate::route::AcceptLeg;
use crate::runtime::{Address, Runtime};

/// Connects to `endpoint` on the preferred runtime, and hands the connection over to `protocol` in a task of its own.
///
/// ```no_run
/// use onionskin::protocol::{Protocol, Result, Transport};
///
/// struct Visitor;
///
/// impl Protocol for Visitor {
///     fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
///         println!("{}", transport.layers());
///         transport.close();
///         Ok(())
///     }
/// }
///
/// # async fn example() -> std::io::Result<()> {
/// let finished = onionskin::connect_with("tcp:mail.example:465+tls", Visitor).await?.await;
/// println!("{}", finished.reason);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`connect`](super::connect): the protocol is dropped, and never hears of a connection.
pub async fn connect_with<P: Protocol>(endpoint: &str, protocol: P) -> Result<Task<P>, OpenError> {
    let runtime = crate::runtime::preferred().ok_or(OpenErrorKind::NoRuntime)?;
    Connector::new(runtime, &endpoint.parse()?)?.connect_with(protocol).await
}

/// Listens at `endpoint` on the preferred runtime, and gives each connection a protocol from `factory`.
///
/// ```no_run
/// use onionskin::protocol::{Addresses, Protocol, Result, Transport};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         let bytes = transport.take_all();
///         transport.write(&bytes)
///     }
/// }
///
/// # async fn example() -> std::io::Result<()> {
/// let mut server = onionskin::listen_with("tcp:127.0.0.1:4433", |_: &Addresses| Echo).await?;
/// server.wait().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`listen`](super::listen).
pub async fn listen_with(endpoint: &str, factory: impl Factory) -> Result<Server, OpenError> {
    let runtime = crate::runtime::preferred().ok_or(OpenErrorKind::NoRuntime)?;
    Ok(Server::new(Listener::new(runtime, &endpoint.parse()?).await?, factory))
}

impl Connector {
    /// Connects, and hands the connection over to `protocol` in a task of its own.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect): the protocol is dropped, and never hears of a connection.
    pub async fn connect_with<P: Protocol>(&self, protocol: P) -> Result<Task<P>, OpenError> {
        let running = run(self.connect().await?, protocol);
        let handle = running.handle();
        let (done, finished) = oneshot::channel();
        self.runtime().spawn(Box::pin(async move {
            // Nobody may want to know.
            let _ = done.send(running.await);
        }));
        Ok(Task { handle, finished })
    }
}

/// A protocol that runs in a task of its own: a future that is done when its connection is over.
///
/// Dropping it changes nothing: the protocol runs on.
#[derive(Debug)]
pub struct Task<P> {
    handle: Handle,
    finished: oneshot::Receiver<Finished<P>>,
}

impl<P> Task<P> {
    /// A way to the connection from other tasks and threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl<P> Future for Task<P> {
    type Output = Finished<P>;

    /// # Panics
    ///
    /// When the protocol panicked, or its runtime was shut down.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished<P>> {
        let finished = Pin::new(&mut self.finished).poll(cx);
        finished.map(|finished| finished.expect("the protocol did not panic, and its runtime lives"))
    }
}

/// A listener whose connections each have a protocol.
///
/// Dropping it stops listening; the connections that are there live on.
#[derive(Debug)]
pub struct Server {
    runtime: &'static dyn Runtime,
    endpoint: Endpoint,
    address: Address,
    legs: Legs<dyn AcceptLeg>,
    accepting: AbortHandle,
    /// Cancelled when the listener is dropped.
    listening: oneshot::Receiver<Infallible>,
    register: Arc<Register>,
    /// Ends when nobody accepts any more and the last connection is gone.
    all_gone: mpsc::Receiver<Infallible>,
}

/// How a [`Server`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStopped {
    /// How many connections had not ended in time, and were aborted.
    pub aborted: usize,
}

impl Server {
    /// Accepts from `listener`, in tasks of its runtime.
    ///
    /// [`Factory::start_factory`] is called now, and [`Factory::stop_factory`] when nothing is accepted any more and the
    /// last connection is gone.
    pub fn new(listener: Listener, factory: impl Factory) -> Self {
        let runtime = listener.runtime();
        let (endpoint, address) = (listener.endpoint().clone(), listener.local_address().clone());
        let legs = listener.legs().clone();
        let register = Arc::new(Register::default());
        let (present, all_gone) = mpsc::channel(0);
        factory.start_factory();
        let serving = Arc::new(Serving { factory, runtime, register: Arc::clone(&register), _present: present });
        let (accept, accepting) = abortable(accept(listener, serving));
        let (closed, listening) = oneshot::channel();
        runtime.spawn(Box::pin(async {
            let _ = accept.await;
            drop(closed);
        }));
        Self { runtime, endpoint, address, legs, accepting, listening, register, all_gone }
    }

    /// Where it listens; the port that was picked, if it was to pick one.
    pub fn local_address(&self) -> &Address {
        &self.address
    }

    /// The endpoint that it was made for, with the address that it really has: see [`Listener::endpoint`].
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Reads the files of the endpoint again, for the peers that are accepted from now on: see [`Listener::reload`].
    ///
    /// # Errors
    ///
    /// As [`Listener::reload`].
    ///
    /// # Cancellation
    ///
    /// As [`Listener::reload`].
    pub fn reload(&self) -> impl Future<Output = Result<(), OpenError>> + Send + use<> {
        self.legs.renew(&self.endpoint.steps, legs::accept)
    }

    /// How many connections there are, those in their handshakes too.
    pub fn connections(&self) -> usize {
        self.register.entries().live.len()
    }

    /// Waits as long as the server listens and has connections: for ever, but for an endpoint such as `stdio` that has
    /// only one connection.
    ///
    /// # Cancellation
    ///
    /// Changes nothing: wait for a signal beside it, and then [`stop`](Self::stop).
    pub async fn wait(&mut self) {
        self.all_gone.next().await;
    }

    /// A graceful shutdown: listens no more, tells each protocol so ([`Protocol::stop_requested`]), and waits until all
    /// connections have ended by themselves; those that have not when `patience` is over are aborted.
    ///
    /// A connection that has sent everything still waits up to 5 seconds for its peer to close: with less patience than
    /// that it counts among the aborted, though nothing was lost.
    ///
    /// # Cancellation
    ///
    /// Nothing is accepted any more; the connections live on.
    pub async fn stop(mut self, patience: Duration) -> ServerStopped {
        self.accepting.abort();
        let _ = (&mut self.listening).await;
        self.register.request_stop();
        let aborted = match self.runtime.now().checked_add(patience) {
            Some(deadline) if self.is_late(deadline).await => self.register.abort(),
            // Without a deadline, or all in time.
            _ => 0,
        };
        self.all_gone.next().await;
        ServerStopped { aborted }
    }

    /// Whether the deadline comes before the end of the last connection.
    async fn is_late(&mut self, deadline: Instant) -> bool {
        matches!(select(self.all_gone.next(), self.runtime.sleep_until(deadline)).await, Either::Right(_))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What the tasks of a server share. When the last of them is gone, so is this.
struct Serving<F: Factory> {
    factory: F,
    runtime: &'static dyn Runtime,
    register: Arc<Register>,
    /// Dropped last, behind the call of `stop_factory`.
    _present: mpsc::Sender<Infallible>,
}

impl<F: Factory> Drop for Serving<F> {
    fn drop(&mut self) {
        self.factory.stop_factory();
    }
}

/// Takes all that come from `listener`, each in a task of its own. One of them may be a listener in its turn: accepting is a
/// tree, and so this is boxed.
fn accept<F: Factory>(listener: Listener, serving: Arc<Serving<F>>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            match listener.accept().await {
                Ok(incoming) => {
                    let (abort, registration) = AbortHandle::new_pair();
                    let ticket = Ticket::new(&serving.register, abort);
                    let task = AssertUnwindSafe(serve(incoming, Arc::clone(&serving), ticket)).catch_unwind();
                    serving.runtime.spawn(Box::pin(async {
                        if let Ok(Err(_)) = Abortable::new(task, registration).await {
                            log::error!("a protocol panicked; its connection is dropped, and the server goes on");
                        }
                    }));
                }
                Err(_) if listener.has_ended() => return,
                // A peer that is gone again is none of ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    log::warn!("cannot accept at {}, trying again: {error}", listener.local_address());
                    serving.runtime.sleep_until(serving.runtime.now() + PAUSE).await;
                }
            }
        }
    })
}

/// One connection, from its handshakes to its end.
async fn serve<F: Factory>(incoming: Incoming, serving: Arc<Serving<F>>, ticket: Ticket) {
    let socket = incoming.addresses().clone();
    if let Err(error) = open(incoming, &serving, &ticket).await {
        log::info!("{socket}: {error}");
    }
}

async fn open<F: Factory>(incoming: Incoming, serving: &Arc<Serving<F>>, ticket: &Ticket) -> Result<(), OpenError> {
    let incoming = incoming.identify().await?;
    if incoming.is_carrier() {
        let Some(carrier) = incoming.into_carrier() else { return Ok(()) };
        let (accept, accepting) = abortable(accept(carrier, Arc::clone(serving)));
        ticket.begin(Stage::Carrying(accepting));
        let _ = accept.await;
        return Ok(());
    }
    let Some(protocol) = serving.factory.build(incoming.addresses()) else { return Ok(()) };
    let running = run(incoming.ready().await?, protocol);
    ticket.begin(Stage::Running(running.handle()));
    running.await;
    Ok(())
}

/// The connections of a server, so that all of them can be told something.
#[derive(Debug, Default)]
struct Register(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    live: HashMap<u64, Entry>,
    next: u64,
    course: Course,
}

/// How far the server has stopped. A connection may be accepted while it does: what was asked of all is asked of it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Course {
    #[default]
    Serving,
    Stopping,
    Aborting,
}

#[derive(Debug)]
struct Entry {
    abort: AbortHandle,
    stage: Stage,
}

/// How far a connection has come.
#[derive(Debug)]
enum Stage {
    /// Its handshakes are being done.
    Opening,
    Running(Handle),
    /// It carries others, who have entries of their own.
    Carrying(AbortHandle),
}

impl Stage {
    /// Has it end by itself: a protocol is told, and a carrier takes no others.
    fn request_stop(&self) {
        match self {
            Self::Opening => {}
            Self::Running(handle) => handle.request_stop(),
            Self::Carrying(accepting) => accepting.abort(),
        }
    }
}

impl Register {
    fn request_stop(&self) {
        let mut entries = self.entries();
        entries.course = Course::Stopping;
        entries.live.values().for_each(|entry| entry.stage.request_stop());
    }

    /// Aborts all connections; how many there were.
    fn abort(&self) -> usize {
        let mut entries = self.entries();
        entries.course = Course::Aborting;
        entries.live.values().for_each(|entry| entry.abort.abort());
        entries.live.len()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("nothing panics while it holds the register")
    }
}

/// The entry of one connection, for as long as this is there.
struct Ticket {
    number: u64,
    register: Arc<Register>,
}

impl Ticket {
    fn new(register: &Arc<Register>, abort: AbortHandle) -> Self {
        let mut entries = register.entries();
        let number = entries.next;
        entries.next += 1;
        if entries.course == Course::Aborting {
            abort.abort();
        }
        entries.live.insert(number, Entry { abort, stage: Stage::Opening });
        Self { number, register: Arc::clone(register) }
    }

    fn begin(&self, stage: Stage) {
        let mut entries = self.register.entries();
        if entries.course != Course::Serving {
            stage.request_stop();
        }
        if let Some(entry) = entries.live.get_mut(&self.number) {
            entry.stage = stage;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.register.entries().live.remove(&self.number);
    }
}

/// How long to wait after the system could not accept: it may be out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_accepted_while_all_are_aborted_is_aborted_too() {
        let register = Arc::new(Register::default());
        let accept = || {
            let (abort, _registration) = AbortHandle::new_pair();
            (Ticket::new(&register, abort.clone()), abort)
        };
        let (_early, early) = accept();
        register.request_stop();
        let (_late, late) = accept();
        assert!(!early.is_aborted() && !late.is_aborted());
        assert_eq!(register.abort(), 2);
        let (_last, last) = accept();
        assert!(early.is_aborted() && late.is_aborted() && last.is_aborted());
    }
}
