//! What follows the head of an answer that is no tunnel: its body (RFC 9112, section 6.3).

use super::head::AnswerHead;
use crate::tunnel::http::all;
use crate::tunnel::http::refused::MAX_BODY;

/// The body of an answer, as far as it has come.
#[derive(Debug)]
pub(super) struct Body {
    rest: Rest,
    /// How much of it came, of which the beginning is kept.
    len: usize,
    kept: Vec<u8>,
}

/// What is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    /// The line with the size of the next chunk.
    ChunkSize,
    Chunk(u64),
    /// The end of line behind a chunk.
    ChunkEnd,
    /// The fields behind the last chunk, or the empty line behind these.
    Trailers,
    /// Whatever comes until the connection ends.
    All,
    Nothing,
    /// It breaks the rules, and nobody knows where it ends.
    Broken,
}

impl Body {
    /// That of an answer with this head.
    pub(super) fn of(head: &AnswerHead) -> Self {
        Self { rest: rest(head), len: 0, kept: Vec::new() }
    }

    /// Takes what it can of `input`, and says how much that is.
    pub(super) fn take(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(count) = self.step(&input[taken..]) {
            taken += count;
        }
        taken
    }

    /// Whether nothing more of it comes.
    pub(super) fn is_whole(&self) -> bool {
        self.rest == Rest::Nothing
    }

    /// Whether its end can be known without the end of the connection, and is not far.
    pub(super) fn is_short(&self) -> bool {
        let announced = match self.rest {
            Rest::All | Rest::Broken => return false,
            Rest::Bytes(rest) | Rest::Chunk(rest) => rest,
            Rest::ChunkSize | Rest::ChunkEnd | Rest::Trailers | Rest::Nothing => 0,
        };
        announced.saturating_add(self.len as u64) <= MAX_DRAINED as u64
    }

    /// Whether all is there that anybody wants to see.
    pub(super) fn is_enough(&self) -> bool {
        self.kept.len() >= MAX_BODY || matches!(self.rest, Rest::Nothing | Rest::Broken)
    }

    /// The beginning of it.
    pub(super) fn into_kept(self) -> Vec<u8> {
        self.kept
    }

    /// Takes the next piece; none if there is nothing to take.
    fn step(&mut self, input: &[u8]) -> Option<usize> {
        let (count, next) = match self.rest {
            Rest::Nothing | Rest::Broken => return None,
            Rest::Bytes(0) => (0, Rest::Nothing),
            Rest::Chunk(0) => (0, Rest::ChunkEnd),
            _ if input.is_empty() => return None,
            Rest::All => (self.keep(input, u64::MAX), Rest::All),
            Rest::Bytes(rest) => {
                let count = self.keep(input, rest);
                (count, Rest::Bytes(rest - count as u64))
            }
            Rest::Chunk(rest) => {
                let count = self.keep(input, rest);
                (count, Rest::Chunk(rest - count as u64))
            }
            Rest::ChunkSize | Rest::ChunkEnd | Rest::Trailers => {
                let window = &input[..input.len().min(MAX_LINE)];
                match memchr::memchr(b'\n', window) {
                    Some(end) => (end + 1, self.line(&window[..=end])),
                    None if window.len() == MAX_LINE => (0, Rest::Broken),
                    None => return None,
                }
            }
        };
        // The framing of chunks counts, so that it has an end.
        if matches!(self.rest, Rest::ChunkSize | Rest::ChunkEnd | Rest::Trailers) {
            self.len += count;
        }
        self.rest = next;
        Some(count)
    }

    /// What comes behind this line of the framing, which has its end.
    fn line(&self, line: &[u8]) -> Rest {
        match (self.rest, line) {
            (Rest::ChunkEnd, b"\r\n" | b"\n") => Rest::ChunkSize,
            (Rest::Trailers, b"\r\n" | b"\n") => Rest::Nothing,
            (Rest::Trailers, _) => Rest::Trailers,
            (Rest::ChunkSize, _) => match httparse::parse_chunk_size(line) {
                Ok(httparse::Status::Complete((_, 0))) => Rest::Trailers,
                Ok(httparse::Status::Complete((_, size))) => Rest::Chunk(size),
                _ => Rest::Broken,
            },
            _ => Rest::Broken,
        }
    }

