//! What must hold for every framer, however the stream is cut and wherever a layer starts or stops.
//!
//! A framer is right when what it reports depends on the stream alone: not on how the stream was cut into reads, and not
//! on the layers through which its parts came. So one stream with known messages is a whole test suite:
//!
//! ```text
//!   cut     whole · a byte at a time · coalesced · in two, at every place · at random
//!   layers  none · one from any message on · one between any two messages · one more with every message
//! ```
//!
//! A layer starts inside the callback of the message before, with the layer's first bytes right behind that message. It
//! stops in both ways: the framer's side asks, and finds the next message right behind the peer's answer; or the peer
//! stops, and the framer's side answers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::envelope::Envelope;
use super::{Cut, Dialogue, StringTransport};
use crate::protocol::{EndReason, Error, ErrorKind, LayerId, PeerAnswer, Protocol, Result, Transport};
use crate::stack::Layer;

/// Checks that a framer reports the same messages however its stream is cut, and whichever layers it came through.
///
/// The stream comes whole, byte by byte, coalesced, cut in two at every place, and cut at random. Between any two messages
/// a layer starts, stops, or does both, and every message may start one more. The number of runs grows with the square of
/// the number of messages, so a handful of short ones is best: empty, at the limit, with whatever looks like the frame.
///
/// A framer that takes more than the message from the transport, to keep it in a buffer of its own, fails as soon as a layer
/// starts: the layer then misses its first bytes, and says that the peer did not send a record.
///
/// ```
/// use onionskin::protocol::{ErrorKind, Protocol, Result, Transport};
/// use onionskin::testing::{Conformance, Witness};
///
/// /// Messages of three bytes, without any zeros.
/// struct Triples(Witness);
///
/// impl Protocol for Triples {
///     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
///         while transport.input().len() >= 3 && !transport.is_paused() {
///             let triple = transport.take(3);
///             if triple.contains(&0) {
///                 return Err("a zero in a triple".into());
///             }
///             self.0.saw(transport, &triple)?; // may start or stop a layer
///         }
///         Ok(())
///     }
/// }
///
/// Conformance::of(Triples)
///     .message("one", "one")
///     .message("two", "two")
///     .message("six", "six")
///     .failure("a\0c", ErrorKind::Application)
///     .check();
/// ```
pub struct Conformance<P> {
    make: Box<dyn Fn(Witness) -> P>,
    layers: Pairs,
    messages: Vec<Message>,
    failure: Option<(Vec<u8>, ErrorKind)>,
}

#[derive(Debug)]
struct Message {
    wire: Vec<u8>,
    content: Vec<u8>,
}

/// Makes a layer for the side that sends and one for the framer's.
type Pairs = Box<dyn Fn() -> (Start, Start)>;

