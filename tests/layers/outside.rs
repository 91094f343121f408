//! A layer from outside of the crate, with an end of its own: it stops, is peeled and hands storage on as TLS does.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use onionskin::layer::{Ending, Halves, ReadHalf, WriteHalf};
use onionskin::stack::{
    End, Ends, Event, Failure, Framing, GoesFirst, Layer, LayerError, LayerErrorKind, LayerId, OnTimeout, Overdue,
    Patience, PeerAnswer, Readable, Stop, Way,
};
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tls::Version;

use crate::common::link::{Case, Link, each, each_in_pieces, pattern, text};

/// Records of a kind, a length in four bytes, and a payload that is veiled where it lies.
#[derive(Debug)]
struct Veil {
    halves: Halves,
    opened: Addresses,
}

/// Where in memory payloads lay: as the layer found them.
type Addresses = Arc<Mutex<Vec<Range<usize>>>>;

impl Veil {
    fn new() -> Self {
        Self::watched(&Addresses::default())
    }

    fn watched(opened: &Addresses) -> Self {
        Self { halves: Halves::new(), opened: Arc::clone(opened) }
    }

    fn check_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let input = ends.inbound_below();
        let (is_whole, end) = (input.front().is_empty(), input.next_mark().copied());
        let Some(end) = end else { return Ok(()) };
        if is_whole && end != End::Lost && self.halves.met().is_some_and(Stop::is_lenient) {
            self.end_alone(PeerAnswer::Missing, ends);
            return Ok(());
        }
        let error = LayerError::new(LayerErrorKind::Truncated, "the stream below ended before the veil");
        if end == End::Lost { Err(self.fail(error)) } else { self.cut_off(error, ends) }
    }
}

impl Layer for Veil {
    fn name(&self) -> &'static str {
        "veil"
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        while self.halves.read() == ReadHalf::Open {
            let Way { from, to } = ends.all().inbound;
            let (kind, len) = match *from.front() {
                [kind, a, b, c, d, ..] => (kind, u32::from_be_bytes([a, b, c, d]) as usize),
                _ => return self.check_end(ends),
            };
            let Some(payload) = from.front_mut().get_mut(HEADER..HEADER + len) else { return self.check_end(ends) };
            if !to.is_empty() && to.room() < len {
                return Ok(());
            }
            veil(payload);
            self.opened.lock().unwrap().push(range(payload));
            let mut record = from.take(HEADER + len);
            record.advance(HEADER);
            match kind {
                DATA => to.give(record),
                END => self.peer_ended(ends)?,
                _ => return Err(self.fail(LayerError::new(LayerErrorKind::Protocol, "a record of no kind"))),
            }
        }
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        while self.halves.write() == WriteHalf::Open {
            let most = ends.unit().saturating_sub(HEADER).clamp(1, LARGEST);
            let Way { from, to } = ends.all().outbound;
            let count = from.front().len().min(most);
            if count > 0 {
                if !to.is_empty() && to.room() < HEADER + count {
                    return Ok(());
                }
                to.give(record(DATA, &from.front()[..count]));
                from.consume(count);
                continue;
            }
            match from.take_mark() {
                Some(order) => self.obey(order, ends)?,
                None => return Ok(()),
            }
        }
        self.obey_behind_end(ends)
    }

    fn can_stop(&self) -> bool {
        true
    }

    fn stop(&mut self, stop: &Stop, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        if stop.goes_first() == GoesFirst::Nobody {
            return Err(LayerError::new(LayerErrorKind::Unsupported, "a veil cannot be cut"));
        }
        self.halves.order(*stop);
        Ok(())
    }

    fn awaits(&self) -> Option<Patience> {
        self.halves.awaits()
    }

    fn overdue(&mut self, overdue: Overdue, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.stop_overdue(overdue, ends)
    }

    fn framing(&self) -> Framing {
        Framing::new(HEADER).with_largest(LARGEST)
    }
}

impl Ending for Veil {
    const END: &'static str = "last record";

    fn halves(&mut self) -> &mut Halves {
        &mut self.halves
    }

