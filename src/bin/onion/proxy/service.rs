//! The listeners of the proxy, and their clients.
//!
//! One task owns the listeners and the number of clients, and hears of everything that concerns them all, one thing after the
//! other. Each client has a task of its own, which tells its end by a ticket even if it panics.
//!
//! ```text
//!               SIGTERM, SIGINT                            patience is over
//!   [ Serving ] ───────────────▶ [ Finishing ] ───────────────────────────▶ [ Aborting ]
//!        │ SIGHUP reads the files again │                                        │
//!        ▼                              └────────────────────────────────────────┴──▶ the last client is gone
//! ```

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, pending, select, select_all};
use futures::{FutureExt, StreamExt};
use onionskin::endpoint::{BaseTransport, Connector, Endpoint, Incoming, Listener, Step};
use onionskin::proxy::Reach;
use onionskin::runtime::Runtime;

use super::client::{Clients, Counts};
use super::options::{Options, RuleOptions};
use super::users::Logins;
use super::via;
use super::views::Views;
use crate::attend::{Reload, Reloads};
use crate::failure::Failure;
use crate::join::{End, Outcome, Tally};
use crate::open;
use crate::peers::Peers;
use crate::room::{self, Wish};
use crate::signals::{Questions, Stopping};

/// A proxy that listens.
pub(super) struct Service {
    listeners: Vec<Arc<Listener>>,
    clients: Arc<Clients>,
    files: Arc<Files>,
    stopping: Stopping,
    /// Dropped when nothing is waited for any more.
    abort: oneshot::Sender<()>,
    most: usize,
    patience: Duration,
}

/// What is read again on SIGHUP beside the certificates.
struct Files {
    rules: RuleOptions,
    /// Without rules.
    reach: Reach,
    via: Option<Connector>,
}

/// How far it is.
enum Stage {
    Serving,
    /// Nobody is accepted any more; tunnels go on until then.
    Finishing(BoxFuture<'static, ()>),
    Aborting,
}

/// What happens.
enum Event {
    Accepted(String, Box<Incoming>),
    Gone,
    Reload(Reload),
    Question,
    Stop,
    OutOfPatience,
}

impl Service {
    /// Reads the files that the options name, and listens.
    pub(super) async fn open(
        runtime: &'static dyn Runtime,
        options: &Options,
        stopping: Stopping,
    ) -> Result<Self, Failure> {
        let limits = &options.limits;
        let rules = options.rules.read()?;
        let logins = options.users.as_deref().map(|file| Logins::read(runtime, file)).transpose()?;
        let mut listeners = Vec::new();
        for text in &options.listen {
            let mut endpoint = options.key_log.fill(open::parse(text)?)?;
            if endpoint.transport == BaseTransport::Stdio {
                return Err(Failure::usage("stdio is no place to listen for clients"));
            }
            offer_http(&mut endpoint);
            let listener = Listener::new(runtime, &endpoint).await;
            listeners
                .push(Arc::new(listener.map_err(|error| Failure::from(error).at(format_args!("endpoint {text}")))?));
        }
        let connect_timeout = Duration::from_secs(limits.connect_timeout.get().into());
        let mut reach = Reach::new(runtime).timeouts(connect_timeout.min(RESOLVE_TIMEOUT), connect_timeout);
        for address in listeners.iter().filter_map(|listener| listener.local_address().as_tcp()) {
            reach = reach.listening_at(address);
        }
        let via = options.via.as_deref().map(|route| via::connector(runtime, route, options.key_log)).transpose()?;
        if let Some(via) = &via {
            reach = reach.via(via.clone().sharing(limits.idle_carrier.0));
        }
        let most = limits.max_connections.get();
        // One for the client and one for the target; but HTTP/2 has many targets for one client, which only --max-tunnels bounds.
        let (most, max_tunnels) = match limits.max_tunnels {
            Some(tunnels) => {
                let wishes = [most, tunnels.get()].map(|connections| Wish { connections, descriptors: 1 });
                let granted = room::grant(&wishes);
                (granted[0], NonZeroUsize::new(granted[1]))
            }
            None => (room::grant(&[Wish { connections: most, descriptors: 2 }])[0], None),
        };
        let (abort, aborting) = oneshot::channel::<()>();
        let clients = Clients {
            runtime,
            reach: Mutex::new(Arc::new(reach.clone().rules(rules))),
            logins: logins.map(Arc::new),
            peers: Arc::new(Peers::new(limits.max_per_peer)),
            users: Arc::new(Peers::new(limits.max_per_user)),
            tunnels: Arc::new(Peers::new(max_tunnels)),
            tally: Arc::new(Tally::default()),
            counts: Counts::default(),
            views: Views::default(),
            request_timeout: Duration::from_secs(limits.request_timeout.get().into()),
            head_size: limits.head_size,
            idle_carrier: limits.idle_carrier,
            idle: limits.idle,
            half_close: limits.half_close,
            stopping: stopping.clone(),
            aborting: aborting.map(drop).boxed().shared(),
        };
        let files = Arc::new(Files { rules: options.rules.clone(), reach, via });
        let patience = Duration::from_secs(limits.patience.into());
        Ok(Self { listeners, clients: Arc::new(clients), files, stopping, abort, most, patience })
    }

