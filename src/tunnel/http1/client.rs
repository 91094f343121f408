//! The side that asks for a tunnel.

use std::fmt;

use super::body::Body;
use super::head::{AnswerHead, Heads};
use crate::layer::opening::{
    Advance, Answerable, Error as OpeningError, ErrorKind as OpeningErrorKind, Exchange, Negotiation,
};
use crate::runtime::Address;
use crate::stack::Failure;
use crate::tunnel::http::fields::Fields;
use crate::tunnel::http::refused::{challenges, refused};
use crate::tunnel::http::{all, basic};
use crate::tunnel::{Answer, Challenges, Credentials, Error, ErrorKind, TunnelProtocol, authority};

/// Asks a proxy for a tunnel with CONNECT of HTTP/1.1, and leaves when it is there; see the [module](super).
///
/// Any status of 2xx is a tunnel, whatever the answer says of a body. Answers of 1xx before it are skipped, eight at most. All
/// heads together have 16,384 bytes and a hundred fields at most. A redirection is a refusal: nobody is followed.
///
/// ```
/// use futures::io::{AsyncRead, AsyncWrite};
/// use onionskin::Connection;
/// use onionskin::connection::Error;
/// use onionskin::layer::opening::Opening;
/// use onionskin::runtime::Address;
/// use onionskin::tunnel::http1::Connect;
/// use onionskin::tunnel::Answer;
///
/// async fn reach<IO: AsyncRead + AsyncWrite + Unpin>(proxy: &mut Connection<IO>, target: Address) -> Result<Answer, Error> {
///     proxy.open(Opening::of(Connect::new(target))).await // what is written from here on, the target reads
/// }
/// ```
///
/// # Errors
///
/// An [`Error`] of this module, inside that of the layer. The connection is lost with it: behind a refusal nothing more is said.
pub struct Connect {
    target: Address,
    proxy: Option<Address>,
    credentials: Option<Credentials>,
    fields: Fields,
    is_asking: bool,
    /// Whether the request that is under way says who asks.
    has_told: bool,
    heads: Heads,
    informational: Vec<u16>,
    state: State,
}

#[derive(Debug)]
enum State {
    Fresh,
    /// The request is sent.
    Sent,
    /// It was sent a second time, now with a user and a password, and nothing has come since.
    SentAgain(Challenges),
    /// The answer is no tunnel.
    Refused(AnswerHead, Body),
    /// The application is asked who it is.
    Challenged(Challenges),
    Through(Answer),
}

impl Connect {
    /// Asks for a tunnel to this target, which is a host and a port ([`Address::to_host`]); anything else is refused before
    /// anything is sent.
    #[must_use]
    pub fn new(target: Address) -> Self {
        Self {
            target,
            proxy: None,
            credentials: None,
            fields: Fields::default(),
            is_asking: false,
            has_told: false,
            heads: Heads::default(),
            informational: Vec::new(),
            state: State::Fresh,
        }
    }

