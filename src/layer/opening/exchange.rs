//! What a negotiation sees of the connection.

use super::{Error, ErrorKind};

/// What was received and not yet taken, and the way to answer: for one call of a [`Negotiation`](super::Negotiation).
///
/// What a call takes is taken for good only when it succeeds, unless it says otherwise
/// ([`take_anyway`](Self::take_anyway)). What it sends is sent in any case.
#[derive(Debug)]
pub struct Exchange<'a> {
    input: &'a [u8],
    taken: usize,
    takes_anyway: bool,
    allowance: Allowance,
    optional: bool,
    said: Vec<u8>,
    has_refused: bool,
    missing: Missing,
}

/// How much a peer may say over the whole negotiation, and how much of that it has said before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) limit: usize,
    pub(super) used: usize,
}

/// What a call has done.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) taken: usize,
    /// Also if the call failed.
    pub(super) takes_anyway: bool,
    pub(super) said: Vec<u8>,
    pub(super) has_refused: bool,
    pub(super) missing: Missing,
}

impl<'a> Exchange<'a> {
    /// With no connection behind it, and this for input: to try a negotiation by itself. What is not all there is still to
    /// come, however much that is; no limit holds but that of a line.
    #[must_use]
    pub fn of(input: &'a [u8]) -> Self {
        Self::new(input, Allowance { limit: usize::MAX, used: 0 }, false)
    }

    pub(super) fn new(input: &'a [u8], allowance: Allowance, optional: bool) -> Self {
        Self {
            input,
            taken: 0,
            takes_anyway: false,
            allowance,
            optional,
            said: Vec::new(),
            has_refused: false,
            missing: Missing::default(),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome {
            taken: self.taken,
            takes_anyway: self.takes_anyway,
            said: self.said,
            has_refused: self.has_refused,
            missing: self.missing.behind(self.taken),
        }
    }
}

/// Taking.
impl<'a> Exchange<'a> {
    /// What was received and not yet taken.
    #[must_use]
    pub fn input(&self) -> &'a [u8] {
        &self.input[self.taken..]
    }

    /// How many bytes this call has taken so far.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes `count` bytes off the front of the [`input`](Self::input).
    ///
    /// # Panics
    ///
    /// If `count` is more than there is.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = &self.input()[..count];
        self.taken += count;
        taken
    }

    /// Takes a line, if a whole one is there, and returns it without its end, which is CRLF or LF.
    ///
    /// # Errors
    ///
    /// When it is longer than 8,192 bytes or the rest of the limit.
    pub fn line(&mut self) -> Result<Option<&'a [u8]>, Error> {
        let limit = MAX_LINE_LENGTH.min(self.rest());
        let input = self.input();
        match memchr::memchr(b'\n', &input[..input.len().min(limit)]) {
            Some(end) => {
                self.take(end + 1);
                let line = &input[..end];
                Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
            }
            None if input.len() >= MAX_LINE_LENGTH => Err(ErrorKind::LineTooLong(MAX_LINE_LENGTH).into()),
            None if input.len() >= limit => Err(ErrorKind::TooMuch(self.allowance.limit).into()),
            None => {
                let line = MissingLine { searched: self.input.len(), most: self.taken.saturating_add(limit) };
                self.missing.line = Some(line);
                Ok(None)
            }
        }
    }

    /// Takes a message of `len` bytes, if all of it is there.
    ///
    /// # Errors
    ///
    /// When `len` is more than the rest of the limit: what is announced and will not be taken is not waited for.
    pub fn message(&mut self, len: usize) -> Result<Option<&'a [u8]>, Error> {
        let message = self.peek(len)?;
        match message {
            Some(message) => self.taken += message.len(),
            None => {
                let whole = self.taken.saturating_add(len);
                self.missing.message = Some(self.missing.message.map_or(whole, |least| least.min(whole)));
            }
        }
        Ok(message)
    }

    /// As [`message`](Self::message), and leaves it there: for a header that says how long the whole is, and for what may
    /// be the first that the application reads.
    ///
    /// # Errors
    ///
    /// As [`message`](Self::message).
    pub fn peek(&self, len: usize) -> Result<Option<&'a [u8]>, Error> {
        if len > self.rest() {
            return Err(ErrorKind::TooMuch(self.allowance.limit).into());
        }
        Ok(self.input().get(..len))
    }

    /// Takes nothing after all: what this call has taken is the front of a message that is not all there yet.
    pub fn put_back(&mut self) {
        self.taken = 0;
    }

    /// What this call takes is taken also if it fails: because it is the answer to a question of ours, and whoever goes on
    /// behind the negotiation would take it for an answer to one of his own.
    pub fn take_anyway(&mut self) {
        self.takes_anyway = true;
    }

    /// How much may be taken besides what was taken.
    fn rest(&self) -> usize {
        let Allowance { limit, used } = self.allowance;
        limit.saturating_sub(used).saturating_sub(self.taken)
    }
}

/// Answering.
impl Exchange<'_> {
    /// Sends something that needs no answer, or is one.
    pub fn send(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
    }

    /// Sends the answer to something that the peer may not do, or not yet. It may have that answer only so often
    /// ([`Opening::refusals`](super::Opening::refusals)).
    pub fn refuse(&mut self, answer: &[u8]) {
        self.send(answer);
        self.has_refused = true;
    }

    /// Sends a question, in a protocol whose server speaks only when it is spoken to.
    ///
    /// # Errors
    ///
    /// When there is something to read already: an answer that came before its question is not the server's answer to it.
    pub fn ask(&mut self, question: &[u8]) -> Result<(), Error> {
        if !self.input().is_empty() {
            return Err(ErrorKind::OutOfTurn.into());
        }
        self.send(question);
        Ok(())
    }

    /// What this call sends, as far as it has come.
    #[must_use]
    pub fn said(&self) -> &[u8] {
        &self.said
    }

    /// Sends nothing of that now, for a negotiation that says it later.
    pub fn unsay(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }

    /// Whether the peer may go on without what is negotiated ([`Opening::optional`](super::Opening::optional)). A server that
    /// sees it do so fails, and the message at which it saw it is the first that the application reads.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }
}

/// What was asked for and is not there yet, so that nobody looks again at bytes that do not bring it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    line: Option<MissingLine>,
    /// The whole message: so many bytes of input.
    message: Option<usize>,
}

/// The end of a line.
#[derive(Clone, Copy, Debug)]
struct MissingLine {
    /// It is not in so many bytes of input.
    searched: usize,
    /// With so many the line is too long.
    most: usize,
}

impl Missing {
    /// Whether all that was asked for is still missing. It looks at each byte once.
    pub(super) fn is_still(&mut self, input: &[u8]) -> bool {
        let has_line = self.line.as_mut().is_some_and(|line| {
            let fresh = input.get(line.searched..).unwrap_or_default();
            line.searched = input.len();
            input.len() >= line.most || memchr::memchr(b'\n', fresh).is_some()
        });
        let has_message = self.message.is_some_and(|whole| input.len() >= whole);
        (self.line.is_some() || self.message.is_some()) && !has_line && !has_message
    }

    /// As before, when so many bytes have been taken off the front of the input.
    fn behind(self, taken: usize) -> Self {
        Self {
            line: self.line.map(|line| MissingLine {
                searched: line.searched.saturating_sub(taken),
                most: line.most.saturating_sub(taken),
            }),
            message: self.message.map(|whole| whole.saturating_sub(taken)),
        }
    }
}

const MAX_LINE_LENGTH: usize = 8192;
