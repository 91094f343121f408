//! Two peers in conversation: the matrix of cases, and what nearly every test does with a pair.

use std::any::Any;
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::sync::LazyLock;
use std::time::Duration;

use onionskin::layer::{Counter, IdleTimeout, Throttle, TrafficLog};
use onionskin::stack::{Event, LayerId, Limits, PeerAnswer, Stop};
use onionskin::testing::{Cut, Pair, Peer};
use onionskin::tls::{Identity, Roots, TlsClient, TlsFacts, TlsLayer, TlsServer, Version};

use super::layers::PassThrough;
use super::{Authority, BOTH};

/// The name that the server of every link is certified for.
pub(crate) const NAME: &str = "server.example";

pub(crate) const ONE: RangeInclusive<usize> = 1..=1;
pub(crate) const DEPTHS: RangeInclusive<usize> = 1..=5;

/// One point of the matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) cut: Cut,
    pub(crate) version: Version,
    /// How many TLS layers [`Link::connected`] has.
    pub(crate) depth: usize,
    /// Whether a layer that changes nothing stands below each TLS layer: each of [`WRAPPERS`] in turn.
    pub(crate) padded: bool,
}

/// Runs a test for each way to cut the stream, each version, and each depth; with nothing between the layers, and
/// for some cuts with layers that change nothing. A panic is followed by the case it came from.
pub(crate) fn each(depths: RangeInclusive<usize>, test: impl Fn(Case)) {
    const PLAIN: [Cut; 6] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1), Cut::Random(2), Cut::Random(3)];
    const PADDED: [Cut; 2] = [Cut::Whole, Cut::Random(4)];
    let cuts = PLAIN.map(|cut| (cut, false)).into_iter().chain(PADDED.map(|cut| (cut, true)));
    for (cut, padded) in cuts {
        for &version in BOTH {
            for depth in depths.clone() {
                run(Case { cut, version, depth, padded }, &test);
            }
        }
    }
}

/// As [`each`], without the cut into single bytes, for tests that move much.
pub(crate) fn each_in_pieces(depths: RangeInclusive<usize>, test: impl Fn(Case)) {
    each(depths, |case| {
        if case.cut != Cut::Bytes {
            test(case);
        }
    });
}

/// Runs a test for each version, at one depth, with reads as they were sent.
pub(crate) fn each_version(depth: usize, test: impl Fn(Case)) {
    for &version in BOTH {
        run(Case { cut: Cut::Whole, version, depth, padded: false }, &test);
    }
}

fn run(case: Case, test: &impl Fn(Case)) {
    let named = Named(case);
    test(case);
    drop(named);
}

struct Named(Case);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was in the case {:?}", self.0);
        }
    }
}

/// A pair with a TLS client's configuration on the left and a server's on the right.
pub(crate) struct Link {
    pub(crate) pair: Pair,
    pub(crate) client: TlsClient,
    pub(crate) server: TlsServer,
    /// Where the turns of the wrappers stand, on each side.
    padding: Option<(usize, usize)>,
}

impl Link {
    /// No layers yet.
    pub(crate) fn new(case: Case) -> Self {
        Self::with_limits(case, Limits::default())
    }

    pub(crate) fn with_limits(case: Case, limits: Limits) -> Self {
        let versions = &[case.version];
        Self {
            pair: Pair::with_limits(case.cut, limits),
            client: TlsClient::builder(CERTIFIED.0.clone()).versions(versions).build().unwrap(),
            server: TlsServer::builder(CERTIFIED.1.clone()).versions(versions).build().unwrap(),
            padding: case.padded.then(|| (first_wrapper(case), first_wrapper(case))),
        }
    }

    /// As many layers as the case says, ready.
    pub(crate) fn connected(case: Case) -> Self {
        let mut link = Self::new(case);
        link.start_to(case.depth);
        link
    }

    /// One less than the case says: for tests that start the last one themselves.
    pub(crate) fn outer(case: Case) -> Self {
        let mut link = Self::new(case);
        link.start_to(case.depth - 1);
        link
    }

    pub(crate) fn start_to(&mut self, depth: usize) {
        for _ in 0..depth {
            self.start();
        }
    }

    /// Starts a layer on both sides, the client on the left, and waits until both are ready.
    pub(crate) fn start(&mut self) -> (LayerId, LayerId) {
        let (left, right) = (self.left_starts(), self.right_starts());
        self.run();
        self.assert_ready(left, right);
        (left, right)
    }

    pub(crate) fn client_layer(&self) -> TlsLayer {
        self.client.to(NAME).unwrap()
    }

    pub(crate) fn server_layer(&self) -> TlsLayer {
        self.server.accept().unwrap()
    }

    pub(crate) fn left_starts(&mut self) -> LayerId {
        let layer = self.client_layer();
        self.left_splices(layer)
    }

    pub(crate) fn right_starts(&mut self) -> LayerId {
        let layer = self.server_layer();
        self.right_splices(layer)
    }

    pub(crate) fn left_splices(&mut self, layer: TlsLayer) -> LayerId {
        let turn = self.padding.as_mut().map(|(left, _)| left);
        splice(&mut self.pair.left, layer, turn)
    }

    pub(crate) fn right_splices(&mut self, layer: TlsLayer) -> LayerId {
        let turn = self.padding.as_mut().map(|(_, right)| right);
        splice(&mut self.pair.right, layer, turn)
    }

