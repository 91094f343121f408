//! The proxy that the environment names, as curl reads it.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use super::tunnel::{ConnectStep, Login, Resolver, Socks4aStep, Socks5Step};
use super::{BaseTransport, Endpoint, Step, TlsStep};
use crate::printable::Printable;
use crate::runtime::Address;
use crate::tunnel::Credentials;

/// The same endpoint, through the proxy that the variables of the environment name, if they name one for it.
///
/// They are read as curl reads them, and only where somebody calls this:
///
/// | variable | for |
/// |---|---|
/// | `https_proxy`, `HTTPS_PROXY` | an endpoint with a `tls` step |
/// | `smtp_proxy`, `SMTP_PROXY` and so on | one with a `starttls` step, by the name of its protocol |
/// | `http_proxy` | one without TLS. In capitals it is not read: a web server gives that name to a header of its client |
/// | `all_proxy`, `ALL_PROXY` | any, where the one above is not set |
/// | `no_proxy`, `NO_PROXY` | hosts to be reached without a proxy, with commas between them: a name, which stands for all below it too, with or without a dot before it; an address; a network, as in `10.0.0.0/8`; or `*` alone for all |
///
/// The first of two names counts if both are set; one without a value is not set. A proxy is a URL: `http://` (which may be left
/// out) and `https://` are asked by CONNECT, in both versions of HTTP as [`ConnectStep`] has it; `socks4a://`; `socks5://`, for
/// whom names are resolved here, and `socks5h://`, who resolves them. The port is 1080 unless given, with `https` 443. A user and a
/// password stand before the host, percent-encoded, and go to the proxy alone.
///
/// An endpoint that is not TCP stays as it is, and so does one that goes through proxies already. Keys of the transport are for the
/// way to the proxy then.
///
/// ```
/// use onionskin::endpoint::{Endpoint, proxy_from_env};
///
/// let variables = |name: &str| match name {
///     "ALL_PROXY" => Some("socks5h://proxy.example:1080".to_owned()),
///     "NO_PROXY" => Some("localhost,.inner.example".to_owned()),
///     _ => None,
/// };
/// let endpoint: Endpoint = "tcp:origin.example:443+tls".parse()?;
/// let through = proxy_from_env(&endpoint, variables)?;
/// assert_eq!(through.to_string(), "tcp:proxy.example:1080+socks5:origin.example:443+tls");
///
/// let endpoint: Endpoint = "tcp:a.inner.example:443+tls".parse()?;
/// assert_eq!(proxy_from_env(&endpoint, variables)?, endpoint);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// When the variable that counts names no proxy, or one that cannot be asked for the endpoint's host. The error shows neither user
/// nor password.
pub fn proxy_from_env(
    endpoint: &Endpoint,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Endpoint, ProxyVariableError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let BaseTransport::Tcp { host, port, timeout, keep_alive } = &endpoint.transport else {
        return Ok(endpoint.clone());
    };
    if endpoint.steps.iter().any(|step| step.target().is_some()) {
        return Ok(endpoint.clone());
    }
    let scheme = scheme(endpoint);
    let of_scheme = [format!("{scheme}_proxy"), format!("{scheme}_proxy").to_uppercase()];
    let names =
        of_scheme.iter().map(String::as_str).filter(|name| *name != "HTTP_PROXY").chain(["all_proxy", "ALL_PROXY"]);
    let Some((name, url)) = names.into_iter().find_map(|name| Some((name, set(name)?))) else {
        return Ok(endpoint.clone());
    };
    let exceptions = set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default();
    if is_exception(host, &exceptions) {
        return Ok(endpoint.clone());
    }
    let wrong = |mistake: String| ProxyVariableError { name: name.to_owned(), mistake };
    let proxy = Proxy::parse(&url).map_err(wrong)?;
    let target = Address::to_host(host, *port).map_err(|error| wrong(error.to_string()))?;
    let transport =
        BaseTransport::Tcp { host: proxy.host.clone(), port: proxy.port, timeout: *timeout, keep_alive: *keep_alive };
    let mut through = Endpoint { transport, ..endpoint.without_steps() };
    through.steps = proxy.steps(target).map_err(wrong)?;
    through.steps.extend(endpoint.steps.iter().cloned());
    Ok(through)
}

/// By what name curl would know what is spoken there.
fn scheme(endpoint: &Endpoint) -> String {
    let step = endpoint.steps.iter().find(|step| step.tls().is_some());
    match step {
        Some(Step::StartTls(step)) => step.protocol.to_string(),
        Some(_) => "https".to_owned(),
        None => "http".to_owned(),
    }
}

