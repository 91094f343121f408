//! Random scripts, played on a pair of stacks and held against the [`Model`].
//!
//! A script is a list of actions. An action that makes no sense where it stands (a stop without a layer) is left out,
//! so that every list is a script and a failing one can be made shorter. At the end both peers read what is left,
//! answer what the other began, stop all layers and close: then nothing may be left anywhere.
//!
//! `PROPTEST_CASES` sets how many scripts are played, `PROPTEST_RNG_SEED` which ones. A failure prints both the seed
//! and the script. The fuzzer plays what its bytes say ([`play`]), and what it has found in `fuzz/corpus` is played here too.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use onionskin::layer::Counter;
use onionskin::stack::{Event, LayerId, Limits, PeerAnswer, Readable, Stack, Stop};
use onionskin::testing::{Cut, Dice, Pair, Peer};
use onionskin::tls::{OnPeerClose, TlsLayer, Version};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::model::{Change, Model, Start, Who};
use crate::world::{NAME, World};

#[derive(Clone, Debug)]
struct Script {
    cut: Cut,
    /// Of each boundary of either peer.
    buffer: usize,
    actions: Vec<Action>,
}

#[derive(Clone, Debug)]
enum Action {
    Write(Who, usize),
    Read(Who, usize),
    Start(Who, Start),
    Finish(Who),
    Stop(Who, Manner),
    /// Do what the other has begun: splice the other side, or answer an end and continue below it.
    Follow(Who, Manner),
    UpdateKeys(Who),
    /// Splice a layer that changes nothing.
    Wrap(Who),
    /// Take the one with this number out again, wherever it stands by then.
    Remove(Who, usize),
    /// Keep what is on the wire from arriving, or let it.
    Hold(Who, bool),
    Steps(usize),
    Rest,
    Pass(Duration),
}

/// How to stop.
#[derive(Clone, Copy, Debug)]
struct Manner {
    after_peer: Option<Duration>,
    writes_at_once: bool,
}

impl Manner {
    fn stop(self) -> Stop {
        let mut stop = Stop::new().timeout(None);
        if let Some(grace) = self.after_peer {
            stop = stop.after_peer(grace);
        }
        if self.writes_at_once {
            stop = stop.writes_at_once();
        }
        stop
    }
}

#[test]
fn every_byte_is_read_once_in_order_and_at_its_depth() {
    let seed = env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let config = Config { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let played = TestRunner::new(config).run(&script(), |script| {
        Play::new(&script).play(&script);
        Ok(())
    });
    if let Err(error) = played {
        panic!("PROPTEST_RNG_SEED={seed}: {error}");
    }
}

/// What the fuzzer has kept, each file because it got where no other did.
#[test]
fn every_script_that_the_fuzzer_has_kept_plays() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/scripts");
    let Ok(files) = fs::read_dir(&corpus) else {
        // The fuzzer is a package of its own, and not in the published one.
        eprintln!("skipped: there is no {}", corpus.display());
        return;
    };
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in files {
        eprintln!("{}", file.display());
        play(&fs::read(file).unwrap());
    }
}

/// Plays the script that these bytes make: the first is the cut, and four are an action.
pub(crate) fn play(bytes: &[u8]) {
    let (cut, actions) = bytes.split_first().map_or((Cut::Whole, bytes), |(first, actions)| match first {
        0 => (Cut::Whole, actions),
        1 => (Cut::Coalesced, actions),
        2 => (Cut::Bytes, actions),
        seed => (Cut::Random(u64::from(*seed)), actions),
    });
    let largest = if cut == Cut::Bytes { 300 } else { 9_000 };
    let actions =
        actions.chunks_exact(4).take(MAX_ACTIONS).map(|four| written(four[0], four[1], four[2], four[3], largest));
    let script = Script { cut, buffer: MIN_BUFFER, actions: actions.collect() };
    Play::new(&script).play(&script);
}

