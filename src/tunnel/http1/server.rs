//! The side that is asked for a tunnel.

use std::fmt;

use super::head::{Heads, Mistake, RequestHead};
use crate::layer::opening::{self, Advance, Answerable, Exchange, Negotiation};
use crate::stack::Failure;
use crate::tunnel::http::refused::phrase;
use crate::tunnel::http::refusing::Refusing;
use crate::tunnel::http::{ProxyStatus, all, basic};
use crate::tunnel::{
    Challenges, Error, ErrorKind, Grant, Question, Reason, Refusal, Request, TunnelProtocol, authority,
};

/// Is asked for a tunnel with CONNECT of HTTP/1.1 or HTTP/1.0; see the [module](super).
///
/// It has its application answer: [`Question::Login`] first, if it [wants to know](Self::authenticating) who asks, and then
/// [`Question::Tunnel`]. Its facts are the [`Request`] that was granted. The application connects to the target before it grants,
/// so that 200 means what it says. What the client sends meanwhile, or has sent behind its request, is the target's and waits.
///
/// ```
/// use futures::io::{AsyncRead, AsyncWrite};
/// use onionskin::Connection;
/// use onionskin::connection::Error;
/// use onionskin::layer::opening::Opening;
/// use onionskin::tunnel::http1::ConnectServer;
/// use onionskin::tunnel::{Grant, Question, Reason};
///
/// async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(mut client: Connection<IO>) -> Result<(), Error> {
///     let layer = client.splice(Opening::of(ConnectServer::new()))?;
///     let asked = client.asked::<ConnectServer>(layer).await?;
///     match asked.question() {
///         Question::Tunnel(request) if request.target.port() == Some(443) => asked.grant(Grant::default()).await,
///         _ => asked.refuse(Reason::Denied.into()).await,
///     }
/// }
/// ```
///
/// # What it answers
///
/// A tunnel is 200 in one write, without a field about a body, and nothing of 1xx comes before. Everything else closes
/// the connection behind its answer, whatever the client wants: what follows a request that was refused may be meant for the
/// tunnel. 407 for a user that is missing or wrong, 405 for another method, 400 for what is no request, 431 for more than
/// 16,384 bytes ([or another limit](Self::max_head)) or a hundred fields, 408 for a client that takes too long ([`Opening::timeout`](opening::Opening::timeout)),
/// 505 for another version, and what is no HTTP at all is answered with nothing. Each answer says in `Proxy-Status` (RFC 9209)
/// who has made it, and why.
///
/// # Errors
///
/// An [`Error`] of this module, inside that of the layer, for every answer but 200. The connection is lost with it.
#[derive(Debug)]
pub struct ConnectServer {
    name: String,
    /// For what a user and a password are wanted.
    realm: Option<String>,
    heads: Heads,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The request is to come.
    New,
    /// The application is asked whether the user may come in, who wants this.
    LoginAsked(Request),
    /// The user may, and that is to be asked next.
    LoggedIn(Request),
    /// The application is asked for the tunnel.
    Asked(Request),
    Through(Request),
    /// An answer was given that is no tunnel.
    Refused,
}

/// What the client hears, if it would understand anything, and what the connection is lost with.
struct No {
    answer: Option<Refusing>,
    kind: ErrorKind,
}

impl No {
    fn saying(answer: Refusing, kind: ErrorKind) -> Box<Self> {
        Box::new(Self { answer: Some(answer), kind })
    }
}

impl ConnectServer {
    /// Answers whoever asks.
    #[must_use]
    pub fn new() -> Self {
        Self { name: "onionskin".to_owned(), realm: None, heads: Heads::default(), state: State::New }
    }

    /// Wants a user and a password for this (Basic, RFC 7617), for which the application is asked. Anybody who reads what the
    /// client sends can read them.
    #[must_use]
    pub fn authenticating(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// What it calls itself in `Proxy-Status`; `onionskin` unless set.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The longest head of a request, in bytes; 16,384 unless set. All of it has to fit into the buffer below the layer, which has
    /// 128 KiB unless set.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.heads = Heads::of(bytes);
        self
    }

