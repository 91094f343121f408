//! Input that is meant to do harm: nothing panics, nothing hangs, and no more is kept than the limit says.

use onionskin::protocol::{LineReceiver, Lines, Protocol, Result, Strings, Transport};
use onionskin::testing::StringTransport;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{FORMATS, Format, Framer, Receiver, nothing};

/// The least that a boundary holds, whatever the limit of its reader is.
const BUFFER: usize = 128 * 1024;

/// The largest plaintext of a record.
const RECORD: usize = 16 * 1024;

const PIECE: usize = 4 * 1024;

/// Sends so many bytes in pieces; the most that was kept of them, and whether the connection is still in use.
fn endless(framer: Framer, head: &[u8], byte: u8, count: usize) -> (usize, bool) {
    let mut transport = StringTransport::new(Receiver::new(framer, nothing));
    let mut most = 0;
    transport.receive(head);
    for _ in 0..count / PIECE {
        transport.receive(&[byte; PIECE]);
        most = most.max(transport.stack().inbound_len());
    }
    assert_eq!(transport.protocol().log.iter().filter(|line| line.starts_with("0 ")).count(), 0);
    let is_used = !transport.act(|_, transport| transport.is_closing());
    (most, is_used)
}

#[test]
fn an_endless_line_is_refused_at_its_limit() {
    for (limit, kept) in [(100, PIECE), (16_384, 16_384 + PIECE), (1 << 20, (1 << 20) + PIECE)] {
        for lines in [Lines::new(), Lines::delimited_by("||>")] {
            for byte in [b'x', b'\r', b'|', 0] {
                let (most, is_used) = endless(Framer::Lines(lines.clone().max_length(limit)), b"", byte, 4 << 20);
                assert!(!is_used);
                assert!(most <= kept, "{most} bytes were kept of lines of {limit}");
                let (_, is_used) = endless(Framer::Lines(lines.clone().max_length(8 << 20)), b"", byte, 4 << 20);
                assert!(is_used);
            }
        }
    }
}

#[test]
fn an_endless_line_that_is_dropped_is_not_kept() {
    struct Dropping(Lines);
    impl Protocol for Dropping {
        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.receive_lines(transport)
        }
    }
    impl LineReceiver for Dropping {
        fn lines(&mut self) -> &mut Lines {
            &mut self.0
        }
        fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
            self.send_line(transport, line)
        }
        fn line_length_exceeded(&mut self, transport: &mut Transport<'_>) -> Result {
            self.send_line(transport, b"too long")
        }
    }
    let mut transport = StringTransport::new(Dropping(Lines::new()));
    for _ in 0..1024 {
        transport.receive(&[b'x'; PIECE]);
        assert!(transport.stack().inbound_len() <= 16_384);
    }
    transport.receive(b"\r\nnext\r\n");
    assert_eq!(transport.sent(), b"too long\r\nnext\r\n");
}

#[test]
fn a_huge_length_takes_no_memory() {
    let limit = 1 << 20;
    let strings: [(Strings, &[u8], &[u8]); 2] = [
        (Strings::netstring(), b"4294967295:", b"1048576:"),
        (Strings::int32(), b"\xff\xff\xff\xff", b"\x00\x10\x00\x00"),
    ];
    for (strings, huge, largest) in strings {
        let framer = || Framer::Strings(strings.clone().max_length(limit));
        let (most, is_used) = endless(framer(), huge, b'x', 4 << 20);
        assert!(!is_used);
        assert_eq!(most, 0);
        // One byte less than would complete it.
        let (most, is_used) = endless(framer(), largest, b'x', limit - PIECE);
        assert!(is_used);
        assert!(most <= limit + RECORD, "{most}");
    }
}

#[test]
fn a_paused_receiver_keeps_no_more_than_a_boundary_does() {
    for format in FORMATS {
        let mut transport = StringTransport::new(Receiver::new(format.framer(), nothing));
        transport.act(|_, transport| transport.pause_producing());
        let message = format.framed(&"x".repeat(100));
        for _ in 0..10_000 {
            transport.receive(&message);
        }
        assert!(transport.stack().inbound_len() <= BUFFER, "{format:?}");
        transport.act(|_, transport| transport.resume_producing());
        assert_eq!(transport.protocol().log.len(), 10_000, "{format:?}");
    }
}

/// Only counts.
fn flood(format: Format, message: &[u8], count: usize) -> usize {
    let mut transport = StringTransport::new(Receiver::new(format.framer(), nothing));
    transport.receive(&message.repeat(count));
    assert!(transport.reason().is_none());
    transport.protocol().log.len()
}

#[test]
fn a_flood_of_empty_messages_ends_and_does_not_recurse() {
    // No room for a frame for each message.
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let floods = small.spawn(|| {
        assert_eq!(flood(Format::Lines, b"\n", 1 << 20), 1 << 20);
        for format in FORMATS {
            assert_eq!(flood(format, &format.framed(""), 100_000), 100_000, "{format:?}");
        }
    });
    floods.unwrap().join().unwrap();
}

#[test]
fn a_long_line_that_comes_byte_by_byte_is_not_searched_anew_each_time() {
    // To search it from the front each time would be 2^43 bytes.
    let length = 4 << 20;
    for lines in [Lines::new(), Lines::delimited_by("||>")] {
        let mut transport = StringTransport::new(Receiver::new(Framer::Lines(lines.max_length(length + 2)), nothing));
        for _ in 0..length {
            transport.receive(b"x");
        }
        transport.receive(b"\r\n||>");
        assert_eq!(transport.protocol().log.len(), 1);
    }
}

/// What the framers look for, more often than chance has it.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(b"\r\n|>:,0123456789\x00\x01\x02\xff".to_vec());
    vec(prop_oneof![3 => telling, 1 => any::<u8>()], 0..300)
}

fn formats() -> impl Strategy<Value = Format> {
    prop::sample::select(FORMATS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_the_same_in_pieces(format in formats(), input in bytes(), piece in 1_usize..20, limit in 0_usize..40) {
        let framer = || match format.framer() {
            Framer::Lines(lines) => Framer::Lines(lines.max_length(limit)),
            Framer::Strings(strings) => Framer::Strings(strings.max_length(limit)),
        };
        let run = |piece: usize| {
            let mut transport = StringTransport::new(Receiver::new(framer(), nothing));
            input.chunks(piece).for_each(|piece| transport.receive(piece));
            transport.end_of_input();
            let reason = transport.reason().map(ToString::to_string);
            (transport.protocol().log.clone(), reason)
        };
        let whole = run(input.len().max(1));
        prop_assert_eq!(&run(piece), &whole);
        prop_assert_eq!(&run(1), &whole);
    }

    #[test]
    fn what_is_sent_is_what_is_received(format in formats(), messages in vec("[a-z]{0,40}", 0..20)) {
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        let mut transport = StringTransport::new(Receiver::new(format.framer(), nothing));
        transport.receive(&format.all_framed(&messages));
        let expected: Vec<String> = messages.iter().map(|message| format!("0 {message}")).collect();
        prop_assert_eq!(&transport.protocol().log, &expected);
    }
}
