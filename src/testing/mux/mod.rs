//! Many stacks over one: the model of a tunnel.

mod frame;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::time::Instant;

use self::frame::{Frame, Front};
use self::stream::Stream;
use crate::stack::{Limits, Readable, Reason, Stack};

/// Streams over one carrier: the application of the carrier's [`Stack`], and the driver of one stack for each stream.
///
/// It is small, and of no use on a network; but it does all that a multiplexer has to do between stacks, and so it
/// is the model for one that speaks HTTP/2, and what shows that a stack need not know what it runs over:
///
/// | in the stack of a stream | on the carrier |
/// |---|---|
/// | [`input_room`](Stack::input_room) | the window that is announced |
/// | what its reader consumes | credit given back, never earlier (backpressure for one stream, and not for the others) |
/// | [`Output::Shutdown`](crate::stack::Output::Shutdown) | the end of our direction |
/// | it is lost | a reset, behind what its layers have had to say to it |
/// | [`handle_error`](Stack::handle_error) with a reset | the peer has reset the stream |
/// | [`handle_error`](Stack::handle_error) with a broken pipe | it has something to say that can never leave: the carrier is closed, or gives no more room |
/// | [`handle_loss`](Stack::handle_loss) | the carrier is lost: never an end |
///
/// ```
/// use onionskin::stack::Readable;
/// use onionskin::testing::{Cut, Mux, Pair};
///
/// let mut carrier = Pair::new(Cut::Bytes);
/// let (mut left, mut right) = (Mux::client("a tunnel"), Mux::server("a tunnel"));
/// let one = left.open();
/// let now = carrier.now();
/// left.stack_mut(one).unwrap().write(now, b"hello").unwrap();
/// while left.drive(&mut carrier.left.stack, now) | right.drive(&mut carrier.right.stack, now) | carrier.step() {}
/// let accepted = right.accept().unwrap();
/// assert!(matches!(right.stack(accepted).unwrap().readable(), Readable::Bytes(b"hello")));
/// ```
///
/// # Order of calls
///
/// [`drive`](Self::drive) does all that can be done; it is called again whenever something has happened to the carrier or to
/// the stack of a stream. [`poll_deadline`](Self::poll_deadline) and [`handle_timeout`](Self::handle_timeout) are for the
/// stacks of the streams; the carrier has its own driver.
pub struct Mux {
    name: String,
    limits: Limits,
    streams: BTreeMap<StreamId, Stream>,
    /// The next stream that we open.
    next: u32,
    /// The last stream that the peer has opened.
    last_of_peer: u32,
    /// Streams that the peer has opened and nobody has asked for.
    opened: Vec<StreamId>,
    /// Frames for which the carrier had no room.
    outgoing: Vec<u8>,
    /// Whose turn it is to send, among the streams behind this one.
    last_sender: StreamId,
    carrier: Carrier,
}

/// Names a stream for as long as the carrier lives. Shown as `3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

/// What has become of the carrier, as far as the streams have been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Live,
    /// Nothing more comes from it.
    Ended,
    /// Nothing more comes from it and nothing goes to it.
    Lost,
}

impl Mux {
    /// The side that opens streams with odd numbers. `name` is what runs over the carrier, as it shows in drawings, logs and
    /// reasons: the wire of each stream is called `tunnel 3 of NAME`.
    #[must_use]
    pub fn client(name: impl Into<String>) -> Self {
        Self::new(name.into(), 1)
    }

    /// The side that opens streams with even numbers.
    #[must_use]
    pub fn server(name: impl Into<String>) -> Self {
        Self::new(name.into(), 2)
    }

    fn new(name: String, first: u32) -> Self {
        Self {
            name,
            limits: Limits::default(),
            streams: BTreeMap::new(),
            next: first,
            last_of_peer: 0,
            opened: Vec::new(),
            outgoing: Vec::new(),
            last_sender: StreamId(0),
            carrier: Carrier::Live,
        }
    }

