//! Messages that tell their length first.

use crate::protocol::{Error, ErrorKind, Protocol, Result, Transport};

/// A protocol of byte strings that tell their length first: netstrings, or a length in one, two or four bytes.
///
/// It keeps a [`Strings`], calls [`receive_strings`](Self::receive_strings) where it hears of data, and gets
/// [`string_received`](Self::string_received) for each string:
///
/// ```
/// use onionskin::protocol::{Protocol, Result, StringReceiver, Strings, Transport};
/// use onionskin::testing::StringTransport;
///
/// struct Echo {
///     strings: Strings,
/// }
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         self.receive_strings(transport)
///     }
/// }
///
/// impl StringReceiver for Echo {
///     fn strings(&mut self) -> &mut Strings {
///         &mut self.strings
///     }
///
///     fn string_received(&mut self, transport: &mut Transport<'_>, string: &[u8]) -> Result {
///         self.send_string(transport, string)
///     }
/// }
///
/// let mut transport = StringTransport::new(Echo { strings: Strings::netstring() });
/// transport.receive(b"5:hello,3:wor");
/// assert_eq!(transport.sent(), b"5:hello,");
/// ```
#[doc(alias = "NetstringReceiver")]
#[doc(alias = "Int8StringReceiver")]
#[doc(alias = "Int16StringReceiver")]
#[doc(alias = "Int32StringReceiver")]
#[doc(alias = "IntNStringReceiver")]
pub trait StringReceiver: Protocol {
    /// How the strings of this connection are framed and how long they may be.
    fn strings(&mut self) -> &mut Strings;

