//! Messages that end with a delimiter.

use crate::protocol::{Error, ErrorKind, Protocol, Result, Transport};

/// A protocol of lines, with a raw mode for whatever comes between them.
///
/// It keeps a [`Lines`], calls [`receive_lines`](Self::receive_lines) where it is told of data, and gets
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
    /// # Errors
    ///
    /// As [`line_received`](Self::line_received).
    fn raw_data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.consume(transport.input().len());
        Ok(())
    }

    /// A line is too long. By default that closes the connection; where this returns `Ok`, the rest of the line is
    /// dropped and the next one is received.
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
    /// As [`Transport::write`].
    fn send_line(&mut self, transport: &mut Transport<'_>, line: impl AsRef<[u8]>) -> Result
    where
        Self: Sized,
    {
        transport.write(&[line.as_ref(), self.lines().sent_delimiter()].concat())
    }

    /// Hands over what the input holds: to be called from [`Protocol::data_received`].
    ///
    /// Stops where the callbacks pause or leave the connection, or start or stop a layer.
    ///
    /// # Errors
    ///
    /// Those of the callbacks.
    fn receive_lines(&mut self, transport: &mut Transport<'_>) -> Result {
        while !transport.is_paused() {
            match self.lines().next(transport) {
                Received::Line(line) => self.line_received(transport, &line)?,
                Received::TooLong => self.line_length_exceeded(transport)?,
                Received::Raw => {
                    let before = transport.input().len();
                    self.raw_data_received(transport)?;
                    if transport.input().len() == before && self.lines().mode == Mode::Raw {
                        return Ok(());
                    }
                }
                Received::Nothing => return Ok(()),
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
}

#[derive(Clone, Debug)]
enum Delimiter {
    /// LF, and a CR before it belongs to it.
    LineFeed,
    Exactly(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Lines,
    /// In a line that was too long.
    Skipping,
    Raw,
}

enum Received {
    Line(Vec<u8>),
    TooLong,
    Raw,
    Nothing,
}

impl Lines {
    /// Lines of at most 16,384 bytes that end in CRLF or LF; those that are sent end in CRLF.
    #[must_use]
    pub fn new() -> Self {
        Self { delimiter: Delimiter::LineFeed, max_length: MAX_LENGTH, mode: Mode::Lines }
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

    /// From the next byte on, input is raw.
    pub fn set_raw_mode(&mut self) {
        self.mode = Mode::Raw;
    }

    /// From the next byte on, input is lines.
    pub fn set_line_mode(&mut self) {
        self.mode = Mode::Lines;
    }

    fn sent_delimiter(&self) -> &[u8] {
        match &self.delimiter {
            Delimiter::LineFeed => b"\r\n",
            Delimiter::Exactly(delimiter) => delimiter,
        }
    }

    fn next(&mut self, transport: &mut Transport<'_>) -> Received {
        let input = transport.input();
        if input.is_empty() {
            return Received::Nothing;
        }
        match self.mode {
            Mode::Raw => Received::Raw,
            Mode::Skipping => {
                match self.find(input) {
                    Found::Line { end, .. } => {
                        transport.consume(end);
                        self.mode = Mode::Lines;
                        return self.next(transport);
                    }
                    // A part of a delimiter may stand at the end.
                    Found::Nothing { safe } => transport.consume(safe),
                }
                Received::Nothing
            }
            Mode::Lines => match self.find(input) {
                Found::Line { length, .. } if length > self.max_length => self.skip(),
                Found::Line { length, end } => {
                    let mut line = transport.take(end);
                    line.truncate(length);
                    Received::Line(line)
                }
                Found::Nothing { safe } if safe > self.max_length => self.skip(),
                Found::Nothing { .. } => {
                    transport.expect_input(self.max_length.saturating_add(self.sent_delimiter().len()));
                    Received::Nothing
                }
            },
        }
    }

    fn skip(&mut self) -> Received {
        self.mode = Mode::Skipping;
        Received::TooLong
    }

    fn find(&self, input: &[u8]) -> Found {
        match &self.delimiter {
            Delimiter::LineFeed => match memchr::memchr(b'\n', input) {
                Some(end) => Found::Line { length: end - usize::from(input[..end].ends_with(b"\r")), end: end + 1 },
                None => Found::Nothing { safe: input.len() - usize::from(input.ends_with(b"\r")) },
            },
            Delimiter::Exactly(delimiter) => match memchr::memmem::find(input, delimiter) {
                Some(length) => Found::Line { length, end: length + delimiter.len() },
                None => {
                    let longest = (delimiter.len() - 1).min(input.len());
                    let begun = (1..=longest).rev().find(|&count| input.ends_with(&delimiter[..count]));
                    Found::Nothing { safe: input.len() - begun.unwrap_or(0) }
                }
            },
        }
    }
}

enum Found {
    /// So many bytes before the delimiter, and so many with it.
    Line { length: usize, end: usize },
    /// No delimiter; so many bytes are certainly not the beginning of one.
    Nothing { safe: usize },
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

const MAX_LENGTH: usize = 16_384;
