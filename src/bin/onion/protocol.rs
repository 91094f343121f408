//! The onion line protocol: its commands and answers as values.
//!
//! A command is a line, and is answered at the depth at which it was asked. Those that change the layers are agreed
//! to first, with a line that tells the depth after the change, and then done by both sides:
//!
//! | command | answer | then |
//! |---|---|---|
//! | `ECHO text` | `ECHO text` | |
//! | `DEPTH` | `DEPTH 2 TLSv1.3/TLSv1.2` | |
//! | `STARTTLS [name]` | `OK STARTTLS d` | a handshake; the asker is the TLS client and verifies `name` |
//! | `RSTARTTLS [name]` | `OK RSTARTTLS d` | a handshake; the answerer is the TLS client and verifies `name` |
//! | `STOPTLS` | `OK STOPTLS d` | the answerer's close_notify, then the asker's |
//! | `ASTOPTLS` | `OK ASTOPTLS d` | the asker's close_notify, then the answerer's |
//! | `GLUE text` | `OK GLUE` | in the same send, close_notify and `GLUED text`, one layer further out |
//! | `BULK n` | `BULK n` | n bytes `x` |
//! | `SINK n`, n bytes | `SUNK n sha256` | |
//! | `QUIT` | `BYE` | close_notify on every layer from the inside out, and the end |
//!
//! Anything else is answered with `ERR reason`.

use std::fmt::{self, Write};

use onionskin::Connection;
use onionskin::connection::Layers;
use onionskin::rustls::pki_types::ServerName;
use onionskin::stack::Limits;
use onionskin::tls::TlsFacts;

/// What the asker wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Echo(Vec<u8>),
    Depth,
    /// With the answerer as the TLS server.
    Start(Option<String>),
    /// With the answerer as the TLS client.
    StartReversed(Option<String>),
    /// With the answerer's close_notify first.
    Stop,
    /// With the asker's close_notify first.
    StopAsker,
    Glue(Vec<u8>),
    Bulk(u64),
    Sink(u64),
    Quit,
}

impl Command {
    /// Reads a line, without its end.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let space = line.iter().position(|&byte| byte == b' ');
        let (verb, argument) = match space {
            Some(space) => (&line[..space], &line[space + 1..]),
            None => (line, &[][..]),
        };
        let plain = |command: Self| if argument.is_empty() { Ok(command) } else { Err(Refusal::TakesNothing) };
        match verb {
            b"ECHO" => Ok(Self::Echo(argument.to_vec())),
            b"DEPTH" => plain(Self::Depth),
            b"STARTTLS" => Ok(Self::Start(name(argument)?)),
            b"RSTARTTLS" => Ok(Self::StartReversed(name(argument)?)),
            b"STOPTLS" => plain(Self::Stop),
            b"ASTOPTLS" => plain(Self::StopAsker),
            b"GLUE" => Ok(Self::Glue(argument.to_vec())),
            b"BULK" => Ok(Self::Bulk(count(argument)?)),
            b"SINK" => Ok(Self::Sink(count(argument)?)),
            b"QUIT" => plain(Self::Quit),
            _ => Err(Refusal::Unknown),
        }
    }

    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Echo(_) => "ECHO",
            Self::Depth => "DEPTH",
            Self::Start(_) => "STARTTLS",
            Self::StartReversed(_) => "RSTARTTLS",
            Self::Stop => "STOPTLS",
            Self::StopAsker => "ASTOPTLS",
            Self::Glue(_) => "GLUE",
            Self::Bulk(_) => "BULK",
            Self::Sink(_) => "SINK",
            Self::Quit => "QUIT",
        }
    }

    /// The line that asks for it, without its end.
    pub(crate) fn line(&self) -> Vec<u8> {
        let verb = self.verb();
        match self {
            Self::Echo(text) | Self::Glue(text) => [verb.as_bytes(), b" ", text].concat(),
            Self::Start(Some(name)) | Self::StartReversed(Some(name)) => format!("{verb} {name}").into_bytes(),
            Self::Bulk(count) | Self::Sink(count) => format!("{verb} {count}").into_bytes(),
            _ => verb.into(),
        }
    }

    /// The answer that agrees to a change of layers, or to the end, asked for at `depth`.
    pub(crate) fn agreement(&self, depth: usize) -> Answer<'static> {
        match self {
            Self::Start(_) | Self::StartReversed(_) => Answer::Agreed(self.verb(), depth + 1),
            Self::Stop | Self::StopAsker => Answer::Agreed(self.verb(), depth.saturating_sub(1)),
            Self::Quit => Answer::Bye,
            _ => Answer::Glue,
        }
    }
}