/// A proxy as its URL has it.
struct Proxy {
    language: Language,
    user: Option<(String, Vec<u8>)>,
    host: String,
    port: u16,
}

#[derive(Clone, Copy)]
enum Language {
    Http,
    Https,
    Socks4a,
    Socks5(Resolver),
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let language = match &*scheme.to_ascii_lowercase() {
            "http" => Language::Http,
            "https" => Language::Https,
            "socks4a" => Language::Socks4a,
            "socks5" => Language::Socks5(Resolver::Local),
            "socks5h" => Language::Socks5(Resolver::Remote),
            // What stands there may be a user and a password if the slashes are a mistake.
            _ => return Err("a proxy is http://, https://, socks4a://, socks5:// or socks5h://".to_owned()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let user = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            let user = String::from_utf8(decoded(user)?).ok()?;
            Some((user, decoded(password)?))
        });
        let user = match user {
            Some(None) => return Err("the user or the password is not percent-encoded as it should be".to_owned()),
            user => user.flatten(),
        };
        let no_host = || "there is no host and port of a proxy in it: write http://HOST:PORT".to_owned();
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(no_host)?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => language.port(),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| no_host())?
            }
            _ => return Err(no_host()),
        };
        let is_host = Address::to_host(host, port).is_ok();
        is_host.then(|| Self { language, user, host: host.to_owned(), port }).ok_or_else(no_host)
    }

    /// What leads from the proxy's socket to the target.
    fn steps(self, target: Address) -> Result<Vec<Step>, String> {
        let login = |user: Option<(String, Vec<u8>)>| match user {
            None => Ok(Login::None),
            Some((user, password)) => {
                Credentials::new(user, password).map(Login::Known).map_err(|error| error.to_string())
            }
        };
        Ok(match self.language {
            Language::Http => vec![ConnectStep { login: login(self.user)?, ..ConnectStep::new(target) }.into()],
            Language::Https => vec![
                TlsStep::default().into(),
                ConnectStep { login: login(self.user)?, ..ConnectStep::new(target) }.into(),
            ],
            Language::Socks5(dns) => {
                vec![Socks5Step { dns, login: login(self.user)?, ..Socks5Step::new(target) }.into()]
            }
            Language::Socks4a => {
                let step = Socks4aStep { user: self.user.map(|(user, _)| user), ..Socks4aStep::new(target) };
                match step.mistake() {
                    Some(mistake) => return Err(mistake.to_owned()),
                    None => vec![step.into()],
                }
            }
        })
    }
}

impl Language {
    /// The port of a proxy that names none, as curl has it.
    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http | Self::Socks4a | Self::Socks5(_) => 1080,
        }
    }
}

/// `%41` is an `A` (RFC 3986, section 2.1). `None` if a sign of percent has not two digits behind it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        decoded.push(match byte {
            b'%' => u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?,
            byte => byte,
        });
    }
    Some(decoded)
}

/// Whether a host is to be reached without a proxy.
fn is_exception(host: &str, exceptions: &str) -> bool {
    if exceptions.trim() == "*" {
        return true;
    }
    let mut listed = exceptions.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    match host.parse::<IpAddr>() {
        Ok(address) => listed.any(|entry| is_in_network(address, entry)),
        Err(_) => listed.any(|entry| is_in_domain(host, entry)),
    }
}

fn is_in_domain(host: &str, domain: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain = domain.strip_prefix('.').unwrap_or(domain).as_bytes();
    let Some((front, end)) = host.len().checked_sub(domain.len()).map(|at| host.split_at(at)) else { return false };
    !domain.is_empty() && end.eq_ignore_ascii_case(domain) && matches!(front, [] | [.., b'.'])
}

fn is_in_network(address: IpAddr, network: &str) -> bool {
    let (network, bits) = match network.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (network, Some(u32::MAX)),
    };
    let network = network.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(network);
    // As numbers of 128 bits, the network at the top.
    let (address, network, size) = match (address, network.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(network))) => {
            (u128::from(u32::from(address)) << 96, u128::from(u32::from(network)) << 96, 32)
        }
        (IpAddr::V6(address), Ok(IpAddr::V6(network))) => (u128::from(address), u128::from(network), 128),
        _ => return false,
    };
    match bits {
        Some(0) => true,
        Some(u32::MAX) => address == network,
        Some(bits) if bits <= size => (address ^ network) >> (128 - bits) == 0,
        _ => false,
    }
}

/// A variable of the environment that names no proxy. Prints as one sentence, without what is secret in it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyVariableError {
    name: String,
    mistake: String,
}

impl fmt::Display for ProxyVariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in the environment: {}", self.name, Printable::new(&self.mistake))
    }
}

impl fmt::Debug for ProxyVariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ProxyVariableError {}
