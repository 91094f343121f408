//! SOCKS5, who asks (RFC 1928; RFC 1929 for the user and the password).

use std::convert::Infallible;

use super::address::{Askable, Written};
use super::reply::{not_spoken, refused5};
use crate::layer::opening::{self, Advance, Exchange, Negotiation};
use crate::runtime::Address;
use crate::stack::Failure;
use crate::tunnel::{Answer, Credentials, Error, ErrorKind, TunnelProtocol};

/// Asks a SOCKS5 proxy to be connected to a target. What is read behind the reply is the target's, to the byte.
///
/// A name goes to the proxy unresolved, an IP address as an address, also one that was given as a name.
///
/// ```no_run
/// use onionskin::layer::opening::Opening;
/// use onionskin::runtime::Address;
/// use onionskin::tunnel::Credentials;
/// use onionskin::tunnel::socks::Socks5;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = onionskin::connect("tcp:proxy.example:1080").await?;
/// let target = Address::to_host("mail.example", 993)?;
/// let socks = Socks5::new(target).credentials(Credentials::new("onion", "peel")?);
/// let answer = connection.open(Opening::of(socks)).await?;
/// println!("connected from {:?}", answer.bound());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The layer fails, and the connection is lost, with an [`Error`] of the [`tunnel`](crate::tunnel) module:
/// [`Refused`](ErrorKind::Refused) with the reply, which also says who has refused; it is shown although the rest of the reply
/// may never come. [`NoAcceptableMethod`](ErrorKind::NoAcceptableMethod) and [`AuthRejected`](ErrorKind::AuthRejected).
/// [`NotSpoken`](ErrorKind::NotSpoken) and [`Malformed`](ErrorKind::Malformed), which is also a proxy that picks a method that
/// was not offered. [`Ended`](ErrorKind::Ended), which is how OpenSSH refuses. [`Unaskable`](ErrorKind::Unaskable) for a
/// target that is no host with a port from 1 up, and for an empty password: nothing is sent then.
#[derive(Clone, Debug)]
pub struct Socks5 {
    target: Address,
    proxy: Option<Address>,
    login: Option<(Credentials, Offer)>,
    is_optimistic: bool,
    state: State,
}

/// Which ways to say who asks are offered to a proxy, when there are a user and a password.
///
/// Both go over the connection as they are: what protects them is TLS below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offer {
    /// None at all, and the user and the password behind that: a proxy that takes anybody does not get to see them.
    #[default]
    LoginLast,
    /// The user and the password, and none at all behind that. Many proxies do not care for the order.
    LoginFirst,
    /// The user and the password only. A proxy that wants to know nobody takes none of it.
    LoginOnly,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    New,
    /// The methods are offered, and perhaps the request is made.
    Offered,
    /// The user and the password are sent.
    LoggingIn,
    /// The request is made.
    Asked,
    /// It is granted, and the address of the reply is to come.
    Granted,
    Through(Answer),
}

impl Socks5 {
    /// Asks for this target: a host and a port.
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self { target, proxy: None, login: None, is_optimistic: false, state: State::New }
    }

    /// The proxy may ask for a user and a password, and gets these.
    #[must_use]
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.credentials_offered(credentials, Offer::default())
    }

    /// As [`credentials`](Self::credentials), offered like this.
    #[must_use]
    pub fn credentials_offered(mut self, credentials: Credentials, offer: Offer) -> Self {
        self.login = Some((credentials, offer));
        self
    }

    /// What errors call the proxy.
    #[must_use]
    pub fn by(mut self, proxy: Address) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Says which methods it offers and whom it wants in one write, which saves a round trip. It has no effect with a user and a
    /// password. Off unless set: RFC 1928 does not speak of it, and some servers lose the request (microsocks 1.0.3, if it comes
    /// in two segments) and never answer.
    #[must_use]
    pub fn optimistic(mut self) -> Self {
        self.is_optimistic = true;
        self
    }

    fn failed(&self, kind: ErrorKind) -> Failure {
        Error::new(TunnelProtocol::Socks5, Some(self.target.clone()), kind).by(self.proxy.clone()).into()
    }
}

