//! `onion serve`: the onion line protocol for everybody who connects.

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use onionskin::endpoint::{Endpoint, Incoming, Listener};
use onionskin::runtime::Runtime;
use onionskin::tls::{Identity, Roots, TlsClient, TlsServer};

use crate::authority::SelfSigned;
use crate::credentials::{IdentityFiles, read_identity, read_roots};
use crate::failure::Failure;
use crate::key_log::KeyLog;
use crate::leave::leave;
use crate::logging::{Format, say};
use crate::open::{self, ServerDefaults};
use crate::session::{Service, Session};
use crate::signals::{Stopping, stopping};
use crate::silence::SilenceOptions;

/// Answer the onion line protocol
///
/// Prints `listening on ENDPOINT`, where clients can connect to, when it accepts connections. SIGINT or SIGTERM closes every connection and ends; a
/// second one ends at once.
#[derive(Debug, Args)]
#[command(after_help = PROTOCOL)]
pub(crate) struct Options {
    /// Where to listen, as in tcp:127.0.0.1:4433, unix:/run/onion.sock, systemd:0, stdio,
    /// tcp:localhost:0+tls:cert=PEM:key=PEM
    endpoint: String,
    #[command(flatten)]
    identity: IdentityFiles,
    /// Make an authority and a certificate for localhost, 127.0.0.1, ::1, outer.example and inner.example: ca.pem,
    /// cert.pem and key.pem in this directory, or take those that are there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cert", "key"])]
    self_signed: Option<PathBuf>,
    /// Another certificate, for clients that ask for NAME
    #[arg(long, value_name = "NAME=CERT,KEY")]
    name: Vec<String>,
    /// Require a certificate from clients, issued by these authorities
    #[arg(long, value_name = "PEM")]
    client_ca: Option<PathBuf>,
    /// Whom to trust in RSTARTTLS; the authority of --self-signed unless set
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    silence: SilenceOptions,
    #[command(flatten)]
    key_log: KeyLog,
    /// What the log looks like
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let endpoint = options.key_log.fill(options.silence.fill(open::parse(&options.endpoint)?))?;
    let server = Arc::new(Server::new(&endpoint, options)?);
    let stopping = stopping().map_err(|error| Failure::new(error).at("cannot listen for signals"))?;
    let listener = open::listen(runtime, &endpoint).await?;
    announce(&listener)?;

    let (alive, mut sessions) = mpsc::channel::<()>(0);
    while let Some(incoming) = accept(runtime, &listener, &stopping).await {
        let (server, stopping, alive) = (Arc::clone(&server), stopping.clone(), alive.clone());
        runtime.spawn(
            async move {
                serve(runtime, incoming, &server, stopping).await;
                drop(alive);
            }
            .boxed(),
        );
    }
    drop(listener);
    drop(alive);
    // The channel ends with the last session.
    let deadline = runtime.sleep_until(runtime.now() + LAST_WORDS);
    if let Either::Right(_) = select(sessions.next(), deadline).await {
        log::warn!("some connections did not end in time and are cut");
    }
    Ok(())
}

/// What is made once and used for every connection.
#[derive(Debug)]
struct Server {
    /// The layers that the endpoint asks for.
    outer: Vec<TlsServer>,
    service: Arc<Service>,
    endpoint: String,
    log_format: Format,
}

impl Server {
    fn new(endpoint: &Endpoint, options: &Options) -> Result<Self, Failure> {
        let key_log = options.key_log.wanted()?;
        let own = options.self_signed.as_ref().map(|directory| SelfSigned::in_directory(directory)).transpose()?;
        let files = match &own {
            Some(own) => &IdentityFiles { cert: Some(own.certificate.clone()), key: Some(own.key.clone()) },
            None => &options.identity,
        };
        let identity = files.read()?;
        let named = options.name.iter().map(|text| named_identity(text)).collect::<Result<Vec<_>, _>>()?;
        if !named.is_empty() && identity.is_none() {
            return Err(Failure::usage("--name needs a first certificate: give --cert and --key, or --self-signed"));
        }
        let client_roots = options.client_ca.as_deref().map(|file| read_roots("--client-ca", file)).transpose()?;
        let defaults =
            ServerDefaults { identity: files, named: &named, client_trust_anchors: options.client_ca.as_ref() };
        let outer = open::servers(endpoint, &defaults)?;
        let server = match identity {
            Some(identity) => Some(server(identity, &named, client_roots, key_log)?),
            None => None,
        };
        let trusted = options.ca.as_ref().or(own.as_ref().map(|own| &own.authority));
        let client = match trusted {
            Some(file) => Some(TlsClient::builder(read_roots("--ca", file)?).key_log(key_log).build()?),
            None => None,
        };
        Ok(Self {
            outer,
            service: Arc::new(Service { server, client }),
            endpoint: options.endpoint.clone(),
            log_format: options.log_format,
        })
    }
}

