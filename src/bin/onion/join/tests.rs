//! What takes time, or has to be seen from inside: over wires in memory, with a clock that a test moves.

mod peel;

use std::io;
use std::sync::Arc;

use futures::FutureExt;
use futures::executor::block_on;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::runtime::Address;
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tls::{TlsClient, TlsServer};

use super::*;
use crate::authority::Authority;

/// A pair between a client and a server, each at the other end of a wire.
struct World {
    clock: &'static Clock,
    client: WireEnd,
    pair: ConnectionPair,
    server: WireEnd,
}

impl World {
    /// Each wire holds so many bytes each way.
    fn new(capacity: usize) -> Self {
        let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
        let side = || {
            let (peer, ours) = wire(Cut::Whole, capacity);
            let socket = Socket::new(ours, Address::Stdio, Address::Stdio);
            (peer, Unfinished::new(Connection::with_timer(socket, Arc::new(clock.clone()))))
        };
        let ((client, near), (server, far)) = (side(), side());
        Self { clock, client, pair: ConnectionPair::new(clock, near, far, PassOn::default(), Arc::default()), server }
    }

    /// Does what can be done without waiting.
    fn run(&mut self) -> Option<End> {
        self.pair.run().now_or_never()
    }

    #[track_caller]
    fn goes_on(&mut self) {
        if let Some(end) = self.run() {
            panic!("it is over: {end}");
        }
    }

    #[track_caller]
    fn is_lost(&mut self, cause: &str) {
        let end = self.run().expect("it is over");
        assert_eq!(end.outcome, Outcome::Lost, "{end}");
        assert!(end.to_string().contains(cause), "{end}");
    }

    /// Has the client send all of it.
    fn client_sends(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.client.write(rest).now_or_never().expect("the pair takes it").unwrap();
            rest = &rest[taken..];
            self.goes_on();
        }
    }

    /// What the server finds, at most `most` bytes.
    fn server_reads(&mut self, most: usize) -> usize {
        let mut space = vec![0; most];
        self.server.read(&mut space).now_or_never().expect("there is something").unwrap()
    }

    fn close(end: &mut WireEnd) {
        end.close().now_or_never().expect("nothing to wait for").unwrap();
    }
}

const ALMOST_STALLED: Duration = STALL_TIMEOUT.saturating_sub(Duration::from_secs(1));

#[test]
fn last_bytes_may_take_their_time_as_long_as_some_are_taken() {
    let mut world = World::new(1000);
    world.client_sends(&[7; 5000]);
    World::close(&mut world.client);
    World::close(&mut world.server);
    world.goes_on();
    for _ in 0..4 {
        world.clock.advance(ALMOST_STALLED);
        world.goes_on();
        assert_eq!(world.server_reads(500), 500);
        world.goes_on();
    }
    world.clock.advance(ALMOST_STALLED);
    world.goes_on();
    world.clock.advance(Duration::from_secs(1));
    world.is_lost("CONNECT side: the peer did not read what was sent last");
}

#[test]
fn a_peer_that_still_speaks_may_read_when_it_likes() {
    let mut world = World::new(1000);
    world.client_sends(&[7; 5000]);
    World::close(&mut world.client);
    world.goes_on();
    world.clock.advance(100 * STALL_TIMEOUT);
    world.goes_on();
    let mut read = 0;
    while read < 5000 {
        read += world.server_reads(1000);
        world.goes_on();
    }
    World::close(&mut world.server);
    assert!(world.run().is_some_and(|end| end.outcome == Outcome::Graceful));
    assert_eq!(world.pair.bytes(), (5000, 0));
}

#[test]
fn what_came_before_a_loss_has_as_much_time() {
    for reads in [true, false] {
        let mut world = World::new(1000);
        world.client_sends(&[7; 5000]);
        world.client.fail(io::ErrorKind::ConnectionReset);
        world.goes_on();
        world.clock.advance(ALMOST_STALLED);
        world.goes_on();
        if reads {
            // The wire still holds the last thousand when the pair has done its part.
            for _ in 0..4 {
                assert_eq!(world.server_reads(1000), 1000);
                let _ = world.run();
            }
            assert_eq!(world.server_reads(1000), 1000);
        } else {
            world.clock.advance(Duration::from_secs(1));
        }
        world.is_lost("LISTEN side: ");
        assert_eq!(world.pair.bytes(), (5000, 0));
    }
}

