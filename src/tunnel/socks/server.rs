//! SOCKS5 and SOCKS4a, who is asked (RFC 1928; RFC 1929 for the user and the password).

use std::net::Ipv4Addr;

use super::address::{Askable, Written};
use super::reply::not_spoken;
use super::server4::{self, Request4};
use crate::layer::opening::{self, Advance, Answerable, Exchange, Negotiation};
use crate::runtime::Address;
use crate::stack::Failure;
use crate::tunnel::{Credentials, Error, ErrorKind, Grant, Question, Reason, Refusal, Request, TunnelProtocol};

/// Is asked for a tunnel in SOCKS5 or SOCKS4a: the first byte tells which.
///
/// It has its application answer: [`Question::Login`] first, if it wants to know who asks, and then [`Question::Tunnel`]. Its facts
/// are the [`Request`] that was granted. The application connects to the target before it grants, so that success means what it
/// says, and gives the address of its own end with it. What the client sends meanwhile, or has sent behind its request, is the
/// target's and waits.
///
/// ```no_run
/// use onionskin::layer::opening::Opening;
/// use onionskin::tunnel::socks::SocksServer;
/// use onionskin::tunnel::{Grant, Question, Reason};
///
/// # use onionskin::{Connection, runtime::{Runtime, Socket}};
/// # async fn example(mut client: Connection<Socket>, runtime: &'static dyn Runtime) -> Result<(), Box<dyn std::error::Error>> {
/// let layer = client.splice(Opening::of(SocksServer::new()))?;
/// let mut asked = client.asked::<SocksServer>(layer).await?;
/// let Question::Tunnel(request) = asked.question().clone() else { unreachable!("nobody has to log in") };
/// if request.target.port() != Some(443) {
///     asked.refuse(Reason::Denied.into()).await?;
///     return Ok(());
/// }
/// let target = asked.during(runtime.connect_tcp("192.0.2.1:443".parse()?)).await??;
/// asked.grant(Grant::bound_to(target.local_address().clone())).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The client hears of each in its own language, if it has words for it, and the connection is lost behind them with an [`Error`]
/// of the [`tunnel`](crate::tunnel) module. [`NotSpoken`](ErrorKind::NotSpoken) for what is no SOCKS, which is answered with
/// nothing; [`Malformed`](ErrorKind::Malformed), [`TooLong`](ErrorKind::TooLong);
/// [`NoAcceptableMethod`](ErrorKind::NoAcceptableMethod) when the client does not offer the way to say who asks that this
/// server wants, which is the user and the password or none at all; [`AuthRejected`](ErrorKind::AuthRejected);
/// [`Unsupported`](ErrorKind::Unsupported) for BIND and UDP ASSOCIATE; and [`Declined`](ErrorKind::Declined) when the application
/// has refused. There is one try for each connection.
#[derive(Clone, Debug, Default)]
pub struct SocksServer {
    is_authenticating: bool,
    has_no_socks4a: bool,
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    New,
    /// A SOCKS4a client may ask.
    Open4,
    /// A SOCKS5 client is to say which methods it has.
    Greeting,
    /// The user and the password are to come.
    LoggingIn,
    /// The application is asked whether they are right.
    LoginAsked(String),
    /// A SOCKS5 client may ask, perhaps one that has logged in.
    Open(Option<String>),
    /// The application is asked for a tunnel.
    Asked(Request),
    Through(Request),
}

impl SocksServer {
    /// Answers clients of both, whoever they are.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants a user and a password, for which the application is asked. SOCKS4a has no password: its clients are refused.
    #[must_use]
    pub fn authenticating(mut self) -> Self {
        self.is_authenticating = true;
        self
    }

    /// Speaks SOCKS5 only.
    #[must_use]
    pub fn without_socks4a(mut self) -> Self {
        self.has_no_socks4a = true;
        self
    }

    fn failed(&self, kind: ErrorKind) -> Failure {
        let (protocol, target) = match &self.state {
            State::Asked(request) | State::Through(request) => (request.protocol, Some(request.target.clone())),
            State::Open4 => (TunnelProtocol::Socks4a, None),
            _ => (TunnelProtocol::Socks5, None),
        };
        Error::new(protocol, target, kind).into()
    }
}

/// What it hears.
impl SocksServer {
    fn begin(&mut self, exchange: &mut Exchange<'_>) -> Stepped {
        match exchange.peek(1)? {
            None => {
                exchange.message(1)?;
                return Ok(Advance::Waiting);
            }
            Some([VERSION]) => self.state = State::Greeting,
            Some([VERSION_4]) if !self.has_no_socks4a => self.state = State::Open4,
            Some(_) => return Err(not_spoken(exchange.input())),
        }
        Ok(Advance::Going)
    }

