//! The server that is looked at: how to reach it, and how to start TLS with it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncReadExt;
use futures::future::{Either, select};
use futures::io::AsyncWriteExt;
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::endpoint::{ConnectTimeout, Connector, Endpoint, OpenError, Step, TlsStep};
use onionskin::runtime::{Runtime, Socket};
use onionskin::rustls::NamedGroup;
use onionskin::starttls::{KnownProtocol, Mysql, Negotiate, StartTls, own_name};
use onionskin::tls::{Group, KeyShares, TlsClient, TlsFacts, TlsLayer, Version};

use super::farewell;
use super::seen::Seen;
use super::times::Times;
use super::witness::Witness;
use crate::failure::Failure;
use crate::open;

/// The endpoint, taken apart: all that stands below the TLS that is looked at, and that TLS. Clones count connections together.
#[derive(Clone)]
pub(super) struct Server {
    runtime: &'static dyn Runtime,
    below: Connector,
    protocol: Option<KnownProtocol>,
    /// How MySQL is spoken, which knows what the server has said.
    mysql: Mysql,
    /// What we call ourselves, or in XMPP, whom we want to talk to.
    own_name: Option<String>,
    tls: TlsStep,
    /// Whose certificate is awaited.
    name: String,
    timeout: Duration,
    connections: Rc<Cell<u32>>,
    /// Of the first of them.
    times: Rc<RefCell<Option<Times>>>,
    /// Our end of the latest of them.
    local: Cell<Option<IpAddr>>,
}

/// Whether the certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    AsConfigured,
    Everyone,
}

/// What came of listening.
#[derive(Debug)]
pub(super) enum Heard<T> {
    Answer(T),
    /// The server has hung up, or said more than anybody has to say.
    End,
    /// Nothing that is an answer came in time.
    Silence,
}

impl Server {
    /// The server at a complete endpoint.
    pub(super) fn new(
        runtime: &'static dyn Runtime,
        endpoint: &Endpoint,
        seconds: NonZeroU16,
    ) -> Result<Self, Failure> {
        let timeout = Duration::from_secs(seconds.get().into());
        let name = open::host(endpoint);
        let mut below = endpoint.clone();
        let (protocol, own_name, tls) = match below.steps.pop() {
            Some(Step::StartTls(step)) => (Some(step.protocol), step.name, step.tls),
            Some(Step::Tls(step)) => (None, None, *step),
            _ => {
                let example = "as in tcp:mail.example:25+starttls:smtp";
                return Err(Failure::usage(format_args!(
                    "a probe is for TLS: let the endpoint end with a step `starttls` or `tls`, {example}"
                )));
            }
        };
        let name = tls.server_name.clone().unwrap_or(name);
        for step in &mut below.steps {
            bound(step, seconds);
        }
        let below = Connector::new(runtime, &below)?.connect_timeout(Some(timeout));
        let server = Self {
            runtime,
            below,
            protocol,
            mysql: Mysql::new().capabilities(farewell::CAPABILITIES),
            own_name,
            tls,
            name,
            timeout,
            connections: Rc::default(),
            times: Rc::default(),
            local: Cell::new(None),
        };
        // Files are read before anybody is bothered.
        server.layer(Trust::AsConfigured, None)?;
        Ok(server)
    }

    /// The same, asked for by another name, which its certificate is then to have.
    ///
    /// # Errors
    ///
    /// When it is no name.
    pub(super) fn called(&self, name: &str) -> Result<Self, Failure> {
        let mut server = self.clone();
        name.clone_into(&mut server.name);
        server.tls.names.clear();
        let client = server.client(Trust::AsConfigured, None)?;
        client.to(name).map_err(|error| Failure::usage(format_args!("--name {name:?}: {error}")))?;
        Ok(server)
    }

    /// The same, to be offered these groups of the key exchange, with a key of the first one alone.
    pub(super) fn offering(&self, groups: &[NamedGroup]) -> Self {
        let mut server = self.clone();
        server.tls.groups = groups.iter().copied().map(Group::from).collect();
        server.tls.key_shares = Some(KeyShares::One);
        server
    }

