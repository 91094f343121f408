//! IRC: STARTTLS, which the capability `tls` announces (IRCv3, `tls` extension 3.1).
//!
//! ```text
//! S: NOTICE * :*** looking up your name         as many as it likes, and unasked
//! C: CAP LS 302
//! S: :irc.example CAP * LS * :sasl server-time
//! S: :irc.example CAP * LS :multi-prefix tls
//! C: STARTTLS
//! S: :irc.example 670 * :go ahead
//!    ─── TLS ───
//! C: CAP LS 302                                 anew: what the server said before is forgotten
//! ```
//!
//! A server may say something at any time, so that an answer cannot be told to be early by there being something to read.
//! What may come unasked is known, though: NOTICE, PING, and news of capabilities. The client reads all of that before it
//! asks, and asks only between two lines. An answer that was there before is out of turn.

use super::reply::one_word;
use super::{Error, Exchange, Greets, Machine, Progress, StartTls};

/// IRC.
///
/// A server does not greet, though most send notices as soon as there is a connection. These are dropped.
///
/// The client's CAP LS has begun a negotiation of capabilities, of which the server may wait for the end before it lets the
/// client in. After TLS the client lists them anew, or sends CAP END if it wants none, along with NICK and USER. A server
/// takes CAP END from clients that it has not heard a CAP LS of.
///
/// The extension is deprecated. Servers that have a port with TLS from the start want that to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Irc {
    name: String,
}

impl Irc {
    /// A server that calls itself `localhost`, or any client.
    #[must_use]
    pub fn new() -> Self {
        Self { name: "localhost".to_owned() }
    }

    /// What a server calls itself: a domain name. Everything from the first control character or space on is left out.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = one_word(name);
        self
    }
}

impl Default for Irc {
    fn default() -> Self {
        Self::new()
    }
}

impl StartTls for Irc {
    fn name(&self) -> &'static str {
        "irc"
    }

    fn greets(&self) -> Greets {
        Greets::Never
    }

    fn client(&self) -> Box<dyn Machine> {
        Box::new(Client::Connected)
    }

    fn server(&self) -> Box<dyn Machine> {
        Box::new(Server { name: self.name.clone() })
    }
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Connected,
    Capabilities { offered: bool },
    Offered,
    Answer,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(self.ask(exchange)) };
        let message = Message::parse(line);
        let [first, second, third, fourth] = message.parameters;
        match (*self, message.kind()) {
            (_, Kind::Empty | Kind::Command(b"NOTICE")) => Ok(Progress::Going),
            (_, Kind::Command(b"PING")) => {
                exchange.send(&[b"PONG :", first, b"\r\n"].concat());
                Ok(Progress::Going)
            }
            // News that come with version 302.
            (_, Kind::Command(b"CAP")) if matches!(second, b"NEW" | b"DEL") => Ok(Progress::Going),
            (Self::Capabilities { offered }, Kind::Command(b"CAP")) if second == b"LS" => {
                let more = third == b"*" && message.count == 4;
                let list = if more { fourth } else { third };
                let offered = offered || list.split(|&byte| byte == b' ').any(is_tls);
                *self = if more { Self::Capabilities { offered } } else { Self::Offered };
                if more || offered { Ok(Progress::Going) } else { Err(Error::not_offered()) }
            }
            (Self::Answer, Kind::Numeric(b"670")) => Ok(Progress::GoAhead),
            (Self::Connected | Self::Offered, Kind::Command(b"CAP")) | (_, Kind::Numeric(b"670")) => {
                Err(Error::out_of_turn())
            }
            // A server without capabilities: it knows no such command, or none before the client has a name.
            (Self::Capabilities { .. }, Kind::Numeric(b"410" | b"421" | b"451")) => Err(Error::not_known(line)),
            (_, Kind::Numeric([b'4'..=b'9', ..]) | Kind::Command(b"ERROR")) => Err(Error::refused(line)),
            _ => Err(Error::malformed(self.awaits(), line)),
        }
    }

    fn awaits(&self) -> &'static str {
        match self {
            Self::Connected | Self::Capabilities { .. } => "the capabilities",
            Self::Offered | Self::Answer => "the answer to STARTTLS",
        }
    }
}

