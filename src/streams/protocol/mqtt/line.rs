//! One connection: what is read, written and waited for, by one task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use super::super::super::mailbox::Outgoing;
use super::super::super::message::{Delivery, Message, MessageId};
use super::super::super::policy::{Protocol, Qos, StreamPolicy};
use super::super::super::{Error, ErrorKind};
use super::super::{Attempt, Ending, Port, Wish};
use super::packets;
use super::wire::{self, Connect, DISCONNECT, PINGREQ, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet, Publish};
use super::{InFlight, Session, Wire};
use crate::connection;
use crate::driver::Alarm;

/// A session on a wire.
pub(super) struct Line<'l> {
    wire: Pin<Box<dyn Wire>>,
    session: &'l mut Session,
    attempt: &'l Attempt,
    policy: &'l StreamPolicy,
    port: &'l Port,
    stage: Stage,
    /// Packets that are to leave, one write each.
    leaving: VecDeque<Leaving>,
    leaving_bytes: usize,
    is_flushed: bool,
    /// Messages that are delivered when they are flushed.
    unflushed: Vec<MessageId>,
    chunk: Box<[u8]>,
    /// What was read and is no whole packet yet, or has no room yet.
    unread: BytesMut,
    alarm: Alarm,
    /// Whether nothing is read because the program takes nothing.
    is_held_up: bool,
    /// When to say that we are there, when the answer to that is late, and when all there is to beginning is.
    ping_at: Option<Instant>,
    pong_by: Option<Instant>,
    stands_by: Option<Instant>,
}

/// How far the beginning is.
enum Stage {
    /// CONNECT is sent.
    Connecting { filters: Vec<(String, Qos)>, birth: Option<Publish> },
    /// SUBSCRIBE is.
    Subscribing { id: u16, filters: Vec<(String, Qos)>, birth: Option<Publish> },
    /// The birth is published, with this identifier and quality of service.
    Born(u16, Qos),
    /// The stream stands.
    Standing,
    /// DISCONNECT is the last that leaves.
    Closing,
}

struct Leaving {
    bytes: Bytes,
    /// Whose message it is, if it is delivered by having left.
    settles: Option<MessageId>,
}

impl<'l> Line<'l> {
    pub(super) fn new(
        wire: Pin<Box<dyn Wire>>,
        session: &'l mut Session,
        attempt: &'l Attempt,
        policy: &'l StreamPolicy,
        port: &'l Port,
    ) -> Self {
        let alarm = Alarm::new(Arc::clone(&attempt.shared.timer));
        let stands_by = alarm.now().checked_add(PATIENCE);
        Self {
            wire,
            session,
            attempt,
            policy,
            port,
            stage: Stage::Standing,
            leaving: VecDeque::new(),
            leaving_bytes: 0,
            is_flushed: true,
            unflushed: Vec::new(),
            chunk: vec![0; CHUNK].into(),
            unread: BytesMut::new(),
            is_held_up: false,
            alarm,
            ping_at: None,
            pong_by: None,
            stands_by,
        }
    }

