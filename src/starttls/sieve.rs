//! ManageSieve: STARTTLS (RFC 5804 section 2.2).
//!
//! ```text
//! S: "IMPLEMENTATION" "example"       the greeting is the list of capabilities (section 1.7)
//! S: "SASL" ""
//! S: "SIEVE" "fileinto"
//! S: "STARTTLS"
//! S: OK "ready"
//! C: STARTTLS
//! S: OK "go ahead"
//!    ─── TLS ───
//! S: "IMPLEMENTATION" "example"       anew and unasked: what the server said before is forgotten
//! ```
//!
//! A string may be a literal (section 4): its length in braces, the end of the line, and then that many bytes of anything,
//! lines that look like `OK` and `"STARTTLS"` among them. So a message is more than a line, and is taken as a whole.

use super::preamble::{Greeting, protocol};
use super::{Error, ErrorKind, Exchange, Machine, Progress};

protocol! {
    /// ManageSieve.
    ///
    /// After TLS the server says its capabilities again, unasked: the first thing for the application of a client to read, and
    /// for that of a server to send.
    Sieve "sieve" greets Again;
    /// The greeting has been said: on a connection on which TLS was stopped, to start it again.
    option greeted;
    client |sieve| if sieve.greeted { Client::Greeted } else { Client::Capabilities { offered: false } };
    server |sieve| Greeting::unless(sieve.greeted, CAPABILITIES, Server);
}

#[derive(Clone, Copy, Debug)]
enum Client {
    /// The capabilities have been said once, and must be asked for.
    Greeted,
    Capabilities {
        offered: bool,
    },
    Informed {
        offered: bool,
    },
    Answer,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        match self {
            Self::Greeted => {
                exchange.ask(b"CAPABILITY\r\n")?;
                *self = Self::Capabilities { offered: false };
                Ok(Progress::Going)
            }
            Self::Informed { offered: false } => Err(Error::not_offered()),
            Self::Informed { offered: true } => {
                exchange.ask(b"STARTTLS\r\n")?;
                *self = Self::Answer;
                Ok(Progress::Asked)
            }
            Self::Capabilities { .. } | Self::Answer => self.response(exchange),
        }
    }

    fn awaits(&self) -> &'static str {
        match self {
            Self::Greeted | Self::Capabilities { .. } | Self::Informed { .. } => "the capabilities",
            Self::Answer => "the answer to STARTTLS",
        }
    }
}

impl Client {
    fn response(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(message) = Message::take(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        match (*self, &message.tokens[..]) {
            (_, [Token::Atom(word), ..]) if is(word, "NO") || is(word, "BYE") => Err(Error::refused(message.whole)),
            (Self::Capabilities { offered }, [Token::Quoted(name) | Token::Literal(name), ..]) => {
                *self = Self::Capabilities { offered: offered || is(name, "STARTTLS") };
                Ok(Progress::Going)
            }
            (Self::Capabilities { offered }, [Token::Atom(word), ..]) if is(word, "OK") => {
                *self = Self::Informed { offered };
                Ok(Progress::Greeted)
            }
            (Self::Answer, [Token::Atom(word), ..]) if is(word, "OK") => Ok(Progress::GoAhead),
            _ => Err(Error::malformed(self.awaits(), message.whole)),
        }
    }
}

#[derive(Debug)]
struct Server;

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(message) = Message::take(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        let (verb, arguments) = match &message.tokens[..] {
            [Token::Atom(verb), arguments @ ..] => (*verb, arguments),
            none => (&b""[..], none),
        };
        let is = |expected: &str| is(verb, expected);
        let known = is("STARTTLS") || is("CAPABILITY") || is("LOGOUT");
        if is("NOOP") {
            let answer = done(arguments);
            if answer.starts_with(b"NO") {
                exchange.refuse(&answer);
            } else {
                exchange.send(&answer);
            }
        } else if known && !arguments.is_empty() {
            exchange.refuse(b"NO \"wrong number of arguments\"\r\n");
        } else if is("STARTTLS") {
            exchange.send(b"OK \"go ahead\"\r\n");
            return Ok(Progress::GoAhead);
        } else if is("CAPABILITY") {
            exchange.send(CAPABILITIES);
        } else if is("LOGOUT") {
            exchange.send(b"OK \"bye\"\r\n");
            return Err(Error::left());
        } else if exchange.is_optional() {
            return Err(Error::not_asked(verb));
        } else {
            // Section 1.3.
            exchange.refuse(b"NO (ENCRYPT-NEEDED) \"STARTTLS first\"\r\n");
        }
        Ok(Progress::Going)
    }