impl Client {
    /// Asks, if it is time to. What is left to read is the front of a line, which is older than the question: that waits.
    fn ask(&mut self, exchange: &mut Exchange<'_>) -> Progress {
        match self {
            _ if !exchange.input().is_empty() => Progress::Waiting,
            Self::Connected => {
                exchange.send(b"CAP LS 302\r\n");
                *self = Self::Capabilities { offered: false };
                Progress::Going
            }
            Self::Offered => {
                exchange.send(b"STARTTLS\r\n");
                *self = Self::Answer;
                Progress::Asked
            }
            Self::Capabilities { .. } | Self::Answer => Progress::Waiting,
        }
    }
}

/// A capability is its name, and perhaps a value. The case matters.
fn is_tls(capability: &[u8]) -> bool {
    capability.strip_prefix(b"tls").is_some_and(|rest| matches!(rest, [] | [b'=', ..]))
}

#[derive(Debug)]
struct Server {
    name: String,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let message = Message::parse(line);
        let [first, second, ..] = message.parameters;
        let is = |command: &str| message.command.eq_ignore_ascii_case(command.as_bytes());
        if is("") {
            return Ok(Progress::Going);
        }
        if is("QUIT") {
            exchange.send(b"ERROR :bye\r\n");
            return Err(Error::left());
        }
        let answer: &[&[u8]] = if is("STARTTLS") {
            &[b"670 * :go ahead"]
        } else if is("CAP") && first.eq_ignore_ascii_case(b"LS") {
            &[b"CAP * LS :tls"]
        } else if is("CAP") && first.eq_ignore_ascii_case(b"REQ") && second.trim_ascii() == b"tls" {
            &[b"CAP * ACK :tls"]
        } else if is("PING") && message.count == 0 {
            &[b"409 * :no origin"]
        } else if is("PING") {
            &[b"PONG ", self.name.as_bytes(), b" :", first]
        } else if exchange.is_optional() {
            return Err(Error::not_asked(message.command));
        } else {
            // There are clients that take 451 for the answer to STARTTLS if it has that word in it.
            &[b"451 * :TLS first"]
        };
        let line = [b":", self.name.as_bytes(), b" ", &answer.concat(), b"\r\n"].concat();
        if answer[0].starts_with(b"4") {
            exchange.refuse(&line);
        } else {
            exchange.send(&line);
        }
        Ok(if is("STARTTLS") { Progress::GoAhead } else { Progress::Going })
    }

    fn awaits(&self) -> &'static str {
        "STARTTLS"
    }

    /// Numeric 691 of the extension.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(&[b":", self.name.as_bytes(), b" 691 * :no TLS at the time\r\n"].concat());
        true
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"ERROR :too many errors\r\n");
    }
}

/// A line (RFC 2812 section 2.3.1), with tags perhaps.
#[derive(Debug)]
struct Message<'a> {
    /// Whether the line says whom it is from.
    sourced: bool,
    command: &'a [u8],
    /// The first of them, and empty ones behind the last.
    parameters: [&'a [u8]; 4],
    count: usize,
}

#[derive(Debug)]
enum Kind<'a> {
    Empty,
    Command(&'a [u8]),
    /// A reply. It always has a source (RFC 2812 section 2.4), which tells it from the replies of other protocols.
    Numeric(&'a [u8]),
    Unknown,
}

impl<'a> Message<'a> {
    fn parse(line: &'a [u8]) -> Self {
        let mut rest = line;
        if rest.starts_with(b"@") {
            word(&mut rest);
        }
        let sourced = rest.starts_with(b":");
        if sourced {
            word(&mut rest);
        }
        let command = word(&mut rest);
        let mut parameters = [&b""[..]; 4];
        let mut count = 0;
        while count < parameters.len() && !rest.is_empty() {
            parameters[count] = match rest.strip_prefix(b":") {
                Some(last) => {
                    rest = b"";
                    last
                }
                None => word(&mut rest),
            };
            count += 1;
        }
        Self { sourced, command, parameters, count }
    }

    fn kind(&self) -> Kind<'a> {
        match self.command {
            [] => Kind::Empty,
            [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'] if self.sourced => Kind::Numeric(self.command),
            [b'0'..=b'9', ..] => Kind::Unknown,
            command => Kind::Command(command),
        }
    }
}

/// Takes a word off the front, and the spaces behind it.
fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    *rest = behind.trim_ascii_start();
    word
}