    /// Opens a stream.
    pub fn open(&mut self) -> StreamId {
        let id = StreamId(self.next);
        self.next += 2;
        Frame::Open.write(id, &mut self.outgoing);
        self.add(id);
        id
    }

    /// The next stream that the peer has opened.
    pub fn accept(&mut self) -> Option<StreamId> {
        (!self.opened.is_empty()).then(|| self.opened.remove(0))
    }

    /// The stack of a stream.
    #[must_use]
    pub fn stack(&self, id: StreamId) -> Option<&Stack> {
        self.streams.get(&id).map(|stream| &stream.stack)
    }

    /// The stack of a stream, for its application. [`drive`](Self::drive) is to be called afterwards.
    pub fn stack_mut(&mut self, id: StreamId) -> Option<&mut Stack> {
        self.streams.get_mut(&id).map(|stream| &mut stream.stack)
    }

    /// The streams that there are.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().copied()
    }

    /// Forgets a stream, which is reset if it is not over.
    pub fn forget(&mut self, id: StreamId) {
        self.opened.retain(|&opened| opened != id);
        if self.streams.remove(&id).is_some_and(|stream| !stream.is_over()) {
            Frame::Reset.write(id, &mut self.outgoing);
        }
    }

    /// Moves all that can be moved between the carrier and the streams; whether there was anything.
    pub fn drive(&mut self, carrier: &mut Stack, now: Instant) -> bool {
        let received = self.receive(carrier, now);
        let delivered = self.streams.values_mut().fold(false, |any, stream| stream.deliver(now) | any);
        self.send(carrier, now) | received | delivered
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.streams.values().filter_map(|stream| stream.stack.poll_deadline()).min()
    }

    /// Tells the stacks of the streams whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for stack in self.streams.values_mut().map(|stream| &mut stream.stack) {
            if stack.poll_deadline().is_some_and(|due| due <= now) {
                stack.handle_timeout(now);
            }
        }
    }

    fn add(&mut self, id: StreamId) {
        let mut stack = Stack::new(self.limits);
        stack.name_wire(format!("tunnel {id} of {}", self.name));
        self.streams.insert(id, Stream::new(stack));
    }

    /// Takes whole frames from the carrier, where what is not yet whole stays. While the answers to them have no room, no
    /// further ones are taken.
    fn receive(&mut self, carrier: &mut Stack, now: Instant) -> bool {
        let mut moved = false;
        while self.outgoing.len() < MAX_OUTGOING {
            let length = match carrier.readable() {
                Readable::Nothing => break,
                Readable::Bytes(bytes) => match Front::of(bytes) {
                    Front::Frame(id, frame, length) => match self.handle_frame(now, id, frame) {
                        Ok(()) => length,
                        Err(mistake) => return self.break_off(carrier, now, mistake),
                    },
                    Front::Malformed(mistake) => return self.break_off(carrier, now, mistake),
                    // The rest of it never comes.
                    Front::Part if carrier.end_ahead().is_some() => bytes.len(),
                    Front::Part => break,
                },
                Readable::Lost(reason) => {
                    let reason = carrier.lost().unwrap_or(reason).clone();
                    return self.lose(now, &reason) | moved;
                }
                // It may be lost behind its end: then nothing goes to it either.
                Readable::Ended(_) | Readable::EndOfInput => {
                    let is_new = match carrier.lost().cloned() {
                        Some(reason) => self.lose(now, &reason),
                        None => self.end(now),
                    };
                    return is_new | moved;
                }
            };
            carrier.consume(now, length);
            moved = true;
        }
        moved
    }

    fn handle_frame(&mut self, now: Instant, id: StreamId, frame: Frame<'_>) -> Result<(), &'static str> {
        if frame == Frame::Open {
            let is_of_peer = id.0 % 2 != self.next % 2;
            if !is_of_peer || id.0 <= self.last_of_peer {
                return Err("a stream is opened that may not be");
            }
            self.last_of_peer = id.0;
            if self.streams.len() < MAX_STREAMS {
                self.add(id);
                self.opened.push(id);
            } else {
                Frame::Reset.write(id, &mut self.outgoing);
            }
        } else if let Some(stream) = self.streams.get_mut(&id) {
            // One that is not there has been forgotten, and its peer not yet heard of it.
            stream.receive(now, frame);
        }
        Ok(())
    }

    /// Ends a carrier over which the peer says what it may not.
    fn break_off(&mut self, carrier: &mut Stack, now: Instant, mistake: &'static str) -> bool {
        carrier.handle_error(now, io::Error::new(io::ErrorKind::InvalidData, mistake));
        carrier.lost().cloned().is_some_and(|reason| self.lose(now, &reason))
    }

    /// The carrier has ended: to a stream that has not, that is a loss.
    fn end(&mut self, now: Instant) -> bool {
        let is_new = self.carrier == Carrier::Live;
        if is_new {
            self.carrier = Carrier::Ended;
            self.streams.values_mut().for_each(|stream| stream.cut(now));
        }
        is_new
    }

    /// The carrier is lost, or what comes from it is.
    fn lose(&mut self, now: Instant, reason: &Reason) -> bool {
        let carrier = if reason.is_inbound_only() { Carrier::Ended } else { Carrier::Lost };
        let is_new = self.carrier != carrier && self.carrier != Carrier::Lost;
        if is_new {
            self.carrier = carrier;
            self.streams.values_mut().for_each(|stream| stream.lose(now, reason.clone()));
        }
        is_new
    }

    /// Sends a frame of each stream in turn, until none has any, or the carrier has no more room.
    fn send(&mut self, carrier: &mut Stack, now: Instant) -> bool {
        let mut moved = false;
        while carrier.check_writable().is_ok() {
            if self.outgoing.is_empty() {
                if !self.send_next(now) {
                    // What is left has no room at the peer, who can no longer say that there is some.
                    return (self.carrier == Carrier::Ended && self.refuse(now)) | moved;
                }
                moved = true;
            }
            let count = carrier.write(now, &self.outgoing).unwrap_or(0);
            self.outgoing.drain(..count);
            if !self.outgoing.is_empty() {
                return moved | (count > 0);
            }
        }
        self.give_up_sending(carrier, now) | moved
    }

    /// The carrier takes nothing any more; whether that is news to anybody. One that is lost says why where it is read.
    fn give_up_sending(&mut self, carrier: &Stack, now: Instant) -> bool {
        let mut moved = !self.outgoing.is_empty();
        self.outgoing.clear();
        if carrier.lost().is_none() {
            moved |= self.refuse(now);
        }
        moved
    }

    /// Nothing more of the streams can go; whether there was anything.
    fn refuse(&mut self, now: Instant) -> bool {
        self.streams.values_mut().fold(false, |any, stream| stream.refuse(now) | any)
    }

    fn send_next(&mut self, now: Instant) -> bool {
        let behind = (Bound::Excluded(self.last_sender), Bound::Unbounded);
        let later: Vec<StreamId> = self.streams.range(behind).map(|(&id, _)| id).collect();
        let earlier = self.streams.range(..=self.last_sender).map(|(&id, _)| id);
        let turns: Vec<StreamId> = later.into_iter().chain(earlier).collect();
        for id in turns {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if stream.send(id, now, &mut self.outgoing) {
                self.last_sender = id;
                return true;
            }
        }
        false
    }
}

impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux")
            .field("name", &self.name)
            .field("streams", &self.streams)
            .field("outgoing", &self.outgoing.len())
            .field("carrier", &self.carrier)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most streams at once.
const MAX_STREAMS: usize = 100;

/// With so much that waits for room in the carrier, nothing more is read that might have to be answered.
const MAX_OUTGOING: usize = 64 * 1024;
