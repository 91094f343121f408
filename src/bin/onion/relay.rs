//! `onion relay`: every connection to one endpoint is joined to a new one to another.
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

mod greeting;
mod join;
mod passage;
mod room;

use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, pending, select};
use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{FutureExt, StreamExt};
use onionskin::endpoint::{Connector, Endpoint, Incoming, Listener, OpenError};
use onionskin::runtime::Runtime;

use self::greeting::Greeting;
use self::join::{Loss, Side};
use self::passage::{End, Passages};
use crate::failure::Failure;
use crate::open;
use crate::signals::{hangups, stopping};

/// Join every connection to LISTEN with a new one to CONNECT
///
/// Each endpoint is a transport and whatever layers are to be on top of it, so TLS can be added, taken away, exchanged and
/// nested on either side. Prints `listening on ENDPOINT` when it accepts connections.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{DETAILS}"))]
pub(crate) struct Options {
    /// Where to listen, and the layers that clients bring: tcp:0.0.0.0:4433+tls:cert=PEM:key=PEM
    listen: String,
    /// Where to connect for each client, and the layers there: tcp:mail.example:465+tls, unix:/run/app.sock
    connect: String,
    /// The most connections at a time; further clients wait until they are accepted
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_CONNECTIONS)]
    max_connections: NonZeroUsize,
    /// How long connections may go on when the process is to end; those that are left are aborted
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u32,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let [listen, connect] = [open::parse(&options.listen)?, open::parse(&options.connect)?];
    let greeting = Greeting::between(&listen, &connect)?;
    let at = |text: &str| format!("endpoint {text}");
    let connector = Connector::new(runtime, &connect).map_err(|error| Failure::from(error).at(at(&options.connect)))?;
    let signals = |error| Failure::new(error).at("cannot listen for signals");
    let (stopping, hangups) = (stopping().map_err(signals)?, hangups().map_err(signals)?);
    let listener =
        Listener::new(runtime, &listen).await.map_err(|error| Failure::from(error).at(at(&options.listen)))?;
    let most = room::for_connections(options.max_connections.get(), [&listen, &connect]);
    announce(listener.endpoint())?;

    let (abort, aborting) = oneshot::channel::<()>();
    let aborting = aborting.map(drop).boxed().shared();
    let passages = Arc::new(Passages { runtime, connector, greeting, aborting });
    let (gone, ends) = mpsc::unbounded();
    let news = [
        stopping.into_stream().map(|()| News::Stop).boxed(),
        hangups.map(|()| News::Reload).boxed(),
        ends.map(News::Gone).boxed(),
    ];
    let patience = Duration::from_secs(options.patience.into());
    let relay = Relay {
        listen: options.listen.clone(),
        connect: options.connect.clone(),
        passages,
        gone,
        news: select_all(news),
        most,
        patience,
        tally: Tally::default(),
    };
    relay.run(listener, abort).await
}

struct Relay {
    listen: String,
    connect: String,
    passages: Arc<Passages>,
    gone: mpsc::UnboundedSender<End>,
    news: SelectAll<BoxStream<'static, News>>,
    most: usize,
    patience: Duration,
    tally: Tally,
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
    News(News),
}

/// What others have to tell.
enum News {
    Stop,
    Reload,
    Gone(End),
}

/// How many connections there are, and how those that were have ended.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    live: usize,
    /// Whether there were ever as many as there may be, which is told once.
    was_full: bool,
    in_order: usize,
    failed: usize,
    lost: usize,
    aborted: usize,
}

