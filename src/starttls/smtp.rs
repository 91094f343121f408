//! SMTP: STARTTLS (RFC 3207).
//!
//! ```text
//! S: 220 mail.example ESMTP
//! C: EHLO client.example
//! S: 250-mail.example
//! S: 250 STARTTLS
//! C: STARTTLS
//! S: 220 go ahead
//!    ─── TLS ───
//! C: EHLO client.example        anew: what was said before is forgotten (section 4.2)
//! ```

use super::preamble::Greeting;
use super::reply::{Line, Words, command, one_word};
use super::{Error, Exchange, Machine, Progress, StartTls};

/// SMTP, also for submission.
///
/// After TLS the server does not greet again, and the client begins with EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    name: String,
    greeted: bool,
}

impl Smtp {
    /// A peer that calls itself `localhost`. Strict servers refuse a client of that name: see
    /// [`own_name`](super::own_name()).
    #[must_use]
    pub fn new() -> Self {
        Self { name: "localhost".to_owned(), greeted: false }
    }

    /// What a client says in EHLO, and a server in its greeting: a domain name, or an address literal (RFC 5321 section
    /// 4.1.3). Everything from the first control character or space on is left out.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = one_word(name);
        self
    }

    /// The greeting has been said: on a connection on which TLS was stopped, to start it again.
    #[must_use]
    pub fn greeted(mut self) -> Self {
        self.greeted = true;
        self
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self::new()
    }
}

impl StartTls for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn client(&self) -> Box<dyn Machine> {
        Box::new(Client::new(self, "EHLO"))
    }

    fn server(&self) -> Box<dyn Machine> {
        Box::new(Server::greeting(self, "EHLO", "ESMTP"))
    }
}

/// The client of SMTP, and of LMTP, which has another word for EHLO.
#[derive(Debug)]
pub(super) struct Client {
    hello: String,
    state: Asking,
    refusal: Words,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Greeting,
    Hello,
    Capabilities { offered: bool },
    Answer,
}

impl Client {
    pub(super) fn new(smtp: &Smtp, verb: &str) -> Self {
        let state = if smtp.greeted { Asking::Hello } else { Asking::Greeting };
        Self { hello: format!("{verb} {}", smtp.name), state, refusal: Words::default() }
    }
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Asking::Hello = self.state {
            exchange.ask(&[self.hello.as_bytes(), b"\r\n"].concat())?;
            self.state = Asking::Capabilities { offered: false };
            return Ok(Progress::Going);
        }
        let Some(line) = Line::take(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        if line.more {
            match &mut self.state {
                // Taken to its end, also if it is a refusal.
                _ if !line.is_positive() => self.refusal.add(line.whole),
                Asking::Capabilities { offered } => *offered |= is_offer(&line),
                _ => {}
            }
            return Ok(Progress::Going);
        }
        if !line.is_positive() {
            return Err(self.refused(&line));
        }
        match self.state {
            Asking::Capabilities { offered } => self.ask(offered || is_offer(&line), exchange),
            Asking::Answer => Ok(Progress::GoAhead),
            Asking::Greeting | Asking::Hello => {
                self.state = Asking::Hello;
                Ok(Progress::Greeted)
            }
        }
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            Asking::Greeting => "the greeting",
            Asking::Hello | Asking::Capabilities { .. } => "the capabilities",
            Asking::Answer => "the answer to STARTTLS",
        }
    }
}

fn is_offer(line: &Line<'_>) -> bool {
    line.text.trim_ascii_end().eq_ignore_ascii_case(b"STARTTLS")
}

impl Client {
    /// By the last line of the reply.
    fn refused(&mut self, line: &Line<'_>) -> Error {
        let words = self.refusal.end(line.whole);
        match (self.state, line.code) {
            // A server without extensions (RFC 5321 section 4.1.4). All other codes are about us, or about today.
            (Asking::Capabilities { .. }, 500 | 502) => Error::not_known(&words),
            (Asking::Capabilities { .. }, _) => Error::refused_hello(&self.hello, &words),
            _ => Error::refused(&words),
        }
    }

    fn ask(&mut self, offered: bool, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if !offered {
            return Err(Error::not_offered());
        }
        exchange.ask(b"STARTTLS\r\n")?;
        self.state = Asking::Answer;
        Ok(Progress::Asked)
    }
}

/// The server of SMTP and of LMTP.
#[derive(Debug)]
pub(super) struct Server {
    verb: &'static str,
    capabilities: String,
}

impl Server {
    pub(super) fn greeting(smtp: &Smtp, verb: &'static str, protocol: &str) -> Greeting<Self> {
        let server = Self { verb, capabilities: format!("250-{}\r\n250 STARTTLS\r\n", smtp.name) };
        Greeting::unless(smtp.greeted, format!("220 {} {protocol}\r\n", smtp.name), server)
    }
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let (verb, argument) = command(line);
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        if is("STARTTLS") && argument.is_empty() {
            exchange.send(b"220 2.0.0 go ahead\r\n");
            return Ok(Progress::GoAhead);
        }
        if is("QUIT") {
            exchange.send(b"221 2.0.0 bye\r\n");
            return Err(Error::left());
        }
        if is(self.verb) && !argument.is_empty() {
            exchange.send(self.capabilities.as_bytes());
        } else if is(self.verb) || is("STARTTLS") {
            exchange.refuse(b"501 5.5.4 wrong number of arguments\r\n");
        } else if is("NOOP") || is("RSET") {
            exchange.send(b"250 2.0.0 fine\r\n");
        } else if exchange.is_optional() {
            return Err(Error::not_asked(verb));
        } else {
            // RFC 3207 section 4.
            exchange.refuse(b"530 5.7.0 must issue a STARTTLS command first\r\n");
        }
        Ok(Progress::Going)
    }

    fn awaits(&self) -> &'static str {
        "STARTTLS"
    }

    /// RFC 3207 section 4.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(b"454 4.7.0 no TLS at the time\r\n");
        true
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"421 4.7.0 too many errors\r\n");
    }
}
