//! `onion get`: what stands at a URL, through any route.

use std::error::Error as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures::future::select;
use http_body_util::{BodyExt, Empty};
use onionskin::endpoint::{BaseTransport, Endpoint, TlsStep};
use onionskin::http::http::header::{ACCEPT, LOCATION, USER_AGENT};
use onionskin::http::http::response::Parts;
use onionskin::http::http::uri::{PathAndQuery, Scheme};
use onionskin::http::http::{Method, Request, Uri};
use onionskin::http::hyper::body::{Bytes, Incoming};
use onionskin::http::{Client, connection_error, hyper};
use onionskin::printable::Printable;
use onionskin::runtime::{Address, Runtime};

use crate::credentials::IdentityFiles;
use crate::failure::{Failure, Status};
use crate::key_log::KeyLog;
use crate::logging::say;
use crate::open::{self, ClientDefaults};
use crate::route::{self, ProxyOption};

/// Get what stands at a URL, through proxies if need be
///
/// The body goes to standard output as it comes, and how it came there to standard error: the layers, and the proxies on the way.
/// HTTP/2 is spoken where the server agrees to it inside TLS (ALPN), and else HTTP/1.1. No redirection is followed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// What to get: http://HOST/PATH or https://HOST/PATH
    url: String,
    /// Ask a proxy for the host of the URL: an endpoint whose last step is `connect`, `socks5` or `socks4a`, without the HOST and
    /// PORT that such a step has elsewhere
    #[arg(long, value_name = "ROUTE", conflicts_with = "proxy_from_env")]
    via: Option<String>,
    /// Ask for the head alone (HEAD), and print it
    #[arg(long)]
    head: bool,
    /// Instead of the drawing, say through which proxies it went: a line of JSON on standard error, an array with the outermost
    /// first
    #[arg(long)]
    json_route: bool,
    /// Whom to trust instead of the authorities of the system
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    /// Accept every certificate: for tests and diagnosis only
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    #[command(flatten)]
    identity: IdentityFiles,
    #[command(flatten)]
    key_log: KeyLog,
    #[command(flatten)]
    proxy: ProxyOption,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let wanted = Wanted::read(&options.url)?;
    let endpoint = wanted.endpoint(options.via.as_deref())?;
    let endpoint = options.key_log.fill(options.proxy.fill(endpoint)?)?;
    let defaults =
        ClientDefaults { trust_anchors: options.ca.as_ref(), insecure: options.insecure, identity: &options.identity };
    let connection = open::connect(runtime, &endpoint, &defaults).await?;
    match options.json_route {
        true => say(route::json(connection.route())),
        false => say(format_args!("{:#}", connection.tree())),
    }
    let mut client = Client::over(connection, runtime).await.map_err(|error| failed(&error))?;
    let method = if options.head { Method::HEAD } else { Method::GET };
    let answer = client.send(wanted.request(method)).await.map_err(|error| failed(&error))?;
    let (head, body) = answer.into_parts();
    let received = match options.head {
        true => print_head(&head),
        false => print_body(body).await,
    };
    // Whoever does not close is not waited for.
    select(pin!(client.close()), runtime.sleep_until(runtime.now() + PATIENCE)).await;
    received?;
    judge(&head)
}

/// A URL that can be got.
struct Wanted {
    uri: Uri,
    host: String,
    target: Address,
    inside_tls: bool,
}