    /// Speaks until the connection ends.
    pub(super) async fn run(
        mut self,
        connect: &Connect,
        filters: Vec<(String, Qos)>,
        birth: Option<Publish>,
    ) -> Ending {
        self.stage = Stage::Connecting { filters, birth };
        self.send(connect.packet(), None);
        match poll_fn(|cx| self.poll(cx)).await {
            Ok(()) => Ending::Done,
            // Behind our own end nothing is an error.
            Err(_) if matches!(self.stage, Stage::Closing) => Ending::Done,
            Err(error) => error.into(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        for _ in 0..MAX_STEPS {
            let mut has_moved = self.take_wishes(cx)?;
            has_moved |= self.read(cx)?;
            has_moved |= self.write(cx)?;
            has_moved |= self.look_at_the_clock(cx)?;
            let is_all_gone = self.leaving.is_empty() && self.is_flushed;
            if is_all_gone && matches!(self.stage, Stage::Closing) {
                return self.wire.as_mut().poll_close(cx).map_err(|error| fault(&error));
            }
            if !has_moved {
                return Poll::Pending;
            }
        }
        // Whoever sends without end leaves room for others all the same.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_wishes(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        if matches!(self.stage, Stage::Closing) {
            return Ok(false);
        }
        let is_standing = matches!(self.stage, Stage::Standing);
        let has_room = is_standing && self.session.in_flight.len() < MAX_IN_FLIGHT && self.leaving_bytes < MAX_LEAVING;
        let Poll::Ready(wish) = self.port.poll_wish(has_room, cx) else { return Ok(false) };
        match wish {
            Wish::Send(outgoing) => self.publish(outgoing),
            Wish::Ping if is_standing => self.ping(),
            Wish::Ping => {}
            Wish::Close => {
                let before = std::mem::replace(&mut self.stage, Stage::Closing);
                // A broker that has not accepted us yet hears nothing but the end.
                if !matches!(before, Stage::Connecting { .. }) {
                    self.send(DISCONNECT, None);
                }
            }
        }
        Ok(true)
    }

    /// Publishes a message of the program, or settles it if that cannot be.
    fn publish(&mut self, outgoing: Outgoing) {
        match packets::message(self.attempt, self.policy, &outgoing) {
            Ok(publish) if publish.qos == Qos::AtMostOnce => self.send(publish.packet(0, false), Some(outgoing.id)),
            Ok(publish) => {
                let id = self.session.next_id();
                self.send(publish.packet(id, false), None);
                self.session.in_flight.insert(id, InFlight { outgoing, publish, is_received: false });
            }
            Err(error) => self.port.settle(outgoing.id, Err(error)),
        }
    }

    fn send(&mut self, packet: Bytes, settles: Option<MessageId>) {
        self.leaving_bytes += packet.len();
        self.leaving.push_back(Leaving { bytes: packet, settles });
        self.put_off_ping();
    }

    /// Something is said now, so that we are there need not be said for a while. Before it is accepted, a client says nothing more.
    fn put_off_ping(&mut self) {
        let is_accepted = !matches!(self.stage, Stage::Connecting { .. });
        let keep_alive = self.policy.mqtt.keep_alive.filter(|time| is_accepted && !time.is_zero());
        self.ping_at = keep_alive.and_then(|time| self.alarm.now().checked_add(time));
    }

    fn ping(&mut self) {
        self.send(PINGREQ, None);
        // The time for the answer is that for the next question.
        if !self.is_held_up {
            self.pong_by = self.pong_by.or(self.ping_at);
        }
    }

    /// What the broker says.
    fn received(&mut self, packet: Packet) -> Result<(), Error> {
        self.port.heard();
        self.pong_by = None;
        match packet {
            Packet::Connack { code, .. } if code != 0 => {
                return Err(Error::refused(Protocol::Mqtt, packets::refusal(code)));
            }
            Packet::Connack { has_session, .. } => {
                let Stage::Connecting { filters, birth } = std::mem::replace(&mut self.stage, Stage::Standing) else {
                    return Err(broken("a second CONNACK"));
                };
                self.put_off_ping();
                self.resume(has_session && !self.policy.mqtt.clean_start);
                self.subscribe(filters, birth);
            }
            _ if matches!(self.stage, Stage::Connecting { .. }) => {
                return Err(broken("something before the CONNACK"));
            }
            Packet::Suback { id: answered, codes } => {
                let Stage::Subscribing { id, filters, birth } = std::mem::replace(&mut self.stage, Stage::Standing)
                else {
                    return Err(broken("a SUBACK for nothing"));
                };
                let is_code = |code: &u8| matches!(code, 0..=2 | 0x80);
                if id != answered || codes.len() != filters.len() || !codes.iter().all(is_code) {
                    return Err(broken("a SUBACK for something else"));
                }
                if let Some((_, (filter, _))) = codes.iter().zip(filters).find(|(code, _)| **code > 2) {
                    return Err(Error::refused(Protocol::Mqtt, format!("the subscription to {filter}")));
                }
                self.be_born(birth);
            }
            Packet::Publish { topic, payload, qos, id } => {
                let is_new = qos != Qos::ExactlyOnce || self.session.received.insert(id);
                if is_new {
                    self.port.give(Message::new(payload).on(topic));
                }
                match qos {
                    Qos::AtMostOnce => {}
                    Qos::AtLeastOnce => self.send(wire::answer(PUBACK, id), None),
                    Qos::ExactlyOnce => self.send(wire::answer(PUBREC, id), None),
                }
            }
            Packet::Pubrel(id) => {
                self.session.received.remove(&id);
                self.send(wire::answer(PUBCOMP, id), None);
            }
            Packet::Puback(id) => self.acknowledged(id, Qos::AtLeastOnce)?,
            Packet::Pubcomp(id) => self.acknowledged(id, Qos::ExactlyOnce)?,
            Packet::Pubrec(id) => {
                if let Some(kept) = self.session.in_flight.get_mut(&id) {
                    if kept.publish.qos != Qos::ExactlyOnce {
                        return Err(broken("a PUBREC for a message of QoS 1"));
                    }
                    kept.is_received = true;
                }
                // There are brokers that say it twice, and each wants its answer.
                self.send(wire::answer(PUBREL, id), None);
            }
            Packet::Pingresp => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, id: u16, by: Qos) -> Result<(), Error> {
        if matches!(self.stage, Stage::Born(birth, qos) if birth == id && qos == by) {
            self.stand();
            return Ok(());
        }
        self.session.acknowledged(id, by, self.port)
    }

    /// Goes on with what was in flight when the connection before this one ended (section 4.4).
    fn resume(&mut self, has_session: bool) {
        if !has_session {
            for outgoing in self.session.forgotten(self.port) {
                self.publish(outgoing);
            }
            return;
        }
        let mut kept: Vec<_> = self.session.in_flight.iter().collect();
        kept.sort_unstable_by_key(|(_, kept)| kept.outgoing.id);
        let again = kept.into_iter().map(|(&id, kept)| match kept.is_received {
            true => wire::answer(PUBREL, id),
            false => kept.publish.packet(id, true),
        });
        for packet in again.collect::<Vec<_>>() {
            self.send(packet, None);
        }
    }

    fn subscribe(&mut self, filters: Vec<(String, Qos)>, birth: Option<Publish>) {
        if filters.is_empty() {
            return self.be_born(birth);
        }
        let id = self.session.next_id();
        self.send(wire::subscribe(id, &filters), None);
        self.stage = Stage::Subscribing { id, filters, birth };
    }

    fn be_born(&mut self, birth: Option<Publish>) {
        let Some(birth) = birth else { return self.stand() };
        if birth.qos == Qos::AtMostOnce {
            self.send(birth.packet(0, false), None);
            return self.stand();
        }
        let id = self.session.next_id();
        self.stage = Stage::Born(id, birth.qos);
        self.send(birth.packet(id, false), None);
    }

    fn stand(&mut self) {
        self.stage = Stage::Standing;
        self.stands_by = None;
        self.port.connected();
    }

    /// Takes one packet of what was read, or reads more where there is no whole one.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        // Nothing is answered behind DISCONNECT.
        if matches!(self.stage, Stage::Closing) {
            return Ok(false);
        }
        // A message that is read is acknowledged, so there has to be room for it, and for the answers. Acknowledgements need none.
        let is_message = self.unread.first().is_some_and(|first| wire::is_publish(*first));
        self.is_held_up = is_message && self.port.poll_room(cx).is_pending();
        if self.is_held_up || self.leaving.len() >= MAX_PACKETS {
            return Ok(false);
        }
        if let Some(packet) = Packet::take(&mut self.unread).map_err(|error| broken(error.to_string()))? {
            self.received(packet)?;
            return Ok(true);
        }
        match self.wire.as_mut().poll_read(cx, &mut self.chunk) {
            Poll::Ready(Ok(0)) => Err(ErrorKind::Ended.into()),
            Poll::Ready(Ok(count)) => {
                self.unread.extend_from_slice(&self.chunk[..count]);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(fault(&error)),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes what leaves, packet by packet, and flushes once behind all of them.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        let mut has_moved = false;
        while let Some(first) = self.leaving.front_mut() {
            match self.wire.as_mut().poll_write(cx, &first.bytes) {
                Poll::Ready(Ok(count)) => {
                    first.bytes.advance(count);
                    self.leaving_bytes -= count;
                }
                Poll::Ready(Err(error)) => return Err(fault(&error)),
                Poll::Pending => break,
            }
            (has_moved, self.is_flushed) = (true, false);
            if first.bytes.is_empty() {
                self.unflushed.extend(first.settles);
                self.leaving.pop_front();
            }
        }
        if !self.is_flushed {
            match self.wire.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(error)) => return Err(fault(&error)),
                Poll::Pending => return Ok(has_moved),
            }
            for id in self.unflushed.drain(..) {
                self.port.settle(id, Ok(Delivery::Sent));
            }
            has_moved = true;
        }
        Ok(has_moved)
    }

    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        if matches!(self.stage, Stage::Closing) {
            return Ok(false);
        }
        // Who is not heard by our own fault is not judged.
        self.pong_by = self.pong_by.filter(|_| !self.is_held_up);
        let next = [self.ping_at, self.pong_by, self.stands_by].into_iter().flatten().min();
        if !self.alarm.is_due(next, cx) {
            return Ok(false);
        }
        let now = self.alarm.now();
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_over(self.stands_by) {
            return Err(ErrorKind::Silent(PATIENCE).into());
        }
        if is_over(self.pong_by) {
            return Err(ErrorKind::Silent(self.policy.mqtt.keep_alive.unwrap_or_default()).into());
        }
        self.ping();
        Ok(true)
    }
}

fn broken(how: impl Into<String>) -> Error {
    Error::broken(Protocol::Mqtt, how)
}

fn fault(error: &io::Error) -> Error {
    // What a WebSocket below has to complain of is no error of the connection.
    let is_of_the_connection = connection::Error::of(error).is_some();
    match error.kind() {
        io::ErrorKind::InvalidData if !is_of_the_connection => Error::broken(Protocol::Ws, error.to_string()),
        _ => Error::lost(error),
    }
}

/// How long a broker has for all there is to beginning.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many publications may be without an acknowledgement: Mosquitto (2.0.11) acknowledges more of QoS 2 and then drops some. No more are taken while so many bytes wait to leave, and nothing is
/// read while so many packets do.
const MAX_IN_FLIGHT: usize = 20;
const MAX_LEAVING: usize = 256 * 1024;
const MAX_PACKETS: usize = 1024;

/// So much is read at a time, and so many steps are done before others have their turn.
const CHUNK: usize = 8 * 1024;
const MAX_STEPS: usize = 256;
