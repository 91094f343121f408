//! What lies on the way, in the words of the endpoint grammar.

use std::fmt;
use std::str::FromStr;

use crate::endpoint::{Endpoint, Login, Step};
use crate::runtime::Address;
use crate::tunnel::Credentials;

/// The proxies on the way: an endpoint string whose last step is a tunnel without its target, which is the stream's own.
///
/// ```
/// use onionskin::streams::policy::Via;
///
/// // SOCKS to the first proxy, HTTP to a second one behind it, and from there to where the stream leads.
/// let via: Via = "tcp:socks.example:1080+socks5:web.example:8080+connect".parse()?;
/// assert_eq!(via.to_string(), "tcp:socks.example:1080+socks5:web.example:8080+connect");
/// assert!("tcp:socks.example:1080".parse::<Via>().is_err());
/// # Ok::<_, onionskin::streams::policy::WayError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Via {
    text: String,
    /// With a target that stands for another.
    endpoint: Endpoint,
}

impl Via {
    /// Through SOCKS5 at this address, `[user:password@]host:port`, as `via-socks5` has it.
    ///
    /// # Errors
    ///
    /// When that is no address.
    pub fn socks5(text: &str) -> Result<Self, WayError> {
        let wrong = || WayError("expected `host:port`, or `user:password@host:port`".to_owned());
        let (login, address) = match text.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, text),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let proxy = Address::to_host(host, port).map_err(|error| WayError(error.to_string()))?;
        let shown = proxy.host().unwrap_or_default();
        let shown = if shown.contains(':') { format!("[{shown}]") } else { shown };
        let mut via: Self = format!("tcp:{shown}:{port}+socks5").parse()?;
        if let Some(login) = login {
            let (user, password) = login.split_once(':').ok_or_else(wrong)?;
            let Some(Step::Socks5(step)) = via.endpoint.steps.last_mut() else { return Err(wrong()) };
            let known = Credentials::new(user, password).map_err(|error| WayError(error.to_string()))?;
            step.login = Login::Known(known);
        }
        Ok(via)
    }

    /// The way to this target, with all that lies on it.
    pub fn to(&self, target: Address) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        match endpoint.steps.last_mut() {
            Some(Step::Connect(step)) => step.target = target,
            Some(Step::Socks5(step)) => step.target = target,
            Some(Step::Socks4a(step)) => step.target = target,
            _ => {}
        }
        endpoint
    }
}

impl FromStr for Via {
    type Err = WayError;

    fn from_str(text: &str) -> Result<Self, WayError> {
        let last = last_step(text);
        let (way, step) = text.split_at(last);
        let kind_len = step.find(':').unwrap_or(step.len());
        let (kind, arguments) = step.split_at(kind_len);
        if way.is_empty() || !["connect", "socks5", "socks4a"].contains(&kind) {
            return Err(WayError(
                "the last step has to be a tunnel without its target, as in `tcp:proxy.example:1080+socks5` (or connect, socks4a)"
                    .to_owned(),
            ));
        }
        let endpoint = format!("{way}{kind}:{STAND_IN}:1{arguments}").parse().map_err(|error| {
            WayError(format!("{error}; the last tunnel has no target here, which is the endpoint of the stream"))
        })?;
        Ok(Self { text: text.to_owned(), endpoint })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is between the transport and the protocol: steps of the endpoint grammar, from the wire inwards.
///
/// ```
/// use onionskin::streams::policy::Layers;
///
/// let layers: Layers = "starttls:smtp:ca=ca.pem+tls:sni=inner.example".parse()?;
/// assert_eq!(layers.steps().len(), 2);
/// # Ok::<_, onionskin::streams::policy::WayError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers(Vec<Step>);

impl Layers {
    /// These steps.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// The steps, the outermost first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for Layers {
    type Err = WayError;

    fn from_str(text: &str) -> Result<Self, WayError> {
        let endpoint: Result<Endpoint, _> = format!("tcp:{STAND_IN}:1+{text}").parse();
        endpoint.map(|endpoint| Self(endpoint.steps)).map_err(|error| WayError(error.to_string()))
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, step)| write!(f, "{}{step}", if index == 0 { "" } else { "+" }))
    }
}

/// Why a text is no way.
#[derive(Clone, PartialEq, Eq)]
pub struct WayError(String);

impl fmt::Display for WayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WayError {}

/// Where the last step begins: behind the last `+` without a backslash before it.
fn last_step(text: &str) -> usize {
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'+' => start = at + 1,
            _ => {}
        }
    }
    start
}

/// Whom the way leads to until the stream says it.
const STAND_IN: &str = "target.invalid";
