//! A peer that has the keys, and breaks the rules inside TLS.

use std::time::Instant;

use onionskin::rustls::ContentType;
use onionskin::stack::{LayerErrorKind, LayerId, Limits, Readable, Stack, Stop};
use onionskin::tls::Version;

use crate::forger::{Forger, sent};

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// Calls `test` with a forger in each role, in each version, before and behind our close_notify.
fn with_forgers(test: impl Fn(&mut Forger, &mut Victim, Version)) {
    for version in VERSIONS {
        for client in [true, false] {
            for closed in [false, true] {
                let (mut forger, stack) = Forger::new(version, client);
                let mut victim = Victim::new(stack);
                if closed {
                    victim.stack.stop(victim.now, victim.layer, Stop::new()).unwrap();
                    assert!(!victim.sent().is_empty());
                }
                victim.closed = closed;
                test(&mut forger, &mut victim, version);
                // A connection that has been put through this can still be closed gracefully.
                victim.stack.handle_eof(victim.now);
                victim.read();
                assert!(!matches!(victim.stack.readable(), Readable::Nothing), "the end does not show");
            }
        }
    }
}

struct Victim {
    stack: Stack,
    layer: LayerId,
    now: Instant,
    closed: bool,
}

impl Victim {
    fn new(stack: Stack) -> Self {
        let layer = stack.innermost_stoppable().unwrap();
        Self { stack, layer, now: Instant::now(), closed: false }
    }

    /// Lets the stack have as much as it takes; how much that is.
    fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let count = self.stack.handle_input(self.now, &bytes[taken..]);
            taken += count;
            if count == 0 {
                break;
            }
        }
        let limit = 2 * Limits::default().buffer + MAX_RECORD;
        assert!(self.stack.inbound_len() <= limit, "{} bytes inbound", self.stack.inbound_len());
        assert!(self.stack.outbound_len() <= MAX_RECORD, "{} bytes outbound", self.stack.outbound_len());
        taken
    }

    fn read(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        while let Readable::Bytes(bytes) = self.stack.readable() {
            read.extend_from_slice(bytes);
            let count = bytes.len();
            self.stack.consume(self.now, count);
        }
        read
    }

    fn sent(&mut self) -> Vec<u8> {
        sent(&mut self.stack, self.now)
    }

    /// Asserts that the connection is lost, and that the layer says why.
    fn assert_lost(&mut self, kind: LayerErrorKind) {
        let Some(reason) = self.stack.lost().cloned() else { panic!("not lost") };
        let [loss] = reason.layers() else { panic!("{reason}") };
        assert_eq!((loss.layer, loss.error.kind()), (self.layer, kind), "{reason}");
        let sent = self.sent();
        assert!(!self.closed || sent.is_empty(), "something follows our close_notify: {sent:?}");
    }
}