    fn hear_request(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Box<No>> {
        let input = exchange.input();
        if !input.is_empty() && !is_begun(input) {
            return Err(not_spoken(input));
        }
        let len = match self.heads.find(input) {
            Ok(Some(len)) => len,
            Ok(None) => return Ok(Advance::Waiting),
            Err(kind) => return Err(No::saying(self.about_request(431, &kind), kind)),
        };
        let head = match self.heads.request(&input[..len]) {
            Ok(head) => head,
            Err(mistake) => {
                let status = match mistake {
                    Mistake::Malformed(_) => 400,
                    Mistake::Version => 505,
                    Mistake::TooManyFields => 431,
                };
                let kind = mistake.into();
                return Err(No::saying(self.about_request(status, &kind), kind));
            }
        };
        exchange.take(len);
        self.check(head)
    }

    fn check(&mut self, head: RequestHead) -> Result<Advance<Question>, Box<No>> {
        if head.method != "CONNECT" {
            let kind = ErrorKind::Unsupported(format!("the client wants {}, and there is CONNECT only", head.method));
            let refusing =
                Refusing::request(&self.name, 405, "this proxy opens tunnels, with CONNECT, and does nothing else");
            return Err(No::saying(refusing.with("allow", "CONNECT"), kind));
        }
        if let Some(mistake) = mistake(&head) {
            return Err(self.bad(mistake));
        }
        let target = authority::parse(head.target.as_bytes()).map_err(|mistake| self.bad(mistake))?;
        let told = all(&head.fields, AUTHORIZATION).next().map(basic::parse);
        let user = told.as_ref().and_then(Option::as_ref).map(|credentials| credentials.user().to_owned());
        let mut fields = head.fields;
        fields.retain(|(name, _)| name != AUTHORIZATION);
        let request = Request { protocol: TunnelProtocol::Http1, target, user, fields };
        let Some(realm) = &self.realm else {
            // Nobody has asked for it, and nobody has looked at it.
            let request = Request { user: None, ..request };
            self.state = State::Asked(request.clone());
            return Ok(Advance::Ask(Question::Tunnel(request)));
        };
        self.state = State::LoginAsked(request);
        match told {
            Some(Some(credentials)) => Ok(Advance::Ask(Question::Login(credentials))),
            Some(None) => Err(No::saying(Refusing::login(&self.name, realm), ErrorKind::AuthRejected)),
            None => {
                let kind = ErrorKind::AuthRequired(Challenges::default());
                Err(No::saying(Refusing::login(&self.name, realm), kind))
            }
        }
    }

    fn bad(&self, mistake: &str) -> Box<No> {
        let kind = ErrorKind::Malformed(mistake.to_owned());
        No::saying(self.about_request(400, &kind), kind)
    }

    fn about_request(&self, status: u16, kind: &ErrorKind) -> Refusing {
        Refusing::request(&self.name, status, &kind.to_string())
    }

    /// Says no. The connection is lost behind that.
    fn say_no(&mut self, exchange: &mut Exchange<'_>, no: No) -> Failure {
        let error = self.error(no.kind);
        self.state = State::Refused;
        if let Some(answer) = no.answer {
            exchange.send(&written(&answer));
        }
        error.into()
    }

    fn error(&self, kind: ErrorKind) -> Error {
        let target = match &self.state {
            State::LoginAsked(request) | State::LoggedIn(request) | State::Asked(request) | State::Through(request) => {
                Some(request.target.clone())
            }
            State::New | State::Refused => None,
        };
        Error::new(TunnelProtocol::Http1, target, kind)
    }
}

impl Default for ConnectServer {
    fn default() -> Self {
        Self::new()
    }
}

impl Negotiation for ConnectServer {
    type Question = Question;
    type Facts = Request;

    fn name(&self) -> &'static str {
        TunnelProtocol::Http1.name()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Asked(request) | State::Through(request) => write!(f, "CONNECT to {}", request.target),
            _ => f.write_str("http1 server"),
        }
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        match std::mem::replace(&mut self.state, State::New) {
            State::New => self.hear_request(exchange).map_err(|no| self.say_no(exchange, *no)),
            State::LoggedIn(request) => {
                self.state = State::Asked(request.clone());
                Ok(Advance::Ask(Question::Tunnel(request)))
            }
            // The layer does not call while the application owes an answer, nor behind it.
            other => {
                self.state = other;
                Ok(Advance::Waiting)
            }
        }
    }

    fn awaits(&self) -> &'static str {
        "the request"
    }

    fn facts(&self) -> Option<Request> {
        match &self.state {
            State::Through(request) => Some(request.clone()),
            _ => None,
        }
    }

    fn give_up(&mut self, exchange: &mut Exchange<'_>) {
        // To one that has said nothing, nothing is said.
        if matches!(self.state, State::New) && !exchange.input().is_empty() {
            exchange.send(&written(&Refusing::request(&self.name, 408, "the request did not come in time")));
        }
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        let refusing = Refusing::tunnel(&self.name, &Reason::Internal.into());
        let kind = opening::Error::from(opening::ErrorKind::Unanswered).into();
        Err(self.say_no(exchange, No { answer: Some(refusing), kind }))
    }

    fn failure(&mut self, error: opening::Error) -> Failure {
        self.error(error.into()).into()
    }
}

