//! Two protocols that do at random what a protocol may do, and a model of what they must be told.
//!
//! The left sends numbered messages, asks for TLS and stops it; the right answers, and sends messages of its own. A seed
//! that is *wild* also leaves, fails and aborts, stops where that is rude, and breaks the socket: then not everything
//! arrives, but what arrives is in sequence, and both get one loss.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onionskin::protocol::{
    EndReason, LayerId, LayerView, PeerAnswer, Producer, Protocol, Result, Stop, Streaming, Transport,
};
use onionskin::stack::LayerError;
use onionskin::testing::{Cut, Dialogue, Dice};
use onionskin::tls::{OnPeerClose, TlsClient, TlsServer, Version};

use crate::common::link::{Case, Link, NAME};

#[test]
fn protocols_that_do_what_they_want_are_told_what_is_true() {
    // The first seeds of each kind; more with ONIONSKIN_SEEDS.
    let seeds = std::env::var("ONIONSKIN_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2000);
    let totals = Arc::new(Totals::default());
    for seed in 0..seeds {
        let named = Seed(seed);
        play(seed, &totals);
        drop(named);
    }
    // A game in which nothing happens would pass as well.
    for (what, count) in [("starts", &totals.ready), ("stops", &totals.stopped), ("losses", &totals.lost)] {
        assert!(count.load(Ordering::Relaxed) > seeds as usize / 10, "hardly any {what}");
    }
    for (what, count) in [("pauses", &totals.paused), ("producers", &totals.produced), ("closes", &totals.whole)] {
        assert!(count.load(Ordering::Relaxed) > seeds as usize / 20, "hardly any {what}");
    }
}

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was the seed {}", self.0);
        }
    }
}

#[derive(Default)]
struct Totals {
    ready: AtomicUsize,
    stopped: AtomicUsize,
    lost: AtomicUsize,
    paused: AtomicUsize,
    produced: AtomicUsize,
    whole: AtomicUsize,
}

fn play(seed: u64, totals: &Arc<Totals>) {
    let mut dice = Dice::new(seed);
    let cut = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(seed)][dice.below(4)];
    let version = if dice.one_in(3) { Version::Tls12 } else { Version::Tls13 };
    let wild = dice.one_in(2);
    let link = Link::new(Case { cut, version, depth: 0, padded: false });
    let largest = if cut == Cut::Bytes { 300 } else { 60_000 };
    let player = |role: Role, turn: u64| Player::new(role, seed * 2 + turn, wild, largest, totals);
    let left = player(Role::Asks(link.client.clone()), 0);
    let right = player(Role::Answers(link.server.clone()), 1);
    let mut dialogue = Dialogue::over(link.pair, left, right);

    for _ in 0..6 {
        rest(&mut dialogue);
        dialogue.advance(Duration::from_millis(700));
        if dice.one_in(2) {
            dialogue.with_left(Player::act_outside);
        } else {
            dialogue.with_right(Player::act_outside);
        }
        for _ in 0..dice.below(5) {
            dialogue.step();
        }
        if wild && dice.one_in(30) {
            let now = dialogue.pair.now();
            dialogue.pair.left.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into());
        }
    }
    rest(&mut dialogue);
    dialogue.advance(Duration::from_secs(20));
    if !wild {
        let (left, right) = (dialogue.left(), dialogue.right());
        assert!(left.reason.is_none() && right.reason.is_none(), "{:?} / {:?}", left.reason, right.reason);
        assert_eq!((left.received, right.received), (right.sent(), left.sent()), "all has arrived");
    }
    dialogue.with_left(|left, transport| {
        left.left = true;
        transport.close();
    });
    rest(&mut dialogue);
    dialogue.advance(Duration::from_secs(600));
    let (left, right) = (dialogue.left(), dialogue.right());
    left.check_end(right, totals);
    right.check_end(left, totals);
}

fn rest(dialogue: &mut Dialogue<Player, Player>) {
    let mut steps = 0;
    while dialogue.step() {
        steps += 1;
        assert!(steps < 2_000_000, "it does not come to rest: {:?}", dialogue.pair);
    }
}

enum Role {
    Asks(TlsClient),
    Answers(TlsServer),
}

/// A protocol that plays, and the model of what it may be told.
struct Player {
    role: Role,
    dice: Dice,
    wild: bool,
    /// How many more things it does of itself.
    moves: usize,
    out: Arc<Mutex<Out>>,
    largest: usize,
    /// Has asked for TLS, and is silent until the answer.
    asking: bool,
    layers: Vec<(LayerId, Stage)>,
    made: bool,
    reading: bool,
    left: bool,
    full: bool,
    input_ended: bool,
    /// Messages in sequence, as they were read.
    received: u32,
    producers: Arc<Producers>,
    reason: Option<EndReason>,
    totals: Arc<Totals>,
}

/// What was written, by whomever.
#[derive(Default)]
struct Out {
    next: u32,
    /// Written while it could still be sent.
    counted: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Started,
    Ready,
    Ended,
}

#[derive(Default)]
struct Producers {
    registered: AtomicUsize,
    done: AtomicUsize,
    stopped: AtomicUsize,
}