/// What the answerer says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'a> {
    Echo(&'a [u8]),
    Depth(&'a Layers),
    /// The verb, and the depth after the change.
    Agreed(&'static str, usize),
    Glue,
    Glued(&'a [u8]),
    Bulk(u64),
    Sunk(u64, &'a [u8]),
    Bye,
    Refused(Refusal),
}

impl Answer<'_> {
    /// The line that says it, without its end.
    pub(crate) fn line(&self) -> Vec<u8> {
        match self {
            Self::Echo(text) => [b"ECHO ", *text].concat(),
            Self::Depth(layers) => {
                let versions: Vec<_> = layers.tls().map(TlsFacts::version_name).collect();
                let shown = if versions.is_empty() { "-".to_owned() } else { versions.join("/") };
                format!("DEPTH {} {shown}", versions.len()).into_bytes()
            }
            Self::Agreed(verb, depth) => format!("OK {verb} {depth}").into_bytes(),
            Self::Glue => b"OK GLUE".to_vec(),
            Self::Glued(text) => [b"GLUED ", *text].concat(),
            Self::Bulk(count) => format!("BULK {count}").into_bytes(),
            Self::Sunk(count, digest) => {
                let mut line = format!("SUNK {count} ");
                for byte in *digest {
                    write!(line, "{byte:02x}").expect("a string takes everything");
                }
                line.into_bytes()
            }
            Self::Bye => b"BYE".to_vec(),
            Self::Refused(reason) => format!("ERR {reason}").into_bytes(),
        }
    }
}

/// Why a command is not carried out: the reason behind `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown,
    TakesNothing,
    BadCount,
    BadName,
    NoLayer,
    TooDeep,
    NoIdentity,
    NoAnchors,
    LineTooLong,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown command",
            Self::TakesNothing => "this command takes no argument",
            Self::BadCount => "a count is a decimal number of at most 18 digits",
            Self::BadName => "not a host name",
            Self::NoLayer => "no layer to stop",
            Self::TooDeep => return write!(f, "depth is limited to {}", depth_limit()),
            Self::NoIdentity => "STARTTLS needs a server with --cert and --key, or --self-signed",
            Self::NoAnchors => "RSTARTTLS needs a server with --ca",
            Self::LineTooLong => "line too long",
        })
    }
}

/// How many layers there are that can be stopped: one that only watches the time is none that the peer knows.
pub(crate) fn depth<IO>(conn: &Connection<IO>) -> usize {
    conn.stack().layers().filter(|(_, layer)| layer.can_stop()).count()
}

/// The most layers on one connection.
pub(crate) fn depth_limit() -> usize {
    Limits::default().depth
}

fn count(argument: &[u8]) -> Result<u64, Refusal> {
    let is_number = (1..=18).contains(&argument.len()) && argument.iter().all(u8::is_ascii_digit);
    let digits = str::from_utf8(argument).ok().filter(|_| is_number).ok_or(Refusal::BadCount)?;
    digits.parse().map_err(|_| Refusal::BadCount)
}

fn name(argument: &[u8]) -> Result<Option<String>, Refusal> {
    if argument.is_empty() {
        return Ok(None);
    }
    let name = str::from_utf8(argument).map_err(|_| Refusal::BadName)?;
    ServerName::try_from(name).map_err(|_| Refusal::BadName)?;
    Ok(Some(name.to_owned()))
}

/// The longest line, without its end.
pub(crate) const LINE_LIMIT: usize = 8192;

/// The name that is verified when a command gives none.
pub(crate) const DEFAULT_NAME: &str = "localhost";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_parse_and_print() {
        for line in [
            "ECHO a  b",
            "ECHO ",
            "DEPTH",
            "STARTTLS",
            "STARTTLS a.example",
            "RSTARTTLS ::1",
            "STOPTLS",
            "ASTOPTLS",
            "GLUE x",
            "BULK 0",
            "SINK 999999999999999999",
            "QUIT",
        ] {
            let command = Command::parse(line.as_bytes()).unwrap();
            assert_eq!(command.line(), line.as_bytes());
        }
    }

    #[test]
    fn wrong_commands_are_refused_with_a_reason() {
        for (line, reason) in [
            ("", Refusal::Unknown),
            ("echo a", Refusal::Unknown),
            ("DEPTH 1", Refusal::TakesNothing),
            ("BULK", Refusal::BadCount),
            ("BULK -1", Refusal::BadCount),
            ("SINK 1000000000000000000", Refusal::BadCount),
            ("STARTTLS a b", Refusal::BadName),
            ("RSTARTTLS \u{fc}.example", Refusal::BadName),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Err(reason), "{line:?}");
        }
    }

    #[test]
    fn an_agreement_tells_the_depth_after_the_change() {
        assert_eq!(Command::Start(None).agreement(1).line(), b"OK STARTTLS 2");
        assert_eq!(Command::StopAsker.agreement(1).line(), b"OK ASTOPTLS 0");
    }
}