impl Answerable for ConnectServer {
    /// HTTP has no word for the address that it has.
    type Grant = Grant;
    /// A login that is [`Denied`](Reason::Denied) is a user or a password that is wrong, and the client may try others on another
    /// connection. For any other reason it hears that.
    type Refusal = Refusal;

    fn grant(&mut self, _: Grant, exchange: &mut Exchange<'_>) -> Result<Advance<Question>, Failure> {
        match std::mem::replace(&mut self.state, State::New) {
            State::LoginAsked(request) => {
                self.state = State::LoggedIn(request);
                Ok(Advance::Going)
            }
            State::Asked(request) => {
                let stated = ProxyStatus::of(&self.name);
                exchange
                    .send(format!("HTTP/1.1 200 Connection Established\r\nProxy-Status: {stated}\r\n\r\n").as_bytes());
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
        let (answer, kind) = match (&self.state, &self.realm) {
            (State::LoginAsked(_), Some(realm)) if refusal.reason == Reason::Denied => {
                (Refusing::login(&self.name, realm), ErrorKind::AuthRejected)
            }
            _ => (Refusing::tunnel(&self.name, &refusal), ErrorKind::Declined(format!("refused: {}", refusal.reason))),
        };
        Err(self.say_no(exchange, No { answer: Some(answer), kind }))
    }
}

/// What is wrong with the fields of a request for a tunnel, if anything is.
fn mistake(head: &RequestHead) -> Option<&'static str> {
    let count = |name| all(&head.fields, name).count();
    // Whoever reads a body here reads bytes of the tunnel, and whoever does not reads a body there (RFC 9112, section 11.2).
    if count("transfer-encoding") > 0 || all(&head.fields, "content-length").any(|length| length != b"0") {
        return Some("a request for a tunnel has no body");
    }
    match count("host") {
        0 if head.is_http11 => return Some("there is no Host, which HTTP/1.1 wants"),
        0 | 1 => {}
        _ => return Some("there is more than one Host"),
    }
    (count(AUTHORIZATION) > 1).then_some("there is more than one Proxy-Authorization")
}

/// An answer that is no tunnel, with its framing.
fn written(refusing: &Refusing) -> Vec<u8> {
    let Refusing { status, fields, body } = refusing;
    let mut answer = format!("HTTP/1.1 {status} {}\r\n", phrase(*status)).into_bytes();
    for (name, value) in fields {
        for part in [capitalized(name).as_bytes(), b": ", value, b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).as_bytes());
    answer
}

/// As most write it, for clients that take no other for the name of the field.
fn capitalized(name: &str) -> String {
    let mut is_first = true;
    let capitals = name.chars().map(|letter| {
        let shown = if is_first { letter.to_ascii_uppercase() } else { letter };
        is_first = letter == '-';
        shown
    });
    capitals.collect()
}

/// Whether what has come may be the beginning of a request: a method of letters, and a blank behind it. Few empty lines may
/// stand before (RFC 9112, section 2.2).
fn is_begun(input: &[u8]) -> bool {
    let before = input.iter().take(MAX_BEFORE).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let request = &input[before..];
    let method = request.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
    match request.get(method) {
        None => method <= MAX_METHOD,
        Some(behind) => (1..=MAX_METHOD).contains(&method) && *behind == b' ',
    }
}

/// Nobody there would understand an answer.
fn not_spoken(input: &[u8]) -> Box<No> {
    let kind = ErrorKind::NotSpoken(input[..input.len().min(MAX_FIRST)].to_owned());
    Box::new(No { answer: None, kind })
}

const AUTHORIZATION: &str = "proxy-authorization";

/// As long as any method that is registered, and then some.
const MAX_METHOD: usize = 32;
const MAX_BEFORE: usize = 8;
const MAX_FIRST: usize = 16;