    fn send_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        ends.outbound_below().push(&record(END, &[]));
        Ok(())
    }
}

fn record(kind: u8, payload: &[u8]) -> BytesMut {
    let mut record = BytesMut::with_capacity(HEADER + payload.len());
    record.put_u8(kind);
    record.put_u32(payload.len() as u32);
    record.put_slice(payload);
    veil(&mut record[HEADER..]);
    record
}

fn veil(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= 0x5a;
    }
}

fn range(bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr();
    start..start + bytes.len()
}

/// As a TLS record has it, so that TLS goes with it.
const LARGEST: usize = 16_384;
const HEADER: usize = 5;
const DATA: u8 = 1;
const END: u8 = 2;

/// Puts a layer in on both sides, above what the link has.
type Start = fn(&mut Link) -> (LayerId, LayerId);

fn veiled(link: &mut Link) -> (LayerId, LayerId) {
    (link.left.splice(Veil::new()), link.right.splice(Veil::new()))
}

fn tls(link: &mut Link) -> (LayerId, LayerId) {
    link.start()
}

/// What was seen of a conversation, in words that do not depend on the layer.
struct Log(Vec<String>);

impl Log {
    /// Reads all there is on one side, its ends too, and what the stack has to say.
    fn look(&mut self, side: &str, peer: &mut Peer, layer: LayerId) {
        for event in peer.events() {
            match event {
                Event::Stopped(id, answer) if id == layer => self.0.push(format!("{side} stopped: {answer:?}")),
                other => self.0.push(format!("{side} event: {other:?}")),
            }
        }
        let read = text(&peer.read());
        let then = match peer.stack.readable() {
            Readable::Ended(id) if id == layer => "the end of the layer".to_owned(),
            Readable::Lost(reason) => {
                let (loss, lost) = (reason.layer_error().map(LayerError::kind), peer.stack.lost().is_some());
                format!("lost, {:?} {loss:?} {lost}", reason.layers().first().map(|loss| loss.layer == layer))
            }
            other => format!("{other:?}"),
        };
        self.0.push(format!("{side} reads {read:?}, then {then}"));
        if peer.ended() == Some(layer) && peer.pass_end().is_ok() {
            self.0.push(format!("{side} goes on below"));
            self.look(side, peer, layer);
        }
    }
}

/// A conversation of two sides, whose layers are these.
type Script = fn(&mut Link, (LayerId, LayerId), &mut Log);

const SCRIPTS: [(&str, Script); 10] = [
    ("the right answers, with late words", |link, (_, right), _| {
        link.left.write(b"last words");
        link.left.stop(Stop::new()).unwrap();
        link.left.write(b"below");
        link.run();
        assert_eq!(text(&link.right.read()), "last words");
        assert_eq!(link.right.ended(), Some(right));
        link.right.write(b"late");
        link.right_answers();
        link.right.write(b"also below");
    }),
    ("both stop at once", |link, _, _| {
        link.left.write(b"from the left");
        link.right.write(b"from the right");
        link.left.stop(Stop::new()).unwrap();
        link.right.stop(Stop::new()).unwrap();
    }),
    ("the peer is let go first, and does", |link, (left, _), log| {
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.run();
        link.right.write(b"first");
        link.right.stop(Stop::new()).unwrap();
        link.run();
        log.look("left", &mut link.pair.left, left);
    }),
    ("the peer is let go first, and does not", |link, (left, _), log| {
        link.left.stop(Stop::new().after_peer(Stop::GRACE)).unwrap();
        link.advance(Stop::GRACE - Duration::from_millis(1));
        log.look("left", &mut link.pair.left, left);
        assert!(link.right.ended().is_none());
        link.advance(Duration::from_millis(1));
        link.right_answers();
    }),
    ("writes follow at once", |link, _, _| {
        link.left.write(b"inside");
        link.left.stop(Stop::new().writes_at_once()).unwrap();
        link.left.write(b"outside");
        link.run();
        assert_eq!(text(&link.right.read()), "inside");
        link.right_answers();
        link.run();
    }),
    ("one half closes", |link, (left, right), log| {
        let now = link.now();
        link.left.stack.finish(now, left).unwrap();
        link.run();
        log.look("right", &mut link.pair.right, right);
        link.right.write(b"and here is more");
        link.run();
        log.look("left", &mut link.pair.left, left);
        link.left.stop(Stop::new()).unwrap();
        link.right.stop(Stop::new()).unwrap();
    }),
    ("nobody answers", |link, _, _| {
        link.left.stop(Stop::new()).unwrap();
        link.advance(Duration::from_secs(5));
    }),
    ("nobody answers, and that is borne", |link, _, _| {
        link.left.stop(Stop::new().on_timeout(OnTimeout::Peel)).unwrap();
        link.left.write(b"below");
        link.advance(Duration::from_secs(5));
    }),
    ("the stream below ends instead", |link, _, _| {
        link.left.write(b"still leaves");
        link.left.end_input();
        link.run();
        link.left.write(b"and so does this");
        let now = link.now();
        link.left.stack.close(now);
    }),
    ("the stream below ends instead, and that is allowed", |link, _, _| {
        link.left.stop(Stop::new().lenient()).unwrap();
        link.run();
        link.left.end_input();
    }),
];

