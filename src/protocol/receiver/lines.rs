//! Messages that end with a delimiter.

use crate::protocol::transport::Position;
use crate::protocol::{Error, ErrorKind, Protocol, Result, Transport};

/// A protocol of lines, with a raw mode for whatever comes between them.
///
/// One that never calls [`Lines::set_raw_mode`] gets lines only.
///
/// It keeps a [`Lines`], calls [`receive_lines`](Self::receive_lines) where it hears of data, and gets
/// [`line_received`](Self::line_received) for each line:
///
/// ```
/// use onionskin::protocol::{LineReceiver, Lines, Protocol, Result, Transport};
/// use onionskin::testing::StringTransport;
///
/// struct Shout {
///     lines: Lines,
/// }
///
/// impl Protocol for Shout {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         self.receive_lines(transport)
///     }
/// }
///
/// impl LineReceiver for Shout {
///     fn lines(&mut self) -> &mut Lines {
///         &mut self.lines
///     }
///
///     fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
///         self.send_line(transport, &line.to_ascii_uppercase())
///     }
/// }
///
/// let mut transport = StringTransport::new(Shout { lines: Lines::new() });
/// transport.receive(b"hello\r\nworld");
/// assert_eq!(transport.sent(), b"HELLO\r\n");
/// ```
#[doc(alias = "LineOnlyReceiver")]
pub trait LineReceiver: Protocol {
    /// How the lines of this connection end and how long they may be.
    fn lines(&mut self) -> &mut Lines;

    /// A line, without its delimiter.
    ///
    /// # Errors
    ///
    /// As in all methods of a [`Protocol`], an error closes the connection.
    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result;

    /// There is input in raw mode. As [`Protocol::data_received`]: take what is understood. By default everything is
    /// dropped.
    ///
    /// Another receiver can go on from here: `self.receive_strings(transport)`.
    ///
    /// # Errors
    ///
    /// As [`line_received`](Self::line_received).
    fn raw_data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.consume(transport.input().len());
        Ok(())
    }

    /// A line is too long; all of it that has come is in the input. By default that closes the connection. Where this
    /// returns `Ok`, the line is dropped, what is still to come of it too, and the next one is received; after
    /// [`Lines::set_raw_mode`] nothing is dropped. A layer that is started or stopped ends what is dropped.
    ///
    /// # Errors
    ///
    /// As [`line_received`](Self::line_received).
    fn line_length_exceeded(&mut self, _transport: &mut Transport<'_>) -> Result {
        let limit = self.lines().max_length;
        Err(Error::new(ErrorKind::TooLong, format!("a line is longer than {limit} bytes")))
    }

    /// Writes a line and its delimiter.
    ///
    /// # Errors
    ///
    /// When the line has a delimiter in it, because the peer would take it for two: whoever can put a word into a line
    /// must not be able to say a line of their own. And as [`Transport::write`].
    fn send_line(&mut self, transport: &mut Transport<'_>, line: impl AsRef<[u8]>) -> Result
    where
        Self: Sized,
    {
        let (line, lines) = (line.as_ref(), self.lines());
        let delimited = [line, lines.sent_delimiter()].concat();
        match lines.find(&delimited, 0) {
            Found::Line { length, .. } if length == line.len() => transport.write(&delimited),
            _ => Err(Error::new(ErrorKind::Malformed, "a line that is to be sent has a delimiter in it")),
        }
    }

    /// Hands over the next line, or what is raw: to be called from [`Protocol::data_received`], which is called again for
    /// what is behind it. So the callbacks may pause or leave the connection, start or stop a layer, or go on with
    /// another receiver, and none of it comes a byte too late.
    ///
    /// # Errors
    ///
    /// Those of the callbacks.
    fn receive_lines(&mut self, transport: &mut Transport<'_>) -> Result {
        let here = transport.position();
        for _ in 0..MAX_MODE_CHANGES {
            if transport.is_paused() || transport.position() != here {
                break;
            }
            match self.lines().next(transport) {
                Received::Line(line) => self.line_received(transport, &line)?,
                Received::TooLong => self.line_length_exceeded(transport)?,
                Received::Raw => {
                    self.raw_data_received(transport)?;
                    if self.lines().mode == Mode::Raw {
                        break;
                    }
                }
                Received::Nothing => break,
            }
        }
        Ok(())
    }
}

/// How the lines of one connection end and how long they may be, and whether there are lines now.
#[derive(Clone, Debug)]
pub struct Lines {
    delimiter: Delimiter,
    max_length: usize,
    mode: Mode,
    searched: Searched,
}

#[derive(Clone, Debug)]
enum Delimiter {
    /// LF, and a CR before it belongs to it.
    LineFeed,
    Exactly(Vec<u8>),
}

