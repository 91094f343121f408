//! NNTP: STARTTLS (RFC 4642 section 2).
//!
//! ```text
//! S: 200 ready
//! C: CAPABILITIES               RFC 3977 section 5.2
//! S: 101 these
//! S: VERSION 2
//! S: STARTTLS
//! S: .
//! C: STARTTLS
//! S: 382 go ahead
//!    ─── TLS ───
//! C: CAPABILITIES               anew: what was said before is forgotten (RFC 4642 section 2.2.2)
//! ```

use super::preamble::{Greeting, protocol};
use super::reply::{Line, command};
use super::{Error, Exchange, Machine, Progress};

protocol! {
    /// NNTP.
    ///
    /// After TLS the server does not greet again, and the client asks for the capabilities.
    Nntp "nntp" greets Once;
    /// The greeting has been said: on a connection on which TLS was stopped, to start it again.
    option greeted;
    client |nntp| if nntp.greeted { Client::Greeted } else { Client::Greeting };
    server |nntp| Greeting::unless(nntp.greeted, b"200 ready\r\n", Server);
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
        match *self {
            Self::Greeted => {
                exchange.ask(b"CAPABILITIES\r\n")?;
                *self = Self::Capabilities;
                Ok(Progress::Going)
            }
            Self::List { offered } => self.list(offered, exchange),
            Self::Greeting | Self::Capabilities | Self::Answer => self.reply(exchange),
        }
    }

    fn awaits(&self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Greeted | Self::Capabilities | Self::List { .. } => "the capabilities",
            Self::Answer => "the answer to STARTTLS",
        }
    }
}

impl Client {
    fn reply(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = Line::take(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        match (*self, line.code) {
            // No reply has more lines than its list.
            _ if line.more => Err(Error::malformed(self.awaits(), line.whole)),
            (Self::Greeting, 200 | 201) => {
                *self = Self::Greeted;
                Ok(Progress::Greeted)
            }
            (Self::Capabilities, 101) => {
                *self = Self::List { offered: false };
                Ok(Progress::Going)
            }
            (Self::Answer, 382) => Ok(Progress::GoAhead),
            // A server of RFC 977.
            (Self::Capabilities, 500) => Err(Error::not_known(line.whole)),
            (_, 400..600) => Err(Error::refused(line.whole)),
            _ => Err(Error::malformed(self.awaits(), line.whole)),
        }
    }

    fn list(&mut self, offered: bool, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        if line != b"." {
            // One that began with a dot has another one before it (RFC 3977 section 3.1.1): none of these is STARTTLS.
            let (label, _) = command(line);
            *self = Self::List { offered: offered || label.eq_ignore_ascii_case(b"STARTTLS") };
            return Ok(Progress::Going);
        }
        if !offered {
            return Err(Error::not_offered());
        }
        exchange.ask(b"STARTTLS\r\n")?;
        *self = Self::Answer;
        Ok(Progress::Asked)
    }
}

#[derive(Debug)]
struct Server;

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let (verb, argument) = command(line);
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        if is("STARTTLS") && argument.is_empty() {
            exchange.send(b"382 go ahead\r\n");
            return Ok(Progress::GoAhead);
        }
        if is("QUIT") {
            exchange.send(b"205 bye\r\n");
            return Err(Error::left());
        }
        if is("STARTTLS") {
            exchange.refuse(b"501 wrong number of arguments\r\n");
        } else if is("CAPABILITIES") {
            // It may have an argument, which changes nothing yet (RFC 3977 section 5.2.2).
            exchange.send(b"101 these\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n");
        } else if is("MODE") && argument.eq_ignore_ascii_case(b"READER") {
            // Newsreaders begin with it, whatever the capabilities are, and give up if it is refused.
            exchange.send(b"200 ready\r\n");
        } else if exchange.is_optional() {
            return Err(Error::not_asked(verb));
        } else {
            // RFC 3977 section 3.2.1.
            exchange.refuse(b"483 STARTTLS first\r\n");
        }
        Ok(Progress::Going)
    }

    fn awaits(&self) -> &'static str {
        "STARTTLS"
    }

    /// RFC 4642 section 2.2.1.
    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(b"580 no TLS at the time\r\n");
        true
    }

    /// RFC 3977 section 3.2.1.
    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"400 too many errors\r\n");
    }
}
