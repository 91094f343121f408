//! A client's question for one tunnel, until it is answered.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use h2::client::ResponseFuture;
use http::HeaderMap;
use http::response::Parts;

use super::fault::Fault;
use super::stream::{Next, Stream};
use crate::tunnel::http::Field;
use crate::tunnel::http::refused::{MAX_BODY, challenges, phrase, refused};
use crate::tunnel::{Answer, ErrorKind};

/// A question that is not answered yet, or whose answer nobody has taken.
#[derive(Debug)]
pub(super) struct Ask {
    state: State,
    informational: Vec<u16>,
    /// Whether the question has said who asks.
    has_told: bool,
    /// When it is too late.
    pub(super) due: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Waiting(ResponseFuture),
    /// It is no tunnel; the body says more.
    Refused(Parts),
    Answered(Result<Answer, Fault>),
}

impl Ask {
    pub(super) fn new(response: ResponseFuture, has_told: bool, due: Option<Instant>) -> Self {
        Self { state: State::Waiting(response), informational: Vec::new(), has_told, due }
    }

    /// The answer, if it is there.
    pub(super) fn answer(&mut self) -> Option<Result<Answer, Fault>> {
        let State::Answered(answer) = &self.state else { return None };
        Some(answer.clone())
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// It was not answered in time; a refusal is one without its body.
    pub(super) fn handle_timeout(&mut self, stream: &mut Stream) {
        if let State::Refused(_) = self.state {
            return self.refuse(stream, true);
        }
        self.fail(ErrorKind::TimedOut(ANSWER).into());
    }

    /// There will be no answer.
    pub(super) fn fail(&mut self, fault: Fault) {
        if !self.is_answered() {
            self.state = State::Answered(Err(fault));
        }
    }

    /// Looks for the answer, and behind it for the body of a refusal.
    pub(super) fn advance(&mut self, stream: &mut Stream, cx: &mut Context<'_>, judge: impl Fn(&h2::Error) -> Fault) {
        if let State::Waiting(response) = &mut self.state {
            while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                if self.informational.len() == MAX_INFORMATIONAL {
                    let what = "it has more to say beforehand (1xx) than anybody wants to know";
                    return self.fail(ErrorKind::Malformed(what.to_owned()).into());
                }
                self.informational.push(head.status().as_u16());
            }
            match Pin::new(response).poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => return self.fail(judge(&error)),
                Poll::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    let is_at_end = body.is_end_stream();
                    stream.hear(body);
                    self.judge_head(head, is_at_end);
                }
            }
        }
        stream.advance(judge);
        self.refuse(stream, false);
    }

    fn judge_head(&mut self, head: Parts, is_at_end: bool) {
        let status = head.status.as_u16();
        self.state = match status {
            200..300 if !is_at_end && head.headers.contains_key(http::header::CONTENT_LENGTH) => {
                State::Answered(Err(ErrorKind::Http2(CONTENT_LENGTH.to_owned()).into()))
            }
            200..300 => {
                let informational = std::mem::take(&mut self.informational);
                State::Answered(Ok(Answer::Http { status, fields: fields(&head.headers), informational }))
            }
            300..600 => State::Refused(head),
            _ => State::Answered(Err(ErrorKind::Malformed("its status is none".to_owned()).into())),
        };
    }

    /// A refusal is one when there is enough of its body.
    fn refuse(&mut self, stream: &mut Stream, is_late: bool) {
        let State::Refused(head) = &self.state else { return };
        let body = match stream.next() {
            Next::Bytes(bytes) if bytes.len() >= MAX_BODY || !stream.is_open() || is_late => {
                bytes[..bytes.len().min(MAX_BODY)].to_vec()
            }
            Next::Nothing if is_late => Vec::new(),
            Next::Bytes(_) | Next::Nothing => return,
            Next::Ended | Next::Failed(_) => Vec::new(),
        };
        let (status, fields) = (head.status.as_u16(), fields(&head.headers));
        let kind = match status {
            407 if self.has_told => ErrorKind::AuthRejected,
            407 => ErrorKind::AuthRequired(challenges(&fields)),
            _ => refused(status, phrase(status), fields, body),
        };
        self.state = State::Answered(Err(kind.into()));
    }
}

fn fields(map: &HeaderMap) -> Vec<Field> {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

const ANSWER: &str = "the answer to CONNECT";

const CONTENT_LENGTH: &str = "the answer to CONNECT has a content-length, which means nothing there (RFC 9110, section 9.3.6), but \
                              h2, the library for HTTP/2, ends the tunnel behind so many bytes";

/// So many answers of 1xx may come before the one that counts.
const MAX_INFORMATIONAL: usize = 8;