/// What it says and hears.
impl Socks5 {
    fn methods(&self) -> &'static [u8] {
        match self.login {
            None => &[NO_LOGIN],
            Some((_, Offer::LoginLast)) => &[NO_LOGIN, LOGIN],
            Some((_, Offer::LoginFirst)) => &[LOGIN, NO_LOGIN],
            Some((_, Offer::LoginOnly)) => &[LOGIN],
        }
    }

    fn request(&self) -> Result<Vec<u8>, ErrorKind> {
        let target = Askable::of(&self.target).map_err(ErrorKind::Unaskable)?;
        let mut request = vec![VERSION, CONNECT, 0];
        target.write(&mut request);
        Ok(request)
    }

    /// The request follows at once when it is optimistic: then nobody has to be asked who asks.
    fn begins_with_request(&self) -> bool {
        self.is_optimistic && self.login.is_none()
    }

    fn greet(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        // What cannot be asked for is known before anything is said.
        let request = self.request()?;
        if self.login.as_ref().is_some_and(|(credentials, _)| credentials.password().is_empty()) {
            let why = "SOCKS5 has no room for an empty password (RFC 1929, section 2)";
            return Err(ErrorKind::Unaskable(why.to_owned()));
        }
        if exchange.input().first().is_some_and(|first| *first != VERSION) {
            return Err(not_spoken(exchange.input()));
        }
        let methods = self.methods();
        let mut greeting = vec![VERSION, methods.len() as u8];
        greeting.extend(methods);
        if self.begins_with_request() {
            greeting.extend(request);
        }
        exchange.ask(&greeting)?;
        self.state = State::Offered;
        Ok(Advance::Going)
    }

    fn hear_method(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        let input = exchange.input();
        let Some(&[version, method]) = exchange.message(2)? else { return Ok(Advance::Waiting) };
        if version != VERSION {
            return Err(not_spoken(input));
        }
        if method == NONE_ACCEPTABLE {
            return Err(ErrorKind::NoAcceptableMethod);
        }
        if !self.methods().contains(&method) {
            return Err(ErrorKind::Malformed(format!("the proxy picks method {method}, which was not offered")));
        }
        match &self.login {
            Some((credentials, _)) if method == LOGIN => {
                let (user, password) = (credentials.user().as_bytes(), credentials.password());
                let lengths = [user.len() as u8, password.len() as u8];
                let login = [&[LOGIN_VERSION, lengths[0]], user, &[lengths[1]], password].concat();
                exchange.ask(&login)?;
                self.state = State::LoggingIn;
            }
            _ if self.begins_with_request() => self.state = State::Asked,
            _ => self.ask_for_target(exchange)?,
        }
        Ok(Advance::Going)
    }

    fn hear_status(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        let Some(&[version, status]) = exchange.message(2)? else { return Ok(Advance::Waiting) };
        if version != LOGIN_VERSION {
            return Err(ErrorKind::Malformed(format!("the answer to user and password has version {version}, not 1")));
        }
        if status != 0 {
            return Err(ErrorKind::AuthRejected);
        }
        self.ask_for_target(exchange)?;
        Ok(Advance::Going)
    }

    fn ask_for_target(&mut self, exchange: &mut Exchange<'_>) -> Result<(), ErrorKind> {
        let request = self.request()?;
        exchange.ask(&request)?;
        self.state = State::Asked;
        Ok(())
    }

    /// The version and the reply. The rest of a refusal tells nothing more, and some servers leave it out.
    fn hear_reply(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        let Some(&[version, reply]) = exchange.message(2)? else { return Ok(Advance::Waiting) };
        if version != VERSION {
            return Err(ErrorKind::Malformed(format!("the reply has version {version}, not 5")));
        }
        if reply != GRANTED {
            return Err(refused5(reply));
        }
        self.state = State::Granted;
        Ok(Advance::Going)
    }

    fn hear_address(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        // The reserved byte before it; nobody looks at that.
        let Some(_) = exchange.message(1)? else { return Ok(Advance::Waiting) };
        match Written::take(exchange)? {
            None => {
                exchange.put_back();
                Ok(Advance::Waiting)
            }
            Some(Written::Unknown(other)) => {
                Err(ErrorKind::Malformed(format!("the reply has an address of type {other}")))
            }
            Some(written) => {
                self.state = State::Through(Answer::Socks { bound: written.to_address().ok() });
                Ok(Advance::Leave)
            }
        }
    }
}

/// The facts are [`Answer::Socks`].
impl Negotiation for Socks5 {
    type Question = Infallible;
    type Facts = Answer;

    fn name(&self) -> &'static str {
        TunnelProtocol::Socks5.name()
    }

    fn details(&self) -> Vec<String> {
        vec![format!("asks for {}", self.target)]
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, Failure> {
        let advance = match self.state {
            State::New => self.greet(exchange),
            State::Offered => self.hear_method(exchange),
            State::LoggingIn => self.hear_status(exchange),
            State::Asked => self.hear_reply(exchange),
            State::Granted => self.hear_address(exchange),
            State::Through(_) => Ok(Advance::Leave),
        };
        advance.map_err(|kind| self.failed(kind))
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            State::New | State::Offered => "the choice of a method",
            State::LoggingIn => "the answer to user and password",
            State::Asked => "the reply",
            State::Granted | State::Through(_) => "the end of the reply",
        }
    }

    fn facts(&self) -> Option<Answer> {
        match &self.state {
            State::Through(answer) => Some(answer.clone()),
            _ => None,
        }
    }

    fn failure(&mut self, error: opening::Error) -> Failure {
        self.failed(error.into())
    }
}

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const GRANTED: u8 = 0;

const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const LOGIN_VERSION: u8 = 1;
