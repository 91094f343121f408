//! XMPP: STARTTLS (RFC 6120 section 5).
//!
//! ```text
//! C: <stream:stream to='xmpp.example' version='1.0' …>
//! S: <stream:stream from='xmpp.example' version='1.0' …>
//! S: <stream:features><starttls …><required/></starttls></stream:features>
//! C: <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
//! S: <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
//!    ─── TLS ───
//! C: <stream:stream to='xmpp.example' version='1.0' …>    anew: the stream before is forgotten (section 5.4.3.3)
//! ```

mod condition;
mod stream;

use std::hash::{BuildHasher, RandomState};

use quick_xml::escape::escape;

use self::stream::{Child, Piece, STREAMS, Stream};
use super::{Error, ErrorKind, Exchange, Greets, Machine, Progress, StartTls};

/// XMPP, between a client and a server or between two servers.
///
/// After TLS the side that asked begins with a new stream header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xmpp {
    kind: Kind,
    domain: String,
    from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ClientToServer,
    ServerToServer,
}

impl Xmpp {
    /// A client and its server. The domain is the server's: what the user's address ends in, which need not be the name of
    /// the machine, and is what its certificate is for (RFC 6120 section 13.7.1.2).
    #[must_use]
    pub fn client_to_server(domain: &str) -> Self {
        Self::new(Kind::ClientToServer, domain)
    }

    /// Two servers. The domain is that of the one that was connected to.
    #[must_use]
    pub fn server_to_server(domain: &str) -> Self {
        Self::new(Kind::ServerToServer, domain)
    }

    /// Whom the side that asks claims to be: a server's domain, or a user's address. Some servers want to know it before
    /// they have anything to do with another server.
    #[must_use]
    pub fn claiming(mut self, address: &str) -> Self {
        self.from = Some(address.to_owned());
        self
    }

    fn new(kind: Kind, domain: &str) -> Self {
        Self { kind, domain: domain.to_owned(), from: None }
    }

    fn header(&self, attributes: &[(&str, &str)]) -> String {
        let content = match self.kind {
            Kind::ClientToServer => "jabber:client",
            Kind::ServerToServer => "jabber:server",
        };
        let mut header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{content}' xmlns:stream='{STREAMS}' version='1.0' xml:lang='en'"
        );
        for (name, value) in attributes {
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            header.push_str(&format!(" {name}='{}'", escape(value)));
        }
        header + ">"
    }
}

impl StartTls for Xmpp {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::ClientToServer => "xmpp",
            Kind::ServerToServer => "xmpp-server",
        }
    }

    fn greets(&self) -> Greets {
        Greets::Never
    }

    fn client(&self) -> Box<dyn Machine> {
        let to = ("to", &*self.domain);
        let header = match &self.from {
            Some(from) => self.header(&[to, ("from", from)]),
            None => self.header(&[to]),
        };
        Box::new(Client { header, state: Asking::Silent, stream: Stream::new() })
    }

    fn server(&self) -> Box<dyn Machine> {
        Box::new(Server { xmpp: self.clone(), state: Asked::Header, stream: Stream::new() })
    }
}

#[derive(Debug)]
struct Client {
    header: String,
    state: Asking,
    stream: Stream,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Silent,
    Header,
    Features,
    Answer,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Asking::Silent = self.state {
            exchange.ask(self.header.as_bytes())?;
            self.state = Asking::Header;
            return Ok(Progress::Going);
        }
        let Some(piece) = self.stream.next(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        match (self.state, piece) {
            (Asking::Header, Piece::Header { versioned: true, .. }) => {
                self.state = Asking::Features;
                Ok(Progress::Going)
            }
            // A server from before features (section 4.7.5).
            (Asking::Header, Piece::Header { .. }) => Err(Error::not_offered()),
            (_, Piece::End) => Err(Error::refused(b"</stream:stream>")),
            (_, Piece::Child(child)) if child.is(STREAMS, "error") => Err(condition::refusal(child.whole)),
            (Asking::Features, Piece::Child(child)) if child.is(STREAMS, "features") => self.ask(&child, exchange),
            (Asking::Answer, Piece::Child(child)) if child.is(TLS, "proceed") => Ok(Progress::GoAhead),
            (Asking::Answer, Piece::Child(child)) if child.is(TLS, "failure") => Err(condition::refusal(child.whole)),
            (_, Piece::Child(child)) => Err(Error::malformed(self.awaits(), child.whole)),
            (_, Piece::Header { .. }) => Err(Error::malformed(self.awaits(), b"<stream:stream>")),
        }
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            Asking::Silent | Asking::Header => "the stream header",
            Asking::Features => "the stream features",
            Asking::Answer => "the answer to <starttls/>",
        }
    }
}

impl Client {
    fn ask(&mut self, features: &Child<'_>, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if !features.has(TLS, "starttls") {
            return Err(Error::not_offered());
        }
        // White space keeps connections alive, and answers nothing (section 4.6.1).
        stream::take_white_space(exchange);
        exchange.ask(format!("<starttls xmlns='{TLS}'/>").as_bytes())?;
        self.state = Asking::Answer;
        Ok(Progress::Asked)
    }
}

#[derive(Debug)]
struct Server {
    xmpp: Xmpp,
    state: Asked,
    stream: Stream,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Header,
    StartTls,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(piece) = self.stream.next(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        match piece {
            Piece::Header { from, .. } => {
                self.state = Asked::StartTls;
                let header = self.header(from.as_deref());
                let required = if exchange.is_optional() { "" } else { "<required/>" };
                let offer = format!("<starttls xmlns='{TLS}'>{required}</starttls>");
                exchange.send(format!("{header}<stream:features>{offer}</stream:features>").as_bytes());
                Ok(Progress::Going)
            }
            Piece::Child(child) if child.is(TLS, "starttls") => {
                exchange.send(format!("<proceed xmlns='{TLS}'/>").as_bytes());
                Ok(Progress::GoAhead)
            }
            Piece::End => {
                exchange.send(b"</stream:stream>");
                Err(Error::left())
            }
            Piece::Child(_) => {
                if !exchange.is_optional() {
                    let condition = format!("<policy-violation xmlns='{CONDITIONS}'/>");
                    exchange.send(format!("<stream:error>{condition}</stream:error></stream:stream>").as_bytes());
                }
                // It may have a password in it.
                Err(Error::new(ErrorKind::NotAsked, "the client goes on without <starttls/>"))
            }
        }
    }

    /// Section 5.4.2.2: and the stream is closed.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.send(format!("<failure xmlns='{TLS}'/></stream:stream>").as_bytes());
        false
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            Asked::Header => "the stream header",
            Asked::StartTls => "<starttls/>",
        }
    }
}

impl Server {
    fn header(&self, to: Option<&str>) -> String {
        // Unique, and not to be guessed (section 4.7.3).
        let state = RandomState::new();
        let id = format!("{:016x}{:016x}", state.hash_one(0), state.hash_one(1));
        let ours = [("id", &*id), ("from", &*self.xmpp.domain)];
        match to {
            Some(to) => self.xmpp.header(&[ours[0], ours[1], ("to", to)]),
            None => self.xmpp.header(&ours),
        }
    }
}

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const CONDITIONS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
