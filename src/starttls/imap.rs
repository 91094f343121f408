//! IMAP: STARTTLS (RFC 9051 section 6.2.1).
//!
//! ```text
//! S: * OK ready
//! C: A CAPABILITY
//! S: * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
//! S: A OK done
//! C: B STARTTLS
//! S: B OK go ahead
//!    ─── TLS ───
//! C: C CAPABILITY               anew: what the server said before is forgotten
//! ```
//!
//! A server may greet with PREAUTH, and TLS cannot be started any more (section 7.1.4). Somebody in the middle can say that
//! too, so it is an error here.

use super::preamble::{Greeting, protocol};
use super::reply::command;
use super::{Error, ErrorKind, Exchange, Machine, Progress};

protocol! {
    /// IMAP.
    ///
    /// After TLS the server does not greet again, and the client asks for the capabilities.
    Imap "imap" greets Once;
    /// The greeting has been said: on a connection on which TLS was stopped, to start it again.
    option greeted;
    client |imap| if imap.greeted { Client::Greeted } else { Client::Greeting };
    server |imap| Greeting::unless(imap.greeted, b"* OK ready\r\n", Server::default());
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Greeting,
    Greeted,
    Capabilities { offered: bool },
    Answer,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Self::Greeted = self {
            exchange.ask(b"A CAPABILITY\r\n")?;
            *self = Self::Capabilities { offered: false };
            return Ok(Progress::Going);
        }
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let (tag, rest) = command(line);
        let (word, rest) = command(rest);
        let is = |expected: &str| word.eq_ignore_ascii_case(expected.as_bytes());
        match (*self, tag) {
            (_, b"*") if is("BYE") => Err(Error::refused(line)),
            (Self::Greeting, b"*") if is("PREAUTH") => {
                let message = "the server says that we are authenticated already, which rules TLS out";
                Err(Error::new(ErrorKind::Preauthenticated, message))
            }
            (Self::Greeting, b"*") if is("OK") => {
                *self = Self::Greeted;
                Ok(Progress::Greeted)
            }
            (Self::Capabilities { offered }, b"*") => {
                let names = || rest.split(|&byte| byte == b' ').any(|name| name.eq_ignore_ascii_case(b"STARTTLS"));
                *self = Self::Capabilities { offered: offered || (is("CAPABILITY") && names()) };
                Ok(Progress::Going)
            }
            // Other untagged responses may come at any time (section 7).
            (Self::Answer, b"*") => Ok(Progress::Going),
            (Self::Capabilities { offered: true }, b"A") if is("OK") => {
                exchange.ask(b"B STARTTLS\r\n")?;
                *self = Self::Answer;
                Ok(Progress::Asked)
            }
            (Self::Capabilities { .. }, b"A") if is("OK") => Err(Error::not_offered()),
            (Self::Capabilities { .. }, b"A") if is("NO") || is("BAD") => Err(Error::refused(line)),
            (Self::Answer, b"B") if is("OK") => Ok(Progress::GoAhead),
            (Self::Answer, b"B") => Err(Error::refused(line)),
            _ => Err(Error::malformed(self.awaits(), line)),
        }
    }

    fn awaits(&self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Greeted | Self::Capabilities { .. } => "the capabilities",
            Self::Answer => "the answer to STARTTLS",
        }
    }
}

#[derive(Debug, Default)]
struct Server {
    /// Of the request for TLS.
    tag: Vec<u8>,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(line) = exchange.line()? else { return Ok(Progress::Waiting) };
        let (tag, rest) = command(line);
        let (word, _) = command(rest);
        let is = |expected: &str| word.eq_ignore_ascii_case(expected.as_bytes());
        // What follows a literal is no command, though it may look like one.
        if line.ends_with(b"+}") || tag.is_empty() || !tag.iter().all(|&byte| is_tag(byte)) {
            return Err(Error::malformed(self.awaits(), line));
        }
        let (untagged, done) = if is("STARTTLS") {
            self.tag = tag.to_vec();
            ("", "OK go ahead")
        } else if is("NOOP") {
            ("", "OK done")
        } else if is("CAPABILITY") {
            ("* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n", "OK done")
        } else if is("LOGOUT") {
            ("* BYE farewell\r\n", "OK done")
        } else if exchange.is_optional() {
            return Err(Error::not_asked(word));
        } else {
            // RFC 5530 section 3.
            ("", "NO [PRIVACYREQUIRED] STARTTLS first")
        };
        let answer = [untagged.as_bytes(), tag, b" ", done.as_bytes(), b"\r\n"].concat();
        if done.starts_with("NO") {
            exchange.refuse(&answer);
        } else {
            exchange.send(&answer);
        }
        if is("LOGOUT") {
            return Err(Error::left());
        }
        Ok(if is("STARTTLS") { Progress::GoAhead } else { Progress::Going })
    }

    fn awaits(&self) -> &'static str {
        "STARTTLS"
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(&[&self.tag, &b" NO no TLS at the time\r\n"[..]].concat());
        true
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(b"* BYE too many errors\r\n");
    }
}

/// RFC 9051 section 9: any ASTRING-CHAR except `+`.
fn is_tag(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#"(){%*"\+"#.contains(&byte)
}