#[test]
fn empty_records_without_end_are_refused() {
    with_forgers(|forger, victim, _| {
        for _ in 0..100 {
            victim.receive(&forger.record(ContentType::ApplicationData, b""));
        }
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

#[test]
fn key_updates_without_end_are_refused_and_none_is_answered_twice() {
    for client in [true, false] {
        let (mut forger, stack) = Forger::new(Version::Tls13, client);
        let mut victim = Victim::new(stack);
        // The keys of the second are not those of the first: one record with many messages is the flood.
        let updates: Vec<u8> = KEY_UPDATE_REQUESTED.repeat(1000);
        victim.receive(&forger.record(ContentType::Handshake, &updates));
        victim.assert_lost(LayerErrorKind::Protocol);
        assert!(victim.sent().len() < 1000);
    }
}

#[test]
fn a_handshake_message_in_pieces_with_garbage_behind_is_refused() {
    // A KeyUpdate, or a HelloRequest, in parts; then what must not stand there.
    with_forgers(|forger, victim, _| {
        for piece in [&[24][..], &[0, 0], &[200]] {
            victim.receive(&forger.record(ContentType::Handshake, piece));
            // To write, rustls must be shown what it has seen.
            if !victim.closed {
                assert_eq!(victim.stack.write(victim.now, b"a line\r\n").unwrap(), 8);
                assert!(!victim.sent().is_empty());
            }
        }
        victim.receive(&forger.record(ContentType::ApplicationData, b"garbage"));
        assert_eq!(victim.read(), b"");
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

#[test]
fn a_handshake_message_in_pieces_with_a_bad_record_behind_is_refused() {
    with_forgers(|forger, victim, _| {
        victim.receive(&forger.record(ContentType::Handshake, &[24, 0, 0]));
        victim.receive(&[&[23, 3, 3, 0, 64][..], &[9; 64]].concat());
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

#[test]
fn a_handshake_message_in_pieces_with_plaintext_behind_is_refused() {
    with_forgers(|forger, victim, _| {
        victim.receive(&forger.record(ContentType::Handshake, &[24, 0, 0]));
        victim.receive(b"250 gone on in clear\r\n");
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

#[test]
fn a_handshake_message_in_pieces_with_a_close_notify_behind_is_refused() {
    with_forgers(|forger, victim, _| {
        victim.receive(&forger.record(ContentType::Handshake, &[24, 0, 0]));
        victim.receive(&forger.record(ContentType::Alert, CLOSE_NOTIFY));
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

#[test]
fn a_handshake_message_that_never_ends_is_refused() {
    with_forgers(|forger, victim, _| {
        victim.receive(&forger.record(ContentType::Handshake, &[4, 0, 0xff, 0xf0]));
        for _ in 0..100_000 {
            if victim.receive(&forger.record(ContentType::Handshake, &[0])) == 0 {
                break;
            }
        }
        assert!(victim.stack.lost().is_some());
    });
}

#[test]
fn every_alert_is_an_error_or_means_nothing() {
    for level in [0, 1, 2, 3, 255] {
        for description in 0..=255 {
            with_forgers_once(level, description);
        }
    }
}

fn with_forgers_once(level: u8, description: u8) {
    // All combinations with all forgers would be too many handshakes.
    let turn = usize::from(level) + usize::from(description);
    let (mut forger, stack) = Forger::new(VERSIONS[turn % 2], turn % 4 < 2);
    let mut victim = Victim::new(stack);
    if turn % 8 < 4 {
        victim.stack.stop(victim.now, victim.layer, Stop::new()).unwrap();
        victim.sent();
        victim.closed = true;
    }
    victim.receive(&forger.record(ContentType::Alert, &[level, description]));
    let context = format!("alert {level} {description} {victim_closed}", victim_closed = victim.closed);
    if description == 0 && (level == 1 || level == 2) {
        assert!(matches!(victim.stack.readable(), Readable::Ended(id) if id == victim.layer), "{context}");
    } else if level != 1 {
        assert!(victim.stack.lost().is_some(), "{context}");
    }
    let sent = victim.sent();
    assert!(!victim.closed || sent.is_empty(), "{context}: something follows our close_notify");
}

#[test]
fn warnings_without_end_are_refused() {
    with_forgers(|forger, victim, _| {
        for _ in 0..100 {
            // user_canceled, which TLS 1.3 allows as a warning too.
            victim.receive(&forger.record(ContentType::Alert, &[1, 90]));
        }
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

#[test]
fn renegotiation_is_refused_and_never_behind_our_close_notify() {
    for (client, request) in [(true, &[1, 0, 0, 0][..]), (false, &[0, 0, 0, 0])] {
        for closed in [false, true] {
            let (mut forger, stack) = Forger::new(Version::Tls12, client);
            let mut victim = Victim::new(stack);
            if closed {
                victim.stack.stop(victim.now, victim.layer, Stop::new().writes_at_once()).unwrap();
                victim.stack.write(victim.now, b"in clear").unwrap();
                assert!(victim.sent().ends_with(b"in clear"));
            }
            victim.receive(&forger.record(ContentType::Handshake, request));
            assert_eq!(victim.sent().is_empty(), closed, "a warning that is no part of the layer below");
            for _ in 0..100 {
                victim.receive(&forger.record(ContentType::Handshake, request));
            }
            assert!(victim.stack.lost().is_some());
        }
    }
}

#[test]
fn data_behind_a_close_notify_waits_below_up_to_the_limit() {
    for version in VERSIONS {
        for client in [true, false] {
            let (mut forger, stack) = Forger::new(version, client);
            let mut victim = Victim::new(stack);
            let mut bytes = forger.record(ContentType::ApplicationData, b"inside");
            bytes.extend(forger.record(ContentType::Alert, CLOSE_NOTIFY));
            let inside = bytes.len();
            bytes.extend((0..1_000_000).map(|index| (index % 251) as u8));
            let taken = victim.receive(&bytes);
            assert!((Limits::default().buffer..=Limits::default().buffer + inside).contains(&taken));
            assert_eq!(victim.read(), b"inside");
            assert!(matches!(victim.stack.readable(), Readable::Ended(_)));
            victim.stack.stop(victim.now, victim.layer, Stop::new()).unwrap();
            victim.stack.pass_end(victim.now).unwrap();
            assert!(victim.read() == bytes[inside..taken]);
        }
    }
}

#[test]
fn unread_data_stops_the_input_at_the_limit() {
    with_forgers(|forger, victim, _| {
        let mut written = 0;
        loop {
            let record = forger.record(ContentType::ApplicationData, &[7; 10_000]);
            if victim.receive(&record) < record.len() {
                break;
            }
            written += 10_000;
            assert!(written < 1_000_000, "no limit");
        }
        let mut read = victim.read().len();
        while read < written {
            let more = victim.read().len();
            assert!(more > 0, "what was received must be readable");
            read += more;
        }
    });
}

#[test]
fn unknown_content_types_are_refused() {
    with_forgers(|forger, victim, _| {
        victim.receive(&forger.record(ContentType::Heartbeat, &[1, 0, 3, 1, 2, 3]));
        victim.assert_lost(LayerErrorKind::Protocol);
    });
}

const CLOSE_NOTIFY: &[u8] = &[1, 0];

/// A whole KeyUpdate that asks for one in return (RFC 8446 section 4.6.3).
const KEY_UPDATE_REQUESTED: [u8; 5] = [24, 0, 0, 1, 1];

/// On the wire, with all that TLS 1.2 allows to be added.
const MAX_RECORD: usize = 16 * 1024 + 2048 + 5;