    fn keep(&mut self, input: &[u8], most: u64) -> usize {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
        let room = MAX_BODY - self.kept.len();
        self.kept.extend_from_slice(&input[..count.min(room)]);
        self.len += count;
        count
    }
}

fn rest(head: &AnswerHead) -> Rest {
    let (mut codings, mut lengths) = (all(&head.fields, "transfer-encoding"), all(&head.fields, "content-length"));
    match (codings.next(), lengths.next()) {
        _ if head.status == 304 => Rest::Nothing,
        (Some(coding), None) if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") => Rest::ChunkSize,
        (None, Some(length)) if lengths.all(|other| other == length) => decimal(length).map_or(Rest::All, Rest::Bytes),
        // None says where it ends, and two are one too many.
        _ => Rest::All,
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// As much is read past to ask again on the same connection.
const MAX_DRAINED: usize = 64 * 1024;

const MAX_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(fields: &[(&str, &str)]) -> Body {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Body::of(&AnswerHead { status: 407, reason: String::new(), is_http11: true, fields })
    }

    #[test]
    fn the_end_of_a_body_is_found_however_it_comes() {
        const CHUNKED: &[(&str, &str)] = &[("transfer-encoding", "Chunked")];
        for (fields, input, kept, is_whole) in [
            (&[("content-length", "5")][..], &b"hello"[..], &b"hello"[..], true),
            (&[("content-length", "6")], b"hello", b"hello", false),
            (&[("content-length", "0")], b"", b"", true),
            (&[("content-length", "5"), ("content-length", "5")], b"hello", b"hello", true),
            (&[("content-length", "5"), ("content-length", "4")], b"hello", b"hello", false),
            (&[("content-length", "+5")], b"hello", b"hello", false),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], b"hello", b"hello", false),
            (&[], b"hello", b"hello", false),
            (CHUNKED, b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n", b"hello", true),
            (CHUNKED, b"5\nhello\n0\n\n", b"", false),
            (CHUNKED, b"5\r\nhelloo", b"hello", false),
            (CHUNKED, b"5\r\nhello\r\n0\r\n", b"hello", false),
            (CHUNKED, b"x\r\n", b"", false),
            (CHUNKED, b"fffffffffffffffff\r\n", b"", false),
        ] {
            for cut in 1..=input.len().max(1) {
                let (mut body, mut waiting) = (body(fields), Vec::new());
                for piece in input.chunks(cut) {
                    waiting.extend_from_slice(piece);
                    let taken = body.take(&waiting);
                    waiting.drain(..taken);
                }
                body.take(&waiting);
                assert_eq!((body.is_whole(), &body.kept[..]), (is_whole, kept), "{fields:?} {input:?} by {cut}");
            }
        }
    }

    #[test]
    fn nothing_behind_a_body_is_taken() {
        assert_eq!(body(&[("content-length", "2")]).take(b"hello"), 2);
        let mut chunked = body(&[("transfer-encoding", "chunked")]);
        assert_eq!((chunked.take(b"1\r\na\r\n0\r\n\r\nHTTP"), chunked.is_whole()), (11, true));
    }

    #[test]
    fn a_long_body_is_not_read_past_and_only_its_beginning_is_kept() {
        assert!(body(&[("content-length", "65536")]).is_short() && !body(&[("content-length", "65537")]).is_short());
        assert!(!body(&[]).is_short());
        let mut chunked = body(&[("transfer-encoding", "chunked")]);
        for _ in 0..20_000 {
            chunked.take(b"1\r\na\r\n");
        }
        assert!(!chunked.is_short() && chunked.is_enough() && chunked.kept.len() == MAX_BODY);
        let mut endless = body(&[("transfer-encoding", "chunked")]);
        endless.take(&[b'1'; MAX_LINE]);
        assert!(endless.is_enough() && !endless.is_whole() && !endless.is_short());
    }
}
