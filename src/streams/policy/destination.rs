//! From a stream of a policy to an endpoint that can be connected to, or listened at.
//!
//! ```text
//!   "via"                               "layers"           "tls" and its like
//!   tcp:proxy.example:1080 + socks5:TARGET + starttls:smtp + [ TLS of the policy ]
//!                                   ▲
//!                      "endpoint", "port", with values in their places
//! ```
//!
//! The TLS of the policy is a step of its own kind, since no endpoint string says certificates in memory. It is made once for each
//! way, so that whoever goes there again resumes its session, nobody else does, and a pool sees what is the same.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::mistake::{nearest, shown};
use super::{Auth, FillError, Policy, Protocol, StreamPolicy, Template, Tls, document, trust};
use crate::endpoint::{BaseTransport, Connector, Endpoint, OpenError, OwnStep};
use crate::route::tls::{AcceptTls, DialTls};
use crate::runtime::{Address, Runtime};

/// A policy made ready: what its streams lead to. What it makes of TLS is kept, so keep it for as long as the policy is meant.
///
/// ```
/// use onionskin::streams::policy::{Destinations, Policy};
///
/// let policy = Policy::read(
///     r#"{ "via": "tcp:proxy.example:1080+socks5",
///          "s": { "echo": { "endpoint": "${host}", "port": 7, "protocol": "raw", "metadata": { "host": "" } } } }"#,
/// )?;
/// let destinations = Destinations::new(policy);
/// let echo = destinations.client("echo", |_| Some("echo.example"))?;
/// assert_eq!(echo.endpoint.to_string(), "tcp:proxy.example:1080+socks5:echo.example:7");
///
/// let error = destinations.client("echo", |_| Some("echo.example/")).unwrap_err();
/// assert!(error.to_string().starts_with("$.s.echo.endpoint: the value of `${host}`"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Destinations {
    policy: Arc<Policy>,
    /// Those that were made last, the oldest first.
    made: Mutex<Vec<Made>>,
}

#[derive(Debug)]
struct Made {
    way: Endpoint,
    tls: Tls,
    alpn: Vec<String>,
    step: OwnStep,
}

/// Where a stream of a client leads to, in one attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Destination {
    /// The whole way, with all layers.
    pub endpoint: Endpoint,
    /// Whom it is for: a name or an IP address, without brackets; empty for a socket of Unix.
    pub host: String,
    /// The port; 0 for a socket of Unix.
    pub port: u16,
    /// Whether TLS is on top of all layers.
    pub is_tls: bool,
    /// The path and query that a URL as endpoint says, in place of `http_url`.
    pub path: Option<String>,
    /// How long to try to reach it, if the policy says so.
    pub connect_timeout: Option<Duration>,
}

impl Destination {
    /// The endpoint made ready for connecting to it.
    ///
    /// # Errors
    ///
    /// As [`Connector::new`].
    pub fn connector(&self, runtime: &'static dyn Runtime) -> Result<Connector, OpenError> {
        let connector = Connector::new(runtime, &self.endpoint)?;
        Ok(match self.connect_timeout {
            Some(time) => connector.connect_timeout(Some(time)),
            None => connector,
        })
    }
}