fn play(case: Case, start: Start, script: Script) -> Vec<String> {
    let mut link = Link::connected(case);
    let layers = start(&mut link);
    let mut log = Log(Vec::new());
    script(&mut link, layers, &mut log);
    link.run();
    for _ in 0..2 {
        log.look("left", &mut link.pair.left, layers.0);
        log.look("right", &mut link.pair.right, layers.1);
        link.run();
    }
    log.0
}

#[test]
fn a_strangers_layer_stops_as_tls_does() {
    each(0..=0, |case| {
        for (name, script) in SCRIPTS {
            assert_eq!(play(case, veiled, script), play(case, tls, script), "{name}");
        }
    });
}

#[test]
fn what_is_compared_tells_one_end_from_another() {
    let case = Case { cut: Cut::Whole, version: Version::Tls13, depth: 0, padded: false };
    let logs: Vec<_> = SCRIPTS.iter().map(|(_, script)| play(case, veiled, *script)).collect();
    for (index, log) in logs.iter().enumerate() {
        assert!(!logs[..index].contains(log), "{}: {log:?}", SCRIPTS[index].0);
    }
}

#[test]
fn it_starts_and_stops_between_layers_of_tls() {
    each(0..=1, |case| {
        let mut link = Link::connected(case);
        for _ in 0..2 {
            veiled(&mut link);
            link.talk();
            link.start();
            link.talk();
            link.stop();
            link.talk();
            link.stop();
            link.talk();
        }
        assert_eq!(link.tls_depth(), (case.depth, case.depth));
    });
}

#[test]
fn megabytes_pass_through_it_and_through_tls_above_and_below() {
    each_in_pieces(0..=1, |case| {
        let mut link = Link::connected(case);
        veiled(&mut link);
        link.start();
        let bytes = pattern(300_000);
        assert!(link.left_to_right(&bytes) == bytes);
        assert!(link.right_to_left(&bytes) == bytes);
    });
}

#[test]
fn it_cannot_be_cut_and_says_so() {
    let mut pair = Pair::new(Cut::Whole);
    let id = pair.left.splice(Veil::new());
    let refused = pair.left.stop(Stop::new().abandon()).unwrap_err();
    assert!(refused.to_string().contains("a veil cannot be cut"), "{refused}");
    assert!(pair.left.stack.layer(id).is_some());
}

/// Two layers from outside, one in the other: what the outer has opened, the inner finds at the very place, and the
/// application too.
#[test]
fn large_records_are_handed_on_where_they_lie() {
    for (len, handed_on) in [(LARGEST - HEADER, true), (100, false)] {
        let mut pair = Pair::new(Cut::Whole);
        let (outer, inner) = (Addresses::default(), Addresses::default());
        for opened in [&outer, &inner] {
            pair.left.splice(Veil::new());
            pair.right.splice(Veil::watched(opened));
        }
        let bytes = pattern(len);
        pair.left.write(&bytes);
        pair.run();
        let (outer, inner) = (outer.lock().unwrap()[0].clone(), inner.lock().unwrap()[0].clone());
        assert_eq!((outer.len(), inner.len()), (HEADER + len, len));
        assert_eq!(outer.end == inner.end, handed_on, "{len} bytes: {outer:?}, {inner:?}");
        let Readable::Bytes(read) = pair.right.stack.readable() else { panic!("nothing came") };
        assert!(read == bytes);
        assert_eq!(range(read) == inner, handed_on, "{len} bytes");
    }
}

