//! What takes time, or has to be seen from inside: over wires in memory, with a clock that a test moves.

use std::io;
use std::sync::Arc;

use futures::FutureExt;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::runtime::Address;
use onionskin::testing::{Clock, Cut, WireEnd, wire};

use super::*;

/// A joint between a client and a server, each at the other end of a wire.
struct World {
    clock: &'static Clock,
    client: WireEnd,
    joint: Joint,
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
        Self { clock, client, joint: Joint::new(clock, near, far, Arc::default()), server }
    }

    /// Does what can be done without waiting.
    fn run(&mut self) -> Option<Result<(), Loss>> {
        self.joint.run().now_or_never()
    }

    #[track_caller]
    fn goes_on(&mut self) {
        if let Some(end) = self.run() {
            panic!("it is over: {:?}", end.map_err(|loss| loss.to_string()));
        }
    }

    #[track_caller]
    fn is_lost(&mut self, because: &str) {
        let loss = self.run().expect("it is over").expect_err("it is lost");
        assert!(loss.to_string().contains(because), "{loss}");
    }

    /// Has the client send all of it.
    fn client_sends(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.client.write(rest).now_or_never().expect("the joint takes it").unwrap();
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

const ALMOST_STUCK: Duration = STUCK.saturating_sub(Duration::from_secs(1));

#[test]
fn last_bytes_may_take_their_time_as_long_as_some_are_taken() {
    let mut world = World::new(1000);
    world.client_sends(&[7; 5000]);
    World::close(&mut world.client);
    World::close(&mut world.server);
    world.goes_on();
    for _ in 0..4 {
        world.clock.advance(ALMOST_STUCK);
        world.goes_on();
        assert_eq!(world.server_reads(500), 500);
        world.goes_on();
    }
    world.clock.advance(ALMOST_STUCK);
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
    world.clock.advance(100 * STUCK);
    world.goes_on();
    let mut read = 0;
    while read < 5000 {
        read += world.server_reads(1000);
        world.goes_on();
    }
    World::close(&mut world.server);
    assert!(matches!(world.run(), Some(Ok(()))));
    assert_eq!(world.joint.bytes(), (5000, 0));
}

#[test]
fn what_came_before_a_loss_has_as_much_time() {
    for reads in [true, false] {
        let mut world = World::new(1000);
        world.client_sends(&[7; 5000]);
        world.client.fail(io::ErrorKind::ConnectionReset);
        world.goes_on();
        world.clock.advance(ALMOST_STUCK);
        world.goes_on();
        if reads {
            // The wire still holds the last thousand when the joint has done its part.
            for _ in 0..4 {
                assert_eq!(world.server_reads(1000), 1000);
                let _ = world.run();
            }
            assert_eq!(world.server_reads(1000), 1000);
        } else {
            world.clock.advance(Duration::from_secs(1));
        }
        world.is_lost("LISTEN side: ");
        assert_eq!(world.joint.bytes(), (5000, 0));
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