impl Relay {
    /// Until the last connection is gone. Dropping `abort` aborts those that are there.
    ///
    /// Connections come and go, and how they end is for the log; but where there was only one to accept, its end is that
    /// of the process.
    async fn run(mut self, listener: Listener, abort: oneshot::Sender<()>) -> Result<(), Failure> {
        let runtime = self.passages.runtime;
        let mut abort = Some(abort);
        let mut stage = Stage::Serving(listener);
        let mut is_only_one = false;
        while matches!(stage, Stage::Serving(_)) || self.tally.live > 0 {
            match self.next(&mut stage).await {
                Event::Accepted(incoming) => self.begin(*incoming),
                Event::News(News::Gone(end)) => self.tally.count(&end),
                Event::News(News::Reload) => self.reload(&stage),
                Event::NoMorePeers => {
                    is_only_one = true;
                    stage = Stage::Finishing(pending().boxed());
                }
                Event::News(News::Stop) => {
                    // The listener is closed before anybody is told.
                    stage = Stage::Finishing(runtime.sleep_until(runtime.now() + self.patience));
                    let (live, patience) = (self.tally.live, self.patience);
                    log::info!("asked to end: {live} connections may go on for {patience:?}");
                }
                Event::OutOfPatience => {
                    log::warn!("out of patience: {} connections have not ended and are aborted", self.tally.live);
                    drop(abort.take());
                    stage = Stage::Aborting;
                }
            }
        }
        log::info!("{}", self.tally);
        match self.tally {
            Tally { accepted: 1, in_order: 0, .. } if is_only_one => {
                Err(Failure::new("the connection did not end in order"))
            }
            _ => Ok(()),
        }
    }

    async fn next(&mut self, stage: &mut Stage) -> Event {
        let has_room = self.tally.live < self.most;
        let own = match stage {
            Stage::Serving(listener) if has_room => accept(self.passages.runtime, listener).boxed(),
            Stage::Serving(_) | Stage::Aborting => pending().boxed(),
            Stage::Finishing(until) => until.map(|()| Event::OutOfPatience).boxed(),
        };
        match select(own, self.news.next()).await {
            Either::Left((event, _)) => event,
            Either::Right((news, _)) => Event::News(news.expect("the relay has a sender of its own")),
        }
    }

    /// Joins the peer in a task of its own.
    fn begin(&mut self, incoming: Incoming) {
        self.tally.accepted += 1;
        self.tally.live += 1;
        if self.tally.live == self.most && !std::mem::replace(&mut self.tally.was_full, true) {
            log::warn!("{} connections, as many as there may be: further clients wait", self.most);
        }
        let number = self.tally.accepted;
        let passages = Arc::clone(&self.passages);
        let ticket = Ticket { end: None, gone: self.gone.clone() };
        self.passages.runtime.spawn(Box::pin(async move {
            let end = passages.pass(number, incoming).await;
            ticket.hand_in(end);
        }));
    }

    /// Reads the files of both sides again, for connections to come.
    fn reload(&self, stage: &Stage) {
        let Stage::Serving(listener) = stage else { return };
        let told = |side: Side, endpoint: &str, result: Result<(), OpenError>| match result {
            Ok(()) => log::info!("{side}: certificates and keys were read again"),
            Err(error) => log::error!("{}; {endpoint} keeps what it has", Loss::new(side, error)),
        };
        told(Side::Listen, &self.listen, listener.reload());
        told(Side::Connect, &self.connect, self.passages.connector.reload());
    }
}

/// The next peer. Its handshakes are for a task of its own.
async fn accept(runtime: &'static dyn Runtime, listener: &Listener) -> Event {
    loop {
        match listener.accept().await {
            Ok(incoming) => return Event::Accepted(Box::new(incoming)),
            Err(_) if listener.has_ended() => return Event::NoMorePeers,
            // A client that is gone again is none of ours.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::error!("cannot accept a connection: {error}");
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
        let end = self.end.take().unwrap_or(End::Aborted);
        // Nobody listens any more when the process is over.
        let _ = self.gone.unbounded_send(end);
    }
}

impl Tally {
    fn count(&mut self, end: &End) {
        self.live -= 1;
        *match end {
            End::InOrder => &mut self.in_order,
            End::Failed(_) => &mut self.failed,
            End::Lost(_) => &mut self.lost,
            End::Aborted => &mut self.aborted,
        } += 1;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { accepted, in_order, failed, lost, aborted, .. } = self;
        write!(f, "{accepted} accepted: {in_order} ended, {failed} not joined, {lost} lost, {aborted} aborted")
    }
}

/// The first line on standard output, for whoever waits until it is there.
fn announce(endpoint: &Endpoint) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "listening on {}", endpoint.transport)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(error).at("cannot write to standard output"))
}

