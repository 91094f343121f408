//! What a client has asked, until it is answered.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use http::request::Parts;

/// The requests of a client, by the numbers of their streams.
#[derive(Default)]
pub(in crate::tunnel::http2) struct Questions {
    /// Those that nobody has looked at, the first first.
    arrived: VecDeque<(u32, Parts)>,
    unanswered: BTreeMap<u32, SendResponse<Bytes>>,
    answered: usize,
    taken_back: usize,
}

impl Questions {
    pub(in crate::tunnel::http2) fn push(&mut self, id: u32, head: Parts, respond: SendResponse<Bytes>) {
        self.arrived.push_back((id, head));
        self.unanswered.insert(id, respond);
    }

    /// The next to be looked at.
    pub(in crate::tunnel::http2) fn take(&mut self) -> Option<(u32, Parts)> {
        self.arrived.pop_front()
    }

    /// The way to answer, which is used once.
    pub(in crate::tunnel::http2) fn answer(&mut self, id: u32) -> Option<SendResponse<Bytes>> {
        let respond = self.unanswered.remove(&id)?;
        self.answered += 1;
        Some(respond)
    }

    /// Whether the client does not want to know what it asks: it takes back more than it waits for, and each of them is work
    /// that is done for nobody (rapid reset). h2 counts only those that are taken back before it has handed them out.
    pub(in crate::tunnel::http2) fn is_flood(&self) -> bool {
        self.taken_back > MAX_TAKEN_BACK + self.answered
    }

    /// Whether the client has reset the stream, and with which code.
    pub(in crate::tunnel::http2) fn taken_back(&mut self, id: u32, cx: &mut Context<'_>) -> Option<u32> {
        match self.unanswered.get_mut(&id)?.poll_reset(cx) {
            Poll::Ready(Ok(code)) => {
                self.unanswered.remove(&id);
                self.taken_back += 1;
                Some(code.into())
            }
            // What else became of it, the stream tells that its request has come over.
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }
}

/// So many requests may be taken back, beyond those that were answered.
const MAX_TAKEN_BACK: usize = 100;
