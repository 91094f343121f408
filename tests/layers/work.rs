//! A little input can make much work: it is done in turns, and others have theirs in between.

use std::sync::Arc;
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::layer::proxy_header::AcceptProxyHeader;
use onionskin::layer::{Counter, Counts, Deflate, IdleTimeout};
use onionskin::protocol::{Protocol, Result, Transport, run};
use onionskin::stack::Readable;
use onionskin::testing::{Clock, Cut, Pair, StringTransport, WireEnd, wire};

use crate::executor::{Step, Task};

/// Blocks of a deflate stream that are empty: each is five bytes that unpack to nothing.
const EMPTY_BLOCKS: usize = 4_000_000;

/// More than one turn may pass on between the two layers.
const MAX_IN_A_TURN: u64 = 9_000_000;

/// What two layers of deflate unpack for long, and then it is a word.
fn bomb() -> Vec<u8> {
    bomb_with(b"hello")
}

fn bomb_with(word: &[u8]) -> Vec<u8> {
    let mut inner = [0, 0, 0, 0xff, 0xff].repeat(EMPTY_BLOCKS);
    let len = u16::try_from(word.len()).unwrap();
    inner.extend([&[0], &len.to_le_bytes()[..], &(!len).to_le_bytes()[..], word].concat());
    let mut compress = Compress::new(Compression::fast(), false);
    let mut packed = Vec::with_capacity(1 << 20);
    compress.compress_vec(&inner, &mut packed, FlushCompress::Sync).unwrap();
    assert_eq!(compress.total_in(), inner.len() as u64);
    assert!(packed.len() < 1 << 17, "{} bytes", packed.len());
    packed
}

const TOTAL: u64 = 5 * EMPTY_BLOCKS as u64 + 10;

/// Notes how much has passed between the layers, and that it was not too much at once.
struct Turns {
    counts: Counts,
    passed: u64,
    turns: usize,
}

impl Turns {
    fn new(counter: &Counter) -> Self {
        Self { counts: counter.counts(), passed: 0, turns: 0 }
    }

    #[track_caller]
    fn note(&mut self) {
        let before = std::mem::replace(&mut self.passed, self.counts.inbound());
        assert!(self.passed - before <= MAX_IN_A_TURN, "{} bytes in one turn", self.passed - before);
        self.turns += usize::from(self.passed > before);
    }

    #[track_caller]
    fn finish(&mut self) {
        self.note();
        assert_eq!(self.passed, TOTAL);
        assert!(self.turns >= 4, "{} turns", self.turns);
    }
}

#[test]
fn a_stack_says_that_there_is_more_to_do() {
    let mut pair = Pair::new(Cut::Whole);
    let counter = Counter::new();
    let mut turns = Turns::new(&counter);
    pair.left.splice(Deflate::new());
    pair.left.splice(counter);
    pair.left.splice(Deflate::new());
    let (now, bomb) = (pair.now(), bomb());
    let mut rest = &bomb[..];
    while !rest.is_empty() || pair.left.stack.is_unfinished() {
        let taken = pair.left.stack.handle_input(now, rest);
        rest = &rest[taken..];
        turns.note();
        while pair.left.stack.is_unfinished() {
            // A driver that only keeps to deadlines comes back too.
            assert!(pair.left.stack.poll_deadline().is_some_and(|due| due <= now));
            pair.left.stack.handle_timeout(now);
            turns.note();
        }
    }
    turns.finish();
    assert_eq!(pair.left.stack.poll_deadline(), None);
    assert_eq!(pair.left.read(), b"hello");
}

#[test]
fn what_was_put_off_is_not_the_time_of_the_peer() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(IdleTimeout::new(Duration::from_secs(10)).spare_unread());
    pair.left.splice(Deflate::new());
    pair.left.splice(Deflate::new());
    pair.left.splice(AcceptProxyHeader::new());
    let (mut now, bomb) = (pair.now(), bomb_with(b"PROXY UNKNOWN\r\n"));
    let mut rest = &bomb[..];
    let mut turns = 0;
    while !rest.is_empty() || pair.left.stack.is_unfinished() {
        let taken = pair.left.stack.handle_input(now, rest);
        rest = &rest[taken..];
        while pair.left.stack.is_unfinished() {
            // More than the peer has, and it has said all of it.
            now += Duration::from_secs(11);
            pair.left.stack.handle_timeout(now);
            turns += 1;
        }
    }
    assert!(turns > 0);
    assert!(pair.left.stack.lost().is_none(), "{:?}", pair.left.stack.lost());
    assert_eq!(pair.left.stack.layers().count(), 3, "the header was read");
}