impl Player {
    fn new(role: Role, seed: u64, wild: bool, largest: usize, totals: &Arc<Totals>) -> Self {
        Self {
            role,
            dice: Dice::new(seed.wrapping_mul(0x1234_5677)),
            wild,
            moves: 25,
            out: Arc::default(),
            largest,
            asking: false,
            layers: Vec::new(),
            made: false,
            reading: true,
            left: false,
            full: false,
            input_ended: false,
            received: 0,
            producers: Arc::default(),
            reason: None,
            totals: Arc::clone(totals),
        }
    }

    fn sent(&self) -> u32 {
        self.out.lock().unwrap().counted
    }

    fn has_producer(&self) -> bool {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        count(&self.producers.registered) > count(&self.producers.done) + count(&self.producers.stopped)
    }

    /// What holds in every callback but the last.
    fn told(&self) {
        assert!(self.made, "made comes first");
        assert!(self.reason.is_none(), "nothing comes behind the loss");
    }

    fn act_outside(&mut self, transport: &mut Transport<'_>) {
        if self.made && self.reason.is_none() && !self.left {
            self.moves += 5;
            if let Err(error) = self.act(transport) {
                transport.fail(error);
            }
        }
    }

    /// Some random moves.
    fn act(&mut self, transport: &mut Transport<'_>) -> Result {
        while self.moves > 0 && !self.left && self.dice.one_in(2) {
            self.moves -= 1;
            self.one_move(transport)?;
        }
        Ok(())
    }

    fn one_move(&mut self, transport: &mut Transport<'_>) -> Result {
        let may_write = !self.asking;
        match self.dice.below(12) {
            0..=2 if may_write => {
                let length = self.length();
                return write(&self.out, transport, length);
            }
            3 if may_write && !self.has_producer() => {
                let streaming = if self.dice.one_in(2) { Streaming::Pull } else { Streaming::Push };
                self.producers.registered.fetch_add(1, Ordering::Relaxed);
                self.totals.produced.fetch_add(1, Ordering::Relaxed);
                let source = Source {
                    pieces: self.dice.below(6),
                    length: self.length(),
                    streaming,
                    full: None,
                    out: Arc::clone(&self.out),
                    producers: Arc::clone(&self.producers),
                };
                transport.register_producer(source, streaming)?;
            }
            4 if self.reading => {
                self.reading = false;
                transport.pause_producing();
                transport.set_timeout(Some(Duration::from_millis(1 + self.dice.below(500) as u64)));
            }
            5 => {
                self.reading = true;
                transport.resume_producing();
            }
            6 if self.reading => {
                self.reading = false;
                transport.pause_producing();
                self.reading = true;
                transport.resume_producing();
            }
            7 | 8
                if may_write && !self.has_producer() && self.layers.len() < 4 && matches!(self.role, Role::Asks(_)) =>
            {
                self.asking = true;
                return transport.write(b"S");
            }
            9 if !self.asking && (self.wild || matches!(self.role, Role::Asks(_))) => {
                let mut stop = Stop::new().timeout(None);
                if self.dice.one_in(3) {
                    stop = stop.after_peer(Duration::from_millis(100));
                }
                // There may be none.
                let _ = transport.stop_with(stop);
            }
            10 if self.wild && self.dice.one_in(6) => {
                self.left = true;
                match self.dice.below(3) {
                    0 => transport.close(),
                    1 => transport.abort(),
                    _ => return Err("as the dice fell".into()),
                }
            }
            11 => {
                let low = self.dice.below(20_000);
                transport.set_water_marks(low, low + self.dice.below(50_000));
            }
            _ => {}
        }
        Ok(())
    }

    fn length(&mut self) -> usize {
        if self.dice.one_in(5) { self.dice.below(self.largest) } else { self.dice.below(200) }
    }

    /// Takes one message if it is whole; whether it was.
    fn take_message(&mut self, transport: &mut Transport<'_>) -> Result<bool> {
        let (kind, length) = match *transport.input() {
            [b'M', a, b, ..] => (b'M', MESSAGE + usize::from(u16::from_be_bytes([a, b]))),
            [b'M', ..] | [] => return Ok(false),
            [other, ..] => (other, 1),
        };
        if transport.input().len() < length {
            return Ok(false);
        }
        let message = transport.take(length);
        match (kind, &self.role) {
            (b'M', _) => {
                assert_eq!(message[3..MESSAGE], self.received.to_be_bytes(), "the next message");
                assert!(message[MESSAGE..].iter().all(|&byte| byte == message[6]), "and all of it");
                self.received += 1;
            }
            (b'S', Role::Answers(server)) => {
                let layer = server.accept()?.handshake_timeout(None);
                transport.write(b"G")?;
                self.layers.push((transport.start_tls(layer)?, Stage::Started));
            }
            (b'G', Role::Asks(client)) => {
                let layer = client.to(NAME)?.handshake_timeout(None).on_peer_close(OnPeerClose::Hold);
                assert!(std::mem::take(&mut self.asking), "it was asked for");
                self.layers.push((transport.start_tls(layer)?, Stage::Started));
            }
            _ => panic!("nobody says {kind}"),
        }
        Ok(true)
    }