    pub(super) fn protocol(&self) -> Option<KnownProtocol> {
        self.protocol
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The domain that is served there, where that has a name apart from the server's.
    pub(super) fn domain(&self) -> &str {
        self.own_name.as_deref().unwrap_or(&self.name)
    }

    /// The newest version that the protocol can have: a handshake in packets of TDS cannot be one of TLS 1.3.
    pub(super) fn newest(&self) -> Version {
        if self.protocol == Some(KnownProtocol::Tds) { Version::Tls12 } else { Version::Tls13 }
    }

    /// Whether certificates are accepted unseen.
    pub(super) fn trusts_everyone(&self) -> bool {
        self.tls.insecure
    }

    /// Whether the server counts connections that end without a log-in, and takes none any more in the end.
    pub(super) fn counts_connections(&self) -> bool {
        self.protocol == Some(KnownProtocol::Mysql)
    }

    /// Whether we have a certificate to show.
    pub(super) fn has_identity(&self) -> bool {
        self.tls.certificate.is_some()
    }

    /// The application protocols that are offered.
    pub(super) fn alpn(&self) -> &[String] {
        &self.tls.alpn
    }

    /// How often it was connected to.
    pub(super) fn connections(&self) -> u32 {
        self.connections.get()
    }

    /// How long it took to reach it for the first time.
    pub(super) fn times(&self) -> Times {
        self.times.borrow().clone().unwrap_or_default()
    }

    /// A connection on which TLS is the next thing to do.
    pub(super) async fn connect(&self) -> Result<Connection<Socket>, OpenError> {
        self.connections.set(self.connections.get() + 1);
        let conn = self.below.connect().await?;
        self.times.borrow_mut().get_or_insert_with(|| Times::of(&conn));
        self.local.set(conn.get_ref().local_address().as_tcp().map(|address| address.ip()));
        Ok(conn)
    }

    /// A connection with TLS, whoever the server is.
    pub(super) async fn connect_tls(&self) -> Result<Connection<Socket>, Failure> {
        let mut conn = self.connect().await?;
        self.start_tls(&mut conn, self.layer(Trust::Everyone, None)?).await?;
        Ok(conn)
    }

    /// A layer that resumes no session: each handshake is to show everything.
    pub(super) fn layer(&self, trust: Trust, version: Option<Version>) -> Result<TlsLayer, Failure> {
        self.layer_of(&self.client(trust, version)?)
    }

    /// As [`layer`](Self::layer), and has the handshake seen. Who trusts everyone then does so even where a server cannot
    /// prove that its certificate is its own.
    pub(super) fn watched_layer(
        &self,
        trust: Trust,
        version: Option<Version>,
        seen: &Seen,
    ) -> Result<TlsLayer, Failure> {
        let mut config = Arc::unwrap_or_clone(self.client(trust, version)?.to_rustls());
        seen.watch(&mut config);
        if trust == Trust::Everyone {
            seen.accept_everything(&mut config);
        }
        self.layer_of(&TlsClient::from_rustls(Arc::new(config))?)
    }

    fn layer_of(&self, client: &TlsClient) -> Result<TlsLayer, Failure> {
        Ok(client.to(&self.name)?.handshake_timeout(Some(self.timeout)))
    }

    fn client(&self, trust: Trust, version: Option<Version>) -> Result<TlsClient, Failure> {
        let mut tls = self.tls.clone();
        tls.max_version.get_or_insert(self.newest());
        if trust == Trust::Everyone {
            tls = tls.without_verification();
        }
        if version.is_some() {
            (tls.min_version, tls.max_version) = (version, version);
        }
        Ok(tls.client()?)
    }

    /// Starts TLS as the protocol does it, or at once if there is none.
    pub(super) async fn start_tls(&self, conn: &mut Connection<Socket>, layer: TlsLayer) -> Result<TlsFacts, Error> {
        match self.peer() {
            Some(peer) => conn.negotiate(self.bounded(Negotiate::new(&*peer, layer))).await,
            None => conn.start_tls(layer).await,
        }
    }

    /// What we call ourselves in mail.
    pub(super) fn own_name(&self) -> String {
        self.own_name.clone().unwrap_or_else(|| own_name(self.local.get()))
    }

    /// As [`start_tls`](Self::start_tls), and has the handshake seen.
    pub(super) async fn start_watched(
        &self,
        conn: &mut Connection<Socket>,
        layer: TlsLayer,
        seen: &Seen,
    ) -> Result<TlsFacts, Error> {
        match self.peer() {
            Some(peer) => {
                let peer = Witness::new(peer).watching(seen);
                conn.negotiate(self.bounded(Negotiate::new(&peer, layer))).await
            }
            None => {
                conn.splice(seen.tap())?;
                conn.start_tls(layer).await
            }
        }
    }

    /// One who asks for TLS, if it must be asked for.
    pub(super) fn peer(&self) -> Option<Box<dyn StartTls>> {
        match self.protocol? {
            KnownProtocol::Mysql => Some(Box::new(self.mysql.clone())),
            protocol => Some(protocol.client_at(&self.name, self.own_name.as_deref(), self.local.get())),
        }
    }

    pub(super) fn bounded(&self, negotiate: Negotiate) -> Negotiate {
        negotiate.timeout(Some(self.timeout))
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits no longer than for one step.
    pub(super) async fn within<F: Future>(&self, future: F) -> Option<F::Output> {
        self.within_time(self.timeout, future).await
    }

    pub(super) async fn within_time<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        let deadline = self.runtime.sleep_until(self.runtime.now() + time);
        match select(pin!(future), deadline).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Says `words`, and listens until `answer` has found one in all that was heard.
    ///
    /// That the words cannot be sent is no failure: a server that has hung up may have said why.
    pub(super) async fn ask<T>(
        &self,
        conn: &mut Connection<Socket>,
        words: &[u8],
        heard: &mut Vec<u8>,
        answer: impl Fn(&[u8]) -> Option<T>,
    ) -> Heard<T> {
        let asking = async {
            let _ = conn.send_all(words).await;
            let mut buffer = vec![0; 4096];
            loop {
                if let Some(answer) = answer(heard) {
                    return Heard::Answer(answer);
                }
                match conn.read(&mut buffer).await {
                    Ok(count @ 1..) if heard.len() < MAX_HEARD => heard.extend_from_slice(&buffer[..count]),
                    _ => return Heard::End,
                }
            }
        };
        self.within(asking).await.unwrap_or(Heard::Silence)
    }

    /// Ends what was begun, as the protocol has it: without waiting for the server, where it does not count.
    pub(super) async fn leave(&self, mut conn: Connection<Socket>) {
        if self.counts_connections() && conn.depth() > 0 {
            farewell::log_in_and_out(self, &mut conn, &self.mysql.seen()).await;
        }
        if let Some(Err(error)) = self.within(conn.close()).await {
            log::debug!("while closing: {error}");
        }
    }
}

/// A proxy may take as long as the server.
fn bound(step: &mut Step, seconds: NonZeroU16) {
    let time = ConnectTimeout::Seconds(seconds.into());
    match step {
        Step::Connect(step) => step.timeout = time,
        Step::Socks5(step) => step.timeout = time,
        Step::Socks4a(step) => step.timeout = time,
        _ => {}
    }
}

const MAX_HEARD: usize = 64 * 1024;
