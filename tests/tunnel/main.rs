//! Stacks over a stack: many streams over one carrier, in memory, and what they hear of each other's losses and of its own.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod losses;
mod random;
mod streams;

use std::sync::LazyLock;
use std::time::Duration;

use onionskin::stack::{Event, LayerId, Readable, Reason, Stack, Stop};
use onionskin::testing::{Cut, Mux, Pair, Peer, StreamId};
use onionskin::tls::{TlsClient, TlsLayer, TlsServer};

use crate::common::{Authority, BOTH};

const NAME: &str = "a.test";

static CONFIGURED: LazyLock<(TlsClient, TlsServer)> = LazyLock::new(|| {
    let authority = Authority::new();
    (authority.client(BOTH), authority.server(NAME, BOTH))
});

fn client() -> TlsLayer {
    CONFIGURED.0.to(NAME).unwrap()
}

fn server() -> TlsLayer {
    CONFIGURED.1.accept().unwrap()
}

/// A client's side.
const LEFT: usize = 0;

/// A server's side.
const RIGHT: usize = 1;

/// A carrier with TLS, and its streams.
struct Tunnel {
    carrier: Pair,
    muxes: [Mux; 2],
}

impl Tunnel {
    fn new(cut: Cut) -> Self {
        let mut carrier = Pair::new(cut);
        carrier.left.stack.name_wire("tcp proxy.test:443");
        carrier.left.splice(client());
        carrier.right.splice(server());
        let mut tunnel = Self { carrier, muxes: [Mux::client("h2 proxy.test:443"), Mux::server("h2 proxy.test:443")] };
        tunnel.run();
        tunnel
    }

    /// With so many streams, open on both sides.
    fn with_streams(cut: Cut, count: usize) -> (Self, Vec<StreamId>) {
        let mut tunnel = Self::new(cut);
        let ids: Vec<_> = (0..count).map(|_| tunnel.muxes[LEFT].open()).collect();
        tunnel.run();
        let accepted: Vec<_> = std::iter::from_fn(|| tunnel.muxes[RIGHT].accept()).collect();
        assert_eq!(accepted, ids);
        (tunnel, ids)
    }

    /// Lets both sides go on until neither can.
    fn run(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let now = self.carrier.now();
        let [left, right] = &mut self.muxes;
        let driven = left.drive(&mut self.carrier.left.stack, now) | right.drive(&mut self.carrier.right.stack, now);
        self.carrier.step() | driven
    }

    /// Lets time pass. Whoever is due is due then.
    fn advance(&mut self, by: Duration) {
        self.run();
        self.carrier.advance(by);
        let now = self.carrier.now();
        self.muxes.iter_mut().for_each(|mux| mux.handle_timeout(now));
        self.run();
    }

    fn carrier(&mut self, side: usize) -> &mut Peer {
        if side == LEFT { &mut self.carrier.left } else { &mut self.carrier.right }
    }

    fn stack(&mut self, side: usize, id: StreamId) -> &mut Stack {
        self.muxes[side].stack_mut(id).unwrap()
    }

    /// Starts TLS in a stream, the client on the left.
    fn begin_tls(&mut self, id: StreamId, client: TlsLayer) -> [LayerId; 2] {
        let now = self.carrier.now();
        let layers = [client, server()].into_iter().zip([LEFT, RIGHT]);
        let ids = layers.map(|(layer, side)| self.stack(side, id).splice(now, Box::new(layer)).unwrap());
        ids.collect::<Vec<_>>().try_into().unwrap()
    }

    fn start_tls(&mut self, id: StreamId) -> [LayerId; 2] {
        let layers = self.begin_tls(id, client());
        self.run();
        for side in [LEFT, RIGHT] {
            let ready = self.stack(side, id).poll_event();
            assert!(matches!(ready, Some(Event::Ready(layer)) if layer == layers[side]), "{ready:?}");
        }
        layers
    }

    fn write(&mut self, side: usize, id: StreamId, bytes: &[u8]) -> usize {
        let now = self.carrier.now();
        self.stack(side, id).write(now, bytes).unwrap()
    }

    fn read(&mut self, side: usize, id: StreamId) -> Vec<u8> {
        let now = self.carrier.now();
        let stack = self.stack(side, id);
        let mut read = Vec::new();
        while let Readable::Bytes(bytes) = stack.readable() {
            read.extend_from_slice(bytes);
            let count = bytes.len();
            stack.consume(now, count);
        }
        read
    }

    /// Says something on one side, and hears it on the other.
    #[track_caller]
    fn say(&mut self, side: usize, id: StreamId, said: &[u8]) {
        assert_eq!(self.write(side, id, said), said.len());
        self.run();
        assert_eq!(self.read(1 - side, id).escape_ascii().to_string(), said.escape_ascii().to_string());
    }

    /// The control: another stream works both ways.
    #[track_caller]
    fn assert_works(&mut self, id: StreamId) {
        self.say(LEFT, id, b"is anybody there?");
        self.say(RIGHT, id, b"still here");
    }

    /// Why a stream is lost, or cut off, when all before it has been read.
    #[track_caller]
    fn loss(&mut self, side: usize, id: StreamId) -> Reason {
        match self.stack(side, id).readable() {
            Readable::Lost(reason) => reason.clone(),
            readable => panic!("no loss is next to read, but {readable:?}"),
        }
    }

    fn stop(&mut self, side: usize, id: StreamId, layer: LayerId) {
        let now = self.carrier.now();
        self.stack(side, id).stop(now, layer, Stop::new()).unwrap();
    }
}