    /// Both sides report that these layers are ready, and nothing else.
    pub(crate) fn assert_ready(&mut self, left: LayerId, right: LayerId) {
        let (left_events, right_events) = (self.left.events(), self.right.events());
        let why = (self.left.stack.lost(), self.right.stack.lost());
        assert!(matches!(left_events[..], [Event::Ready(id)] if id == left), "left: {left_events:?}, {why:?}");
        assert!(matches!(right_events[..], [Event::Ready(id)] if id == right), "right: {right_events:?}, {why:?}");
    }

    /// The left stops the innermost layer, the right answers, and both continue below.
    pub(crate) fn stop(&mut self) {
        let left = self.left.stop(Stop::new()).unwrap();
        self.run();
        let right = self.right_answers();
        self.run();
        assert_stopped(&mut self.left, left, PeerAnswer::CloseNotify);
        assert_stopped(&mut self.right, right, PeerAnswer::CloseNotify);
        assert_eq!(self.left.pass_end().unwrap(), left);
        assert_eq!(self.right.pass_end().unwrap(), right);
    }

    /// The right has read to the end of its innermost layer and stops it too.
    pub(crate) fn right_answers(&mut self) -> LayerId {
        let ended = self.right.ended().expect("the right sees the end");
        assert_eq!(self.right.stop(Stop::new()).unwrap(), ended);
        ended
    }

    /// A word each way.
    pub(crate) fn talk(&mut self) {
        self.left.write(b"from the left");
        self.right.write(b"from the right");
        self.run();
        assert_eq!(text(&self.right.read()), "from the left");
        assert_eq!(text(&self.left.read()), "from the right");
    }

    /// The right reads `count` bytes and leaves what is behind them.
    pub(crate) fn right_reads(&mut self, count: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while taken.len() < count {
            self.run();
            let read = self.right.read_some(count - taken.len());
            assert!(!read.is_empty(), "{} of {count} bytes came: {:?}", taken.len(), self.right.stack.lost());
            taken.extend(read);
        }
        taken
    }

    /// How many TLS layers each side has.
    pub(crate) fn tls_depth(&self) -> (usize, usize) {
        (tls_depth(&self.left), tls_depth(&self.right))
    }
}

impl Deref for Link {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        &self.pair
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Pair {
        &mut self.pair
    }
}

fn splice(peer: &mut Peer, layer: TlsLayer, turn: Option<&mut usize>) -> LayerId {
    if let Some(turn) = turn {
        WRAPPERS[*turn % WRAPPERS.len()](peer);
        *turn += 1;
    }
    peer.splice(layer)
}

/// Puts in a layer that changes nothing: one that has only the defaults of the trait, and real ones.
pub(crate) const WRAPPERS: [fn(&mut Peer) -> LayerId; 5] = [
    |peer| peer.splice(PassThrough),
    |peer| peer.splice(Counter::new()),
    |peer| peer.splice(TrafficLog::to(|line| assert!(line.len() < 600, "{line}"))),
    |peer| peer.splice(IdleTimeout::new(Duration::MAX)),
    |peer| peer.splice(Throttle::new()),
];

/// Different for the cases of one test, so that all have their turn also at depth 1.
fn first_wrapper(case: Case) -> usize {
    case.depth + usize::from(case.version == Version::Tls13) + 2 * usize::from(case.cut == Cut::Whole)
}

/// The only event is that this layer is peeled.
#[track_caller]
pub(crate) fn assert_stopped(peer: &mut Peer, layer: LayerId, answer: PeerAnswer) {
    let events = peer.events();
    let stopped = matches!(events[..], [Event::Stopped(id, how)] if id == layer && how == answer);
    assert!(stopped, "{events:?}, {:?}", peer.stack.lost());
}

pub(crate) fn tls_depth(peer: &Peer) -> usize {
    peer.stack.layers().filter(|(_, layer)| layer.name() == "tls").count()
}

pub(crate) fn facts(peer: &Peer, layer: LayerId) -> TlsFacts {
    let found: &dyn Any = peer.stack.layer(layer).expect("the layer is there");
    found.downcast_ref::<TlsLayer>().expect("it is TLS").facts(layer)
}

/// For comparisons that read well when they fail.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Bytes in which nothing repeats soon, so that a loss or a swap shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The TLS records at the front of `bytes`, as content type and body length, and what follows them.
pub(crate) fn records(mut bytes: &[u8]) -> (Vec<(u8, usize)>, &[u8]) {
    let mut records = Vec::new();
    while let [content_type @ 20..=24, 3, _, high, low, body @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(rest) = body.get(len..) else { break };
        records.push((*content_type, len));
        bytes = rest;
    }
    (records, bytes)
}

/// Whether a record can be an encrypted alert, which is how a close_notify looks from outside.
pub(crate) fn is_alert(version: Version, (content_type, len): (u8, usize)) -> bool {
    match version {
        // Level, description, content type, and the tag; the type on the outside is application data.
        Version::Tls13 => content_type == 23 && len == 2 + 1 + 16,
        _ => content_type == 21,
    }
}

/// Made once: key generation is the slowest part of a small test.
static CERTIFIED: LazyLock<(Roots, Identity)> = LazyLock::new(|| {
    let authority = Authority::new();
    (authority.roots(), authority.identity(NAME))
});