impl Destinations {
    /// Those of this policy.
    pub fn new(policy: impl Into<Arc<Policy>>) -> Self {
        Self { policy: policy.into(), made: Mutex::default() }
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Where a stream leads to, with these named values. Certificates in files are read the first time, which blocks.
    ///
    /// # Errors
    ///
    /// When there is no such stream, or it is a server; when a value is missing, or nothing for its place; when a certificate
    /// cannot be read or used. Each names the key.
    pub fn client<'v>(
        &self,
        stream: &str,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Destination, DestinationError> {
        let (name, stream) = self.stream(stream)?;
        if stream.is_server {
            return Err(wrong(name, "server", "this stream is a server, and connects to nobody"));
        }
        if stream.auth.as_ref().and_then(|auth| self.policy.auth.get(auth)) == Some(&Auth::SigV4) {
            return Err(wrong(name, "use_auth", "requests are not signed for AWS by this version (type sigv4)"));
        }
        let target = target(stream, value).map_err(|(key, why)| wrong(name, key, why))?;
        let via = stream.via.as_ref().or(self.policy.via.as_ref());
        let mut endpoint = match (&target.place, via) {
            (Where::Host, Some(via)) => {
                let address = Address::to_host(&target.host, target.port)
                    .map_err(|error| wrong(name, "endpoint", error.to_string()))?;
                via.to(address)
            }
            (Where::Host, None) => Endpoint::new(BaseTransport::tcp(&target.host, target.port)),
            (_, Some(_)) if stream.via.is_some() => {
                return Err(wrong(name, "via", "no proxy leads to a socket of Unix"));
            }
            // Proxies for all are not for what is on this machine.
            (Where::Path(path), _) => Endpoint::new(BaseTransport::unix(path)),
            (Where::Abstract(name), _) => Endpoint::new(BaseTransport::Abstract { name: name.clone() }),
        };
        endpoint.tcp.dscp = stream.dscp;
        endpoint.steps.extend(stream.layers.iter().flat_map(|layers| layers.steps().iter().cloned()));
        if target.is_tls {
            let step = self.tls(&endpoint, stream).map_err(|(key, why)| wrong(name, key, why))?;
            if target.host.is_empty()
                && stream.tls.server_name.is_none()
                && endpoint.target().and_then(|target| target.host()).is_none()
            {
                return Err(wrong(name, "server_name", "TLS over a socket of Unix needs the name to verify"));
            }
            endpoint = endpoint.then(step);
        }
        let Target { host, port, is_tls, path, .. } = target;
        Ok(Destination { endpoint, host, port, is_tls, path, connect_timeout: stream.connect_timeout })
    }

    /// Where a server listens. Certificates in files are read, which blocks.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client), when the stream is no server.
    pub fn server<'v>(
        &self,
        stream: &str,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Endpoint, DestinationError> {
        let (name, stream) = self.stream(stream)?;
        if !stream.is_server {
            return Err(wrong(name, "server", "this stream is a client, and listens nowhere"));
        }
        let text = stream.endpoint.as_ref().map(|endpoint| endpoint.fill(value)).transpose();
        let text = text.map_err(|error| wrong(name, "endpoint", error.to_string()))?;
        let mut endpoint = Endpoint::new(match text.as_deref().map(place) {
            // All interfaces, as where nothing is said in libwebsockets.
            None => BaseTransport::tcp("0.0.0.0", stream.port),
            Some(Where::Host) => BaseTransport::tcp(bare(&text.unwrap_or_default()), stream.port),
            Some(Where::Path(path)) => BaseTransport::unix(path),
            Some(Where::Abstract(name)) => BaseTransport::Abstract { name },
        });
        endpoint.tcp.dscp = stream.dscp;
        endpoint.steps.extend(stream.layers.iter().flat_map(|layers| layers.steps().iter().cloned()));
        if stream.tls.is_on {
            let tls =
                trust::server(&self.policy, &stream.tls, &alpn(stream)).map_err(|(key, why)| wrong(name, key, why))?;
            endpoint = endpoint.then(OwnStep::new("tls").accepts(AcceptTls(tls)));
        }
        Ok(endpoint)
    }

    fn stream<'s>(&'s self, name: &'s str) -> Result<(&'s str, &'s StreamPolicy), DestinationError> {
        let stream = self.policy.streams.get(name);
        stream.map(|stream| (name, stream)).ok_or_else(|| DestinationError::unknown(name))
    }