impl Wanted {
    fn read(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &dyn std::fmt::Display| Failure::usage(format_args!("{url}: {why}"));
        // What stands behind it is for who has the document.
        let url_alone = url.split_once('#').map_or(url, |(before, _)| before);
        let uri: Uri = url_alone.parse().map_err(|error| wrong(&format_args!("no URL: {error}")))?;
        let inside_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong(&"it has to begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong(&"it names no host"))?;
        if authority.as_str().contains('@') {
            // It would be seen by everybody who sees this command line, and printed here.
            return Err(Failure::usage("a URL with a user in it is not taken: nothing that is here asks who we are"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if inside_tls { 443 } else { 80 });
        let target = Address::to_host(&host, port).map_err(|error| wrong(&error))?;
        Ok(Self { uri, host, target, inside_tls })
    }

    /// The way there.
    fn endpoint(&self, via: Option<&str>) -> Result<Endpoint, Failure> {
        let port = self.target.port().unwrap_or_default();
        let endpoint = match via {
            Some(via) => route::via_to(via, &self.target)?,
            None => Endpoint::new(BaseTransport::tcp(&*self.host, port)),
        };
        if !self.inside_tls {
            return Ok(endpoint);
        }
        let mut tls = TlsStep::default();
        tls.server_name = Some(self.host.clone());
        tls.alpn = ["h2", "http/1.1"].map(str::to_owned).to_vec();
        Ok(endpoint.then(tls))
    }

    fn request(&self, method: Method) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        let mut uri = self.uri.clone().into_parts();
        // A URL may end behind its host, or have a query there.
        uri.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| self.uri.clone());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT.parse().expect("it has no character that is not allowed"));
        headers.insert(ACCEPT, "*/*".parse().expect("so has this"));
        request
    }
}

/// Prints a body as it comes.
async fn print_body(mut body: Incoming) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(&error).at("the body is not whole"))?;
        if let Some(bytes) = frame.data_ref() {
            let mut output = io::stdout().lock();
            output.write_all(bytes).and_then(|()| output.flush()).map_err(Failure::output)?;
        }
    }
    Ok(())
}

/// Prints a head, a field on each line; what would mean something to a terminal is escaped.
fn print_head(head: &Parts) -> Result<(), Failure> {
    let mut text = format!("{:?} {}\n", head.version, head.status);
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\n", Printable::new(value.as_bytes()));
    }
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::output)
}

/// What a status means for the process.
fn judge(head: &Parts) -> Result<(), Failure> {
    let code = head.status;
    let status = match code.as_u16() {
        200..=299 => return Ok(()),
        300..=399 => Status::Redirected,
        400..=499 => Status::NotGiven,
        500..=599 => Status::ServerFailed,
        _ => Status::Failed,
    };
    let elsewhere = head.headers.get(LOCATION).map(|place| format!(", to {}", Printable::new(place.as_bytes())));
    Err(Failure::new(format_args!("the answer is {code}{}", elsewhere.unwrap_or_default())).with(status))
}

/// What hyper says, or the connection below it.
fn failed(error: &hyper::Error) -> Failure {
    if let Some(error) = connection_error(error) {
        return error.clone().into();
    }
    match error.source() {
        Some(source) => Failure::new(format_args!("HTTP: {error}: {source}")),
        None => Failure::new(format_args!("HTTP: {error}")),
    }
}

const AGENT: &str = concat!("onion/", env!("CARGO_PKG_VERSION"));

/// How long the server may take to close.
const PATIENCE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = r"Examples:
  a page
    onion get https://www.example/
  through a proxy, and through two, TLS to the first
    onion get https://www.example/ --via tcp:proxy.example:3128+connect
    onion get https://www.example/ --via tcp:proxy.example:443+tls+connect:next.example:1080+socks5
  the head of the answer, and the way to it for programs
    onion get --head --json-route https://www.example/

The certificate of an https URL has to name its host, whatever proxies there are, and --ca says whom to trust for it and for each
step `tls` of ROUTE that says nothing. A body that ends without the end that its head or TLS promises is a failure; what had come
was printed.

Exit status:
  0  the answer is one of success (200 to 299), and all of it was printed
  1  a failure: of the network, of a proxy, of a layer, or of HTTP
  2  a URL, a command line or a ROUTE that makes no sense
  3  the answer is that it is somewhere else (300 to 399)
  4  the answer is that the request was wrong, or that there is nothing (400 to 499)
  5  the answer is that the server has failed (500 to 599)
The body is printed whatever the status is.";