/// Starts the layer that it holds.
type Start = Box<dyn FnOnce(&mut Transport<'_>) -> Result + Send>;

impl<P: Protocol> Conformance<P> {
    /// A check of the protocols that `make` makes. Each of them calls [`Witness::saw`] for every message. When a layer
    /// ends, it is stopped for them.
    pub fn of(make: impl Fn(Witness) -> P + 'static) -> Self {
        let layers = pairs(|| (Envelope::new(), Envelope::new()));
        Self { make: Box::new(make), layers, messages: Vec::new(), failure: None }
    }

    /// The next message: its bytes in the stream, and as it is reported.
    #[must_use]
    pub fn message(mut self, wire: impl Into<Vec<u8>>, content: impl Into<Vec<u8>>) -> Self {
        self.messages.push(Message { wire: wire.into(), content: content.into() });
        self
    }

    /// What comes behind the last message, and must close the connection with an error of this kind.
    #[must_use]
    pub fn failure(mut self, wire: impl Into<Vec<u8>>, kind: ErrorKind) -> Self {
        self.failure = Some((wire.into(), kind));
        self
    }

    /// Takes these layers, one for the side that sends and one for the framer's, in place of a simple one of its own.
    #[must_use]
    pub fn layers<L: Layer>(mut self, make: impl Fn() -> (L, L) + 'static) -> Self {
        self.layers = pairs(make);
        self
    }

    /// Runs all of it.
    ///
    /// # Panics
    ///
    /// When the framer reports anything else, or the connection is lost; the message says in which case.
    pub fn check(&self) {
        self.check_pieces();
        for plan in self.plans() {
            for cut in CUTS {
                self.check_plan(&plan, cut);
            }
        }
    }

    /// In two pieces, and in three of which the second is one byte, without layers.
    fn check_pieces(&self) {
        let stream = self.wires().concat();
        for at in 0..=stream.len() {
            for behind in [at, (at + 1).min(stream.len())] {
                let witness = Witness::default();
                let mut transport = StringTransport::new((self.make)(witness.clone()));
                for piece in [&stream[..at], &stream[at..behind], &stream[behind..]] {
                    transport.receive(piece);
                }
                transport.end_of_input();
                self.judge(&witness, transport.reason(), &format!("cut behind {at} and {behind} bytes, no layers"));
            }
        }
    }

    fn wires(&self) -> Vec<&[u8]> {
        let messages = self.messages.iter().map(|message| &*message.wire);
        messages.chain(self.failure.as_ref().map(|(wire, _)| &**wire)).collect()
    }

    /// All that is to happen to the layers: a change for each place between two messages.
    fn plans(&self) -> Vec<Vec<Change>> {
        use Change::{FramerStops, Nothing, SenderStops, Start};

        let places = self.wires().len().saturating_sub(1);
        let with = |changes: &[(usize, Change)]| {
            let mut plan = vec![Nothing; places];
            for &(place, change) in changes {
                plan[place] = change;
            }
            plan
        };
        let mut plans = vec![with(&[]), vec![Start; places.min(MAX_DEPTH)]];
        plans.extend((0..places).map(|place| with(&[(place, Start)])));
        for (started, stopped) in (0..places).flat_map(|stopped| (0..stopped).map(move |started| (started, stopped))) {
            plans.push(with(&[(started, Start), (stopped, FramerStops)]));
            plans.push(with(&[(started, Start), (stopped, SenderStops)]));
        }
        for cycle in [[Start, FramerStops, Start, SenderStops], [Start, Start, SenderStops, FramerStops]] {
            plans.push(cycle.into_iter().cycle().take(places).collect());
        }
        plans
    }

    fn check_plan(&self, plan: &[Change], cut: Cut) {
        let (mut steps, mut turns) = (VecDeque::new(), VecDeque::new());
        for (place, wire) in self.wires().into_iter().enumerate() {
            steps.push_back(Step::Write(wire.to_vec()));
            match plan.get(place) {
                Some(Change::Start) => {
                    let (sender, framer) = (self.layers)();
                    steps.push_back(Step::Start(sender));
                    turns.push_back(Turn::Start(framer));
                }
                Some(Change::FramerStops) => {
                    steps.push_back(Step::Answer);
                    turns.push_back(Turn::Stop);
                }
                Some(Change::SenderStops) => {
                    steps.push_back(Step::Stop);
                    turns.push_back(Turn::Nothing);
                }
                Some(Change::Nothing) | None => turns.push_back(Turn::Nothing),
            }
        }
        let witness = Witness::default();
        witness.seen().turns = turns;
        let framer = Answers((self.make)(witness.clone()));
        let mut dialogue = Dialogue::new(cut, Sender { steps, state: Sending::Open }, framer);
        dialogue.run();
        dialogue.with_left(|_, transport| transport.close());
        dialogue.run();
        self.judge(&witness, dialogue.right_reason(), &format!("cut {cut:?}, layers behind the messages {plan:?}"));
    }

    #[track_caller]
    fn judge(&self, witness: &Witness, reason: Option<&EndReason>, case: &str) {
        let expected: Vec<&[u8]> = self.messages.iter().map(|message| &*message.content).collect();
        let seen = &witness.seen().contents;
        if *seen != expected {
            let (seen, expected) = (list(seen.iter().map(Vec::as_slice)), list(expected));
            let end = reason.map_or("it is still there".to_owned(), EndReason::to_string);
            panic!("{case}:\n reported {seen}\n expected {expected}\n the connection: {end}");
        }
        let loss = reason.and_then(EndReason::loss);
        if let Some(loss) = loss {
            panic!("{case}: the connection was lost: {loss}");
        }
        let error = reason.and_then(EndReason::error);
        let (kind, expected) = (error.map(Error::kind), self.failure.as_ref().map(|&(_, kind)| kind));
        assert_eq!(kind, expected, "{case}: the end of the connection: {error:?}");
    }
}

impl<P> fmt::Debug for Conformance<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("messages", &self.messages)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// To whom a framer under a [`Conformance`] check reports its messages. Clones are the same witness.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    contents: Vec<Vec<u8>>,
    turns: VecDeque<Turn>,
}

