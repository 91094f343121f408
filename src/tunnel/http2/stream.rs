//! One stream: two queues of its own, and each direction with its end.
//!
//! ```text
//!                       inbound                            h2
//!     reader ◀─ take ── ▓▓▓▓▓▓▓ ◀──────── at once ──────── DATA
//!                 └── credit, quarters of the window ────▶ WINDOW_UPDATE
//!     writer ── put ──▶ ▓▓▓ ──── as much as the peer has room for ───▶ DATA
//!                      outbound
//! ```
//!
//! Frames are taken out of h2 as soon as they are there, because h2 counts those that it holds and ends the connection over many
//! small ones. The peer's window is given back only as the reader takes bytes, and not for each of them, so the queue holds no more than one window, and
//! who does not read holds up nobody else (backpressure for one stream).
//!
//! What is to be sent waits here, and not for h2's promise of room, so no room of the connection is ever promised to a writer that
//! has gone away.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::{Reason as Code, RecvStream, SendStream};

use super::fault::Fault;
use super::frames::Departed;
use super::inbound::Inbound;
use crate::stack::bytes as shown;
use crate::stack::{extend, move_front};
use crate::tunnel::ErrorKind;

/// One stream of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// `None` until a server has granted.
    send: Option<SendStream<Bytes>>,
    /// `None` until a client has its answer.
    recv: Option<RecvStream>,
    waker: Waker,
    inbound: Inbound,
    outbound: BytesMut,
    /// What was taken, and the peer was given no room for.
    owed: usize,
    /// The peer is given room when so much is owed: for less it would be told of too often.
    credit: usize,
    theirs: Theirs,
    ours: Ours,
    /// How much has come and was put, all in all.
    total: [u64; 2],
    /// How much h2 was given, and has not yet written.
    unwritten: usize,
    /// Whether it has written our end.
    end_is_written: bool,
    /// How much h2 had written, of all streams, when it had written what was last of this.
    written_at: u64,
}

/// The peer's direction.
#[derive(Debug)]
enum Theirs {
    Open,
    Ended,
    Failed(Fault),
}

/// Our direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Open,
    /// It is to end behind what waits.
    Ending,
    Ended,
    /// The peer takes nothing more.
    Failed,
}

/// What there is to be read.
#[derive(Debug)]
pub(super) enum Next<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Ended,
    Failed(&'a Fault),
}

impl Stream {
    /// A stream with this window, of which h2 wakes `waker` when there is news.
    pub(super) fn new(send: Option<SendStream<Bytes>>, recv: Option<RecvStream>, window: u32, waker: Waker) -> Self {
        Self {
            send,
            recv,
            waker,
            inbound: Inbound::default(),
            outbound: BytesMut::new(),
            owed: 0,
            credit: window as usize / CREDITS,
            theirs: Theirs::Open,
            ours: Ours::Open,
            total: [0; 2],
            unwritten: 0,
            end_is_written: false,
            written_at: 0,
        }
    }

    /// From here on the peer is heard.
    pub(super) fn hear(&mut self, recv: RecvStream) {
        self.recv = Some(recv);
    }

    /// From here on we are heard.
    pub(super) fn speak(&mut self, send: SendStream<Bytes>) {
        self.send = Some(send);
    }