fn server(
    identity: Identity,
    named: &[(String, Identity)],
    clients: Option<Roots>,
    key_log: bool,
) -> Result<TlsServer, Failure> {
    let named = named.iter().cloned();
    let builder = named.fold(TlsServer::builder(identity), |builder, (name, identity)| builder.name(name, identity));
    let builder = match clients {
        Some(roots) => builder.require_client_certificates(roots),
        None => builder,
    };
    Ok(builder.key_log(key_log).build()?)
}

fn named_identity(text: &str) -> Result<(String, Identity), Failure> {
    let parts = text.split_once('=').and_then(|(name, files)| Some((name, files.split_once(',')?)));
    match parts {
        Some((name, (cert, key))) if !name.is_empty() && !cert.is_empty() && !key.is_empty() => {
            Ok((name.to_owned(), read_identity(cert.as_ref(), key.as_ref())?))
        }
        _ => Err(Failure::usage(format_args!("--name {text}: write NAME=CERT,KEY"))),
    }
}

/// The first line on standard output, for whoever waits until it is there.
fn announce(listener: &Listener) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "listening on {}", listener.endpoint().transport)
        .and_then(|()| output.flush())
        .map_err(Failure::output)
}

/// The next peer; `None` when the process is to end.
async fn accept(runtime: &dyn Runtime, listener: &Listener, stopping: &Stopping) -> Option<Incoming> {
    loop {
        match select(pin!(listener.accept()), stopping.clone()).await {
            Either::Left((Ok(incoming), _)) => return Some(incoming),
            Either::Left((Err(_), _)) if listener.has_ended() => return None,
            Either::Left((Err(error), _)) => {
                log::error!("cannot accept a connection: {error}");
                // Too many open files is an error that stays for a while.
                runtime.sleep_until(runtime.now() + ACCEPT_PAUSE).await;
            }
            Either::Right(_) => return None,
        }
    }
}

async fn serve(runtime: &'static dyn Runtime, incoming: Incoming, server: &Server, stopping: Stopping) {
    let mut line = Line { server, peer: incoming.addresses().to_string(), since: runtime.now(), layers: String::new() };
    log::info!(peer = line.peer; "{} connected", line.peer);
    let identified = incoming.identify().await;
    if let Ok(incoming) = &identified {
        line.peer = incoming.addresses().to_string();
    }
    let ready = match identified {
        Ok(incoming) => incoming.ready().await,
        Err(error) => Err(error),
    };
    let conn = match ready {
        Ok(conn) => conn,
        Err(error) => return line.fails(runtime.now(), error),
    };
    let mut session = Session::new(conn, Arc::clone(&server.service), stopping);
    let served = async {
        session.start(&server.outer).await?;
        session.run().await
    };
    let result = served.await;
    let conn = session.into_connection();
    line.layers = conn.layers().iter().map(|layer| layer.description.as_str()).collect::<Vec<_>>().join("\n");
    match result {
        Ok(()) => line.ends(runtime.now()),
        Err(error) => line.fails(runtime.now(), error),
    }
    leave(conn).await;
}

/// What is said of a connection when it is over.
struct Line<'a> {
    server: &'a Server,
    peer: String,
    since: Instant,
    /// Those that are left, one on each line.
    layers: String,
}

impl Line<'_> {
    fn ends(&self, now: Instant) {
        let Self { server, peer, layers, .. } = self;
        let seconds = self.seconds(now);
        log::info!(listen = server.endpoint, peer, outcome = "ended", seconds, listen_layers = layers; "{peer} is done");
    }

    fn fails(&self, now: Instant, error: impl Into<Failure>) {
        let Self { server, peer, layers, .. } = self;
        let (failure, seconds) = (error.into(), self.seconds(now));
        match server.log_format {
            Format::Text => say(failure.at(peer)),
            Format::Json => log::error!(
                listen = server.endpoint, peer, outcome = "failed", cause:% = failure, seconds, listen_layers = layers;
                "{peer}: {failure}"
            ),
        }
    }

    fn seconds(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.since).as_secs_f64()
    }
}

const PROTOCOL: &str = r"Commands of the onion line protocol; each is answered at the depth at which it was asked:
  ECHO TEXT         the same line again
  DEPTH             how many layers there are, and their versions
  STARTTLS [NAME]   OK, then a handshake with us as the TLS server
  RSTARTTLS [NAME]  OK, then a handshake with us as the TLS client, which verifies NAME
  STOPTLS           OK, then our close_notify, then the peer's
  ASTOPTLS          OK, then the peer's close_notify, then ours
  GLUE TEXT         OK, then in one send our close_notify and, one layer further out, GLUED TEXT
  BULK N            a line BULK N, then N bytes
  SINK N            takes the N bytes behind the line, and answers with their SHA-256
  QUIT              BYE, then the end of every layer and of the connection
Anything else is answered with ERR and the reason.

Environment: SSLKEYLOGFILE=FILE is where --keylog writes, RUST_LOG=debug shows what layers do.";

/// What is logged unless `RUST_LOG` says otherwise. The lines for people leave connections out that end well.
pub(crate) fn shown(format: Format) -> &'static str {
    match format {
        Format::Text => crate::QUIET,
        Format::Json => "warn,onion=info",
    }
}

/// How long connections may take to end when the process is to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
