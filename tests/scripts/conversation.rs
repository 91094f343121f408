//! One fixed conversation: a line in clear, two starts with lines in between, two stops, and lines in clear again.
//!
//! Both sides are lists of steps that are done as soon as they can be. The wire between them can cut the stream
//! towards one side off after any byte, or change any byte of it; the [`Story`] says what came of that.

use std::time::Instant;

use onionskin::stack::{End, LayerId, Limits, Output, Readable, Reason, Stack, Stop};
use onionskin::tls::{TlsLayer, Version};

use crate::world::{NAME, World};

/// What a side does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Say(&'static [u8]),
    Hear(&'static [u8]),
    Start(Role),
    Stop,
    /// Read the end of the innermost layer, answer it if that is still to be done, and continue below.
    End,
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Client,
    Server,
}

/// The side that asks.
const ASKS: &[Step] = &[
    Step::Say(b"STARTTLS\r\n"),
    Step::Hear(b"OK STARTTLS 1\r\n"),
    Step::Start(Role::Client),
    Step::Say(b"RSTARTTLS\r\n"),
    Step::Hear(b"OK RSTARTTLS 2\r\n"),
    Step::Start(Role::Server),
    Step::Say(b"ECHO in the middle of the onion\r\n"),
    Step::Hear(b"ECHO in the middle of the onion\r\n"),
    Step::Stop,
    Step::End,
    Step::Say(b"ECHO one further out\r\n"),
    Step::Hear(b"ECHO one further out\r\n"),
    Step::Hear(b"STOP\r\n"),
    Step::End,
    Step::Say(b"QUIT\r\n"),
    Step::Hear(b"BYE\r\n"),
    Step::Close,
];

/// The side that answers.
const ANSWERS: &[Step] = &[
    Step::Hear(b"STARTTLS\r\n"),
    Step::Say(b"OK STARTTLS 1\r\n"),
    Step::Start(Role::Server),
    Step::Hear(b"RSTARTTLS\r\n"),
    Step::Say(b"OK RSTARTTLS 2\r\n"),
    Step::Start(Role::Client),
    Step::Hear(b"ECHO in the middle of the onion\r\n"),
    Step::Say(b"ECHO in the middle of the onion\r\n"),
    Step::End,
    Step::Hear(b"ECHO one further out\r\n"),
    Step::Say(b"ECHO one further out\r\n"),
    Step::Say(b"STOP\r\n"),
    Step::Stop,
    Step::End,
    Step::Hear(b"QUIT\r\n"),
    Step::Say(b"BYE\r\n"),
    Step::Close,
];

/// What the wire does to the stream towards one side.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// End of file after so many bytes.
    CutAfter(usize),
    /// These bits are turned over in the byte with this number.
    Flip(usize, u8),
}

/// What came of a conversation.
#[derive(Debug)]
pub(crate) struct Story {
    /// Whether the stream was long enough for the damage to be done.
    pub(crate) damaged: bool,
    /// What was on the wire towards the damaged side, before the damage.
    pub(crate) wire: Vec<u8>,
    /// The side towards which the damage was done, and the other.
    pub(crate) sides: [SideStory; 2],
}

