//! A request or an answer up to its empty line.

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

use crate::tunnel::ErrorKind;
use crate::tunnel::http::Field;

/// How far the end of a head was looked for, and how much came in heads before it: the limits are for all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    most: usize,
    searched: usize,
    bytes: usize,
    fields: usize,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) reason: String,
    /// Or else HTTP/1.0.
    pub(super) is_http11: bool,
    pub(super) fields: Vec<Field>,
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) is_http11: bool,
    pub(super) fields: Vec<Field>,
}

/// Why a head is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    Malformed(&'static str),
    /// It is of another version of HTTP.
    Version,
    TooManyFields,
}

impl From<Mistake> for ErrorKind {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::Malformed(what) => Self::Malformed(what.to_owned()),
            Mistake::Version => Self::Malformed("the peer speaks another version of HTTP".to_owned()),
            Mistake::TooManyFields => Self::TooManyFields(MAX_FIELDS),
        }
    }
}

impl Heads {
    /// As long as this all in all, and no longer.
    pub(super) fn of(most: usize) -> Self {
        Self { most, searched: 0, bytes: 0, fields: 0 }
    }

    /// The length of the head that `input` begins with, if all of it is there. It looks at each byte once, and is called with what was
    /// there before and more.
    ///
    /// # Errors
    ///
    /// When it is too long, or will be.
    pub(super) fn find(&mut self, input: &[u8]) -> Result<Option<usize>, ErrorKind> {
        let most = self.most.saturating_sub(self.bytes);
        let window = &input[..input.len().min(most)];
        // Empty lines before a request are none (RFC 9112, section 2.2).
        let front = window.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(window.len());
        let from = self.searched.max(front);
        let end = memchr::memchr_iter(b'\n', window.get(from..).unwrap_or_default())
            .map(|at| from + at + 1)
            .find_map(|behind| empty_line(&window[behind..]).map(|len| behind + len));
        self.searched = window.len().saturating_sub(EMPTY_LINE.len());
        match end {
            None if input.len() >= most => Err(ErrorKind::TooLong(self.most)),
            end => Ok(end),
        }
    }

    /// The answer that is `head`, which was found.
    pub(super) fn answer(&mut self, head: &[u8]) -> Result<AnswerHead, Mistake> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut answer = Response::new(&mut fields[self.fields..]);
        let parsed = answer.parse(head);
        self.pass(head, parsed, answer.headers.len())?;
        Ok(AnswerHead {
            status: answer.code.unwrap_or_default(),
            reason: answer.reason.unwrap_or_default().trim().to_owned(),
            is_http11: answer.version == Some(1),
            fields: owned(answer.headers),
        })
    }

    /// The request that is `head`, which was found.
    pub(super) fn request(&mut self, head: &[u8]) -> Result<RequestHead, Mistake> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = Request::new(&mut fields[self.fields..]);
        let parsed = request.parse(head);
        self.pass(head, parsed, request.headers.len())?;
        Ok(RequestHead {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            is_http11: request.version == Some(1),
            fields: owned(request.headers),
        })
    }

    /// The next is looked for from its front.
    fn pass(&mut self, head: &[u8], parsed: httparse::Result<usize>, fields: usize) -> Result<(), Mistake> {
        match parsed {
            Ok(Status::Complete(len)) if len == head.len() => {
                *self = Self { searched: 0, bytes: self.bytes + len, fields: self.fields + fields, ..*self };
                Ok(())
            }
            Ok(_) => Err(Mistake::Malformed("its head does not end where it should")),
            Err(httparse::Error::TooManyHeaders) => Err(Mistake::TooManyFields),
            Err(httparse::Error::Version) => Err(Mistake::Version),
            Err(httparse::Error::HeaderName) => Err(Mistake::Malformed("the name of a field is none")),
            Err(httparse::Error::HeaderValue) => {
                Err(Mistake::Malformed("the value of a field has a byte that it may not have"))
            }
            Err(httparse::Error::NewLine) => Err(Mistake::Malformed("a line does not end as it should")),
            Err(httparse::Error::Status | httparse::Error::Token) => {
                Err(Mistake::Malformed("its first line is none of HTTP"))
            }
        }
    }
}

impl Default for Heads {
    fn default() -> Self {
        Self::of(MAX_BYTES)
    }
}

/// The length of the empty line that is next, if one is.
fn empty_line(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

fn owned(fields: &[Header<'_>]) -> Vec<Field> {
    fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_owned())).collect()
}

/// Begins with the end of the line before it.
const EMPTY_LINE: &[u8] = b"\n\r\n";

/// What real servers accept at least, and what curl and Node accept.
const MAX_BYTES: usize = 16_384;
const MAX_FIELDS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_however_it_comes() {
        for (text, end) in [
            (&b"A\r\n\r\nbehind\n\n"[..], Some(5)),
            (b"A\n\nbehind", Some(3)),
            (b"A\n\r\n", Some(4)),
            (b"\r\n\r\nA\r\n\r\n\r\n", Some(9)),
            (b"A\r\n\r", None),
            (b"A\r\r\n", None),
            (b"\n\n\n\n", None),
            (b"", None),
        ] {
            assert_eq!(Heads::default().find(text).unwrap(), end, "{text:?}");
            let mut heads = Heads::default();
            let found = (0..=text.len()).find_map(|len| heads.find(&text[..len]).unwrap());
            assert_eq!(found, end, "{text:?}");
        }
    }

    #[test]
    fn another_limit_holds_as_well() {
        assert_eq!(Heads::of(10).find(b"AAAAAA\r\n\r\n").unwrap(), Some(10));
        assert_eq!(Heads::of(10).find(b"AAAAAAA\r\n\r\n").unwrap_err(), ErrorKind::TooLong(10));
    }

    #[test]
    fn a_head_of_the_longest_is_found_and_one_byte_more_is_too_much() {
        for (len, is_found) in [(MAX_BYTES, true), (MAX_BYTES + 1, false)] {
            let head = [&vec![b'a'; len - 4][..], b"\r\n\r\n"].concat();
            assert_eq!(Heads::default().find(&head).is_ok_and(|end| end == Some(len)), is_found);
        }
        assert_eq!(Heads::default().find(&[b'a'; MAX_BYTES - 1]).unwrap(), None);
        assert_eq!(Heads::default().find(&[b'\n'; MAX_BYTES]).unwrap_err(), ErrorKind::TooLong(MAX_BYTES));
    }
}
