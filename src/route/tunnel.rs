//! The leg that has a proxy reach somebody else.
//!
//! What was said before is one thing in SOCKS and in HTTP/1.1, where the connection itself becomes the tunnel, and another in
//! HTTP/2, where the tunnel is a stream, and a connection over that goes on. The route sees no difference: it has led on to the
//! target, and has one more hop.
//!
//! Some proxies end the connection where there would be a second question to be asked: for a password (407, and then a FIN), or for
//! the next address of a name. The way to such a proxy has to be gone again from its beginning, which is not for a leg to do: it
//! says in its error that this is worth it ([`Again`]), and finds it in the route the next time. Who dials decides.

#[cfg(feature = "http2")]
use std::future::ready;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};

#[cfg(feature = "http2")]
use super::carriers::Carriers;
use super::{Again, Asked, DialLeg, HopError, Route, RouteError};
use crate::connection::{Connection, Error as ConnectionError, ErrorKind as ConnectionErrorKind, Hop};
use crate::layer::opening::{Negotiation, Opening};
use crate::printable::Printable;
use crate::runtime::{Address, Runtime, Socket};
use crate::stack::CommandErrorKind;
use crate::tunnel::http1::Connect;
#[cfg(feature = "http2")]
use crate::tunnel::http2::{self, Settings, Tunnels};
use crate::tunnel::socks::{Socks4a, Socks5};
use crate::tunnel::{Answer, Credentials, Ender, Error, ErrorKind, TunnelProtocol};

/// How a proxy is asked, for any number of connections.
#[derive(Debug)]
pub(crate) struct DialTunnel {
    language: Language,
    /// Whom it is asked for, unless the route says another.
    target: Address,
    /// Who asks.
    credentials: Option<Credentials>,
    timeout: Option<Duration>,
    /// Connections to it that carry many tunnels.
    #[cfg(feature = "http2")]
    carriers: Carriers,
    /// Whether this proxy has wanted to know who asks: it is told at once then.
    wants_login: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(crate) enum Language {
    Http {
        version: HttpChoice,
        fields: Vec<(String, String)>,
    },
    /// Names are resolved by this runtime, or else by the proxy.
    Socks5 {
        resolving: Option<&'static dyn Runtime>,
    },
    Socks4a {
        user: Option<String>,
    },
}

/// Which HTTP, by what TLS to the proxy has agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpChoice {
    AsAgreed,
    Http1,
    Http2,
}

