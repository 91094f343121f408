//! A protocol that writes down what it is told, and does what a test says.

use std::sync::{Arc, Mutex};

use onionskin::protocol::{EndReason, LayerId, LayerView, PeerAnswer, Protocol, Result, Transport};
use onionskin::stack::LayerError;
use onionskin::testing::{Cut, Dialogue, Pair};

use crate::common::link::{Case, Link, text};

/// What a protocol is told, but for the loss.
#[derive(Clone, Debug)]
pub(crate) enum Callback {
    Made,
    Data,
    /// With its version, which a layer that has left again takes with it.
    Ready(&'static str),
    Ended,
    Stopped(PeerAnswer),
    Failed(LayerError),
    EndOfInput,
    Truncated,
    WritingPaused,
    WritingResumed,
    TimedOut,
    StopRequested,
}

type React = dyn FnMut(&mut Transport<'_>, &Callback, &Log) -> Result + Send;

/// What was told, in sequence; data as it came, joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

pub(crate) struct Recorder {
    log: Log,
    /// Layers that became ready while this looked, and are still there.
    ready: Vec<LayerId>,
    react: Box<React>,
}

impl Recorder {
    /// Reacts with [`by_default`].
    pub(crate) fn new() -> Self {
        Self::reacting(by_default)
    }

    pub(crate) fn reacting(react: impl FnMut(&mut Transport<'_>, &Callback, &Log) -> Result + Send + 'static) -> Self {
        Self { log: Log::default(), ready: Vec::new(), react: Box::new(react) }
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    fn tell(&mut self, transport: &mut Transport<'_>, callback: &Callback) -> Result {
        match callback {
            Callback::Data => {}
            Callback::Made => self.log.add("made"),
            Callback::Ready(version) => self.log.add(&format!("ready {version}")),
            Callback::Ended => self.log.add("ended"),
            Callback::Stopped(answer) => self.log.add(&format!("stopped {answer:?}")),
            Callback::Failed(error) => self.log.add(&format!("failed {:?}", error.kind())),
            Callback::EndOfInput => self.log.add("end of input"),
            Callback::Truncated => self.log.add("truncated"),
            Callback::WritingPaused => self.log.add("paused"),
            Callback::WritingResumed => self.log.add("resumed"),
            Callback::TimedOut => self.log.add("timed out"),
            Callback::StopRequested => self.log.add("stop requested"),
        }
        (self.react)(transport, callback, &self.log)
    }
}

/// As the defaults of the trait, and data is written down.
pub(crate) fn by_default(transport: &mut Transport<'_>, callback: &Callback, log: &Log) -> Result {
    match callback {
        Callback::Data => log.add_data(&transport.take_all()),
        Callback::Ended | Callback::EndOfInput | Callback::Truncated => transport.close(),
        Callback::Failed(error) => return Err(error.clone().into()),
        Callback::TimedOut => return Err("timed out".into()),
        _ => {}
    }
    Ok(())
}

impl Log {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn joined(&self) -> String {
        self.all().join(" | ")
    }

    pub(crate) fn add(&self, entry: &str) {
        self.0.lock().unwrap().push(entry.to_owned());
    }

    pub(crate) fn add_data(&self, bytes: &[u8]) {
        let mut entries = self.0.lock().unwrap();
        match entries.last_mut().filter(|last| last.starts_with("data ")) {
            Some(last) => last.push_str(&text(bytes)),
            None => entries.push(format!("data {}", text(bytes))),
        }
    }

    pub(crate) fn count(&self, entry: &str) -> usize {
        self.all().iter().filter(|found| found.starts_with(entry)).count()
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::Made)
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::Data)
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        let facts = layer.tls.as_ref().unwrap();
        assert_eq!(facts.layer, layer.id, "the facts are the layer's");
        self.ready.push(layer.id);
        self.tell(transport, &Callback::Ready(facts.version_name()))
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, layer: LayerId) -> Result {
        assert!(self.ready.last().is_none_or(|ready| *ready == layer), "the innermost one ends");
        self.tell(transport, &Callback::Ended)
    }

    fn layer_stopped(&mut self, transport: &mut Transport<'_>, layer: LayerId, answer: PeerAnswer) -> Result {
        assert!(self.ready.pop().is_none_or(|ready| ready == layer), "the innermost one is gone");
        self.tell(transport, &Callback::Stopped(answer))
    }

    fn layer_failed(&mut self, transport: &mut Transport<'_>, _layer: LayerId, error: &LayerError) -> Result {
        self.tell(transport, &Callback::Failed(error.clone()))
    }

    fn end_of_input(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::EndOfInput)
    }

    fn input_truncated(&mut self, transport: &mut Transport<'_>, reason: &onionskin::stack::Reason) -> Result {
        assert!(reason.layer_error().unwrap().is_truncated(), "{reason}");
        self.tell(transport, &Callback::Truncated)
    }

    fn writing_paused(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::WritingPaused)
    }

    fn writing_resumed(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::WritingResumed)
    }

    fn timed_out(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::TimedOut)
    }

    fn stop_requested(&mut self, transport: &mut Transport<'_>) -> Result {
        self.tell(transport, &Callback::StopRequested)
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        self.log.add(&format!("lost: {reason}"));
    }
}

/// Two recorders on a pair that has as many layers as the case says.
pub(crate) fn over(link: Link, left: Recorder, right: Recorder) -> (Dialogue<Recorder, Recorder>, Log, Log) {
    let (left_log, right_log) = (left.log(), right.log());
    let mut pair = link.pair;
    pair.left.events();
    pair.right.events();
    let mut dialogue = Dialogue::over(pair, left, right);
    dialogue.run();
    (dialogue, left_log, right_log)
}

/// Two recorders without layers, and what the link can start.
pub(crate) fn dialogue(case: Case, left: Recorder, right: Recorder) -> (Dialogue<Recorder, Recorder>, Log, Log) {
    over(Link::connected(case), left, right)
}

/// Two recorders in clear.
pub(crate) fn in_clear(cut: Cut, left: Recorder, right: Recorder) -> (Dialogue<Recorder, Recorder>, Log, Log) {
    let (left_log, right_log) = (left.log(), right.log());
    let mut dialogue = Dialogue::over(Pair::new(cut), left, right);
    dialogue.run();
    (dialogue, left_log, right_log)
}