/// The action that four bytes make: a kind, whose it is with what else is yes or no, and a number.
fn written(kind: u8, choices: u8, high: u8, low: u8, largest: usize) -> Action {
    let chosen = |bit: u8| choices & (1 << bit) != 0;
    let who = |bit| if chosen(bit) { Who::Right } else { Who::Left };
    let number = usize::from(u16::from_be_bytes([high, low]));
    let grace = Duration::from_millis(number as u64 % 200);
    let manner = Manner { after_peer: chosen(1).then_some(grace), writes_at_once: chosen(2) };
    let version = if chosen(3) { Version::Tls12 } else { Version::Tls13 };
    let start = Start { client: who(2), version, answers_itself: chosen(4).then(|| who(5)) };
    match kind % 12 {
        0 => Action::Write(who(0), number.min(largest)),
        1 => Action::Read(who(0), if chosen(1) { usize::MAX } else { number }),
        2 => Action::Start(who(0), start),
        3 => Action::Finish(who(0)),
        4 => Action::Stop(who(0), manner),
        5 => Action::Follow(who(0), manner),
        6 => Action::UpdateKeys(who(0)),
        7 => Action::Wrap(who(0)),
        8 => Action::Remove(who(0), number),
        9 => Action::Hold(who(0), chosen(1)),
        10 => Action::Steps(number % 40),
        _ if chosen(1) => Action::Pass(grace),
        _ => Action::Rest,
    }
}

/// Two stacks, and the model of what they carry.
struct Play {
    pair: Pair,
    model: Model,
    events: HashMap<Who, Vec<Event>>,
    answer_themselves: Vec<(Who, LayerId)>,
    /// The layers that change nothing, those that were taken out again too.
    wrappers: HashMap<Who, Vec<LayerId>>,
    /// How many writes there were: no two write the same.
    writes: u64,
}

impl Play {
    fn new(script: &Script) -> Self {
        let mut pair = Pair::new(script.cut);
        for peer in [&mut pair.left, &mut pair.right] {
            peer.stack = Stack::new(Limits::default().with_buffer(script.buffer));
        }
        let events = Who::BOTH.map(|who| (who, Vec::new())).into();
        let wrappers = Who::BOTH.map(|who| (who, Vec::new())).into();
        Self { pair, model: Model::new(), events, answer_themselves: Vec::new(), wrappers, writes: 0 }
    }