impl DialTunnel {
    pub(crate) fn new(
        language: Language,
        target: Address,
        credentials: Option<Credentials>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            language,
            target,
            credentials,
            timeout,
            wants_login: Arc::default(),
            #[cfg(feature = "http2")]
            carriers: Carriers::default(),
        }
    }

    async fn ask(&self, mut route: Route, mut hop: Hop, wanted: Asked) -> Result<Route, RouteError> {
        let asked = route.timer().now();
        let behind = route.connection().route().len();
        let failed = |error: HopError| RouteError::from(error);
        match &self.language {
            Language::Http { version, fields } => match version.of(&hop) {
                Ok(TunnelProtocol::Http2) => {
                    return self.ask_http2(route, hop, fields, *version, &wanted).await;
                }
                Ok(_) => {
                    #[cfg(feature = "http2")]
                    self.is_alone(&wanted);
                    let answer = self.ask_http1(&mut route, &hop, &with_via(fields, wanted.via.as_deref())).await?;
                    (hop.protocol, hop.answer) = (Some(TunnelProtocol::Http1), Some(answer));
                }
                Err((protocol, mistake)) => {
                    let error = Error::new(protocol, Some(hop.target.clone()), ErrorKind::Unsupported(mistake));
                    return Err(failed(HopError::new(&hop, behind, error.by(Some(hop.proxy.clone())))));
                }
            },
            Language::Socks5 { resolving } => {
                let (target, others) = self.address(&route, &hop, *resolving).await?;
                let socks = Socks5::new(target).by(hop.proxy.clone());
                let socks = match &self.credentials {
                    Some(credentials) => socks.credentials(credentials.clone()),
                    None => socks,
                };
                let answer = self.open(route.connection_mut(), socks).await.map_err(|error| {
                    let error = HopError::new(&hop, behind, error);
                    let is_worth_it = !others.is_empty() && error.tunnel_error().is_some_and(is_of_this_address);
                    failed(if is_worth_it { error.again(Again::To(others)) } else { error })
                })?;
                (hop.protocol, hop.answer) = (Some(TunnelProtocol::Socks5), Some(answer));
            }
            Language::Socks4a { user } => {
                let socks = Socks4a::new(hop.target.clone()).by(hop.proxy.clone());
                let socks = match user {
                    Some(user) => socks.user(user),
                    None => socks,
                };
                let answer = self.open(route.connection_mut(), socks).await;
                let answer = answer.map_err(|error| failed(HopError::new(&hop, behind, error)))?;
                (hop.protocol, hop.answer) = (Some(TunnelProtocol::Socks4a), Some(answer));
            }
        }
        hop.took = Some(route.timer().now().saturating_duration_since(asked));
        route.connection_mut().led_on(hop);
        Ok(route)
    }

    async fn open<N>(&self, connection: &mut Connection<Socket>, negotiation: N) -> Result<Answer, ConnectionError>
    where
        N: Negotiation<Facts = Answer>,
    {
        connection.open(Opening::of(negotiation).timeout(self.timeout)).await
    }

    /// Who asks is said only to a proxy that wants to know: on the same connection, or on the next one if it ends this.
    async fn ask_http1(&self, route: &mut Route, hop: &Hop, fields: &[(&str, &str)]) -> Result<Answer, RouteError> {
        let behind = route.connection().route().len();
        let failed = |error: HopError| RouteError::from(error);
        let mut connect = Connect::new(hop.target.clone()).by(hop.proxy.clone());
        for (name, value) in fields {
            connect = connect.field(name, value).map_err(|error| failed(HopError::new(hop, behind, error)))?;
        }
        let Some(credentials) = &self.credentials else {
            let answer = self.open(route.connection_mut(), connect).await;
            return answer.map_err(|error| failed(HopError::new(hop, behind, error)));
        };
        if self.wants_login.load(Ordering::Relaxed) {
            let answer = self.open(route.connection_mut(), connect.credentials(credentials.clone())).await;
            return answer.map_err(|error| failed(HopError::new(hop, behind, error)));
        }
        let connection = route.connection_mut();
        let opening = Opening::of(connect.asking()).timeout(self.timeout);
        answered(connection, opening, credentials, &self.wants_login).await.map_err(|error| {
            let error = HopError::new(hop, behind, error);
            match error.tunnel_error().is_some_and(offers_basic) {
                true => {
                    self.wants_login.store(true, Ordering::Relaxed);
                    failed(error.again(Again::WithLogin))
                }
                false => failed(error),
            }
        })
    }

    /// Whom a proxy of SOCKS5 is to be asked for now, and for whom if that fails.
    async fn address(
        &self,
        route: &Route,
        hop: &Hop,
        resolving: Option<&'static dyn Runtime>,
    ) -> Result<(Address, Vec<SocketAddr>), RouteError> {
        let behind = route.connection().route().len();
        let (Some(runtime), Address::Name { host, port }) = (resolving, &hop.target) else {
            return Ok((hop.target.clone(), Vec::new()));
        };
        let wrong = |what: String| {
            let error = Error::new(TunnelProtocol::Socks5, Some(hop.target.clone()), ErrorKind::Unaskable(what));
            RouteError::from(HopError::new(hop, behind, error.by(Some(hop.proxy.clone()))))
        };
        let known = route.known_of_next().find_map(|again| match again {
            Again::To(addresses) => Some(addresses.clone()),
            _ => None,
        });
        let mut addresses = match known {
            Some(addresses) => addresses,
            None => match self.in_time(route, runtime.resolve(host, *port)).await {
                Some(Ok(addresses)) => addresses,
                Some(Err(error)) => return Err(wrong(format!("its name cannot be resolved here: {error}"))),
                None => return Err(wrong("its name was not resolved here in time".to_owned())),
            },
        };
        addresses.truncate(MAX_ADDRESSES);
        match addresses.split_first() {
            Some((first, others)) => Ok(((*first).into(), others.to_vec())),
            None => Err(wrong("its name has no address here".to_owned())),
        }
    }

    /// What comes of `work`, if it is done in the time that a proxy has.
    async fn in_time<T>(&self, route: &Route, work: impl Future<Output = T>) -> Option<T> {
        let Some(timeout) = self.timeout else { return Some(work.await) };
        let timer = route.timer();
        match select(pin!(work), timer.sleep_until(timer.now() + timeout)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

#[cfg(feature = "http2")]
impl DialTunnel {
    /// The tunnel is a stream, and the route goes on over that. The connection to the proxy lives as long as the tunnel.
    async fn ask_http2(
        &self,
        route: Route,
        hop: Hop,
        fields: &[(String, String)],
        version: HttpChoice,
        wanted: &Asked,
    ) -> Result<Route, RouteError> {
        let behind = route.connection().route().len();
        let has_fallen_back = route.known_of_next().any(|again| *again == Again::InHttp1);
        let failed = |error: Error| HopError::new(&hop, behind, error);
        let connect = self.connect(&hop.target, fields, wanted).map_err(failed)?;
        let (carrier, going_on) = route.take_apart();
        let tunnels = Tunnels::with(carrier, Settings::new().answer_timeout(self.timeout)).await.map_err(failed)?;
        let mut opening = pin!(tunnels.open(connect));
        // First our own stream, then whatever others want of it.
        let begun = opening.as_mut().now_or_never();
        if let Some(sharing) = wanted.sharing.clone().filter(|_| !has_fallen_back) {
            self.carriers.keep(&tunnels, &hop, behind, sharing);
        }
        if let Some(turn) = &wanted.turn {
            turn.end();
        }
        let opened = match begun {
            Some(opened) => opened,
            None => opening.await,
        };
        match opened {
            Ok(connection) => Ok(going_on(connection)),
            Err(error) => {
                let falls_back =
                    version == HttpChoice::AsAgreed && !has_fallen_back && matches!(error.kind(), ErrorKind::Http2(_));
                let error = failed(error);
                if falls_back {
                    self.carriers.never();
                    return Err(error.again(Again::InHttp1).into());
                }
                Err(error.into())
            }
        }
    }

    /// The request for a tunnel.
    fn connect(&self, target: &Address, fields: &[(String, String)], wanted: &Asked) -> Result<http2::Connect, Error> {
        let mut connect = http2::Connect::new(target.clone());
        for (name, value) in with_via(fields, wanted.via.as_deref()) {
            connect = connect.field(name, value)?;
        }
        if let Some(credentials) = self.credentials.clone() {
            connect = match self.wants_login.load(Ordering::Relaxed) {
                true => connect.credentials(credentials),
                false => {
                    let wants_login = Arc::clone(&self.wants_login);
                    connect.asking(move |_| {
                        wants_login.store(true, Ordering::Relaxed);
                        ready(Some(credentials.clone()))
                    })
                }
            };
        }
        Ok(connect)
    }

    /// Asks over a connection that others have opened, or has the turn to open one.
    async fn open_kept(&self, wanted: &mut Asked) -> Result<Option<Connection<Socket>>, RouteError> {
        let Language::Http { fields, version } = &self.language else { return Ok(None) };
        if *version == HttpChoice::Http1 {
            return Ok(None);
        }
        // One that cannot be asked fails on its way, where there is a hop to name.
        let Ok(connect) = self.connect(&wanted.target, fields, wanted) else { return Ok(None) };
        let may_fall_back = *version == HttpChoice::AsAgreed;
        match self.carriers.open(&wanted.target, may_fall_back, || connect.clone()).await? {
            Ok(tunnel) => Ok(Some(tunnel)),
            Err(turn) => {
                wanted.turn = turn;
                Ok(None)
            }
        }
    }

    /// The connection becomes the tunnel, so nobody need wait for it.
    fn is_alone(&self, wanted: &Asked) {
        self.carriers.never();
        if let Some(turn) = &wanted.turn {
            turn.end();
        }
    }
}

#[cfg(not(feature = "http2"))]
impl DialTunnel {
    async fn ask_http2(
        &self,
        route: Route,
        hop: Hop,
        _: &[(String, String)],
        _: HttpChoice,
        _: &Asked,
    ) -> Result<Route, RouteError> {
        let what = ErrorKind::Unsupported("HTTP/2 needs the feature `http2`, which was not built in".to_owned());
        let error = Error::new(TunnelProtocol::Http2, Some(hop.target.clone()), what).by(Some(hop.proxy.clone()));
        Err(HopError::new(&hop, route.connection().route().len(), error).into())
    }
}

impl HttpChoice {
    /// What is spoken with the proxy of this hop.
    fn of(self, hop: &Hop) -> Result<TunnelProtocol, (TunnelProtocol, String)> {
        let agreed = hop.tls.last().map(|tls| tls.alpn.as_deref());
        match (self, agreed) {
            (Self::AsAgreed | Self::Http2, Some(Some(b"h2"))) | (Self::Http2, None) => Ok(TunnelProtocol::Http2),
            (Self::AsAgreed | Self::Http1, None | Some(None | Some(b"http/1.1" | b"http/1.0"))) => {
                Ok(TunnelProtocol::Http1)
            }
            (Self::Http2, Some(None)) => Err((
                TunnelProtocol::Http2,
                "TLS to the proxy has agreed on no protocol, and HTTP/2 was asked for".to_owned(),
            )),
            (wanted, Some(Some(other))) => Err((
                if wanted == Self::Http2 { TunnelProtocol::Http2 } else { TunnelProtocol::Http1 },
                format!("TLS to the proxy has agreed on {}", Printable::new(other).quoted()),
            )),
        }
    }
}

impl DialLeg for DialTunnel {
    fn dial(&self, mut route: Route) -> BoxFuture<'_, Result<Route, RouteError>> {
        let asked = route.take_asked().unwrap_or_else(|| Asked::new(self.target.clone()));
        let hop = route.connection().next_hop(asked.target.clone());
        self.ask(route, hop, asked).boxed()
    }

    #[cfg(feature = "http2")]
    fn dial_kept<'a>(&'a self, asked: &'a mut Asked) -> BoxFuture<'a, Result<Option<Connection<Socket>>, RouteError>> {
        self.open_kept(asked).boxed()
    }

    fn leads_to(&self, _: Option<Address>) -> Result<Option<Address>, RouteError> {
        Ok(Some(self.target.clone()))
    }
}

/// The fields of every request, and that of this one.
fn with_via<'a>(fields: &'a [(String, String)], via: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let always = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    always.chain(via.map(|via| ("Via", via))).collect()
}

