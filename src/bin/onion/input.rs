//! Standard input, taken apart: bytes for the peer, and local commands.
//!
//! A line that begins with a backslash is a local command; `\\` at its beginning stands for one backslash, to be
//! sent. Everything else goes to the peer as it is and as soon as it is there, line or not. Only the end of each
//! request is marked, because with `--lockstep` an answer is waited for there; and what belongs to `SINK n` is never
//! looked at, so that data may begin with a backslash.
//!
//! The standard input of a process can be read without waiting on no system in the same way, so it has a thread of
//! its own. The channel from there holds a few pieces, and the thread waits while it is full.

use std::io::{self, BufRead};

use futures::SinkExt;
use futures::channel::mpsc;
use onionskin::runtime::{Runtime, block_on};

use crate::failure::Failure;
use crate::protocol::{Command, LINE_LIMIT};

/// A piece of the input.
#[derive(Debug)]
pub(crate) enum Input {
    /// To be sent.
    Bytes(Vec<u8>),
    /// The bytes before this were a request.
    EndOfRequest(Expected),
    /// To be done here.
    Local(Local),
    /// Nothing can be read any more.
    Broken(Failure),
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Line,
    /// A line, or several of which all but the last have a hyphen behind their three digits (RFC 5321 section 4.2.1).
    Reply,
    /// A line that begins with this tag, or with a `+` to ask for more (RFC 9051 section 2.2).
    Tagged(Vec<u8>),
    /// A line `BULK n`, and n bytes.
    Bulk,
    /// A line, the end of the layer, and a line one layer further out.
    Glue,
}

/// A local command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// Asks the peer for a change of layers or for the end, then does the same here.
    Ask(Command),
    /// Shows the layers.
    Layers,
}