    fn hear_greeting(&mut self, exchange: &mut Exchange<'_>) -> Stepped {
        let Some(&[_, count]) = exchange.peek(2)? else {
            exchange.message(2)?;
            return Ok(Advance::Waiting);
        };
        let Some(greeting) = exchange.message(2 + usize::from(count))? else { return Ok(Advance::Waiting) };
        let (method, next) = match self.is_authenticating {
            true => (LOGIN, State::LoggingIn),
            false => (NO_LOGIN, State::Open(None)),
        };
        if !greeting[2..].contains(&method) {
            exchange.send(&[VERSION, NONE_ACCEPTABLE]);
            return Err(match count {
                0 => ErrorKind::Malformed("the client offers no method at all".to_owned()),
                _ => ErrorKind::NoAcceptableMethod,
            });
        }
        exchange.send(&[VERSION, method]);
        self.state = next;
        Ok(Advance::Going)
    }

    fn hear_login(&mut self, exchange: &mut Exchange<'_>) -> Stepped {
        let Some(&[version, user]) = exchange.peek(2)? else {
            exchange.message(2)?;
            return Ok(Advance::Waiting);
        };
        let user = 2 + usize::from(user);
        let Some(head) = exchange.peek(user + 1)? else {
            exchange.message(user + 1)?;
            return Ok(Advance::Waiting);
        };
        let length = user + 1 + usize::from(head[user]);
        let Some(message) = exchange.message(length)? else { return Ok(Advance::Waiting) };
        // What it says is not said again: it may be a password.
        let malformed = |what: &str| ErrorKind::Malformed(what.to_owned());
        let credentials = match (version, &message[2..user], &message[user + 1..]) {
            (LOGIN_VERSION, [_, ..], [_, ..]) => std::str::from_utf8(&message[2..user])
                .map_err(|_| malformed("the name of the user is no UTF-8"))
                .and_then(|user| {
                    Credentials::new(user, &message[head.len()..]).map_err(|error| malformed(&error.to_string()))
                }),
            (LOGIN_VERSION, ..) => Err(malformed("the client has left its user or its password empty")),
            _ => Err(malformed("the client logs in with another version than 1")),
        };
        match credentials {
            Ok(credentials) => {
                self.state = State::LoginAsked(credentials.user().to_owned());
                Ok(Advance::Ask(Question::Login(credentials)))
            }
            Err(kind) => {
                exchange.send(&[LOGIN_VERSION, REJECTED]);
                Err(kind)
            }
        }
    }

    fn hear_request(&mut self, exchange: &mut Exchange<'_>, user: Option<String>) -> Stepped {
        let Some(&[version, command, _reserved]) = exchange.message(3)? else { return Ok(Advance::Waiting) };
        let Some(written) = Written::take(exchange)? else {
            exchange.put_back();
            return Ok(Advance::Waiting);
        };
        let (reply, kind) = match (version, command, written.to_address()) {
            (VERSION, CONNECT, Ok(target)) if target.port() != Some(0) => {
                return Ok(self.ask(Request { protocol: TunnelProtocol::Socks5, target, user, fields: Vec::new() }));
            }
            (VERSION, _, Err(what)) if matches!(written, Written::Unknown(_)) => {
                (NO_SUCH_TYPE, ErrorKind::Malformed(what))
            }
            (VERSION, CONNECT, Err(what)) => (FAILED, ErrorKind::Malformed(what)),
            (VERSION, CONNECT, Ok(_)) => (FAILED, ErrorKind::Malformed(PORT_0.to_owned())),
            (VERSION, command, _) => (NO_SUCH_COMMAND, unsupported(command)),
            _ => (FAILED, ErrorKind::Malformed("the request is of another version than 5".to_owned())),
        };
        answer(exchange, reply, None);
        Err(kind)
    }

    fn hear_request4(&mut self, exchange: &mut Exchange<'_>) -> Stepped {
        let refused = match Request4::take(exchange) {
            Ok(None) => return Ok(Advance::Waiting),
            Ok(Some(_)) if self.is_authenticating => ErrorKind::NoAcceptableMethod,
            Ok(Some(Request4 { command: CONNECT, target: Ok(target), user })) => {
                return Ok(self.ask(Request { protocol: TunnelProtocol::Socks4a, target, user, fields: Vec::new() }));
            }
            Ok(Some(Request4 { command: CONNECT, target: Err(what), .. })) => ErrorKind::Malformed(what),
            Ok(Some(Request4 { command, .. })) => unsupported(command),
            Err(kind) => kind,
        };
        server4::answer(exchange, server4::REFUSED, None);
        Err(refused)
    }

