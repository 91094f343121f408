//! The proxies on the way to a peer: those that the environment names, and what each of them has said.

use clap::Args;
use onionskin::connection::Hop;
use onionskin::endpoint::{Endpoint, Step, proxy_from_env, without_passwords};
use onionskin::printable::Printable;
use onionskin::runtime::Address;
use onionskin::tls::TlsFacts;
use onionskin::tunnel::{Answer, TunnelProtocol};
use serde::Serialize;

use crate::failure::Failure;
use crate::json::harmless;

/// Whether the environment is asked for a proxy.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ProxyOption {
    /// Go through the proxy that the environment names, as curl reads it: HTTPS_PROXY where there is a step `tls`, http_proxy
    /// (in lower case only) where there is no TLS, ALL_PROXY for all, and NO_PROXY for whom it is not used
    #[arg(long)]
    proxy_from_env: bool,
}

impl ProxyOption {
    /// The endpoint through that proxy, if one is wanted and there is one.
    pub(crate) fn fill(self, endpoint: Endpoint) -> Result<Endpoint, Failure> {
        if !self.proxy_from_env {
            return Ok(endpoint);
        }
        proxy_from_env(&endpoint, |name| std::env::var(name).ok()).map_err(Failure::usage)
    }
}

/// Reads a ROUTE, the value of `--via`: an endpoint whose last step is `connect`, `socks5` or `socks4a` without the HOST and PORT
/// that such a step has elsewhere. The target of that step stands for whoever will be asked for.
pub(crate) fn via(route: &str) -> Result<Endpoint, Failure> {
    let read = || {
        let missing = || Failure::usage("the last step is to be connect, socks5 or socks4a, without HOST and PORT");
        // A + in a value is escaped, and none follows the last one.
        let (before, last) = route.rsplit_once('+').ok_or_else(missing)?;
        let (kind, keys) = last.split_once(':').map_or((last, None), |(kind, keys)| (kind, Some(keys)));
        if !["connect", "socks5", "socks4a"].contains(&kind) {
            return Err(missing());
        }
        if keys.is_some_and(|keys| !keys.split(':').next().is_some_and(|first| first.contains('='))) {
            return Err(Failure::usage(format_args!(
                "{kind} has no HOST and PORT here: they are those of each target"
            )));
        }
        let keys = keys.map(|keys| format!(":{keys}")).unwrap_or_default();
        format!("{before}+{kind}:{ANYBODY}:1{keys}").parse().map_err(Failure::usage)
    };
    read().map_err(|failure: Failure| failure.at(format_args!("--via {}", without_passwords(route))))
}

/// The way to `target` through the proxies of a ROUTE.
pub(crate) fn via_to(route: &str, target: &Address) -> Result<Endpoint, Failure> {
    let mut endpoint = via(route)?;
    match endpoint.steps.last_mut() {
        Some(Step::Connect(step)) => step.target = target.clone(),
        Some(Step::Socks5(step)) => step.target = target.clone(),
        Some(Step::Socks4a(step)) => step.target = target.clone(),
        _ => unreachable!("a ROUTE ends in one of these"),
    }
    Ok(endpoint)
}

/// In the place of the target, until there is one.
const ANYBODY: &str = "target.invalid";

/// All hops in one line of JSON: an array of objects, the outermost first.
pub(crate) fn json(route: &[Hop]) -> String {
    let hops: Vec<_> = route.iter().enumerate().map(|(index, hop)| HopReport::new(index + 1, hop)).collect();
    harmless(&serde_json::to_string(&hops).expect("there are only strings for keys"))
}

/// Its fields are those of the JSON.
#[derive(Serialize)]
struct HopReport {
    hop: usize,
    /// `http1`, `http2`, `socks5`, `socks4a`.
    protocol: Option<&'static str>,
    proxy: Place,
    target: Place,
    /// The layers that lead to the proxy, the outermost first.
    tls: Vec<Tls>,
    /// Of HTTP, with the fields as they came.
    status: Option<u16>,
    headers: Option<Vec<[String; 2]>>,
    informational: Option<Vec<u16>>,
    /// Of SOCKS.
    bound: Option<Place>,
    /// Of HTTP/2.
    stream: Option<u32>,
    milliseconds: Option<f64>,
}