    fn awaits(&self) -> &'static str {
        "STARTTLS"
    }

    /// Section 2.2.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(b"NO \"no TLS at the time\"\r\n");
        true
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"BYE \"too many errors\"\r\n");
    }
}

/// The answer to NOOP, with the tag that it had, if any (section 2.13).
fn done(arguments: &[Token<'_>]) -> Vec<u8> {
    match arguments {
        [] => b"OK \"done\"\r\n".to_vec(),
        [Token::Quoted(tag)] => [b"OK (TAG \"", *tag, b"\") \"done\"\r\n"].concat(),
        [Token::Literal(tag)] => [format!("OK (TAG {{{}}}\r\n", tag.len()).as_bytes(), tag, b") \"done\"\r\n"].concat(),
        _ => b"NO \"wrong number of arguments\"\r\n".to_vec(),
    }
}

/// A response, a capability or a command, up to the end of its last line.
#[derive(Debug)]
struct Message<'a> {
    tokens: Vec<Token<'a>>,
    whole: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    /// A word, or one parenthesis.
    Atom(&'a [u8]),
    /// What stands between the quotes, with its backslashes.
    Quoted(&'a [u8]),
    Literal(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Takes a message, if a whole one is there.
    fn take(exchange: &mut Exchange<'a>, awaited: &str) -> Result<Option<Self>, Error> {
        let input = exchange.input();
        let (mut tokens, mut literals) = (Vec::new(), 0);
        while let Some(line) = exchange.line()? {
            let end = read_line(line, &mut tokens).ok_or_else(|| Error::malformed(awaited, line))?;
            let LineEnd::Literal(len) = end else {
                let whole = input[..exchange.taken()].trim_ascii_end();
                return Ok(Some(Self { tokens, whole }));
            };
            if exchange.taken().saturating_add(len) > MAX_MESSAGE {
                return Err(Error::too_long(MAX_MESSAGE));
            }
            // Each of them has the message read anew from its front.
            literals += 1;
            if literals > MAX_LITERALS {
                let message = format!("the peer sends a message of more than {MAX_LITERALS} literals");
                return Err(Error::new(ErrorKind::TooLong, message));
            }
            let Some(literal) = exchange.message(len)? else { break };
            tokens.push(Token::Literal(literal));
        }
        exchange.put_back();
        Ok(None)
    }
}

/// What stands behind a line.
#[derive(Debug)]
enum LineEnd {
    /// Another message.
    Message,
    /// A literal of this length, and the rest of the message.
    Literal(usize),
}

/// Reads the tokens of a line. `None` if there is something else in it.
fn read_line<'a>(line: &'a [u8], tokens: &mut Vec<Token<'a>>) -> Option<LineEnd> {
    let mut rest = line.trim_ascii();
    loop {
        let (token, len) = match *rest {
            [] => return Some(LineEnd::Message),
            [b'{', ref length @ .., b'}'] => return read_length(length).map(LineEnd::Literal),
            [b'"', ref text @ ..] => {
                let len = quoted_len(text)?;
                (Token::Quoted(&text[..len]), len + 2)
            }
            [b'(' | b')', ..] => (Token::Atom(&rest[..1]), 1),
            _ => {
                let len = rest.iter().position(|byte| b" \"(){".contains(byte)).unwrap_or(rest.len());
                (Token::Atom(&rest[..len]), len)
            }
        };
        if len == 0 {
            return None;
        }
        tokens.push(token);
        rest = rest[len..].trim_ascii_start();
    }
}

/// Nowhere does the case matter.
fn is(word: &[u8], expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected.as_bytes())
}

/// A client's has a plus behind it, and a server's has none.
fn read_length(digits: &[u8]) -> Option<usize> {
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok().map(|digits| digits.parse().unwrap_or(usize::MAX))
}

/// How long a string is before its closing quote. A backslash takes the meaning from what follows it.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut len = 0;
    loop {
        match text.get(len)? {
            b'"' => return Some(len),
            b'\\' => len += 2,
            _ => len += 1,
        }
    }
}

/// Those that a server must name, and no way to log in yet.
/// GnuTLS waits for an OK with words.
const CAPABILITIES: &[u8] = b"\
\"IMPLEMENTATION\" \"ManageSieve\"\r\n\
\"SASL\" \"\"\r\n\
\"SIEVE\" \"\"\r\n\
\"STARTTLS\"\r\n\
\"VERSION\" \"1.0\"\r\n\
OK \"ready\"\r\n";

/// More than anybody has to say before TLS.
const MAX_LITERALS: usize = 16;

/// Of a message, up to the end of its last literal.
const MAX_MESSAGE: usize = 8192;