#[test]
fn a_sender_waits_for_a_receiver_that_does_not_read() {
    let mut world = World::new(1000);
    let mut taken = 0;
    while let Some(count) = world.client.write(&[7; 1000]).now_or_never() {
        taken += count.unwrap();
        world.goes_on();
        assert!(taken < 1024 * 1024, "{taken} bytes are held");
    }
    // The other direction has nothing to do with it.
    world.server.write_all(b"hello").now_or_never().expect("there is room").unwrap();
    world.goes_on();
    let mut said = [0; 5];
    world.client.read_exact(&mut said).now_or_never().expect("it has arrived").unwrap();
    assert_eq!(&said, b"hello");

    let mut read = 0;
    while read < taken {
        read += world.server_reads(1000);
        world.goes_on();
    }
    assert_eq!(read, taken);
}

/// A client inside TLS, joined to a server in clear.
fn inside_tls(pass_on: PassOn) -> (Connection<WireEnd>, ConnectionPair, WireEnd) {
    let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
    let timer = Arc::new(clock.clone());
    let ((client, near), (server, far)) = (wire(Cut::Whole, 100_000), wire(Cut::Whole, 100_000));
    let socket = |end| Connection::with_timer(Socket::new(end, Address::Stdio, Address::Stdio), timer.clone());
    let (mut client, mut near, far) = (Connection::with_timer(client, timer.clone()), socket(near), socket(far));
    let authority = Authority::new().unwrap();
    let asks = TlsClient::new(authority.roots().unwrap()).unwrap().to("localhost").unwrap();
    let answers = TlsServer::new(authority.identity(&["localhost"]).unwrap()).unwrap().accept().unwrap();
    let (asked, answered) = block_on(join(client.start_tls(asks), near.start_tls(answers)));
    asked.and(answered).unwrap();
    let (near, far) = (Unfinished::new(near), Unfinished::new(far));
    (client, ConnectionPair::new(clock, near, far, pass_on, Arc::default()), server)
}

fn read_now(from: &mut WireEnd) -> Vec<u8> {
    let mut read = Vec::new();
    from.read_to_end(&mut read).now_or_never().expect("the end is there").unwrap();
    read
}

/// The clock stands still, so whatever waits for time to pass is stuck here.
#[test]
fn an_end_without_a_close_notify_and_the_answer_are_passed_on_at_once() {
    let (mut client, mut pair, mut server) = inside_tls(PassOn::Fin);
    block_on(client.send_all(b"request")).unwrap();
    client.get_ref().end();
    assert!(pair.run().now_or_never().is_none(), "the server has not answered");
    assert_eq!(read_now(&mut server), b"request");
    server.write_all(b"answer").now_or_never().expect("there is room").unwrap();
    World::close(&mut server);
    let end = pair.run().now_or_never().expect("both have ended");
    assert_eq!(end.outcome, Outcome::Truncated, "{end}");
    assert!(end.to_string().contains("LISTEN side: layer #1 "), "{end}");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).now_or_never().expect("the end is there").unwrap();
    assert_eq!(answer, b"answer");
    // A client reads to the end and is gone: then there is nobody to wait for.
    drop((client, server));
    pair.leave().now_or_never().expect("the place is free");
}

#[test]
fn passed_on_as_a_reset_it_is_the_end_of_both_ways() {
    let (mut client, mut pair, server) = inside_tls(PassOn::Reset);
    block_on(client.send_all(b"request")).unwrap();
    client.get_ref().end();
    let end = pair.run().now_or_never().expect("nothing is waited for");
    assert_eq!(end.outcome, Outcome::Truncated, "{end}");
    assert_eq!(server.arriving(), 7, "what it had said before is there");
    let mut leave = Box::pin(pair.leave());
    assert!(
        leave.as_mut().now_or_never().is_none(),
        "a reset must not overtake what was said, and this wire tells nothing"
    );
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer).now_or_never().expect("the end is there");
    assert!(read.is_err(), "no close_notify for a client that gets no answer");
}