/// A host and a port, or what else there is.
#[derive(Serialize)]
struct Place {
    address: String,
    host: Option<String>,
    port: Option<u16>,
}

#[derive(Serialize)]
struct Tls {
    version: Option<&'static str>,
    cipher_suite: Option<String>,
    key_exchange_group: Option<String>,
    alpn: Option<String>,
    server_name: Option<String>,
    resumed: bool,
    certificates: usize,
    handshake_milliseconds: Option<f64>,
}

impl HopReport {
    fn new(number: usize, hop: &Hop) -> Self {
        let http = match &hop.answer {
            Some(Answer::Http { status, fields, informational, .. }) => Some((*status, fields, informational)),
            _ => None,
        };
        Self {
            hop: number,
            protocol: hop.protocol.map(TunnelProtocol::name),
            proxy: Place::new(&hop.proxy),
            target: Place::new(&hop.target),
            tls: hop.tls.iter().map(Tls::new).collect(),
            status: http.map(|(status, ..)| status),
            headers: http.map(|(_, fields, _)| fields.iter().map(header).collect()),
            informational: http.map(|(.., informational)| informational.clone()),
            bound: hop.answer.as_ref().and_then(Answer::bound).map(Place::new),
            stream: hop.stream,
            milliseconds: hop.took.map(|took| milliseconds(took.as_secs_f64())),
        }
    }
}

/// A name and a value, of which what is no text is escaped.
fn header((name, value): &(String, Vec<u8>)) -> [String; 2] {
    let value = std::str::from_utf8(value).map_or_else(|_| Printable::new(value).to_string(), str::to_owned);
    [name.clone(), value]
}

impl Place {
    fn new(address: &Address) -> Self {
        Self { address: address.to_string(), host: address.host(), port: address.port() }
    }
}

impl Tls {
    fn new(facts: &TlsFacts) -> Self {
        Self {
            version: facts.version.map(|_| facts.version_name()),
            cipher_suite: facts.cipher_suite.map(|suite| format!("{suite:?}")),
            key_exchange_group: facts.key_exchange_group.map(|group| format!("{group:?}")),
            alpn: facts.alpn.as_ref().map(|alpn| Printable::new(alpn).to_string()),
            server_name: facts.server_name.clone(),
            resumed: facts.resumed,
            certificates: facts.peer_certificates.len(),
            handshake_milliseconds: facts.handshake_time.map(|time| milliseconds(time.as_secs_f64())),
        }
    }
}

/// To the microsecond.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_ends_in_a_step_without_a_target() {
        let target = Address::to_host("a.example", 443).unwrap();
        for (route, steps) in [
            ("tcp:p.example:3128+connect", 1),
            ("tcp:p.example:443+tls+connect:header=a=b", 2),
            ("tcp:p.example:1080+socks5:q.example:3128+socks4a:user=onion", 2),
        ] {
            let endpoint = via_to(route, &target).unwrap();
            assert_eq!(endpoint.steps.len(), steps, "{route}");
            assert_eq!(endpoint.steps.last().unwrap().target(), Some(&target), "{route}");
        }
        for (route, expected) in [
            ("tcp:p.example:3128", "the last step"),
            ("tcp:p.example:3128+tls", "the last step"),
            ("tcp:p.example:3128+connect:a.example:443", "no HOST and PORT"),
            ("tcp:p.example:3128+connect:usr=b", "usr"),
        ] {
            let error = via(route).unwrap_err().to_string();
            assert!(error.contains(expected), "{route}: {error}");
        }
        let error = via("tcp:p.example:1080+socks5:user=onion:password=peel").unwrap_err().to_string();
        assert!(error.contains("password=****") && !error.contains("peel"), "{error}");
    }
}