/// Reads standard input on a thread of its own. The channel ends where the input does.
pub(crate) fn read(runtime: &'static dyn Runtime, mut source: Source) -> io::Result<mpsc::Receiver<Vec<Input>>> {
    let (mut sender, receiver) = mpsc::channel(CHANNEL);
    let read = move || {
        let mut input = io::stdin().lock();
        loop {
            let pieces = match input.fill_buf() {
                Ok([]) => break block_on(runtime, sender.send(source.finish())).unwrap_or(()),
                Ok(bytes) => {
                    let (count, pieces) = (bytes.len(), source.split(bytes));
                    input.consume(count);
                    pieces
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => vec![Input::Broken(Failure::new(error).at("cannot read standard input"))],
            };
            let last = matches!(pieces.last(), Some(Input::Broken(_)));
            if block_on(runtime, sender.send(pieces)).is_err() || last {
                break;
            }
        }
    };
    std::thread::Builder::new().name("standard input".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// Whether standard input has something that was not read, or its end: then the channel has something soon.
#[cfg(unix)]
pub(crate) fn is_at_hand() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let input = io::stdin();
    let mut asked = [PollFd::new(&input, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Nobody can tell.
#[cfg(not(unix))]
pub(crate) fn is_at_hand() -> bool {
    false
}

/// What standard input holds.
#[derive(Debug)]
pub(crate) enum Source {
    /// Lines, and local commands among them.
    Commands(Splitter),
    /// Nothing but bytes for the peer.
    Verbatim(LineEnds, Requests),
}

/// Where the requests in bytes for the peer end.
#[derive(Debug)]
pub(crate) enum Requests {
    /// Nobody wants to know.
    Unknown,
    /// With each line, which a reply answers.
    Lines,
    /// With each line, which begins with its tag; as much of the present one as matters.
    TaggedLines(Vec<u8>),
}

/// What becomes of the ends of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnds {
    AsTheyAre,
    /// CR LF, also where the CR is missing.
    Network {
        after_return: bool,
    },
}

impl Source {
    fn split(&mut self, bytes: &[u8]) -> Vec<Input> {
        match self {
            Self::Commands(splitter) => splitter.split(bytes),
            Self::Verbatim(line_ends, Requests::Unknown) => vec![Input::Bytes(line_ends.end(bytes))],
            Self::Verbatim(line_ends, requests) => {
                let lines = bytes.split_inclusive(|&byte| byte == b'\n');
                lines.flat_map(|line| requests.split(line, line_ends.end(line))).collect()
            }
        }
    }

    fn finish(&mut self) -> Vec<Input> {
        match self {
            Self::Commands(splitter) => splitter.finish(),
            Self::Verbatim(..) => Vec::new(),
        }
    }
}

impl Requests {
    /// A line, or a part of one, as it was read and as it is to be sent.
    fn split(&mut self, read: &[u8], sent: Vec<u8>) -> impl Iterator<Item = Input> + use<> {
        if let Self::TaggedLines(line) = self {
            let room = MAX_TAG_LENGTH.saturating_sub(line.len());
            line.extend_from_slice(&read[..read.len().min(room)]);
        }
        let end = read.ends_with(b"\n").then(|| Input::EndOfRequest(self.end_line()));
        [Input::Bytes(sent)].into_iter().chain(end)
    }

    fn end_line(&mut self) -> Expected {
        match self {
            Self::Unknown | Self::Lines => Expected::Reply,
            Self::TaggedLines(line) => {
                let tag = line.split(u8::is_ascii_whitespace).next().unwrap_or_default().to_vec();
                line.clear();
                Expected::Tagged(tag)
            }
        }
    }
}

impl LineEnds {
    fn end(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Self::Network { after_return } = self else { return bytes.to_vec() };
        let mut ended = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for &byte in bytes {
            if byte == b'\n' && !*after_return {
                ended.push(b'\r');
            }
            *after_return = byte == b'\r';
            ended.push(byte);
        }
        ended
    }
}

/// Finds the ends of requests and the local commands, however the input is cut.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The line so far, as much of it as matters.
    line: Vec<u8>,
    /// How much data of a `SINK` is still to come.
    data: u64,
}

impl Splitter {
    fn split(&mut self, mut bytes: &[u8]) -> Vec<Input> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let taken = if self.data > 0 { self.take_data(bytes, &mut pieces) } else { self.take(bytes, &mut pieces) };
            bytes = &bytes[taken..];
        }
        pieces
    }

    /// A last local command needs no line end.
    fn finish(&mut self) -> Vec<Input> {
        let mut pieces = Vec::new();
        if self.line.first() == Some(&b'\\') {
            self.end_line(&mut pieces);
        }
        pieces
    }

    fn take_data(&mut self, bytes: &[u8], pieces: &mut Vec<Input>) -> usize {
        let taken = usize::try_from(self.data).map_or(bytes.len(), |data| data.min(bytes.len()));
        pieces.push(Input::Bytes(bytes[..taken].to_vec()));
        self.data -= taken as u64;
        if self.data == 0 {
            pieces.push(Input::EndOfRequest(Expected::Line));
        }
        taken
    }

    fn take(&mut self, bytes: &[u8], pieces: &mut Vec<Input>) -> usize {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let room = (LINE_LIMIT + b"\r\n".len() + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..taken.min(room)]);
        if self.line.first() != Some(&b'\\') {
            pieces.push(Input::Bytes(bytes[..taken].to_vec()));
        }
        if end.is_some() {
            self.end_line(pieces);
        }
        taken
    }

    fn end_line(&mut self, pieces: &mut Vec<Input>) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match text {
            [b'\\', ..] if text.len() > LINE_LIMIT => {
                let message = format!("a line that begins with a backslash is longer than {LINE_LIMIT} bytes");
                pieces.push(Input::Broken(Failure::usage(message)));
            }
            [b'\\', b'\\', ..] => {
                pieces.push(Input::Bytes(line[1..].to_vec()));
                pieces.push(Input::EndOfRequest(Expected::Line));
            }
            [b'\\', command @ ..] => pieces.push(match Local::parse(command) {
                Ok(local) => Input::Local(local),
                Err(failure) => Input::Broken(failure),
            }),
            _ => match Command::parse(text) {
                Ok(Command::Sink(count @ 1..)) => self.data = count,
                Ok(Command::Bulk(_)) => pieces.push(Input::EndOfRequest(Expected::Bulk)),
                Ok(Command::Glue(_)) => pieces.push(Input::EndOfRequest(Expected::Glue)),
                _ => pieces.push(Input::EndOfRequest(Expected::Line)),
            },
        }
    }
}

impl Local {
    fn parse(text: &[u8]) -> Result<Self, Failure> {
        let text = String::from_utf8_lossy(text);
        let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
        let argument = argument.trim();
        let command = match verb {
            "layers" if argument.is_empty() => return Ok(Self::Layers),
            "starttls" | "rstarttls" | "stoptls" | "astoptls" | "quit" => {
                let verb = verb.to_ascii_uppercase();
                Command::parse(if argument.is_empty() { verb } else { format!("{verb} {argument}") }.as_bytes())
            }
            _ => {
                return Err(Failure::usage(format_args!(
                    r"\{text}: the local commands are \starttls, \rstarttls, \stoptls, \astoptls, \layers and \quit (\\ sends a backslash)"
                )));
            }
        };
        command.map(Self::Ask).map_err(|reason| Failure::usage(format_args!(r"\{text}: {reason}")))
    }
}