    /// Says who asks with the first request, as Basic (RFC 7617): the proxy can read it. A field `proxy-authorization` that was
    /// [added](Self::field) takes its place.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Asks the application for a user and a password when the proxy wants them (407, with Basic among its challenges), and
    /// then tries once more on the same connection. Unless the proxy closes that, or the body of its answer is long or has no
    /// length: then it is [`AuthRequired`](ErrorKind::AuthRequired) at once, as it is if the application does not answer.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.is_asking = true;
        self
    }

    /// The proxy that is asked, for errors.
    #[must_use]
    pub fn by(mut self, proxy: Address) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Adds a field to the request.
    ///
    /// # Errors
    ///
    /// [`Unaskable`](ErrorKind::Unaskable) for a name that is none, a value with a control character, and for `host`,
    /// `content-length` and `transfer-encoding`.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, Error> {
        match self.fields.push(name, value.as_ref()) {
            Ok(()) => Ok(self),
            Err(kind) => Err(self.error(kind)),
        }
    }

    /// Tells the proxy which protocols may be spoken in the tunnel (RFC 7639), by their names in ALPN.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.fields.push_alpn(protocols);
        self
    }

    /// The request, without a body and without a word about one.
    fn request(&mut self) -> Result<Vec<u8>, Error> {
        let Some(authority) = authority::print(&self.target) else {
            return Err(
                self.error(ErrorKind::Unaskable("a tunnel leads to a port of a host, and that is none".to_owned()))
            );
        };
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        self.has_told = self.fields.has("proxy-authorization") || self.credentials.is_some();
        let basic = self.credentials.as_ref().filter(|_| !self.fields.has("proxy-authorization")).map(basic::print);
        let basic = basic.as_ref().map(|value| ("Proxy-Authorization", value.as_bytes()));
        for (name, value) in basic.into_iter().chain(self.fields.iter()) {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                request.extend_from_slice(part);
            }
        }
        request.extend_from_slice(b"\r\n");
        Ok(request)
    }

    fn send(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let request = self.request()?;
        let early = exchange.input();
        if !is_begun(early) {
            return Err(self.error(not_spoken(early)));
        }
        exchange.ask(&request).map_err(|error| self.error(error.into()))?;
        self.heads = Heads::default();
        Ok(())
    }

    /// The next head, if it is there.
    fn read_head(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Challenges>, Error> {
        let input = exchange.input();
        if !is_begun(input) {
            return Err(self.error(not_spoken(input)));
        }
        if let (State::SentAgain(_), [_, ..]) = (&self.state, input) {
            self.state = State::Sent;
        }
        let Some(len) = self.heads.find(input).map_err(|kind| self.error(kind))? else { return Ok(Advance::Waiting) };
        let head = self.heads.answer(&input[..len]).map_err(|mistake| self.error(mistake.into()))?;
        match head.status {
            101 => return Err(self.malformed("it switches to another protocol (101), which nobody asked for")),
            100..200 if self.informational.len() == MAX_INFORMATIONAL => {
                return Err(self.malformed("it has more to say beforehand (1xx) than anybody wants to know"));
            }
            100..200 => self.informational.push(head.status),
            200..300 => {
                exchange.take(len);
                let informational = std::mem::take(&mut self.informational);
                self.state = State::Through(Answer::Http { status: head.status, fields: head.fields, informational });
                return Ok(Advance::Leave);
            }
            300.. => {
                let body = Body::of(&head);
                self.state = State::Refused(head, body);
            }
            _ => return Err(self.malformed("its status is none")),
        }
        exchange.take(len);
        Ok(Advance::Going)
    }

    /// What follows the head of a refusal.
    fn read_body(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Challenges>, Error> {
        let State::Refused(head, body) = &mut self.state else { return Ok(Advance::Going) };
        let taken = body.take(exchange.input());
        exchange.take(taken);
        let asks = self.is_asking && !self.has_told && can_go_on(head, body);
        match asks {
            true if body.is_whole() => {
                let challenges = challenges(&head.fields);
                self.state = State::Challenged(challenges.clone());
                Ok(Advance::Ask(challenges))
            }
            false if body.is_enough() => Err(self.refused()),
            _ => Ok(Advance::Waiting),
        }
    }

    /// The refusal, with as much of its body as there is.
    fn refused(&mut self) -> Error {
        let kind = match std::mem::replace(&mut self.state, State::Fresh) {
            State::Refused(head, _) if head.status == 407 && self.has_told => ErrorKind::AuthRejected,
            State::Refused(head, _) if head.status == 407 => ErrorKind::AuthRequired(challenges(&head.fields)),
            State::Refused(head, body) => refused(head.status, &head.reason, head.fields, body.into_kept()),
            State::Challenged(challenges) | State::SentAgain(challenges) => ErrorKind::AuthRequired(challenges),
            State::Fresh | State::Sent | State::Through(_) => ErrorKind::Ended(ANSWER),
        };
        self.error(kind)
    }

    fn malformed(&self, what: &str) -> Error {
        self.error(ErrorKind::Malformed(what.to_owned()))
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(TunnelProtocol::Http1, Some(self.target.clone()), kind).by(self.proxy.clone())
    }
}

/// Its facts are what the proxy has said.
impl Negotiation for Connect {
    type Question = Challenges;
    type Facts = Answer;

    fn name(&self) -> &'static str {
        TunnelProtocol::Http1.name()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CONNECT to {}", self.target)
    }

    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Advance<Challenges>, Failure> {
        match self.state {
            State::Fresh => {
                self.send(exchange)?;
                self.state = State::Sent;
                Ok(Advance::Going)
            }
            State::Refused(..) => Ok(self.read_body(exchange)?),
            _ => Ok(self.read_head(exchange)?),
        }
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            State::Refused(..) => "the rest of a refusal",
            _ => ANSWER,
        }
    }

    fn facts(&self) -> Option<Answer> {
        match &self.state {
            State::Through(answer) => Some(answer.clone()),
            _ => None,
        }
    }

    fn decline(&mut self, _exchange: &mut Exchange<'_>) -> Result<Advance<Challenges>, Failure> {
        Err(self.refused().into())
    }

    fn failure(&mut self, error: OpeningError) -> Failure {
        match (&self.state, error.kind()) {
            // Whatever ends it, it is a refusal; many end with the connection.
            // It closes behind a 407, and does not say so: another connection will do.
            (State::Refused(..), _) | (State::SentAgain(_) | State::Challenged(_), OpeningErrorKind::Ended(_)) => {
                self.refused().into()
            }
            _ => self.error(error.into()).into(),
        }
    }
}

/// The question is what the proxy challenges with; refusing is not to say who asks.
impl Answerable for Connect {
    type Grant = Credentials;
    type Refusal = ();

    fn grant(&mut self, credentials: Credentials, exchange: &mut Exchange<'_>) -> Result<Advance<Challenges>, Failure> {
        self.credentials = Some(credentials);
        self.send(exchange)?;
        if let State::Challenged(challenges) = &mut self.state {
            self.state = State::SentAgain(std::mem::take(challenges));
        }
        Ok(Advance::Going)
    }

    fn refuse(&mut self, (): (), exchange: &mut Exchange<'_>) -> Result<Advance<Challenges>, Failure> {
        self.decline(exchange)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("target", &self.target)
            .field("proxy", &self.proxy)
            .field("fields", &self.fields)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Whether a 407 can be answered on this connection: Basic is asked for, the body has an end that is not far, and the proxy does
/// not close (RFC 9112, section 9.3; the old name of that field is still sent).
fn can_go_on(head: &AnswerHead, body: &Body) -> bool {
    let says = |option: &str| {
        let options = all(&head.fields, "connection").chain(all(&head.fields, "proxy-connection"));
        options
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    let stays = !says("close") && (head.is_http11 || says("keep-alive"));
    head.status == 407 && stays && body.is_short() && challenges(&head.fields).basic().is_some()
}

/// Whether what has come may be the beginning of an answer.
fn is_begun(input: &[u8]) -> bool {
    let len = input.len().min(BEGINNING.len());
    input[..len] == BEGINNING[..len]
}

fn not_spoken(input: &[u8]) -> ErrorKind {
    ErrorKind::NotSpoken(input[..input.len().min(MAX_FIRST)].to_owned())
}

const BEGINNING: &[u8] = b"HTTP/1.";
const ANSWER: &str = "the answer of the proxy";
const MAX_INFORMATIONAL: usize = 8;
const MAX_FIRST: usize = 16;
