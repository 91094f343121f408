//! POP3: STLS (RFC 2595 section 4).
//!
//! ```text
//! S: +OK ready
//! C: CAPA                       RFC 2449 section 5
//! S: +OK
//! S: STLS
//! S: .
//! C: STLS
//! S: +OK go ahead
//!    ─── TLS ───
//! C: CAPA                       anew: what the server said before is forgotten
//! ```

use super::preamble::{Greeting, protocol};
use super::reply::command;
use super::{Error, Exchange, Machine, Progress};

protocol! {
    /// POP3.
    ///
    /// After TLS the server does not greet again, and the client asks for the capabilities. The timestamp for APOP (RFC 1939
    /// section 7) goes with the greeting that was taken: log in with something else.
    Pop3 "pop3" greets Once;
    /// The greeting has been said: on a connection on which TLS was stopped, to start it again.
    option greeted;
    client |pop3| if pop3.greeted { Client::Greeted } else { Client::Greeting };
    server |pop3| Greeting::unless(pop3.greeted, b"+OK ready\r\n", Server);
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Greeting,
    Greeted,
    /// Whether there is a list is still to be said.
    Capabilities,
    List {
        offered: bool,
    },
    Answer,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Self::Greeted = self {
            exchange.ask(b"CAPA\r\n")?;
            *self = Self::Capabilities;
            return Ok(Progress::Going);
        }
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let (word, rest) = command(line);
        match (*self, word) {
            (Self::List { offered: false }, _) if line == b"." => Err(Error::not_offered()),
            (Self::List { offered: true }, _) if line == b"." => {
                exchange.ask(b"STLS\r\n")?;
                *self = Self::Answer;
                Ok(Progress::Asked)
            }
            // A line that began with a dot has another one before it (RFC 1939 section 3): none of these is STLS.
            (Self::List { offered }, _) => {
                *self = Self::List { offered: offered || word.eq_ignore_ascii_case(b"STLS") };
                Ok(Progress::Going)
            }
            (Self::Greeting, b"+OK") => {
                *self = Self::Greeted;
                Ok(Progress::Greeted)
            }
            (Self::Capabilities, b"+OK") => {
                *self = Self::List { offered: false };
                Ok(Progress::Going)
            }
            (Self::Answer, b"+OK") => Ok(Progress::GoAhead),
            // A server without extensions, unless it has a code for its reason (RFC 2449 section 8).
            (Self::Capabilities, b"-ERR") if !rest.starts_with(b"[") => Err(Error::not_known(line)),
            (_, b"-ERR") => Err(Error::refused(line)),
            _ => Err(Error::malformed(self.awaits(), line)),
        }
    }

    fn awaits(&self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Greeted | Self::Capabilities | Self::List { .. } => "the capabilities",
            Self::Answer => "the answer to STLS",
        }
    }
}

#[derive(Debug)]
struct Server;

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let (verb, argument) = command(line);
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        if is("QUIT") {
            exchange.send(b"+OK bye\r\n");
            return Err(Error::left());
        }
        if (is("STLS") || is("CAPA")) && !argument.is_empty() {
            exchange.refuse(b"-ERR wrong number of arguments\r\n");
        } else if is("STLS") {
            exchange.send(b"+OK go ahead\r\n");
            return Ok(Progress::GoAhead);
        } else if is("CAPA") {
            // No USER and no SASL: there is no way to log in yet.
            exchange.send(b"+OK\r\nSTLS\r\n.\r\n");
        } else if exchange.is_optional() {
            return Err(Error::not_asked(verb));
        } else {
            exchange.refuse(b"-ERR STLS first\r\n");
        }
        Ok(Progress::Going)
    }

    fn awaits(&self) -> &'static str {
        "STLS"
    }

    /// RFC 2595 section 4.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(b"-ERR no TLS at the time\r\n");
        true
    }

    /// The protocol has no word that ends a connection.
    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"-ERR too many errors, bye\r\n");
    }
}
