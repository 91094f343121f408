//! Commands of one line, and replies that begin with three digits: SMTP (RFC 5321 section 4.2), LMTP, FTP (RFC 959
//! section 4.2), NNTP (RFC 3977 section 3.2).

use super::{Error, Exchange};

/// One line of a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) code: u16,
    /// Whether more lines of the same reply follow.
    pub(super) more: bool,
    pub(super) text: &'a [u8],
    /// All of it, for errors.
    pub(super) whole: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line, if a whole one is there.
    pub(super) fn take(exchange: &mut Exchange<'a>, awaited: &str) -> Result<Option<Self>, Error> {
        let Some(whole) = exchange.line()? else { return Ok(None) };
        Self::parse(whole).map(Some).ok_or_else(|| Error::malformed(awaited, whole))
    }

    pub(super) fn parse(whole: &'a [u8]) -> Option<Self> {
        let (digits, rest) = whole.split_at_checked(3)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        let (more, text) = match rest.split_first() {
            None => (false, rest),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return None,
        };
        Some(Self { code, more, text, whole })
    }

    /// Whether the server agrees (2yz).
    pub(super) fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// What a server says in a reply of several lines, for an error.
#[derive(Debug, Default)]
pub(super) struct Words {
    kept: Vec<u8>,
    /// Whether there was no room for some.
    cut: bool,
}

impl Words {
    /// A line with more behind it.
    pub(super) fn add(&mut self, line: &[u8]) {
        if self.kept.len() + line.len() > MAX_KEPT {
            self.cut = true;
        } else {
            self.kept.extend([line, b" / "].concat());
        }
    }

    /// The last line: all of them, and the next reply begins. What has no room is left out before it, because the last
    /// line is the one in which most servers say what it is about.
    pub(super) fn end(&mut self, line: &[u8]) -> Vec<u8> {
        let Self { mut kept, cut } = std::mem::take(self);
        if cut {
            kept.extend(b"... / ");
        }
        kept.extend(line);
        kept
    }
}

/// A command: its first word, and what stands behind that.
pub(super) fn command(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (verb, argument) = line.split_at(end);
    (verb, argument.trim_ascii())
}

/// The front of a name that can stand in a line as one word, whatever the rest is.
pub(super) fn one_word(name: &str) -> String {
    name.split(|c: char| c.is_control() || c == ' ').next().unwrap_or_default().to_owned()
}

/// Of the lines before the last one.
const MAX_KEPT: usize = 240;
