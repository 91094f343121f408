//! From an endpoint to a connection, and to a listener.
//!
//! What the steps ask for is made ready before anything touches the network, so that a file that cannot be read is
//! found before a peer is bothered.

use std::io;
use std::sync::Arc;

use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::endpoint::{Endpoint, Roots as RootsName, Step, TlsStep, TlsVersion, Transport};
use onionskin::runtime::{Listener, Runtime, Socket};
use onionskin::tls::{Identity, TlsClient, TlsLayer, TlsServer, TlsServerBuilder, Version};

use crate::credentials::{Trust, read_identity, read_roots};
use crate::failure::Failure;
use crate::protocol::DEFAULT_NAME;

/// Reads an endpoint string.
pub(crate) fn parse(text: &str) -> Result<Endpoint, Failure> {
    text.parse().map_err(|error| Failure::usage(format_args!("endpoint {text}: {error}")))
}

/// What a client brings where a step says nothing.
#[derive(Debug)]
pub(crate) struct ClientDefaults {
    pub(crate) trust: Trust,
    pub(crate) identity: Option<Identity>,
}

impl ClientDefaults {
    pub(crate) fn client(&self) -> Result<TlsClient, Failure> {
        let builder = self.trust.client()?;
        Ok(match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
        .build()?)
    }
}

/// Connects, and starts the layers that the endpoint names.
pub(crate) async fn connect(
    runtime: &'static dyn Runtime,
    endpoint: &Endpoint,
    defaults: &ClientDefaults,
) -> Result<Connection<Socket>, Failure> {
    let layers = endpoint.steps.iter().map(|step| client_layer(step, endpoint, defaults));
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    let socket = dial(runtime, &endpoint.transport).await?;
    let mut conn = over(runtime, socket);
    for layer in layers {
        conn.start_tls(layer).await.map_err(cannot_start)?;
    }
    Ok(conn)
}

/// The name to verify where none is given: the host that the endpoint names.
pub(crate) fn host(endpoint: &Endpoint) -> &str {
    match &endpoint.transport {
        Transport::Tcp { host, .. } => host,
        _ => DEFAULT_NAME,
    }
}

/// Listens where the endpoint says.
pub(crate) async fn listen(runtime: &dyn Runtime, endpoint: &Endpoint) -> Result<Listener, Failure> {
    match &endpoint.transport {
        Transport::Tcp { host, port } => {
            let found = runtime.resolve(host, *port).await;
            let found = found.map_err(|error| Failure::new(format_args!("cannot find the host {host}: {error}")))?;
            runtime.listen_tcp(found[0]).await.map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => {
                    Failure::new(format_args!("{error}: stop who listens there, or choose another port (0 picks one)"))
                }
                _ => Failure::new(error),
            })
        }
        #[cfg(unix)]
        Transport::Unix { path } => runtime.listen_unix(path.clone()).await.map_err(Failure::new),
        other => Err(not_here(other)),
    }
}

/// One TLS server for each step of the endpoint, the outermost first.
pub(crate) fn servers(
    endpoint: &Endpoint,
    default: impl Fn(Identity) -> Result<TlsServerBuilder, Failure>,
    identity: Option<&Identity>,
) -> Result<Vec<TlsServer>, Failure> {
    let server = |step: &Step| match step {
        Step::Tls(tls) => server_step(tls, &default, identity),
        other => Err(not_done(other)),
    };
    endpoint.steps.iter().map(server).collect()
}

/// A connection without layers over `socket`, named after its peer.
pub(crate) fn over(runtime: &'static dyn Runtime, socket: Socket) -> Connection<Socket> {
    let label = socket.peer_address().to_string();
    Connection::with_timer(socket, Arc::new(runtime)).named(label)
}

async fn dial(runtime: &dyn Runtime, transport: &Transport) -> Result<Socket, Failure> {
    match transport {
        Transport::Tcp { host, port } => {
            let found = runtime.resolve(host, *port).await;
            let found = found.map_err(|error| Failure::new(format_args!("cannot find the host {host}: {error}")))?;
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for address in found {
                match runtime.connect_tcp(address).await {
                    Ok(socket) => return Ok(socket),
                    Err(error) => last = error,
                }
            }
            Err(cannot_connect(transport, &last))
        }
        #[cfg(unix)]
        Transport::Unix { path } => {
            runtime.connect_unix(path.clone()).await.map_err(|error| cannot_connect(transport, &error))
        }
        other => Err(not_here(other)),
    }
}