    fn play(mut self, script: &Script) {
        for action in &script.actions {
            self.act(action);
            self.check();
        }
        self.unwind();
        self.close();
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Write(who, count) => self.write(who, count),
            Action::Read(who, count) => self.read(who, count),
            Action::Start(who, start) if self.model.may_start(who) && self.model.depth(who) < MAX_LAYERS => {
                self.splice(who, start);
            }
            Action::Start(..) => {}
            Action::Finish(who) => self.finish(who),
            Action::Stop(who, manner) => self.stop(who, manner),
            Action::Follow(who, manner) => self.follow(who, manner),
            Action::UpdateKeys(who) => self.update_keys(who),
            Action::Wrap(who) => self.wrap(who),
            Action::Remove(who, number) => self.remove(who, number),
            Action::Hold(who, hold) => self.peer(who).hold(hold),
            Action::Steps(count) => (0..count).for_each(|_| {
                self.pair.step();
            }),
            Action::Rest => self.pair.run(),
            Action::Pass(time) => self.pair.advance(time),
        }
    }

    fn write(&mut self, who: Who, count: usize) {
        if !self.model.may_write(who) {
            return;
        }
        self.writes += 1;
        let mut dice = Dice::new(self.writes);
        let bytes: Vec<u8> = (0..count).map(|_| dice.below(256) as u8).collect();
        let peer = self.peer(who);
        let now = peer.now();
        match peer.stack.write(now, &bytes) {
            Ok(written) => self.model.wrote(who, &bytes[..written]),
            // The stack has stopped the layer in answer to the other, and the application has not seen that yet.
            Err(error) if error.is_ended() && self.answer_themselves.iter().any(|&(them, _)| them == who) => {}
            Err(error) => panic!("{who:?} cannot write: {error}"),
        }
    }

    fn read(&mut self, who: Who, most: usize) {
        let mut left = most;
        while left > 0 {
            let theirs = self.model.layer_of_other(who);
            let answer_themselves = self.answer_themselves.clone();
            let (peer, model) = self.peer_and_model(who);
            let due = model.unread(who);
            let ahead = model.change_ahead(who);
            match peer.stack.readable() {
                Readable::Bytes(bytes) => {
                    let count = bytes.len().min(due.len()).min(left);
                    assert!(bytes[..count] == due[..count], "{who:?} reads other bytes than were written");
                    let beyond = bytes.len() > due.len();
                    assert!(
                        !beyond || matches!(ahead, Some(Change::Start(_))),
                        "{who:?} reads {} bytes from beyond its epoch: {ahead:?}",
                        bytes.len() - due.len()
                    );
                    if count == 0 {
                        return;
                    }
                    left -= count;
                    let now = peer.now();
                    peer.stack.consume(now, count);
                    model.read(who, count);
                }
                Readable::Ended(id) => {
                    assert!(due.is_empty(), "{who:?} reads an end {} bytes early", due.len());
                    let ended = model.has_ended(who)
                        || theirs.is_some_and(|theirs| answer_themselves.contains(&(who.other(), theirs)));
                    assert!(matches!(ahead, Some(Change::Stop)) && ended, "nobody stopped {id}");
                    assert_eq!(model.layer_of_reads(who), Some(id));
                    return;
                }
                Readable::Nothing => return,
                other => panic!("{who:?} reads {other:?}"),
            }
        }
    }

    fn splice(&mut self, who: Who, start: Start) {
        let world = World::shared();
        let mut layer = if start.client == who {
            world.client(start.version).to(NAME).unwrap()
        } else {
            world.server().accept().unwrap()
        };
        layer = layer.handshake_timeout(None);
        if start.answers_itself == Some(who) {
            layer = layer.on_peer_close(OnPeerClose::Peel);
        }
        let id = self.peer(who).splice(layer);
        if start.answers_itself == Some(who) {
            self.answer_themselves.push((who, id));
        }
        self.model.started(who, start, id);
    }

    fn finish(&mut self, who: Who) {
        if let Some(id) = self.stoppable(who) {
            let peer = self.peer(who);
            let now = peer.now();
            peer.stack.finish(now, id).unwrap();
            self.model.finished(who);
        }
    }

    fn stop(&mut self, who: Who, manner: Manner) {
        if let Some(id) = self.stoppable(who) {
            let peer = self.peer(who);
            let now = peer.now();
            peer.stack.stop(now, id, manner.stop()).unwrap();
            self.model.stopped(who);
        }
    }

    /// The layer that `who` may stop. While the one above it is still being stopped, that is none.
    fn stoppable(&mut self, who: Who) -> Option<LayerId> {
        let id = self.model.layer_of_writes(who).filter(|_| self.model.may_stop(who))?;
        (self.peer(who).stack.innermost_stoppable() == Some(id)).then_some(id)
    }

    fn follow(&mut self, who: Who, manner: Manner) {
        if let Some(Change::Start(start)) = self.model.change_ahead(who) {
            if self.model.is_even(who) && self.model.unread(who).is_empty() {
                self.splice(who, start);
            }
        } else if let Some(id) = self.peer(who).ended() {
            self.read(who, 1);
            let answers_itself = self.answer_themselves.contains(&(who, id));
            if self.model.is_even(who) && !answers_itself {
                self.stop(who, manner);
            }
            if self.peer(who).stack.layer(id).is_none() {
                self.peer(who).pass_end().unwrap();
                if self.model.is_even(who) {
                    self.model.stopped(who);
                }
                self.model.passed_end(who);
            }
        }
    }

    fn update_keys(&mut self, who: Who) {
        if let Some(id) = self.model.layer_of_writes(who) {
            let peer = self.peer(who);
            let now = peer.now();
            // It may be too early, too late, or the wrong version: then it is refused.
            let _ = peer.stack.with_layer(now, id, |layer: &mut TlsLayer| layer.request_key_update());
        }
    }

    fn wrap(&mut self, who: Who) {
        let peer = self.peer(who);
        let now = peer.now();
        // While a layer is being stopped, or has ended, nothing goes on top of it.
        if peer.stack.depth() < MAX_WRAPPED_LAYERS
            && let Ok(id) = peer.stack.splice(now, Box::new(Counter::new()))
        {
            self.wrappers.get_mut(&who).unwrap().push(id);
        }
    }

    fn remove(&mut self, who: Who, number: usize) {
        let wrappers = &self.wrappers[&who];
        if wrappers.is_empty() {
            return;
        }
        let id = wrappers[number % wrappers.len()];
        let peer = self.peer(who);
        let now = peer.now();
        let was_there = peer.stack.layer(id).is_some();
        assert_eq!(peer.stack.remove(now, id).is_ok(), was_there, "{who:?} removes {id}: {}", peer.stack);
    }

    fn check(&mut self) {
        for who in Who::BOTH {
            let events = self.peer(who).events();
            self.events.get_mut(&who).unwrap().extend(events);
            let stopped = self.events[&who].iter().filter(|event| matches!(event, Event::Stopped(..))).count();
            let (started, _) = self.model.started_and_left(who);
            let wrapped = self.wrappers[&who].len();
            let stack = &self.peer(who).stack;
            assert!(stack.lost().is_none(), "{who:?} has lost the connection: {}", stack.lost().unwrap());
            assert_eq!(stack.depth(), started + wrapped - stopped, "the depth of {who:?}: {stack}");
        }
    }

    /// Lets both do what they have to until no layer is left.
    fn unwind(&mut self) {
        for who in Who::BOTH {
            self.peer(who).hold(false);
        }
        let mut idle = 0;
        while idle < PATIENCE {
            let before = format!("{:?}", self.model);
            self.pair.run();
            for who in Who::BOTH {
                self.read(who, usize::MAX);
                self.follow(who, PLAIN);
                self.check();
            }
            if format!("{:?}", self.model) != before {
                idle = 0;
                continue;
            }
            idle += 1;
            // Only a grace can be what they wait for.
            self.pair.advance(Duration::from_millis(200));
            for who in Who::BOTH {
                if self.model.next_change(who).is_none() && self.model.is_even(who) {
                    self.stop(who, PLAIN);
                }
            }
        }
        for who in Who::BOTH {
            assert!(self.model.next_change(who).is_none() && self.model.is_even(who), "{who:?} waits for ever");
            assert_eq!(self.model.depth(who), 0, "{who:?} does not unwind");
            let unread = self.model.unread(who).len();
            assert_eq!(unread, 0, "bytes that {who:?} never sees");
            let (started, left) = self.model.started_and_left(who);
            assert_eq!(started, left);
            let ready = self.events[&who].iter().filter(|event| matches!(event, Event::Ready(_))).count();
            let answered = |event: &&Event| matches!(event, Event::Stopped(_, PeerAnswer::CloseNotify));
            let stopped = self.events[&who].iter().filter(answered).count();
            assert_eq!((ready, stopped), (started, left), "{:?}", self.events[&who]);
            let stack = &self.peer(who).stack;
            assert!(stack.is_flushed() && stack.inbound_len() == 0, "bytes are left in {stack:?}");
        }
    }

    fn close(mut self) {
        for who in Who::BOTH {
            let peer = self.peer(who);
            let now = peer.now();
            peer.stack.close(now);
        }
        self.pair.run();
        for who in Who::BOTH {
            assert!(matches!(self.peer(who).stack.readable(), Readable::EndOfInput));
            let (peer, model) = self.peer_and_model(who);
            for secret in model.secrets(who).filter(|secret| secret.len() >= TELLTALE) {
                let telltale = &secret[..TELLTALE];
                assert!(!peer.sent().windows(TELLTALE).any(|sent| sent == telltale), "{who:?} sent a secret in clear");
            }
        }
    }

    fn peer(&mut self, who: Who) -> &mut Peer {
        self.peer_and_model(who).0
    }

    fn peer_and_model(&mut self, who: Who) -> (&mut Peer, &mut Model) {
        let peer = match who {
            Who::Left => &mut self.pair.left,
            Who::Right => &mut self.pair.right,
        };
        (peer, &mut self.model)
    }
}