/// How many bytes of the input are known to have no delimiter, so that a line that comes in small pieces is not searched
/// anew with each of them.
#[derive(Clone, Copy, Debug, Default)]
struct Searched {
    at: Position,
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Lines,
    /// In a line that was too long, and that ends with the layer if not before.
    Skipping {
        changes: u64,
    },
    Raw,
}

impl Lines {
    /// Lines of at most 16,384 bytes that end in CRLF or LF; those that are sent end in CRLF.
    #[must_use]
    pub fn new() -> Self {
        Self {
            delimiter: Delimiter::LineFeed,
            max_length: MAX_LENGTH,
            mode: Mode::Lines,
            searched: Searched::default(),
        }
    }

    /// Lines that end in just these bytes.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[must_use]
    pub fn delimited_by(delimiter: impl Into<Vec<u8>>) -> Self {
        let delimiter = delimiter.into();
        assert!(!delimiter.is_empty(), "a delimiter has at least one byte");
        Self { delimiter: Delimiter::Exactly(delimiter), ..Self::new() }
    }

    /// Sets how long a line may be, in bytes and without its delimiter.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// Begins in raw mode.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.mode = Mode::Raw;
        self
    }

    /// From the next byte on, input is raw. Within [`LineReceiver::line_length_exceeded`] that is the first byte of the
    /// line that is too long.
    pub fn set_raw_mode(&mut self) {
        self.mode = Mode::Raw;
    }

    /// From the next byte on, input is lines.
    pub fn set_line_mode(&mut self) {
        if self.mode == Mode::Raw {
            self.mode = Mode::Lines;
        }
    }

    fn sent_delimiter(&self) -> &[u8] {
        match &self.delimiter {
            Delimiter::LineFeed => b"\r\n",
            Delimiter::Exactly(delimiter) => delimiter,
        }
    }

    fn next(&mut self, transport: &mut Transport<'_>) -> Received {
        if transport.input().is_empty() {
            return Received::Nothing;
        }
        match self.mode {
            Mode::Raw => Received::Raw,
            Mode::Skipping { changes } if changes == transport.position().changes => {
                self.skip(transport);
                Received::Nothing
            }
            Mode::Skipping { .. } | Mode::Lines => self.next_line(transport),
        }
    }

    fn next_line(&mut self, transport: &mut Transport<'_>) -> Received {
        self.mode = Mode::Lines;
        let at = transport.position();
        let searched = if self.searched.at == at { self.searched.count } else { 0 };
        match self.find(transport.input(), searched) {
            Found::Line { length, end } if length <= self.max_length => {
                let mut line = transport.take(end);
                line.truncate(length);
                Received::Line(line)
            }
            Found::Nothing { safe } if safe <= self.max_length => {
                self.searched = Searched { at, count: safe };
                transport.expect_input(self.max_length.saturating_add(self.sent_delimiter().len()));
                Received::Nothing
            }
            Found::Line { .. } | Found::Nothing { .. } => {
                self.mode = Mode::Skipping { changes: at.changes };
                Received::TooLong
            }
        }
    }

    /// Drops what there is of a line, and with its delimiter goes back to lines.
    fn skip(&mut self, transport: &mut Transport<'_>) {
        match self.find(transport.input(), 0) {
            Found::Line { end, .. } => {
                transport.consume(end);
                self.mode = Mode::Lines;
            }
            Found::Nothing { safe } => transport.consume(safe),
        }
    }

    /// Looks for the delimiter in what stands behind the bytes that were searched before.
    fn find(&self, input: &[u8], searched: usize) -> Found {
        let fresh = &input[searched..];
        match &self.delimiter {
            Delimiter::LineFeed => match memchr::memchr(b'\n', fresh) {
                Some(at) => {
                    let end = searched + at;
                    Found::Line { length: end - usize::from(input[..end].ends_with(b"\r")), end: end + 1 }
                }
                None => Found::Nothing { safe: input.len() - usize::from(input.ends_with(b"\r")) },
            },
            Delimiter::Exactly(delimiter) => match memchr::memmem::find(fresh, delimiter) {
                Some(at) => Found::Line { length: searched + at, end: searched + at + delimiter.len() },
                None => {
                    let longest = (delimiter.len() - 1).min(fresh.len());
                    let begun = (1..=longest).rev().find(|&count| fresh.ends_with(&delimiter[..count]));
                    Found::Nothing { safe: input.len() - begun.unwrap_or(0) }
                }
            },
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

enum Received {
    Line(Vec<u8>),
    TooLong,
    Raw,
    Nothing,
}

enum Found {
    /// So many bytes before the delimiter, and so many with it.
    Line { length: usize, end: usize },
    /// No delimiter; so many bytes are certainly not the beginning of one.
    Nothing { safe: usize },
}

const MAX_LENGTH: usize = 16_384;

/// Without a byte being taken, raw input can turn out to be a line, and that line, being too long, raw input. If it is
/// then a line again, it must wait for more, or this would never end.
const MAX_MODE_CHANGES: usize = 3;