/// What is logged unless `RUST_LOG` says otherwise: a line for each connection.
pub(crate) const LOG: &str = "warn,onion::relay=info";

const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = r"Examples:
  TLS for a server that has none
    onion relay tcp:[::]:4433+tls:cert=chain.pem:key=key.pem tcp:127.0.0.1:25
  STARTTLS for a mail server that has none
    onion relay tcp:[::]:2525+starttls:smtp:cert=chain.pem:key=key.pem tcp:127.0.0.1:25
  TLS for a client that has none
    onion relay tcp:127.0.0.1:2525 tcp:mail.example:465+tls
  the same for a program that talks on standard input and output
    onion relay stdio tcp:mail.example:465+tls
  STARTTLS for a mail client that has none
    onion relay tcp:127.0.0.1:1143 tcp:mail.example:143+starttls:imap
  a tunnel between two machines: what is inside may be TLS itself
    onion relay tcp:127.0.0.1:5432 tcp:db.example:4433+tls:ca=ca.pem:cert=me.pem:key=me.key
    onion relay tcp:[::]:4433+tls:cert=chain.pem:key=key.pem:client-ca=ca.pem unix:/run/postgresql/.s.PGSQL.5432
  TLS in TLS, taken apart
    onion relay tcp:[::]:4433+tls:cert=a.pem:key=a.key+tls:cert=b.pem:key=b.key tcp:127.0.0.1:80
  behind one proxy and in front of another, both told who the client is
    onion relay tcp:[::]:443+proxy+tls:cert=chain.pem:key=key.pem tcp:127.0.0.1:80+proxy:version=1
  started by systemd, with the socket of a unit
    onion relay systemd:0+tls:cert=chain.pem:key=key.pem tcp:127.0.0.1:25
A proxy step of CONNECT tells of the client that has connected to LISTEN, unless it has from= and to=.";

const DETAILS: &str = r"Connections: for each client the handshakes of LISTEN are done first, then CONNECT is opened, and then bytes pass both
ways. The end of one direction (a close_notify, or an end of file where there is no TLS) is passed on, and the other
direction goes on. A loss is never passed on as an end: what was received before it is sent, then the other side is closed
without a close_notify if it is inside TLS, and reset if it is TCP in clear; a Unix socket in clear sees an end of file. If
CONNECT cannot be opened, the client is treated in the same way. A side that does not read makes the other one wait, and no
more than the buffers of the layers are held in memory.

A step `starttls` says or takes the greeting of its protocol before TLS. If only LISTEN has one, the greeting of the server
behind CONNECT is taken too; if only CONNECT has one, the client gets a greeting from the relay. What is said inside TLS
passes as it is, an offer of STARTTLS by the server too. tds needs the step on both sides, and mysql cannot be relayed by it.

Trust: certificates and keys are named in the endpoints (cert=, key=, ca=, sni=); LISTEN needs cert= and key= for TLS. Without
ca= the authorities of the system are trusted, without sni= the certificate must name the host of CONNECT.

Time limits: 30 seconds to connect (timeout= in the endpoint), 30 for what comes before a STARTTLS, 10 for each handshake,
30 in which a peer takes nothing of the last bytes when all else is over, 2 until it closes then. Connections that say
nothing stay.

Signals: the first SIGTERM or SIGINT closes the listener and lets the connections go on, for --patience at most; those
that are left are aborted. A second one ends the process at once. SIGHUP reads certificates, keys and authorities
again: new connections have the new ones, and if something is wrong with the files of a side, that side keeps the old ones.

Log: a line for each connection when it ends, on standard error, with the layers and bytes of both sides. RUST_LOG=warn
shows less, RUST_LOG=debug what layers do. SSLKEYLOGFILE=FILE has the secrets of every layer written there.

Open files: each connection needs two or more. The soft limit of the process is raised as far as needed and allowed; if that
is not enough for --max-connections, there are fewer.

Exit status: 0 when it has ended as asked, 1 after a failure, 2 for a command line that makes no sense.";
