//! SOCKS4a, who asks.
//!
//! There is no RFC. SOCKS4 is described in a memo of its author, and 4a in a note to that: an address 0.0.0.x that is not
//! 0.0.0.0 says that a name follows.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use super::address::Askable;
use super::reply::{not_spoken, refused4};
use crate::layer::opening::{self, Advance, Exchange, Negotiation};
use crate::runtime::Address;
use crate::stack::Failure;
use crate::tunnel::{Answer, Error, ErrorKind, TunnelProtocol};

/// Asks a SOCKS4a proxy to be connected to a target. What is read behind the reply is the target's, to the byte.
///
/// A name goes to the proxy unresolved. An IPv4 address goes as one, which any SOCKS4 proxy understands; it has no room for IPv6.
///
/// # Errors
///
/// As for [`Socks5`](super::Socks5), without those of logging in: a proxy that asks identd who we are, and does not like it,
/// is [`Refused`](ErrorKind::Refused) with 92 or 93. [`Unaskable`](ErrorKind::Unaskable) also for an IPv6 address, for one in
/// 0.0.0.0/8 that means a name here, and for a user with a control character or more than 255 bytes.
#[derive(Clone, Debug)]
pub struct Socks4a {
    target: Address,
    proxy: Option<Address>,
    user: String,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    New,
    /// The request is made.
    Asked,
    /// It is granted, and the address of the reply is to come.
    Granted,
    Through(Answer),
}

impl Socks4a {
    /// Asks for this target: a host, which is no IPv6 address, and a port.
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self { target, proxy: None, user: String::new(), state: State::New }
    }

    /// Says that this user asks; nobody unless set. There is no password: a proxy that cares asks identd.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// What errors call the proxy.
    #[must_use]
    pub fn by(mut self, proxy: Address) -> Self {
        self.proxy = Some(proxy);
        self
    }

    fn failed(&self, kind: ErrorKind) -> Failure {
        Error::new(TunnelProtocol::Socks4a, Some(self.target.clone()), kind).by(self.proxy.clone()).into()
    }

    fn request(&self) -> Result<Vec<u8>, ErrorKind> {
        let unaskable = |why: &str| ErrorKind::Unaskable(why.to_owned());
        if self.user.len() > MAX_USER || self.user.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(unaskable("a user has at most 255 bytes here, and no control characters"));
        }
        let (ip, port, name) = match Askable::of(&self.target).map_err(ErrorKind::Unaskable)? {
            Askable::Ip(IpAddr::V6(_), _) => {
                return Err(unaskable("SOCKS4a has no room for an IPv6 address; SOCKS5 has"));
            }
            Askable::Ip(IpAddr::V4(ip), _) if means_name(ip) => {
                return Err(unaskable("SOCKS4a takes such an address for the sign that a name follows"));
            }
            Askable::Ip(IpAddr::V4(ip), port) => (ip, port, None),
            Askable::Name(name, port) => (NAME_FOLLOWS, port, Some(name)),
        };
        let mut request = vec![VERSION, CONNECT];
        request.extend(port.to_be_bytes());
        request.extend(ip.octets());
        for text in [Some(&self.user[..]), name].into_iter().flatten() {
            request.extend(text.as_bytes());
            request.push(0);
        }
        Ok(request)
    }

    fn ask(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        let request = self.request()?;
        if exchange.input().first().is_some_and(|first| *first != REPLY_VERSION) {
            return Err(not_spoken(exchange.input()));
        }
        exchange.ask(&request)?;
        self.state = State::Asked;
        Ok(Advance::Going)
    }

    /// The version and the code. The rest of a refusal tells nothing more.
    fn hear_code(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        let input = exchange.input();
        let Some(&[version, code]) = exchange.message(2)? else { return Ok(Advance::Waiting) };
        if version != REPLY_VERSION {
            return Err(not_spoken(input));
        }
        if code != GRANTED {
            return Err(refused4(code));
        }
        self.state = State::Granted;
        Ok(Advance::Going)
    }

    fn hear_address(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, ErrorKind> {
        let Some(&[port, of_port, a, b, c, d]) = exchange.message(6)? else { return Ok(Advance::Waiting) };
        let bound = (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([port, of_port])).into();
        self.state = State::Through(Answer::Socks { bound: Some(Address::Tcp(bound)) });
        Ok(Advance::Leave)
    }
}

/// The facts are [`Answer::Socks`].
impl Negotiation for Socks4a {
    type Question = Infallible;
    type Facts = Answer;

    fn name(&self) -> &'static str {
        TunnelProtocol::Socks4a.name()
    }

    fn details(&self) -> Vec<String> {
        vec![format!("asks for {}", self.target)]
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Infallible>, Failure> {
        let advance = match self.state {
            State::New => self.ask(exchange),
            State::Asked => self.hear_code(exchange),
            State::Granted => self.hear_address(exchange),
            State::Through(_) => Ok(Advance::Leave),
        };
        advance.map_err(|kind| self.failed(kind))
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            State::New | State::Asked => "the reply",
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

/// Whether SOCKS4a takes this address for the sign that a name follows.
pub(super) fn means_name(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [0, 0, 0, last] if last != 0)
}

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
const REPLY_VERSION: u8 = 0;
const GRANTED: u8 = 90;
const NAME_FOLLOWS: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

const MAX_USER: usize = 255;