/// A tag is a few characters, and what is longer is none.
const MAX_TAG_LENGTH: usize = 256;

/// How many reads may wait in the channel.
const CHANNEL: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// All pieces, with neighbouring bytes joined, however the input is cut.
    fn split(text: &[u8], cut: usize) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut pieces: Vec<Input> = text.chunks(cut).flat_map(|chunk| splitter.split(chunk)).collect();
        pieces.extend(splitter.finish());
        let mut shown: Vec<String> = Vec::new();
        for piece in pieces {
            match piece {
                Input::Bytes(bytes) => {
                    let text = String::from_utf8(bytes).unwrap();
                    match shown.last_mut().filter(|last| last.starts_with("> ")) {
                        Some(last) => last.push_str(&text),
                        None => shown.push(format!("> {text}")),
                    }
                }
                Input::EndOfRequest(expected) => shown.push(format!("{expected:?}")),
                Input::Local(local) => shown.push(format!("{local:?}")),
                Input::Broken(failure) => shown.push(format!("! {failure}")),
            }
        }
        shown
    }

    #[test]
    fn requests_and_local_commands_are_found_wherever_the_input_is_cut() {
        let text = b"ECHO a\r\n\\starttls b\nSINK 9\n\\layers\n\nBULK 1\n\\\\back\n\\layers\nGLUE\nrest";
        let expected = [
            "> ECHO a\r\n",
            "Line",
            "Ask(Start(Some(\"b\")))",
            "> SINK 9\n\\layers\n\n",
            "Line",
            "> BULK 1\n",
            "Bulk",
            "> \\back\n",
            "Line",
            "Layers",
            "> GLUE\n",
            "Glue",
            "> rest",
        ];
        for cut in 1..text.len() {
            assert_eq!(split(text, cut), expected, "cut into {cut} bytes");
        }
    }

    #[test]
    fn without_local_commands_everything_is_for_the_peer_and_lines_can_get_their_returns() {
        let text = b"\\layers\r\n\n\rSINK 9\n\r\nx\n";
        for cut in 1..text.len() {
            let sent = |line_ends| {
                let mut source = Source::Verbatim(line_ends, Requests::Unknown);
                let mut pieces: Vec<_> = text.chunks(cut).flat_map(|chunk| source.split(chunk)).collect();
                pieces.extend(source.finish());
                let bytes = pieces.into_iter().flat_map(|piece| match piece {
                    Input::Bytes(bytes) => bytes,
                    other => panic!("{other:?}"),
                });
                bytes.collect::<Vec<u8>>()
            };
            assert_eq!(sent(LineEnds::AsTheyAre), text);
            assert_eq!(sent(LineEnds::Network { after_return: false }), b"\\layers\r\n\r\n\rSINK 9\r\n\r\nx\r\n");
        }
    }

    #[test]
    fn with_lockstep_each_line_for_another_protocol_is_a_request() {
        let text = b"a1 NOOP\r\n\n* x\nlast";
        for cut in 1..text.len() {
            for tagged in [false, true] {
                let requests = if tagged { Requests::TaggedLines(Vec::new()) } else { Requests::Lines };
                let mut source = Source::Verbatim(LineEnds::Network { after_return: false }, requests);
                let (mut sent, mut expected) = (Vec::new(), Vec::new());
                for piece in text.chunks(cut).flat_map(|chunk| source.split(chunk)) {
                    match piece {
                        Input::Bytes(bytes) => sent.extend(bytes),
                        Input::EndOfRequest(answer) => {
                            assert!(sent.ends_with(b"\r\n"));
                            expected.push(answer);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(sent, b"a1 NOOP\r\n\r\n* x\r\nlast");
                match tagged {
                    false => assert_eq!(expected, vec![Expected::Reply; 3]),
                    true => assert_eq!(expected, ["a1", "", "*"].map(|tag| Expected::Tagged(tag.into()))),
                }
            }
        }
    }

    #[test]
    fn a_last_local_command_needs_no_line_end() {
        assert_eq!(split(br"\quit", 2), ["Ask(Quit)"]);
    }

    #[test]
    fn what_is_no_local_command_is_never_sent() {
        for line in [r"\startls", r"\layers now", r"\stoptls now", r"\starttls a b"] {
            let pieces = split(format!("{line}\n").as_bytes(), 3);
            assert!(pieces.len() == 1 && pieces[0].starts_with("! "), "{pieces:?}");
        }
        let long = [&b"\\"[..], &vec![b'x'; 100_000], b"\n"].concat();
        let pieces = split(&long, 1000);
        assert!(pieces.len() == 1 && pieces[0].contains("longer than 8192"), "{} pieces", pieces.len());
    }
}