#[test]
fn the_pair_and_the_transport_of_the_test_kit_do_all_of_it() {
    let mut pair = Pair::new(Cut::Whole);
    pair.left.splice(Deflate::new());
    pair.left.splice(Deflate::new());
    pair.left.inject(&bomb());
    pair.run();
    assert_eq!(pair.left.read(), b"hello");

    let mut transport = StringTransport::new(Listener::default());
    transport.act(|_, transport| {
        transport.splice(Deflate::new()).unwrap();
        transport.splice(Deflate::new()).unwrap();
    });
    transport.receive(&bomb());
    assert_eq!(transport.protocol().heard, b"hello");
}

fn connections() -> (Connection<WireEnd>, Connection<WireEnd>, Turns) {
    let clock = Clock::new();
    let (left, right) = wire(Cut::Whole, 1 << 20);
    let connect = |end| Connection::with_timer(end, Arc::new(clock.clone()));
    let (mut left, right) = (connect(left), connect(right));
    left.splice(Deflate::new()).unwrap();
    let counter = Counter::new();
    let turns = Turns::new(&counter);
    left.splice(counter).unwrap();
    left.splice(Deflate::new()).unwrap();
    (left, right, turns)
}

#[test]
fn a_poll_does_a_part_and_wakes_itself_for_the_rest() {
    let (mut left, mut right, mut turns) = connections();
    Task::new(right.write_all(&bomb())).run().unwrap().unwrap();
    let mut word = [0; 5];
    let mut read = Task::new(left.read_exact(&mut word));
    // It is polled only when it was woken, and nobody else is there to do that.
    while read.step() {
        turns.note();
    }
    turns.finish();
    read.output().expect("it was not forgotten").unwrap();
    drop(read);
    assert_eq!(&word, b"hello");
}

#[test]
fn a_writer_that_waits_for_what_a_reader_began_is_woken() {
    let (left, mut right, mut turns) = connections();
    let bomb = bomb();
    Task::new(right.write_all(&bomb)).run().unwrap().unwrap();
    let (mut reader, mut writer) = left.split();
    // More than there is room for while the other side reads nothing.
    let much = vec![7; 3 << 20];
    let mut write = Task::new(async { writer.write_all(&much).await });
    let mut word = [0; 5];
    let mut read = Task::new(reader.read_exact(&mut word));
    let mut drain = Task::new(async {
        let mut piece = vec![0; 1 << 16];
        while right.read(&mut piece).await.unwrap() > 0 {}
    });
    while read.step() | write.step() | drain.step() {
        turns.note();
    }
    turns.finish();
    read.output().expect("the reader is not forgotten").unwrap();
    write.output().expect("the writer is not either").unwrap();
}

#[derive(Debug, Default)]
struct Listener {
    heard: Vec<u8>,
}

impl Protocol for Listener {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.heard.extend_from_slice(transport.input());
        transport.consume(transport.input().len());
        if self.heard == b"hello" {
            transport.abort();
        }
        Ok(())
    }
}

#[test]
fn a_protocol_runs_in_turns_too() {
    let (left, mut right, mut turns) = connections();
    Task::new(right.write_all(&bomb())).run().unwrap().unwrap();
    let mut running = Task::new(run(left, Listener::default()));
    while running.step() {
        turns.note();
    }
    turns.finish();
    assert_eq!(running.output().expect("it was not forgotten").protocol.heard, b"hello");
}

#[test]
fn small_work_is_done_at_once() {
    let mut pair = Pair::new(Cut::Whole);
    for peer in [&mut pair.left, &mut pair.right] {
        peer.splice(Deflate::new());
        peer.splice(Deflate::new());
    }
    pair.left.write(&[b'x'; 100_000]);
    while pair.step() {
        assert!(!pair.left.stack.is_unfinished() && !pair.right.stack.is_unfinished());
    }
    assert!(matches!(pair.right.stack.readable(), Readable::Bytes(bytes) if bytes.len() == 100_000));
}