/// What one side lived through.
#[derive(Debug)]
pub(crate) struct SideStory {
    /// For each line that was begun, the depth, what was heard, and what should have been.
    pub(crate) heard: Vec<(usize, Vec<u8>, &'static [u8])>,
    /// The layers that were started.
    pub(crate) started: Vec<LayerId>,
    /// The layers whose end has been seen.
    pub(crate) ended: Vec<LayerId>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// All steps were done and the other side closed the connection.
    Complete,
    /// The connection ended earlier, but cleanly.
    Clean,
    Lost(Reason),
}

/// Plays the conversation in which the side that `asks` gets its stream damaged, or else the side that answers.
pub(crate) fn converse(version: Version, asks: bool, damage: Damage) -> Story {
    let now = Instant::now();
    let steps = if asks { [ASKS, ANSWERS] } else { [ANSWERS, ASKS] };
    let mut conversation = Conversation {
        now,
        sides: steps.map(|steps| Side::new(version, steps)),
        damage,
        wire: Vec::new(),
        damaged: false,
    };
    conversation.run();
    conversation.tell()
}

/// The number of bytes in clear at the beginning and at the end of what the side that `asks` or the other receives.
pub(crate) fn clear_ends(asks: bool) -> (usize, usize) {
    if asks { (b"OK STARTTLS 1\r\n".len(), b"BYE\r\n".len()) } else { (b"STARTTLS\r\n".len(), b"QUIT\r\n".len()) }
}

struct Conversation {
    now: Instant,
    sides: [Side; 2],
    damage: Damage,
    /// Everything towards the first side.
    wire: Vec<u8>,
    damaged: bool,
}

struct Side {
    version: Version,
    stack: Stack,
    steps: std::slice::Iter<'static, Step>,
    open: Vec<LayerId>,
    story: Vec<(usize, Vec<u8>, &'static [u8])>,
    started: Vec<LayerId>,
    ended: Vec<LayerId>,
    over: Option<Over>,
    arriving: Vec<u8>,
    end_arriving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Complete,
    Clean,
    Lost,
}

impl Conversation {
    fn run(&mut self) {
        self.run_until_idle();
        // A length made larger by the damage is waited for, until somebody loses patience: first a deadline ...
        for _ in 0..16 {
            let deadlines = self.sides.iter().filter_map(|side| side.stack.poll_deadline());
            let Some(deadline) = deadlines.min() else { break };
            self.now = self.now.max(deadline);
            for side in &mut self.sides {
                side.stack.handle_timeout(self.now);
            }
            self.run_until_idle();
        }
        // ... then whoever is at the keyboard.
        for index in 0..2 {
            if self.sides[index].over.is_none() {
                self.sides[index].stack.handle_eof(self.now);
                self.run_until_idle();
            }
        }
    }

    fn run_until_idle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut moved = false;
            for index in 0..2 {
                moved |= self.sides[index].act(self.now);
                moved |= self.send(index);
            }
            moved |= self.deliver();
            if !moved {
                return;
            }
        }
        panic!("the two keep each other busy for ever ({:?})", self.damage);
    }

    fn send(&mut self, index: usize) -> bool {
        let mut moved = false;
        let (first, second) = self.sides.split_at_mut(1);
        let (side, other) = if index == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        loop {
            match side.stack.poll_output() {
                Output::Bytes(bytes) => {
                    if index == 1 {
                        self.wire.extend_from_slice(bytes);
                    }
                    other.arriving.extend_from_slice(bytes);
                    let count = bytes.len();
                    side.stack.handle_sent(self.now, count);
                }
                Output::Shutdown => {
                    other.end_arriving = true;
                    side.stack.handle_shutdown();
                }
                _ => return moved,
            }
            moved = true;
        }
    }

    fn deliver(&mut self) -> bool {
        let now = self.now;
        if !self.damaged {
            let arriving = &mut self.sides[0].arriving;
            let already = self.wire.len() - arriving.len();
            match self.damage {
                Damage::CutAfter(count) if count <= self.wire.len() => {
                    arriving.truncate(count - already);
                    let bytes = std::mem::take(arriving);
                    let stack = &mut self.sides[0].stack;
                    stack.handle_input(now, &bytes);
                    stack.handle_eof(now);
                    self.damaged = true;
                    return true;
                }
                Damage::Flip(index, bits) if index < self.wire.len() => {
                    arriving[index - already] ^= bits;
                    self.damaged = true;
                }
                _ => {}
            }
        }
        let cut = matches!(self.damage, Damage::CutAfter(_)) && self.damaged;
        if cut {
            self.sides[0].arriving.clear();
            self.sides[0].end_arriving = false;
        }
        let [first, second] = &mut self.sides;
        first.deliver(now) | second.deliver(now)
    }

    fn tell(self) -> Story {
        for side in &self.sides {
            let next = side.steps.as_slice().first();
            assert!(side.over.is_some(), "the conversation hangs ({:?}) at {next:?}: {:?}", self.damage, side.stack);
        }
        Story { damaged: self.damaged, wire: self.wire, sides: self.sides.map(Side::tell) }
    }
}

impl Side {
    fn new(version: Version, steps: &'static [Step]) -> Self {
        Self {
            version,
            stack: Stack::new(Limits::default()),
            steps: steps.iter(),
            open: Vec::new(),
            story: Vec::new(),
            started: Vec::new(),
            ended: Vec::new(),
            over: None,
            arriving: Vec::new(),
            end_arriving: false,
        }
    }

    fn deliver(&mut self, now: Instant) -> bool {
        let taken = self.stack.handle_input(now, &self.arriving);
        self.arriving.drain(..taken);
        let ends = self.arriving.is_empty() && std::mem::take(&mut self.end_arriving);
        if ends {
            self.stack.handle_eof(now);
        }
        taken > 0 || ends
    }