/// A layer of TLS between two from outside takes part in that: it opens what it is given where it lies.
#[test]
fn storage_goes_through_tls_too() {
    each_in_pieces(0..=0, |case| {
        if case.cut != Cut::Whole || case.padded {
            return;
        }
        let mut link = Link::connected(case);
        let (outer, inner) = (Addresses::default(), Addresses::default());
        link.left.splice(Veil::new());
        link.right.splice(Veil::watched(&outer));
        link.start();
        link.left.splice(Veil::new());
        link.right.splice(Veil::watched(&inner));
        let before = outer.lock().unwrap().len();
        link.left.write(&pattern(LARGEST - 100));
        link.run();
        let record = outer.lock().unwrap()[before].clone();
        let found = inner.lock().unwrap()[0].clone();
        let is_tls13 = case.version == Version::Tls13;
        assert_eq!(record.start <= found.start && found.end <= record.end, is_tls13, "{record:?}, {found:?}");
    });
}

#[test]
fn a_stop_tells_a_layer_what_was_asked_for() {
    let usual = Stop::new();
    assert_eq!((usual.goes_first(), usual.without_answer()), (GoesFirst::Us, OnTimeout::Lose));
    assert_eq!(usual.answer_limit(), Some(Duration::from_secs(5)));
    assert!(!usual.is_lenient() && !usual.lets_writes_through());
    let asked = usual.after_peer(Stop::GRACE).timeout(None).on_timeout(OnTimeout::Peel).lenient().writes_at_once();
    assert_eq!((asked.goes_first(), asked.without_answer()), (GoesFirst::Peer(Stop::GRACE), OnTimeout::Peel));
    assert_eq!(asked.answer_limit(), None);
    assert!(asked.is_lenient() && asked.lets_writes_through());
    assert_eq!(Stop::new().abandon().goes_first(), GoesFirst::Nobody);
}

#[test]
fn marks_can_be_looked_at_from_outside() {
    #[derive(Debug)]
    struct Marks(Arc<Mutex<Vec<End>>>);
    impl Layer for Marks {
        fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
            self.0.lock().unwrap().extend(ends.inbound_below().marks());
            ends.pass_inbound();
            Ok(())
        }
    }
    let mut pair = Pair::new(Cut::Whole);
    let seen = Arc::new(Mutex::new(Vec::new()));
    pair.left.splice(Marks(Arc::clone(&seen)));
    pair.left.end_input();
    pair.run();
    assert_eq!(*seen.lock().unwrap(), [End::Wire]);
}

/// A mark that says what is not so would have its reader wait without end.
#[test]
fn a_layer_that_makes_up_a_loss_fails_and_is_named() {
    #[derive(Debug)]
    struct MakesUp(End);
    impl Layer for MakesUp {
        fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
            ends.pass_inbound();
            if ends.inbound_above().len() >= 5 {
                ends.inbound_above().push_mark(self.0);
            }
            Ok(())
        }
    }
    for made_up in [End::Lost, End::Truncated] {
        let mut pair = Pair::new(Cut::Whole);
        let id = pair.left.splice(MakesUp(made_up));
        pair.right.write(b"bytes");
        pair.run();
        assert_eq!(pair.left.read(), b"bytes", "what came before is read first");
        let Readable::Lost(reason) = pair.left.stack.readable() else { panic!("{made_up:?} is not told") };
        assert_eq!(reason.layers().first().map(|loss| loss.layer), Some(id));
        assert!(reason.to_string().contains("a loss that there was not"), "{reason}");
    }
}