    /// The step that starts the TLS of a stream at the end of this way.
    fn tls(&self, way: &Endpoint, stream: &StreamPolicy) -> Result<OwnStep, trust::Fault> {
        let alpn = alpn(stream);
        let known = |made: &[Made]| {
            let known = made.iter().find(|made| made.way == *way && made.tls == stream.tls && made.alpn == alpn);
            known.map(|made| made.step.clone())
        };
        if let Some(step) = known(&self.lock()) {
            return Ok(step);
        }
        // Without the lock: a file system may hang.
        let client = trust::client(&self.policy, &stream.tls, &alpn)?;
        let mut made = self.lock();
        // Somebody else may have been faster.
        if let Some(step) = known(&made) {
            return Ok(step);
        }
        if made.len() >= MAX_MADE {
            made.remove(0);
        }
        let leg = DialTls { client, name: stream.tls.server_name.clone(), can_be_in_http1: false };
        let step = OwnStep::new("tls").dials(leg);
        made.push(Made { way: way.clone(), tls: stream.tls.clone(), alpn, step: step.clone() });
        Ok(step)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a stream leads nowhere in this attempt.
#[derive(Clone, PartialEq, Eq)]
pub struct DestinationError {
    path: String,
    message: String,
}

impl DestinationError {
    /// The key that it is about, as a path of JSON where what has names is an object: `$.s.telemetry.endpoint`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// That there is no such stream.
    pub(in crate::streams) fn unknown(stream: &str) -> Self {
        Self { path: "$.s".to_owned(), message: format!("no stream is called {}", shown(stream)) }
    }

    /// What is wrong with a key of this stream.
    pub(in crate::streams) fn of_key(stream: &str, key: &str, why: impl Into<String>) -> Self {
        wrong(stream, key, why)
    }

    /// That a stream has no such value.
    pub(in crate::streams) fn undeclared<'n>(
        stream: &str,
        name: &str,
        declared: impl Iterator<Item = &'n String>,
    ) -> Self {
        let nearest = nearest(name, declared.map(String::as_str));
        wrong(stream, "metadata", format!("no value is called {}{nearest}", shown(name)))
    }
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl fmt::Debug for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DestinationError {}

fn wrong(stream: &str, key: &str, why: impl Into<String>) -> DestinationError {
    DestinationError { path: format!("$.s{}{}", document::step(stream), document::step(key)), message: why.into() }
}

/// What a stream names as its far end.
struct Target {
    place: Where,
    host: String,
    port: u16,
    is_tls: bool,
    path: Option<String>,
}

enum Where {
    Host,
    Path(String),
    Abstract(String),
}

fn target<'v>(stream: &StreamPolicy, value: impl Fn(&str) -> Option<&'v str>) -> Result<Target, trust::Fault> {
    let template = stream.endpoint.as_ref().ok_or_else(|| ("endpoint", "a client needs one".to_owned()))?;
    // A whole URL may be a value, which no part of one may be.
    let url = template
        .names()
        .next()
        .filter(|_| template.is_one_value())
        .and_then(&value)
        .filter(|text| text.contains("://"));
    let filled = match url {
        Some(url) => url.to_owned(),
        None => template.fill(value).map_err(|error: FillError| ("endpoint", error.to_string()))?,
    };
    if let Some((scheme, rest)) = filled.split_once("://") {
        return of_url(stream, scheme, rest, template).map_err(|why| ("endpoint", why));
    }
    let is_tls = stream.tls.is_on;
    let place = place(&filled);
    if !matches!(place, Where::Host) {
        return Ok(Target { place, host: String::new(), port: 0, is_tls, path: None });
    }
    let port = stream.port_or_standard(is_tls);
    let port = port.ok_or_else(|| ("port", "there is none".to_owned()))?;
    let host = bare(&filled).to_owned();
    Address::to_host(&host, port).map_err(|error| ("endpoint", error.to_string()))?;
    Ok(Target { place, host, port, is_tls, path: None })
}

/// `https://host:port/path`, and the like.
fn of_url(stream: &StreamPolicy, scheme: &str, rest: &str, template: &Template) -> Result<Target, String> {
    let known = SCHEMES.iter().find(|(name, ..)| scheme.eq_ignore_ascii_case(name));
    let (scheme, spoken, is_tls) = known.ok_or_else(|| format!("no URL of this kind is known here: {template}"))?;
    if !spoken.contains(&stream.protocol) {
        return Err(format!("a URL of {scheme} is nothing for a stream that speaks {}", stream.protocol.name()));
    }
    let is_ws = scheme.starts_with("ws");
    if stream.protocol == Protocol::Mqtt && is_ws != stream.mqtt.over_ws {
        return Err(format!("a URL of {scheme} contradicts `mqtt_over_ws`"));
    }
    if stream.tls.is_on && !is_tls {
        return Err(format!("a URL of {scheme} would take away the TLS that the policy asks for"));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err("a URL with a user in it: who asks is for `use_auth`".to_owned());
    }
    if path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err("the path of the URL has what must be percent-encoded, or a `#`".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, Some(port.parse::<u16>().map_err(|_| "the port of the URL is none".to_owned())?))
        }
        _ => (authority, None),
    };
    let port = port.or(stream.port_or_standard(*is_tls)).ok_or("there is no port")?;
    let host = bare(host).to_owned();
    Address::to_host(&host, port).map_err(|error| error.to_string())?;
    let path = (!path.is_empty()).then(|| path.to_owned());
    Ok(Target { place: Where::Host, host, port, is_tls: *is_tls, path })
}

fn place(endpoint: &str) -> Where {
    match endpoint.strip_prefix('+').map(|unix| (unix, unix.strip_prefix('@'))) {
        None => Where::Host,
        Some((_, Some(name))) => Where::Abstract(name.to_owned()),
        Some((path, None)) => Where::Path(path.to_owned()),
    }
}

/// Without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What to offer (RFC 7301): what the policy says, or what goes with the protocol.
fn alpn(stream: &StreamPolicy) -> Vec<String> {
    if let Some(own) = &stream.tls.alpn {
        return own.clone();
    }
    let is_ws = stream.protocol == Protocol::Ws || stream.mqtt.over_ws;
    let offered: &[&str] = if stream.protocol == Protocol::H2 || is_ws && stream.ws.over_h2 {
        &["h2"]
    } else if stream.protocol == Protocol::H1 || is_ws {
        &["http/1.1"]
    } else {
        // Some brokers refuse a name that they do not know, so none is offered for MQTT.
        &[]
    };
    offered.iter().map(|name| (*name).to_owned()).collect()
}

const SCHEMES: [(&str, &[Protocol], bool); 8] = [
    ("http", &[Protocol::H1, Protocol::H2, Protocol::Ws], false),
    ("https", &[Protocol::H1, Protocol::H2, Protocol::Ws], true),
    ("ws", &[Protocol::Ws, Protocol::Mqtt], false),
    ("wss", &[Protocol::Ws, Protocol::Mqtt], true),
    ("mqtt", &[Protocol::Mqtt], false),
    ("mqtts", &[Protocol::Mqtt], true),
    ("tcp", &[Protocol::Raw], false),
    ("tls", &[Protocol::Raw], true),
];

/// So many clients of TLS are kept.
const MAX_MADE: usize = 64;
