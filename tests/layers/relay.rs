//! A wrapper changes nothing: whatever is done, the same is seen with it as without it, wherever it stands.

use onionskin::layer::Deflate;
use onionskin::stack::{LayerId, Limits, Readable, Stop};
use onionskin::testing::{Cut, Peer};

use crate::common::link::{Case, Link, WRAPPERS, each, pattern, text};

/// What one side sees: bytes, ends, events.
type Trace = Vec<String>;

type Wrapper = fn(&mut Peer) -> LayerId;

/// Where the wrapper stands, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Below,
    Above,
}

fn look(who: &str, peer: &mut Peer, trace: &mut Trace) {
    let bytes = peer.read();
    if !bytes.is_empty() {
        trace.push(format!("{who} reads {}", text(&bytes)));
    }
    // Ids differ by how many layers there are.
    trace.push(match peer.stack.readable() {
        Readable::Ended(_) => format!("{who} sees the end of a layer"),
        Readable::EndOfInput => format!("{who} sees the end of file"),
        Readable::Lost(reason) => format!("{who} has lost: {}", reason.layer_error().unwrap()),
        _ => format!("{who} sees nothing more"),
    });
    for event in peer.events() {
        let event = format!("{event:?}");
        let name = event.split(['(', ' ']).next().unwrap_or_default();
        trace.push(format!("{who} hears {name}"));
    }
}

fn look_at_both(link: &mut Link, trace: &mut Trace) {
    link.run();
    look("left", &mut link.pair.left, trace);
    look("right", &mut link.pair.right, trace);
}

/// Starts TLS with the wrapper in its place, and has every kind of mark pass.
fn conversation(case: Case, place: Place, wrapper: Option<Wrapper>, last: fn(&mut Link)) -> Trace {
    let mut link = Link::new(case);
    let mut trace = Trace::new();
    let wrap = |link: &mut Link, now: Place| {
        if let Some(wrapper) = wrapper.filter(|_| now == place) {
            wrapper(&mut link.left);
            wrapper(&mut link.right);
        }
    };
    wrap(&mut link, Place::Below);
    link.left_starts();
    link.right_starts();
    wrap(&mut link, Place::Above);
    look_at_both(&mut link, &mut trace);

    link.left.write(b"a word");
    link.right.write(b"another");
    look_at_both(&mut link, &mut trace);

    // A half that is finished, then stopped from the other side, with writes behind it.
    let (now, tls) = (link.now(), link.left.stack.innermost_stoppable().unwrap());
    link.left.write(b"last");
    link.left.stack.finish(now, tls).unwrap();
    look_at_both(&mut link, &mut trace);
    link.right.write(b"late");
    link.right.stop(Stop::new()).unwrap();
    link.right.write(b"in clear");
    look_at_both(&mut link, &mut trace);
    link.left.stop(Stop::new()).unwrap();
    look_at_both(&mut link, &mut trace);
    link.left.pass_end().unwrap();
    link.right.pass_end().unwrap();
    look_at_both(&mut link, &mut trace);

    // And another start on what is left.
    link.left_starts();
    link.right_starts();
    link.left.write(b"again");
    look_at_both(&mut link, &mut trace);
    last(&mut link);
    look_at_both(&mut link, &mut trace);
    trace
}

fn compare(last: fn(&mut Link), expected: &[&str]) {
    each(1..=1, |case| {
        let case = Case { padded: false, ..case };
        for place in [Place::Below, Place::Above] {
            let without = conversation(case, place, None, last);
            for line in expected {
                assert!(without.iter().any(|seen| seen.starts_with(line)), "{line:?} is in {without:#?}");
            }
            for (index, &wrapper) in WRAPPERS.iter().enumerate() {
                let with = conversation(case, place, Some(wrapper), last);
                assert_eq!(with, without, "wrapper {index}, {place:?}");
            }
        }
    });
}

#[test]
fn a_close_of_the_whole_connection_is_relayed() {
    let close = |link: &mut Link| {
        let now = link.now();
        link.left.write(b"before the close");
        link.left.stack.close(now);
        link.run();
        link.right.read();
        link.right.stop(Stop::new()).unwrap();
        link.right.pass_end().unwrap();
    };
    compare(close, &["left reads another", "left reads late", "left hears Stopped", "right sees the end of file"]);
}

#[test]
fn a_loss_is_relayed() {
    compare(|link| link.left.end_input(), &["right reads again", "left has lost: the stream below ended without"]);
}

#[test]
fn a_failure_above_is_relayed() {
    let forge = |link: &mut Link| link.left.inject(&[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]);
    compare(forge, &["left has lost: the peer broke the protocol", "right has lost: the peer refused"]);
}

#[test]
fn wrappers_of_every_kind_on_each_other_are_still_nothing() {
    each(0..=2, |case| {
        let mut link = Link::with_limits(case, Limits::default().with_depth(30));
        for depth in 0..=case.depth {
            for at in 0..WRAPPERS.len() {
                WRAPPERS[at](&mut link.pair.left);
                WRAPPERS[(at + 2) % WRAPPERS.len()](&mut link.pair.right);
            }
            if depth < case.depth {
                link.start();
            } else {
                link.left.splice(Deflate::new());
                link.right.splice(Deflate::new());
            }
        }
        let bytes = pattern(if case.cut == Cut::Bytes { 5_000 } else { 200_000 });
        assert!(link.left_to_right(&bytes) == bytes);
        assert!(link.right_to_left(&bytes) == bytes);
        for _ in 0..=case.depth {
            link.stop();
            link.talk();
        }
    });
}