impl Witness {
    /// A message has been received, and nothing behind it was taken. This may start a layer or stop one.
    ///
    /// # Errors
    ///
    /// When the transport does not do that, which a check takes for a failure.
    pub fn saw(&self, transport: &mut Transport<'_>, message: impl AsRef<[u8]>) -> Result {
        let turn = {
            let mut seen = self.seen();
            seen.contents.push(message.as_ref().to_vec());
            seen.turns.pop_front()
        };
        match turn {
            Some(Turn::Start(start)) => start(transport),
            Some(Turn::Stop) => transport.stop_tls().map(|_| ()).map_err(Error::from),
            Some(Turn::Nothing) | None => Ok(()),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while it holds what was seen")
    }
}

/// What is to happen to the layers behind one message.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Start,
    FramerStops,
    SenderStops,
}

/// What the framer's side does when it has seen a message.
enum Turn {
    Nothing,
    Start(Start),
    Stop,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Start(_) => "Start",
            Self::Stop => "Stop",
        })
    }
}

/// The framer's side: the protocol, and an answer to the end of any layer.
struct Answers<P>(P);

impl<P: Protocol> Protocol for Answers<P> {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.0)
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _layer: LayerId) -> Result {
        transport.stop_tls()?;
        Ok(())
    }
}

/// The other side: writes all that it may, as early as it may.
struct Sender {
    steps: VecDeque<Step>,
    state: Sending,
}

enum Step {
    Write(Vec<u8>),
    Start(Start),
    Stop,
    /// The framer's side stops a layer; what follows goes right behind our answer.
    Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// What is written goes below the layer; no other can be started or stopped yet.
    Stopping,
    Waiting,
}

impl Sender {
    fn send(&mut self, transport: &mut Transport<'_>) -> Result {
        while self.may_go_on()
            && let Some(step) = self.steps.pop_front()
        {
            match step {
                Step::Write(bytes) => transport.write(&bytes)?,
                Step::Start(start) => start(transport)?,
                Step::Stop => {
                    transport.stop_tls()?;
                    self.state = Sending::Stopping;
                }
                Step::Answer => self.state = Sending::Waiting,
            }
        }
        Ok(())
    }

    fn may_go_on(&self) -> bool {
        match self.state {
            Sending::Open => true,
            Sending::Stopping => matches!(self.steps.front(), Some(Step::Write(_))),
            Sending::Waiting => false,
        }
    }
}

impl Protocol for Sender {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.send(transport)
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _layer: LayerId) -> Result {
        match self.state {
            Sending::Waiting => transport.stop_tls().map(|_| ()).map_err(Error::from),
            // The framer has closed.
            Sending::Open | Sending::Stopping => {
                transport.close();
                Ok(())
            }
        }
    }

    fn layer_stopped(&mut self, transport: &mut Transport<'_>, _layer: LayerId, _answer: PeerAnswer) -> Result {
        self.state = Sending::Open;
        self.send(transport)
    }
}

fn pairs<L: Layer>(make: impl Fn() -> (L, L) + 'static) -> Pairs {
    Box::new(move || {
        let (sender, framer) = make();
        (start(sender), start(framer))
    })
}

fn start(layer: impl Layer) -> Start {
    Box::new(move |transport| transport.splice(layer).map(|_| ()).map_err(Error::from))
}

fn list<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> String {
    let shown: Vec<_> = messages.into_iter().map(|message| format!("\"{}\"", message.escape_ascii())).collect();
    format!("[{}]", shown.join(", "))
}

const CUTS: [Cut; 7] =
    [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1), Cut::Random(2), Cut::Random(3), Cut::Random(4)];

/// A stack has room for one more unless it is told otherwise.
const MAX_DEPTH: usize = 15;