    fn ask(&mut self, request: Request) -> Advance<Question> {
        self.state = State::Asked(request.clone());
        Advance::Ask(Question::Tunnel(request))
    }
}

/// What it says when the application has answered.
impl SocksServer {
    /// No, in the words of the question. The connection is lost behind them.
    fn say_no(&self, exchange: &mut Exchange<'_>, reason: Reason) {
        match &self.state {
            State::LoginAsked(_) => exchange.send(&[LOGIN_VERSION, REJECTED]),
            State::Asked(Request { protocol: TunnelProtocol::Socks4a, .. }) => {
                server4::answer(exchange, server4::REFUSED, None);
            }
            _ => answer(exchange, reason.socks_reply(), None),
        }
    }
}

impl Negotiation for SocksServer {
    type Question = Question;
    type Facts = Request;

    fn name(&self) -> &'static str {
        "socks"
    }

    fn details(&self) -> Vec<String> {
        match &self.state {
            State::Asked(request) | State::Through(request) => {
                vec![format!("{}, asked for {}", request.protocol, request.target)]
            }
            _ => Vec::new(),
        }
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        let advance = match &self.state {
            State::New => self.begin(exchange),
            State::Open4 => self.hear_request4(exchange),
            State::Greeting => self.hear_greeting(exchange),
            State::LoggingIn => self.hear_login(exchange),
            State::Open(user) => {
                let user = user.clone();
                self.hear_request(exchange, user)
            }
            // The layer does not call while the application owes an answer, nor behind it.
            State::LoginAsked(_) | State::Asked(_) => Ok(Advance::Waiting),
            State::Through(_) => Ok(Advance::Leave),
        };
        advance.map_err(|kind| self.failed(kind))
    }

    fn awaits(&self) -> &'static str {
        match &self.state {
            State::New | State::Greeting => "the greeting",
            State::LoggingIn | State::LoginAsked(_) => "the user and the password",
            State::Open(_) | State::Open4 | State::Asked(_) | State::Through(_) => "the request",
        }
    }

    fn facts(&self) -> Option<Request> {
        match &self.state {
            State::Through(request) => Some(request.clone()),
            _ => None,
        }
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        self.say_no(exchange, Reason::Internal);
        Err(self.failed(opening::Error::from(opening::ErrorKind::Unanswered).into()))
    }

    fn failure(&mut self, error: opening::Error) -> Failure {
        self.failed(error.into())
    }
}

impl Answerable for SocksServer {
    /// To a login its address means nothing.
    type Grant = Grant;
    /// To a login its reason means nothing.
    type Refusal = Refusal;

    fn grant(&mut self, grant: Grant, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        match std::mem::take(&mut self.state) {
            State::LoginAsked(user) => {
                exchange.send(&[LOGIN_VERSION, GRANTED]);
                self.state = State::Open(Some(user));
                Ok(Advance::Going)
            }
            State::Asked(request) => {
                match request.protocol {
                    TunnelProtocol::Socks4a => server4::answer(exchange, server4::GRANTED, grant.bound.as_ref()),
                    _ => answer(exchange, GRANTED, grant.bound.as_ref()),
                }
                self.state = State::Through(request);
                Ok(Advance::Leave)
            }
            other => {
                self.state = other;
                Ok(Advance::Waiting)
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        self.say_no(exchange, refusal.reason);
        Err(self.failed(match &self.state {
            State::LoginAsked(_) => ErrorKind::AuthRejected,
            _ => ErrorKind::Declined(format!("refused: {}", refusal.reason)),
        }))
    }
}

type Stepped = Result<Advance<Question>, ErrorKind>;

/// Sends a reply of SOCKS5, with the end of our connection to the target, if that is TCP.
fn answer(exchange: &mut Exchange<'_>, reply: u8, bound: Option<&Address>) {
    let mut message = vec![VERSION, reply, 0];
    let bound = bound.and_then(Address::as_tcp).unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
    Askable::Ip(bound.ip(), bound.port()).write(&mut message);
    exchange.send(&message);
}

fn unsupported(command: u8) -> ErrorKind {
    ErrorKind::Unsupported(match command {
        2 => "the client wants BIND, and there is CONNECT only".to_owned(),
        3 => "the client wants UDP ASSOCIATE, and there is CONNECT only".to_owned(),
        other => format!("the client wants command {other}, which there is not"),
    })
}

const VERSION: u8 = 5;
const VERSION_4: u8 = 4;
const CONNECT: u8 = 1;

const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const LOGIN_VERSION: u8 = 1;

const GRANTED: u8 = 0;
const REJECTED: u8 = 1;
const FAILED: u8 = 1;
const NO_SUCH_COMMAND: u8 = 7;
const NO_SUCH_TYPE: u8 = 8;

const PORT_0: &str = "nobody can be at port 0";
