//! A mail server from which no mail gets out: it takes every message, under TLS only, and prints it.
//!
//! ```text
//! cargo run --example smtp_sink -- tcp:127.0.0.1:2525 /tmp/ca.pem
//! curl --ssl-reqd --cacert /tmp/ca.pem smtp://localhost:2525 --mail-from a@a.example --mail-rcpt b@b.example -T README.md
//! cargo run --features cli -- connect --crlf tcp:localhost:2525+starttls:smtp --ca /tmp/ca.pem
//! cargo run --features cli -- probe tcp:localhost:2525+starttls:smtp --ca /tmp/ca.pem
//! ```
//!
//! The certificate is made on the spot, for `localhost`; whom to trust for it is written to the file. With two files in its
//! place, they are those of a certificate and its key.

use std::error::Error;
use std::time::Duration;

use onionskin::protocol::{Addresses, LayerView, LimitConnections, LineReceiver, Lines, Protocol, Result, Transport};
use onionskin::starttls::Smtp;
use onionskin::tls::{Identity, TlsServer};
use onionskin::{listen_with, runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "tcp:127.0.0.1:2525".to_owned());
    let tls = tls(arguments.next(), arguments.next())?;
    let factory = LimitConnections::new(move |_: &Addresses| Session::new(tls.clone())).total(100);
    runtime::block_on(runtime::preferred().ok_or("built without a runtime")?, async {
        let mut server = listen_with(&endpoint, factory).await?;
        println!("listening on {}", server.endpoint().transport);
        server.wait().await;
        Ok(())
    })
}

struct Session {
    lines: Lines,
    tls: TlsServer,
    state: State,
}

enum State {
    /// Before TLS, and behind it until there is an EHLO.
    Stranger,
    Idle,
    Envelope(Message),
    Content(Message),
    /// The rest of a content that is not taken.
    Refused,
}

#[derive(Default)]
struct Message {
    sender: String,
    recipients: Vec<String>,
    content: Vec<u8>,
}

impl Session {
    fn new(tls: TlsServer) -> Self {
        // Only CRLF ends a line: a server that also takes LF can be made to see a message inside of a message.
        Self { lines: Lines::delimited_by("\r\n").max_length(MAX_LINE_LENGTH), tls, state: State::Stranger }
    }

    fn command(&mut self, line: &str) -> &'static str {
        let (verb, argument) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match (verb.to_ascii_uppercase().as_str(), &mut self.state) {
            ("EHLO" | "HELO", _) if argument.is_empty() => "501 5.5.4 who are you?",
            ("EHLO", _) => {
                self.state = State::Idle;
                "250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1048576"
            }
            ("HELO", _) => {
                self.state = State::Idle;
                "250 localhost"
            }
            ("NOOP", _) => "250 2.0.0 fine",
            ("QUIT", _) => "221 2.0.0 bye",
            ("VRFY", _) => "252 2.1.5 just send it",
            ("STARTTLS", _) => "503 5.5.1 there is TLS already",
            (_, State::Stranger) => "503 5.5.1 EHLO first",
            ("RSET", _) => {
                self.state = State::Idle;
                "250 2.0.0 forgotten"
            }
            ("MAIL", State::Idle) => match path("FROM:", argument) {
                Some((_, Some(size))) if size > MAX_MESSAGE => "552 5.3.4 that is too much",
                Some((sender, _)) => {
                    self.state = State::Envelope(Message { sender: sender.to_owned(), ..Message::default() });
                    "250 2.1.0 fine"
                }
                None => "501 5.5.4 MAIL FROM:<somebody>",
            },
            ("RCPT", State::Envelope(message)) => match path("TO:", argument) {
                Some(_) if message.recipients.len() == MAX_RECIPIENTS => "452 4.5.3 too many",
                Some((recipient, _)) if !recipient.is_empty() => {
                    message.recipients.push(recipient.to_owned());
                    "250 2.1.5 fine"
                }
                _ => "501 5.5.4 RCPT TO:<somebody>",
            },
            ("DATA", State::Envelope(message)) if !message.recipients.is_empty() => {
                self.state = State::Content(std::mem::take(message));
                "354 go on, up to a line with a dot"
            }
            ("MAIL" | "RCPT" | "DATA", _) => "503 5.5.1 not now",
            _ => "500 5.5.2 what?",
        }
    }

    /// A line of a message. The last one has an answer.
    fn content(&mut self, line: &[u8], peer: &str) -> Option<&'static str> {
        if line == b"." {
            return Some(match std::mem::replace(&mut self.state, State::Idle) {
                State::Content(message) => {
                    message.print(peer);
                    "250 2.0.0 printed"
                }
                _ => "552 5.3.4 that was too much",
            });
        }
        if let State::Content(Message { content, .. }) = &mut self.state {
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            content.extend_from_slice(b"\r\n");
            if content.len() > MAX_MESSAGE {
                self.state = State::Refused;
            }
        }
        None
    }

    fn send_line_by_line(&mut self, transport: &mut Transport<'_>, answer: &str) -> Result {
        answer.split("\r\n").try_for_each(|line| self.send_line(transport, line))
    }
}