    fn check_end(&self, other: &Self, totals: &Totals) {
        let reason = self.reason.as_ref().expect("the loss is told");
        assert!(!self.has_producer(), "the producer is done or stopped: {reason}");
        assert!(self.received <= other.sent(), "nothing comes from nowhere");
        // A graceful close brings all across, unless the other side does not listen.
        if reason.is_closed() && self.left && !other.left {
            totals.whole.fetch_add(1, Ordering::Relaxed);
            assert_eq!(other.received, self.sent(), "{reason} / {:?}", other.reason);
        }
    }
}

impl Protocol for Player {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        assert!(!std::mem::replace(&mut self.made, true), "once");
        self.act(transport)
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.told();
        assert!(self.reading && !self.left, "it does not want to be told");
        assert!(!transport.input().is_empty());
        let innermost = self.layers.last().map(|&(_, stage)| stage);
        assert!(matches!(innermost, None | Some(Stage::Ready)), "{innermost:?}");
        while self.take_message(transport)? {
            self.act(transport)?;
            if !self.reading || self.left || self.dice.one_in(3) {
                break;
            }
        }
        Ok(())
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.told();
        let found = self.layers.iter_mut().find(|(id, _)| *id == layer.id).expect("it was started");
        assert_eq!(std::mem::replace(&mut found.1, Stage::Ready), Stage::Started);
        self.totals.ready.fetch_add(1, Ordering::Relaxed);
        self.act(transport)
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, layer: LayerId) -> Result {
        self.told();
        let innermost = self.layers.last_mut().expect("there is one");
        assert_eq!(*innermost, (layer, Stage::Ready));
        innermost.1 = Stage::Ended;
        transport.stop_with(Stop::new().timeout(None))?;
        self.act(transport)
    }

    fn layer_stopped(&mut self, transport: &mut Transport<'_>, layer: LayerId, _: PeerAnswer) -> Result {
        self.told();
        assert_eq!(self.layers.pop().map(|(id, _)| id), Some(layer), "the innermost one");
        self.totals.stopped.fetch_add(1, Ordering::Relaxed);
        self.act(transport)
    }

    fn layer_failed(&mut self, _: &mut Transport<'_>, layer: LayerId, error: &LayerError) -> Result {
        panic!("no layer here peels when it fails: {layer}, {error}")
    }

    fn end_of_input(&mut self, transport: &mut Transport<'_>) -> Result {
        self.told();
        assert!(!std::mem::replace(&mut self.input_ended, true), "once");
        transport.close();
        Ok(())
    }

    fn writing_paused(&mut self, transport: &mut Transport<'_>) -> Result {
        self.told();
        assert!(!std::mem::replace(&mut self.full, true), "in turns");
        self.totals.paused.fetch_add(1, Ordering::Relaxed);
        self.act(transport)
    }

    fn writing_resumed(&mut self, transport: &mut Transport<'_>) -> Result {
        self.told();
        assert!(std::mem::replace(&mut self.full, false), "in turns");
        self.act(transport)
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) -> Result {
        self.told();
        self.reading = true;
        transport.resume_producing();
        self.act(transport)
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        assert!(self.made);
        assert!(self.reason.replace(reason.clone()).is_none(), "once");
        self.totals.lost.fetch_add(1, Ordering::Relaxed);
    }
}

struct Source {
    pieces: usize,
    length: usize,
    streaming: Streaming,
    /// What it was told last.
    full: Option<bool>,
    out: Arc<Mutex<Out>>,
    producers: Arc<Producers>,
}

impl Producer for Source {
    fn resume_producing(&mut self, transport: &mut Transport<'_>) -> Result {
        if self.streaming == Streaming::Push {
            assert_ne!(self.full.replace(false), Some(false), "in turns");
        }
        while self.pieces > 0 && !transport.is_full() {
            self.pieces -= 1;
            write(&self.out, transport, self.length)?;
            if self.streaming == Streaming::Pull {
                break;
            }
        }
        if self.pieces == 0 {
            self.producers.done.fetch_add(1, Ordering::Relaxed);
            transport.unregister_producer();
        }
        Ok(())
    }

    fn pause_producing(&mut self) {
        assert_eq!(self.streaming, Streaming::Push);
        assert_ne!(self.full.replace(true), Some(true), "in turns");
    }

    fn stop_producing(&mut self) {
        self.producers.stopped.fetch_add(1, Ordering::Relaxed);
    }
}

fn write(out: &Mutex<Out>, transport: &mut Transport<'_>, length: usize) -> Result {
    let mut out = out.lock().unwrap();
    let mut message = vec![b'M'];
    message.extend((length as u16).to_be_bytes());
    message.extend(out.next.to_be_bytes());
    message.resize(MESSAGE + length, message[6]);
    transport.write(&message)?;
    out.next += 1;
    out.counted = out.next;
    Ok(())
}

/// The kind of a message, its length and its number.
const MESSAGE: usize = 1 + 2 + 4;