/// Opens the layer, and says who asks if it is asked that.
async fn answered(
    connection: &mut Connection<Socket>,
    opening: Opening<Connect>,
    credentials: &Credentials,
    wants_login: &AtomicBool,
) -> Result<Answer, ConnectionError> {
    let layer = connection.splice(opening)?;
    let opened = match connection.ready(layer).await {
        Err(error) if is_question(&error) => {
            connection.asked::<Connect>(layer).await?.grant(credentials.clone()).await?;
            wants_login.store(true, Ordering::Relaxed);
            connection.ready(layer).await?
        }
        opened => opened?,
    };
    let facts = opened.facts::<Opening<Connect>>().cloned();
    facts.ok_or_else(|| ConnectionErrorKind::OtherFacts(layer, opened.name).into())
}

fn is_question(error: &ConnectionError) -> bool {
    matches!(error.kind(), ConnectionErrorKind::Command(error) if matches!(error.kind(), CommandErrorKind::Asks(_)))
}

/// Whether the proxy wants to know who asks, in the way in which we can say it.
fn offers_basic(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::AuthRequired(challenges) if challenges.basic().is_some())
}

/// Whether another address of the same target may be reached, where this could not be.
fn is_of_this_address(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused { by: Ender::Target, .. })
}

/// More addresses of one name than these are not tried.
const MAX_ADDRESSES: usize = 8;
