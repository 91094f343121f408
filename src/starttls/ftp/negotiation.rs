//! AUTH TLS.

use super::protection::{Change, Protection};
use super::reply::{Place, Replies};
use crate::starttls::preamble::{Greeting, protocol};
use crate::starttls::reply::{Words, command};
use crate::starttls::{Error, Exchange, Machine, Progress};

protocol! {
    /// FTP.
    ///
    /// After TLS the server does not greet again, and the client begins with PBSZ.
    Ftp "ftp" greets Once;
    /// The greeting has been said: on a connection on which TLS was stopped, to start it again.
    option greeted;
    client |ftp| Client::new(if ftp.greeted { Asking::Greeted } else { Asking::Greeting });
    server |ftp| Greeting::unless(ftp.greeted, b"220 ready\r\n", Server { protection: Protection::new() });
}

#[derive(Debug)]
struct Client {
    state: Asking,
    replies: Replies,
    /// The lines of the reply so far, should it be one.
    refusal: Words,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Greeting,
    Greeted,
    Answer,
}

impl Client {
    fn new(state: Asking) -> Self {
        Self { state, replies: Replies::default(), refusal: Words::default() }
    }
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Asking::Greeted = self.state {
            exchange.ask(b"AUTH TLS\r\n")?;
            self.state = Asking::Answer;
            return Ok(Progress::Asked);
        }
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let code = match self.replies.place(line) {
            Place::Inside => {
                self.refusal.add(line);
                return Ok(Progress::Going);
            }
            Place::End(code) => code,
            Place::Nowhere => return Err(Error::malformed(self.awaits(), line)),
        };
        match (self.state, code) {
            // Ready in so many minutes; the greeting follows then (RFC 959 section 5.4).
            (Asking::Greeting, 120) => {
                self.refusal = Words::default();
                Ok(Progress::Going)
            }
            (Asking::Greeting, 220) => {
                self.state = Asking::Greeted;
                self.refusal = Words::default();
                Ok(Progress::Greeted)
            }
            (Asking::Answer, 234) => Ok(Progress::GoAhead),
            // AUTH is not known, or TLS is not (RFC 4217 section 10.1).
            (Asking::Answer, 500 | 502 | 504) => Err(Error::not_known(&self.refusal.end(line))),
            (_, 400..600) => Err(Error::refused(&self.refusal.end(line))),
            _ => Err(Error::malformed(self.awaits(), line)),
        }
    }

    fn awaits(&self) -> &'static str {
        match self.state {
            Asking::Greeting | Asking::Greeted => "the greeting",
            Asking::Answer => "the answer to AUTH TLS",
        }
    }
}

#[derive(Debug)]
struct Server {
    protection: Protection,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        if let Some(answer) = self.protection.command(line) {
            let reply = [answer.reply().as_bytes(), b"\r\n"].concat();
            if answer.change() == Change::StartTls {
                exchange.send(&reply);
                return Ok(Progress::GoAhead);
            }
            // Before TLS, that is the answer to all of them.
            exchange.refuse(&reply);
            return Ok(Progress::Going);
        }
        let (verb, _) = command(line);
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        if is("QUIT") {
            exchange.send(b"221 bye\r\n");
            return Err(Error::left());
        }
        if is("FEAT") {
            exchange.send(FEATURES);
        } else if is("NOOP") {
            exchange.send(b"200 fine\r\n");
        } else if is("SYST") {
            exchange.send(b"215 UNIX Type: L8\r\n");
        } else if exchange.is_optional() {
            return Err(Error::not_asked(verb));
        } else {
            exchange.refuse(b"530 AUTH TLS first\r\n");
        }
        Ok(Progress::Going)
    }

    fn awaits(&self) -> &'static str {
        "AUTH TLS"
    }

    /// RFC 4217 section 4.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(b"431 no TLS at the time\r\n");
        true
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"421 too many errors\r\n");
    }
}

/// RFC 4217 section 6.
const FEATURES: &[u8] = b"211-Features\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n";