    /// A string, without its frame.
    ///
    /// # Errors
    ///
    /// As in all methods of a [`Protocol`], an error closes the connection.
    fn string_received(&mut self, transport: &mut Transport<'_>, string: &[u8]) -> Result;

    /// The peer announced a string of `length` bytes, which is too long. It closes the connection: where the next string
    /// begins, nobody will ever know.
    ///
    /// The length of a netstring is read only until it is certain to be too long, so it may be longer still.
    ///
    /// # Errors
    ///
    /// Return one to choose the reason; after `Ok` it is the default one.
    fn length_limit_exceeded(&mut self, _transport: &mut Transport<'_>, _length: usize) -> Result {
        Ok(())
    }

    /// Writes a string in its frame.
    ///
    /// # Errors
    ///
    /// When the frame cannot tell so large a length, and as [`Transport::write`].
    fn send_string(&mut self, transport: &mut Transport<'_>, string: impl AsRef<[u8]>) -> Result
    where
        Self: Sized,
    {
        let framed = self.strings().frame(string.as_ref())?;
        transport.write(&framed)
    }

    /// Hands over the next string: to be called from [`Protocol::data_received`], which is called again for what is behind
    /// it. So the callback may pause or leave the connection, start or stop a layer, or go on with another receiver, and
    /// none of it comes a byte too late.
    ///
    /// # Errors
    ///
    /// Those of the callbacks, and [`ErrorKind::TooLong`] and [`ErrorKind::Malformed`] for what the peer sent.
    fn receive_strings(&mut self, transport: &mut Transport<'_>) -> Result {
        if transport.is_paused() {
            return Ok(());
        }
        match self.strings().next(transport)? {
            Received::String(string) => self.string_received(transport, &string),
            Received::TooLong(length) => {
                self.length_limit_exceeded(transport, length)?;
                let limit = self.strings().max_length;
                let message = format!("a string of at least {length} bytes is longer than the limit of {limit}");
                Err(Error::new(ErrorKind::TooLong, message))
            }
            Received::Nothing => Ok(()),
        }
    }
}

/// How the strings of one connection are framed and how long they may be.
#[derive(Clone, Debug)]
pub struct Strings {
    frame: Frame,
    max_length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Netstring,
    /// A big-endian length of so many bytes.
    Prefix(usize),
}

enum Received {
    String(Vec<u8>),
    TooLong(usize),
    Nothing,
}

impl Strings {
    /// Netstrings: `5:hello,`. The length is written in decimal without leading zeros.
    #[doc(alias = "NetstringReceiver")]
    #[must_use]
    pub fn netstring() -> Self {
        Self { frame: Frame::Netstring, max_length: MAX_LENGTH }
    }

    /// A length of one byte before each string.
    #[doc(alias = "Int8StringReceiver")]
    #[must_use]
    pub fn int8() -> Self {
        Self { frame: Frame::Prefix(1), max_length: MAX_LENGTH }
    }

    /// A length of two bytes, in network order, before each string.
    #[doc(alias = "Int16StringReceiver")]
    #[must_use]
    pub fn int16() -> Self {
        Self { frame: Frame::Prefix(2), max_length: MAX_LENGTH }
    }

    /// A length of four bytes, in network order, before each string.
    #[doc(alias = "Int32StringReceiver")]
    #[must_use]
    pub fn int32() -> Self {
        Self { frame: Frame::Prefix(4), max_length: MAX_LENGTH }
    }

    /// Sets how long a received string may be, in bytes; 99,999 unless set.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    fn frame(&self, string: &[u8]) -> Result<Vec<u8>> {
        let Frame::Prefix(size) = self.frame else {
            return Ok([string.len().to_string().as_bytes(), b":", string, b","].concat());
        };
        let length = (string.len() as u64).to_be_bytes();
        let (unused, prefix) = length.split_at(length.len() - size);
        if unused.iter().any(|&byte| byte != 0) {
            let message = format!("a string of {} bytes does not fit a length of {size} bytes", string.len());
            return Err(Error::new(ErrorKind::TooLong, message));
        }
        Ok([prefix, string].concat())
    }

    fn next(&self, transport: &mut Transport<'_>) -> Result<Received> {
        let input = transport.input();
        let Some(Head { size, length }) = self.head(input)? else { return Ok(Received::Nothing) };
        if length > self.max_length {
            return Ok(Received::TooLong(length));
        }
        let whole = size.saturating_add(length).saturating_add(self.tail());
        if input.len() < whole {
            transport.expect_input(whole);
            return Ok(Received::Nothing);
        }
        if self.frame == Frame::Netstring && input[whole - 1] != b',' {
            return Err(malformed("a netstring does not end with a comma"));
        }
        let string = input[size..size + length].to_vec();
        transport.consume(whole);
        Ok(Received::String(string))
    }

    /// How long the string is that begins with `input`, if that can be told yet.
    fn head(&self, input: &[u8]) -> Result<Option<Head>> {
        match self.frame {
            Frame::Netstring => self.decimal_head(input),
            Frame::Prefix(size) => Ok(input.get(..size).map(|prefix| {
                let length = prefix.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
                Head { size, length }
            })),
        }
    }

    fn decimal_head(&self, input: &[u8]) -> Result<Option<Head>> {
        // One digit more than the limit has cannot be within it, whatever comes behind.
        let most = self.max_length.to_string().len();
        let digits = input.iter().take(most + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let number = &input[..digits];
        let length = number
            .iter()
            .fold(0_usize, |length, digit| length.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
        match (number, input.get(digits)) {
            ([b'0', _, ..], _) => Err(malformed("the length of a netstring begins with a zero")),
            _ if digits > most => Ok(Some(Head { size: digits, length })),
            ([], Some(_)) => Err(malformed("a netstring does not begin with its length")),
            (_, Some(b':')) => Ok(Some(Head { size: digits + 1, length })),
            (_, Some(_)) => Err(malformed("no colon follows the length of a netstring")),
            (_, None) => Ok(None),
        }
    }

    /// How many bytes follow the string.
    fn tail(&self) -> usize {
        match self.frame {
            Frame::Netstring => 1,
            Frame::Prefix(_) => 0,
        }
    }
}

/// What stands before a string.
struct Head {
    size: usize,
    length: usize,
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

const MAX_LENGTH: usize = 99_999;