impl Protocol for Session {
    /// Up to TLS, the library answers: everything but what leads there is refused.
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.start_tls_as(Smtp::new(), self.tls.accept()?)?;
        Ok(())
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, _: &LayerView) -> Result {
        transport.set_timeout(Some(PATIENCE));
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.set_timeout(Some(PATIENCE));
        self.receive_lines(transport)
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) -> Result {
        self.send_line(transport, "421 4.4.2 that takes too long")?;
        transport.close();
        Ok(())
    }
}

impl LineReceiver for Session {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        if let State::Content(_) | State::Refused = self.state {
            let peer = transport.peer_address().map(ToString::to_string).unwrap_or_default();
            return self.content(line, &peer).map_or(Ok(()), |answer| self.send_line_by_line(transport, answer));
        }
        // A line feed alone is no end of a line, and no part of a command either.
        let command = std::str::from_utf8(line).ok().filter(|line| !line.contains(char::is_control));
        let answer = command.map_or("500 5.5.2 what?", |line| self.command(line));
        self.send_line_by_line(transport, answer)?;
        if answer.starts_with("221") {
            transport.close();
        }
        Ok(())
    }

    /// The line is dropped, and with it the message in which it was.
    fn line_length_exceeded(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.state {
            State::Content(_) | State::Refused => self.state = State::Refused,
            _ => self.send_line(transport, "500 5.5.2 that line is too long")?,
        }
        Ok(())
    }
}

impl Message {
    /// In one piece, and without what strangers could do to a terminal.
    fn print(&self, peer: &str) {
        let recipients: String = self.recipients.iter().map(|recipient| format!("RCPT TO:<{recipient}>\n")).collect();
        let content = String::from_utf8_lossy(&self.content);
        let message = format!("from {peer}\nMAIL FROM:<{}>\n{recipients}\n{content}.", self.sender);
        println!("{}", message.replace(|c: char| c.is_control() && c != '\n' && c != '\t', ""));
    }
}

/// What stands between the angle brackets, and the size that is announced behind them (RFC 1870).
fn path<'a>(keyword: &str, argument: &'a str) -> Option<(&'a str, Option<usize>)> {
    let (front, rest) = argument.split_at_checked(keyword.len())?;
    let (address, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    let size =
        parameters.split(' ').find_map(|parameter| parameter.to_ascii_uppercase().strip_prefix("SIZE=")?.parse().ok());
    front.eq_ignore_ascii_case(keyword).then_some((address, size))
}

/// With these two files, or with a certificate that is made on the spot, for whose trust one file is written.
fn tls(first: Option<String>, key: Option<String>) -> Result<TlsServer, Box<dyn Error>> {
    if let (Some(chain), Some(key)) = (&first, key) {
        return Ok(TlsServer::new(Identity::from_pem_files(chain, key)?)?);
    }
    let trust = first.unwrap_or_else(|| "/tmp/ca.pem".to_owned());
    let made = rcgen::generate_simple_self_signed(["localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
    std::fs::write(trust, made.cert.pem())?;
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())?;
    Ok(TlsServer::new(identity)?)
}

/// With its CRLF, RFC 5321 section 4.5.3.1.6 asks for 1,000 at least.
const MAX_LINE_LENGTH: usize = 2000;

const MAX_MESSAGE: usize = 1024 * 1024;

const MAX_RECIPIENTS: usize = 100;

/// RFC 5321 section 4.5.3.2.7.
const PATIENCE: Duration = Duration::from_secs(300);