#[test]
fn an_end_in_the_middle_of_a_record_is_a_loss() {
    let (mut client, mut pair, server) = inside_tls(PassOn::Fin);
    block_on(client.send_all(b"request")).unwrap();
    let mut below = client.into_inner().io;
    below.write_all(&[23, 3, 3, 0, 64, 1, 2, 3]).now_or_never().expect("there is room").unwrap();
    below.end();
    let end = pair.run().now_or_never().expect("it is over");
    assert_eq!(end.outcome, Outcome::Lost, "{end}");
    assert!(end.to_string().contains("in the middle of a record"), "{end}");
    assert_eq!(server.arriving(), 7);
}

const HALF_CLOSED: Duration = Duration::from_secs(30);

impl World {
    /// With the limits of a proxy: an hour without data, half a minute once one side has ended.
    fn limited(capacity: usize) -> Self {
        let world = Self::new(capacity);
        let pair = world.pair.limited(Limit::seconds(3600), Limit(Some(HALF_CLOSED)));
        Self { pair, ..world }
    }

    #[track_caller]
    fn client_finds(&mut self, expected: &[u8]) {
        let mut space = vec![0; expected.len() + 1];
        let count = self.client.read(&mut space).now_or_never().expect("there is something").unwrap();
        assert_eq!(&space[..count], expected);
    }

    fn server_sends(&mut self, bytes: &[u8]) {
        self.server.write_all(bytes).now_or_never().expect("the wire takes it").unwrap();
    }
}

#[test]
fn s10_the_other_direction_goes_on_while_it_carries_data() {
    let mut world = World::limited(1000);
    world.client_sends(b"ask");
    World::close(&mut world.client);
    world.goes_on();
    assert_eq!((world.server_reads(10), world.server_reads(10)), (3, 0), "the end comes behind the last byte");
    for _ in 0..10 {
        world.clock.advance(HALF_CLOSED - Duration::from_secs(1));
        world.goes_on();
        world.server_sends(b"answer");
        world.goes_on();
        world.client_finds(b"answer");
    }
    World::close(&mut world.server);
    let end = world.run().expect("both have ended");
    assert_eq!((end.outcome, end.loss.is_none()), (Outcome::Graceful, true), "{end}");
}

#[test]
fn s10_without_data_both_are_given_up_and_neither_takes_it_for_an_end() {
    for client_first in [true, false] {
        let mut world = World::limited(1000);
        world.client_sends(b"ask");
        assert_eq!(world.server_reads(10), 3);
        World::close(if client_first { &mut world.client } else { &mut world.server });
        world.goes_on();
        world.clock.advance(HALF_CLOSED - Duration::from_secs(1));
        world.goes_on();
        world.clock.advance(Duration::from_secs(1));
        let side = if client_first { "CONNECT" } else { "LISTEN" };
        world.is_lost(&format!("{side} side: nothing came for 30s, and the other side had ended"));
    }
}

#[test]
fn s10_a_slow_reader_of_the_rest_is_no_silence() {
    let mut world = World::limited(1000);
    world.server_sends(&[7; 1000]);
    World::close(&mut world.client);
    world.goes_on();
    // More than the client's wire holds waits for the client.
    world.server_sends(&[7; 1000]);
    world.goes_on();
    for _ in 0..4 {
        world.clock.advance(HALF_CLOSED - Duration::from_secs(1));
        world.goes_on();
        world.client_finds_some(100);
        world.goes_on();
    }
}

impl World {
    fn client_finds_some(&mut self, count: usize) {
        self.client.read_exact(&mut vec![0; count]).now_or_never().expect("there is something").unwrap();
    }
}

#[test]
fn s10_strictly_read_one_end_is_that_of_both() {
    let mut world = World::new(1000);
    world.pair = world.pair.half_closing(HalfClose::EndsBoth);
    world.client_sends(b"ask");
    world.goes_on();
    World::close(&mut world.client);
    let end = world.run().expect("both are over");
    assert_eq!(end.outcome, Outcome::Graceful, "{end}");
    assert_eq!((world.server_reads(10), world.server_reads(10)), (3, 0), "what was said before has arrived");
}

#[test]
fn nothing_that_passes_for_too_long_is_a_loss() {
    let mut world = World::limited(1000);
    let almost = Duration::from_secs(3599);
    for _ in 0..3 {
        world.clock.advance(almost);
        world.client_sends(b"still there");
        assert_eq!(world.server_reads(100), 11);
    }
    world.clock.advance(almost);
    world.goes_on();
    world.clock.advance(Duration::from_secs(1));
    world.is_lost("LISTEN side: nothing has passed for 3600s");
}