    /// Does what can be done now.
    fn act(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while self.over.is_none() {
            let Some(&step) = self.steps.as_slice().first() else {
                moved |= self.see_the_end(now, Over::Complete);
                break;
            };
            if !self.take(step, now) {
                moved |= self.see_the_end(now, Over::Clean);
                break;
            }
            moved = true;
        }
        moved
    }

    /// Does a step, or as much of it as can be done; whether it is done.
    fn take(&mut self, step: Step, now: Instant) -> bool {
        let done = match step {
            Step::Say(line) => self.stack.write(now, line).is_ok(),
            Step::Hear(line) => self.hear(line, now),
            Step::Start(role) => {
                let spliced = self.stack.splice(now, Box::new(self.layer(role)));
                spliced.is_ok_and(|id| {
                    self.open.push(id);
                    self.started.push(id);
                    true
                })
            }
            Step::Stop => {
                let id = *self.open.last().expect("the script stops only what it has started");
                self.stack.stop(now, id, Stop::new()).is_ok()
            }
            Step::End => self.end(now),
            Step::Close => {
                self.stack.close(now);
                true
            }
        };
        if done {
            self.steps.next();
        }
        done
    }

    fn hear(&mut self, line: &'static [u8], now: Instant) -> bool {
        let Readable::Bytes(bytes) = self.stack.readable() else { return false };
        let begun = self.story.last().is_some_and(|(_, heard, expected)| heard.len() < expected.len());
        if !begun {
            self.story.push((self.open.len(), Vec::new(), line));
        }
        let (_, heard, _) = self.story.last_mut().expect("it was pushed");
        let count = bytes.len().min(line.len() - heard.len());
        heard.extend_from_slice(&bytes[..count]);
        let done = heard.len() == line.len();
        self.stack.consume(now, count);
        done || self.hear(line, now)
    }

    fn end(&mut self, now: Instant) -> bool {
        let Readable::Ended(id) = self.stack.readable() else { return false };
        assert_eq!(self.open.last(), Some(&id), "the innermost layer ends first");
        if !self.ended.contains(&id) {
            self.ended.push(id);
        }
        // Joins our own stop if there was one; fails if the layer is gone, or the connection.
        let _ = self.stack.stop(now, id, Stop::new());
        let passed = self.stack.pass_end(now).is_ok();
        if passed {
            self.open.pop();
        }
        passed
    }

    fn see_the_end(&mut self, now: Instant, over: Over) -> bool {
        self.over = match self.stack.readable() {
            Readable::EndOfInput => {
                self.stack.close(now);
                Some(over)
            }
            Readable::Ended(id) => {
                if !self.ended.contains(&id) {
                    self.ended.push(id);
                }
                match self.loss() {
                    Some(_) => Some(Over::Lost),
                    // While our own stop goes on, that is no end yet.
                    None if matches!(self.steps.as_slice().first(), Some(Step::End)) => None,
                    None => {
                        self.stack.close(now);
                        Some(Over::Clean)
                    }
                }
            }
            Readable::Lost(_) => Some(Over::Lost),
            // What was to go into the next layer is left unread when there can be none.
            Readable::Bytes(_) if matches!(self.steps.as_slice().first(), Some(Step::Start(_))) => {
                let ends = matches!(self.stack.end_ahead(), Some(End::Layer(_)));
                if ends && self.loss().is_none() {
                    self.stack.close(now);
                }
                self.loss().map(|_| Over::Lost).or(ends.then_some(Over::Clean))
            }
            _ => None,
        };
        self.over.is_some()
    }

    /// Why nothing more comes.
    fn loss(&self) -> Option<&Reason> {
        self.stack.lost().or(self.stack.truncated())
    }

    fn layer(&self, role: Role) -> TlsLayer {
        match role {
            Role::Client => World::shared().fresh_client(self.version).to(NAME).unwrap(),
            Role::Server => World::shared().server().accept().unwrap(),
        }
    }

    fn tell(self) -> SideStory {
        let outcome = match self.over.expect("the conversation hangs") {
            Over::Complete => Outcome::Complete,
            Over::Clean => Outcome::Clean,
            Over::Lost => Outcome::Lost(self.loss().expect("a loss has a reason").clone()),
        };
        SideStory { heard: self.story, started: self.started, ended: self.ended, outcome }
    }
}

/// More rounds than any conversation takes.
const MAX_ROUNDS: usize = 1_000;