fn script() -> impl Strategy<Value = Script> {
    let cut = prop_oneof![
        3 => any::<u64>().prop_map(Cut::Random),
        1 => Just(Cut::Whole),
        1 => Just(Cut::Coalesced),
        1 => Just(Cut::Bytes),
    ];
    let buffer = prop_oneof![Just(MIN_BUFFER), Just(Limits::default().buffer)];
    (cut, buffer).prop_flat_map(|(cut, buffer)| {
        let largest = if cut == Cut::Bytes { 300 } else { 90_000 };
        prop::collection::vec(action(largest), 1..150).prop_map(move |actions| Script { cut, buffer, actions })
    })
}

fn action(largest: usize) -> impl Strategy<Value = Action> {
    let count = || prop_oneof![8 => 0..100_usize, 4 => 0..3_000_usize, 1 => 0..90_000_usize];
    let time = || (1..200_u64).prop_map(Duration::from_millis);
    prop_oneof![
        6 => (who(), count()).prop_map(move |(who, count)| Action::Write(who, count.min(largest))),
        4 => (who(), count()).prop_map(|(who, count)| Action::Read(who, count)),
        6 => who().prop_map(|who| Action::Read(who, usize::MAX)),
        6 => (who(), start()).prop_map(|(who, start)| Action::Start(who, start)),
        1 => who().prop_map(Action::Finish),
        3 => (who(), manner()).prop_map(|(who, manner)| Action::Stop(who, manner)),
        9 => (who(), manner()).prop_map(|(who, manner)| Action::Follow(who, manner)),
        1 => who().prop_map(Action::UpdateKeys),
        2 => who().prop_map(Action::Wrap),
        2 => (who(), 0..8_usize).prop_map(|(who, number)| Action::Remove(who, number)),
        1 => (who(), any::<bool>()).prop_map(|(who, hold)| Action::Hold(who, hold)),
        4 => (0..40_usize).prop_map(Action::Steps),
        3 => Just(Action::Rest),
        1 => time().prop_map(Action::Pass),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![Just(Who::Left), Just(Who::Right)]
}

fn start() -> impl Strategy<Value = Start> {
    let version = prop_oneof![Just(Version::Tls12), Just(Version::Tls13)];
    let answers_itself = prop_oneof![3 => Just(None), 1 => who().prop_map(Some)];
    (who(), version, answers_itself).prop_map(|(client, version, answers_itself)| Start {
        client,
        version,
        answers_itself,
    })
}

fn manner() -> impl Strategy<Value = Manner> {
    let grace = (0..200_u64).prop_map(Duration::from_millis);
    let after_peer = prop_oneof![2 => Just(None), 1 => grace.prop_map(Some)];
    (after_peer, any::<bool>()).prop_map(|(after_peer, writes_at_once)| Manner { after_peer, writes_at_once })
}

const PLAIN: Manner = Manner { after_peer: None, writes_at_once: false };

/// More layers than this make no new case, but long ones.
const MAX_LAYERS: usize = 4;

/// And more than this may not be, or the next start is refused.
const MAX_WRAPPED_LAYERS: usize = 10;

/// The smallest that a stack has.
const MIN_BUFFER: usize = 40 * 1024;

/// How often nothing may happen before the end is said to be reached. A stop of each layer takes two rounds.
const PATIENCE: usize = 3;

/// Longer scripts take longer, and make no new case.
const MAX_ACTIONS: usize = 150;

/// So many bytes in a row are not ciphertext by chance.
const TELLTALE: usize = 16;

/// Of the scripts that are played if nothing else is asked for.
const SEED: u64 = 20_260_101;