fn cannot_connect(transport: &Transport, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ": is a server listening there?",
        _ => "",
    };
    Failure::new(format_args!("cannot connect to {transport}: {error}{advice}"))
}

fn cannot_start(error: Error) -> Failure {
    if error.is_not_spoken() {
        return Failure::new(format_args!("{error}: leave the tls step out if TLS starts later there, or never"));
    }
    error.into()
}

fn client_layer(step: &Step, endpoint: &Endpoint, defaults: &ClientDefaults) -> Result<TlsLayer, Failure> {
    let Step::Tls(tls) = step else { return Err(not_done(step)) };
    if tls.client_trust_anchors.is_some() {
        return Err(Failure::usage("the key client-ca is for a server: write ca=PEM for whom to trust as a client"));
    }
    let mut builder = step_trust(tls, defaults)?.client()?.alpn(&tls.alpn).versions(&versions(tls)?);
    if let Some(identity) = step_identity(tls)?.or_else(|| defaults.identity.clone()) {
        builder = builder.identity(identity);
    }
    let name = tls.server_name.as_deref().unwrap_or_else(|| host(endpoint));
    Ok(builder.build()?.to(name)?)
}

fn step_trust(tls: &TlsStep, defaults: &ClientDefaults) -> Result<Trust, Failure> {
    if tls.insecure {
        return Ok(Trust::Everyone);
    }
    if let Some(file) = &tls.trust_anchors {
        return read_roots("ca", file).map(Trust::Roots);
    }
    match tls.roots {
        None => Ok(defaults.trust.clone()),
        Some(RootsName::System) => Ok(Trust::System),
        #[cfg(feature = "webpki-roots")]
        Some(RootsName::Webpki) => Ok(Trust::Roots(onionskin::tls::Roots::webpki())),
        Some(other) => Err(Failure::usage(format_args!(
            "roots={other} is not in this build: build it with the feature webpki-roots, or write ca=PEM"
        ))),
    }
}

fn server_step(
    tls: &TlsStep,
    default: impl Fn(Identity) -> Result<TlsServerBuilder, Failure>,
    identity: Option<&Identity>,
) -> Result<TlsServer, Failure> {
    if tls.server_name.is_some() || tls.trust_anchors.is_some() || tls.roots.is_some() || tls.insecure {
        return Err(Failure::usage("the keys sni, ca, roots and insecure are for a client: leave them out"));
    }
    let mut builder = match (step_identity(tls)?, identity) {
        (Some(own), _) => TlsServer::builder(own),
        (None, Some(shared)) => default(shared.clone())?,
        (None, None) => {
            return Err(Failure::usage(
                "tls needs a certificate: write tls:cert=PEM:key=PEM, or give --cert and --key",
            ));
        }
    };
    if let Some(file) = &tls.client_trust_anchors {
        builder = builder.require_client_certificates(read_roots("client-ca", file)?);
    }
    Ok(builder.alpn(&tls.alpn).versions(&versions(tls)?).build()?)
}

fn step_identity(tls: &TlsStep) -> Result<Option<Identity>, Failure> {
    match (&tls.certificate, &tls.private_key) {
        (Some(cert), Some(key)) => read_identity(cert, key).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::usage("the key cert of a tls step needs the key key: write key=PEM too")),
        (None, Some(_)) => Err(Failure::usage("the key key of a tls step needs the key cert: write cert=PEM too")),
    }
}

fn versions(tls: &TlsStep) -> Result<Vec<Version>, Failure> {
    let lowest = tls.min_version.unwrap_or(TlsVersion::Tls12);
    let highest = tls.max_version.unwrap_or(TlsVersion::Tls13);
    let all = [(TlsVersion::Tls12, Version::Tls12), (TlsVersion::Tls13, Version::Tls13)];
    let chosen: Vec<_> = all.into_iter().filter(|(named, _)| (lowest..=highest).contains(named)).collect();
    if chosen.is_empty() {
        return Err(Failure::usage(format_args!("no version is left between min={lowest} and max={highest}")));
    }
    Ok(chosen.into_iter().map(|(_, version)| version).collect())
}

fn not_here(transport: &Transport) -> Failure {
    Failure::usage(format_args!("there is no {transport} on this system: use tcp:HOST:PORT"))
}

fn not_done(step: &Step) -> Failure {
    Failure::usage(format_args!("the step {step} is not one that this command can do"))
}