    /// Where it listens, with the ports that were picked.
    pub(super) fn places(&self) -> impl Iterator<Item = String> {
        self.listeners.iter().map(|listener| listener.endpoint().transport.to_string())
    }

    /// Serves until it is to stop, and then until the last client is gone.
    pub(super) async fn run(self, mut reloads: Reloads, mut questions: Questions) {
        let Self { mut listeners, clients, files, stopping, abort, most, patience } = self;
        let (runtime, tally) = (clients.runtime, Arc::clone(&clients.tally));
        let (gone, mut ends) = mpsc::unbounded::<()>();
        let (mut stage, mut abort, mut live, mut was_full) = (Stage::Serving, Some(abort), 0, false);
        // Goes on over whatever else happens: to ask a listener anew is a call of the system that finds nothing.
        let mut accepting = None;
        while matches!(stage, Stage::Serving) || live > 0 {
            // Who is gone matters to those who wait for room or for the last one. Otherwise it can wait for the next event, and
            // nobody is woken for it.
            let is_awaiting = !matches!(stage, Stage::Serving) || live >= most;
            let own = match &mut stage {
                Stage::Serving => {
                    let accepted = match live < most {
                        true => {
                            accepting.get_or_insert_with(|| accept(runtime, listeners.clone()).boxed()).left_future()
                        }
                        false => pending().right_future(),
                    };
                    select(stopping.clone(), accepted)
                        .map(|either| match either {
                            Either::Left(((), _)) => Event::Stop,
                            Either::Right((event, _)) => event,
                        })
                        .boxed()
                }
                Stage::Finishing(until) => until.map(|()| Event::OutOfPatience).boxed(),
                Stage::Aborting => pending().boxed(),
            };
            let orders = async {
                match reloads.next().await {
                    Some(order) => Event::Reload(order),
                    None => pending().await,
                }
            };
            let asked = async {
                match questions.next().await {
                    Some(()) => Event::Question,
                    None => pending().await,
                }
            };
            let orders = select(orders.boxed(), asked.boxed()).map(|either| either.factor_first().0);
            let ended = pin!(async {
                match is_awaiting {
                    true => ends.next().map(|_| Event::Gone).await,
                    false => pending().await,
                }
            });
            let messages = select(ended, orders.boxed()).map(|either| either.factor_first().0);
            let event = select(own, messages).await.factor_first().0;
            while ends.try_recv().is_ok() {
                live -= 1;
            }
            match event {
                Event::Accepted(listen, incoming) => {
                    accepting = None;
                    live += 1;
                    if live == most && !std::mem::replace(&mut was_full, true) {
                        log::warn!("{most} connections, as many as there may be: further clients wait");
                    }
                    let (number, clients) = (tally.begin(), Arc::clone(&clients));
                    let ticket = Ticket { end: None, tally: Arc::clone(&tally), gone: gone.clone() };
                    runtime.spawn(Box::pin(async move {
                        let end = clients.serve(listen, number, incoming).await;
                        ticket.hand_in(end);
                    }));
                }
                Event::Gone => live -= 1,
                Event::Reload(order) => {
                    // Whoever waits for it is told when it is done.
                    let reading = reload(&listeners, Arc::clone(&clients), Arc::clone(&files));
                    runtime.spawn(reading.map(|()| drop(order)).boxed());
                }
                Event::Question => clients.views.log(live as u64),
                Event::Stop => {
                    // They are closed before anybody is told.
                    accepting = None;
                    listeners.clear();
                    stage = Stage::Finishing(runtime.sleep_until(runtime.now() + patience));
                    log::info!(live; "asked to end: {live} connections may go on for {patience:?}");
                }
                Event::OutOfPatience => {
                    log::warn!(live; "out of patience: {live} connections have not ended and are aborted");
                    drop(abort.take());
                    stage = Stage::Aborting;
                }
            }
        }
        log::info!("{}; {}", tally.told(OUTCOMES), clients.counts);
    }
}

/// Has TLS offer both versions of HTTP, unless the endpoint says what to offer. Clients of SOCKS offer none, and that is well.
fn offer_http(endpoint: &mut Endpoint) {
    let tls = endpoint.steps.iter_mut().rev().find_map(Step::tls_mut);
    if let Some(tls) = tls.filter(|tls| tls.alpn.is_empty()) {
        tls.alpn = ["h2", "http/1.1"].map(Into::into).into();
    }
}

/// The next client of any listener. Its handshakes are for a task of its own.
async fn accept(runtime: &'static dyn Runtime, listeners: Vec<Arc<Listener>>) -> Event {
    let from = |listener: &Arc<Listener>| {
        let listener = Arc::clone(listener);
        async move {
            let listen = listener.endpoint().transport.to_string();
            (listener.accept().await, listen)
        }
        .boxed()
    };
    loop {
        match select_all(listeners.iter().map(from)).await.0 {
            (Ok(incoming), listen) => return Event::Accepted(listen, Box::new(incoming)),
            // A client that is gone again is none of ours.
            (Err(error), _) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            (Err(error), listen) => {
                log::error!(listen; "{listen}: cannot accept a connection: {error}");
                // Too many open files is an error that stays for a while.
                runtime.sleep_until(runtime.now() + ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Reads the files again. What is wrong stays as it was.
fn reload(
    listeners: &[Arc<Listener>],
    clients: Arc<Clients>,
    files: Arc<Files>,
) -> impl Future<Output = ()> + Send + use<> {
    let certificates: Vec<_> =
        listeners.iter().map(|listener| (listener.endpoint().transport.to_string(), listener.reload())).collect();
    async move {
        for (listen, reading) in certificates {
            match reading.await {
                Ok(()) => log::info!(listen; "{listen}: certificates and keys were read again"),
                Err(error) => log::error!(listen; "{listen} keeps what it has: {}", Failure::from(error)),
            }
        }
        if let Some(reading) = files.via.as_ref().map(Connector::reload) {
            match reading.await {
                Ok(()) => log::info!("the files of --via were read again"),
                Err(error) => log::error!("--via keeps what it has: {}", Failure::from(error)),
            }
        }
        blocking::unblock(move || {
            match files.rules.read() {
                Ok(rules) => {
                    let reach = Arc::new(files.reach.clone().rules(rules));
                    *clients.reach.lock().unwrap_or_else(PoisonError::into_inner) = reach;
                    log::info!("the rules were read again");
                }
                Err(failure) => log::error!("the rules stay as they are: {failure}"),
            }
            match clients.logins.as_ref().map(|logins| logins.reload()) {
                Some(Ok(())) => log::info!("the users were read again"),
                Some(Err(failure)) => log::error!("the users stay as they are: {failure}"),
                None => {}
            }
        })
        .await;
    }
}

/// Tells the end of a client when its task is over, however that came.
struct Ticket {
    end: Option<End>,
    tally: Arc<Tally>,
    gone: mpsc::UnboundedSender<()>,
}

impl Ticket {
    fn hand_in(mut self, end: End) {
        self.end = Some(end);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Without an end the task has panicked, which is our own doing.
        self.tally.end(&self.end.take().unwrap_or(Outcome::Aborted.into()));
        // Nobody listens any more when the process is over.
        let _ = self.gone.unbounded_send(());
    }
}

/// How connections of a proxy end.
const OUTCOMES: &[Outcome] =
    &[Outcome::Graceful, Outcome::Failed, Outcome::Lost, Outcome::Aborted, Outcome::TurnedAway, Outcome::Truncated];

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