    /// What there is to be read.
    pub(super) fn next(&self) -> Next<'_> {
        match &self.theirs {
            _ if !self.inbound.is_empty() => Next::Bytes(self.inbound.front()),
            Theirs::Open => Next::Nothing,
            Theirs::Ended => Next::Ended,
            Theirs::Failed(fault) => Next::Failed(fault),
        }
    }

    /// Why the peer's direction has failed, whether what came before has been read or not.
    pub(super) fn fault(&self) -> Option<&Fault> {
        match &self.theirs {
            Theirs::Failed(fault) => Some(fault),
            Theirs::Open | Theirs::Ended => None,
        }
    }

    /// Takes so many bytes of what is to be read, and gives the peer room for as many.
    pub(super) fn take(&mut self, count: usize) {
        self.inbound.take(count);
        self.have_taken(count);
    }

    /// As [`take`](Self::take), with the storage that they are in.
    pub(super) fn take_to(&mut self, to: &mut BytesMut, count: usize) {
        self.inbound.take_to(to, count);
        self.have_taken(count);
    }

    fn have_taken(&mut self, count: usize) {
        self.owed += count;
        if let Some(recv) = &mut self.recv
            && self.owed >= self.credit
        {
            // A stream that has gone has no window.
            let _ = recv.flow_control().release_capacity(std::mem::take(&mut self.owed));
        }
    }

    /// Puts as much as there is room for, and says how much; `None` if the peer takes nothing more.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<usize> {
        let count = bytes.len().min(self.room()?);
        extend(&mut self.outbound, &bytes[..count]);
        self.total[1] += count as u64;
        Some(count)
    }

    /// As [`put`](Self::put), up to `most` bytes off the front of `piece`, with the storage that they are in.
    pub(super) fn put_of(&mut self, piece: &mut BytesMut, most: usize) -> Option<usize> {
        let count = most.min(self.room()?);
        move_front(piece, &mut self.outbound, count);
        self.total[1] += count as u64;
        Some(count)
    }

    fn room(&self) -> Option<usize> {
        (self.ours == Ours::Open).then(|| OUTBOUND.saturating_sub(self.outbound.len()))
    }

    /// Ends our direction behind what was put.
    pub(super) fn close(&mut self) {
        if self.ours == Ours::Open {
            self.ours = Ours::Ending;
        }
    }

    /// Whether h2 has written all that was put, and the end if there is one; or never will.
    pub(super) fn is_written(&self) -> bool {
        match self.ours {
            Ours::Open => self.outbound.is_empty() && self.unwritten == 0,
            Ours::Ending => false,
            Ours::Ended => self.unwritten == 0 && self.end_is_written,
            Ours::Failed => true,
        }
    }

    /// How much h2 had written, of all streams, when it had written what was last of this.
    pub(super) fn written_at(&self) -> u64 {
        self.written_at
    }

    /// h2 has written more. Whether that was what was waited for.
    pub(super) fn handle_written(&mut self, Departed { bytes, ends, at, .. }: Departed) -> bool {
        self.unwritten = self.unwritten.saturating_sub(bytes);
        self.end_is_written |= ends;
        self.written_at = at;
        self.is_written()
    }

    /// What can be seen of it in a drawing: its state, in the words of RFC 9113, section 5.1, where that has some.
    pub(super) fn state(&self) -> &'static str {
        match (&self.theirs, self.ours) {
            (Theirs::Ended, Ours::Ended) => "done",
            (Theirs::Failed(_), _) | (Theirs::Ended, Ours::Failed) => "lost",
            _ if self.send.is_none() || self.recv.is_none() => "waiting",
            (Theirs::Ended, Ours::Open | Ours::Ending) => "half-closed (remote)",
            (Theirs::Open, Ours::Open) => "open",
            (Theirs::Open, Ours::Ending | Ours::Ended | Ours::Failed) => "half-closed (local)",
        }
    }

    /// As [`state`](Self::state), with what has passed through it and what rests in it.
    pub(super) fn facts(&self) -> Vec<String> {
        let [received, put] = self.total;
        let resting = |arrow, count| (count > 0).then(|| format!("{arrow} waiting: {}", shown(count)));
        let passed = (received + put > 0).then(|| format!("bytes {received} in, {put} out"));
        let resting = [resting("▲", self.inbound.len()), resting("▼", self.outbound.len())];
        [self.state().to_owned()].into_iter().chain(passed).chain(resting.into_iter().flatten()).collect()
    }

    /// Whether our direction was closed, be it sent or not.
    pub(super) fn has_closed(&self) -> bool {
        matches!(self.ours, Ours::Ending | Ours::Ended)
    }

    /// Whether the peer takes nothing more, and our direction has not ended.
    pub(super) fn is_deaf(&self) -> bool {
        self.ours == Ours::Failed
    }

    /// Whether more may come.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.theirs, Theirs::Open)
    }

    /// Whether both directions are over, so that the peer no longer counts it.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.theirs, Theirs::Open) && matches!(self.ours, Ours::Ended | Ours::Failed)
    }

    /// Whether it is over and all that came was read: nobody has anything more to do with it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_over() && self.inbound.is_empty()
    }

    /// Lets h2 forget it, if it is settled: h2 goes away only when nobody has one of its streams any more, and whoever has had
    /// this one may keep it for long. Whether that is news.
    pub(super) fn settle(&mut self) -> bool {
        self.is_settled() && (self.send.take().is_some() | self.recv.take().is_some())
    }

    /// Ends both directions at once.
    pub(super) fn reset(&mut self, code: Code, fault: Fault) {
        if let Some(send) = &mut self.send {
            send.send_reset(code);
        }
        self.fail(fault);
    }

    /// Both directions have failed, as far as they had not ended.
    pub(super) fn fail(&mut self, fault: Fault) {
        if matches!(self.theirs, Theirs::Open) {
            self.theirs = Theirs::Failed(fault);
        }
        self.stop_sending();
    }

    /// Moves what can be moved between the queues and h2; whether there was anything.
    pub(super) fn advance(&mut self, judge: impl Fn(&h2::Error) -> Fault) -> bool {
        let received = self.receive(&judge);
        self.send(&judge) | received
    }

    fn receive(&mut self, judge: &impl Fn(&h2::Error) -> Fault) -> bool {
        let mut moved = false;
        while matches!(self.theirs, Theirs::Open) {
            let Some(recv) = &mut self.recv else { break };
            let cx = &mut Context::from_waker(&self.waker);
            match recv.poll_data(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(bytes))) => {
                    self.total[0] += bytes.len() as u64;
                    self.inbound.push(&bytes);
                }
                Poll::Ready(Some(Err(error))) => self.fail(judge(&error)),
                // A tunnel has nothing but DATA (RFC 9113, section 8.5), but to h2 trailers are an end like any other.
                Poll::Ready(None) => match recv.poll_trailers(cx) {
                    Poll::Ready(Ok(Some(_))) => {
                        let what = "the peer sends fields (HEADERS) in an open tunnel, where only DATA may be";
                        self.reset(Code::PROTOCOL_ERROR, ErrorKind::Http2(what.to_owned()).into());
                    }
                    Poll::Ready(Err(error)) => self.fail(judge(&error)),
                    Poll::Ready(Ok(None)) | Poll::Pending => self.theirs = Theirs::Ended,
                },
            }
            moved = true;
        }
        moved
    }

    fn send(&mut self, judge: &impl Fn(&h2::Error) -> Fault) -> bool {
        let mut moved = false;
        while let (Some(send), Ours::Open | Ours::Ending) = (&mut self.send, self.ours) {
            let cx = &mut Context::from_waker(&self.waker);
            // A peer that has reset the stream behind its end is heard of only here.
            match send.poll_reset(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(code)) => {
                    self.fail(ErrorKind::Reset(code.into()).into());
                    return true;
                }
                Poll::Ready(Err(error)) => {
                    self.fail(judge(&error));
                    return true;
                }
            }
            if self.outbound.is_empty() {
                if self.ours == Ours::Ending {
                    self.ours = if send.send_data(Bytes::new(), true).is_ok() { Ours::Ended } else { Ours::Failed };
                    moved = true;
                }
                break;
            }
            send.reserve_capacity(self.outbound.len());
            let room = send.capacity().min(self.outbound.len());
            if room > 0 {
                match send.send_data(self.outbound.split_to(room).freeze(), false) {
                    Ok(()) => self.unwritten += room,
                    Err(_) => self.stop_sending(),
                }
                moved = true;
            } else {
                match send.poll_capacity(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => {
                        self.stop_sending();
                        moved = true;
                    }
                }
            }
        }
        moved
    }

    fn stop_sending(&mut self) {
        if self.ours != Ours::Ended {
            self.ours = Ours::Failed;
        }
        self.outbound = BytesMut::new();
        // What is not written by now never will be.
        (self.unwritten, self.end_is_written) = (0, true);
    }
}

/// The most that waits for a peer that reads slowly, beside what h2 has.
const OUTBOUND: usize = 64 * 1024;

/// The peer gets room when a part of the window has been read, one of so many. h2 collects that while the peer has twice as much left:
/// so who has all read leaves the peer half of the window at least.
const CREDITS: usize = 4;
