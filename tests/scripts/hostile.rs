//! Bytes from a peer that does not play by the rules: before there are keys, and where they are not needed.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use onionskin::rustls::ClientConfig;
use onionskin::stack::{Event, LayerErrorKind, LayerId, Limits, Readable, Stack, Stop};
use onionskin::testing::{Cut, Dice, Pair};
use onionskin::tls::{OnFailure, TlsClient, TlsLayer, Version};

use crate::forger::sent;
use crate::world::{NAME, World};

/// rustls would panic here in debug builds, and in others send an alert behind our close_notify, which is to say
/// among the bytes of the layer below.
#[test]
fn what_comes_instead_of_an_answer_to_our_close_notify_is_refused_in_silence() {
    let world = World::shared();
    let forged_record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
    let empty_record = [22, 3, 3, 0, 0];
    let long_record = [23, 3, 3, 0xff, 0xff];
    for version in [Version::Tls12, Version::Tls13] {
        for junk in [b"250 no\r\n", &forged_record[..], &empty_record, &long_record] {
            let mut pair = Pair::new(Cut::Whole);
            let id = pair.left.splice(world.client(version).to(NAME).unwrap());
            pair.right.splice(world.server().accept().unwrap());
            pair.run();
            pair.left.stop(Stop::new()).unwrap();
            pair.left.hold(true);
            pair.run();
            let sent = pair.left.sent().len();
            pair.left.hold(false);
            pair.left.inject(junk);
            pair.run();
            let reason = pair.left.lost().unwrap();
            let [loss] = reason.layers() else { panic!("{reason}") };
            assert_eq!(loss.layer, id);
            let expected = if junk[0] == b'2' { LayerErrorKind::NotSpoken } else { LayerErrorKind::Protocol };
            assert_eq!(loss.error.kind(), expected, "{reason}");
            assert_eq!(pair.left.sent().len(), sent, "something followed the close_notify");
        }
    }
}

/// A layer on its own, in front of whom nobody is who means well.
struct Victim {
    stack: Stack,
    layer: LayerId,
    now: Instant,
    limits: Limits,
}

impl Victim {
    fn server() -> Self {
        Self::with(World::shared().server().accept().unwrap(), Limits::default())
    }

    fn client(version: Version) -> Self {
        Self::with(World::shared().fresh_client(version).to(NAME).unwrap(), Limits::default())
    }

    fn with(layer: TlsLayer, limits: Limits) -> Self {
        let now = Instant::now();
        let mut stack = Stack::new(limits);
        let layer = stack.splice(now, Box::new(layer)).unwrap();
        Self { stack, layer, now, limits }
    }

    /// Lets the stack have as much as it takes, in pieces of this size.
    fn receive(&mut self, bytes: &[u8], piece: usize) {
        for bytes in bytes.chunks(piece) {
            self.stack.handle_input(self.now, bytes);
            assert!(self.stack.inbound_len() <= 2 * self.limits.buffer, "{} bytes", self.stack.inbound_len());
            assert!(self.stack.outbound_len() <= 10_000, "{} bytes", self.stack.outbound_len());
            sent(&mut self.stack, self.now);
        }
    }

    /// Asserts that all this ends in a loss that names the layer: at once, or when the peer goes.
    fn assert_lost(mut self, context: &str) -> LayerErrorKind {
        self.stack.handle_eof(self.now);
        let Some(reason) = self.stack.lost() else { panic!("not lost: {context}") };
        let [loss] = reason.layers() else { panic!("{reason}: {context}") };
        assert_eq!(loss.layer, self.layer);
        loss.error.kind()
    }
}

#[test]
fn random_bytes_are_refused() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let mut bytes: Vec<u8> = (0..dice.below(3_000)).map(|_| dice.below(256) as u8).collect();
        // Most of them look like a record or like several.
        let mut record = 0;
        while !dice.one_in(4) && record + 5 <= bytes.len() {
            let len = dice.below(300);
            bytes[record..record + 5].copy_from_slice(&[20 + dice.below(5) as u8, 3, 3, (len >> 8) as u8, len as u8]);
            record += 5 + len;
        }
        let mut victim = if dice.one_in(2) { Victim::server() } else { Victim::client(Version::Tls13) };
        let piece = 1 + dice.below(1_000);
        victim.receive(&bytes, piece);
        victim.assert_lost(&format!("seed {seed}"));
    }
}

#[test]
fn records_of_wrong_lengths_are_refused_at_once() {
    for content_type in 20..=24 {
        for len in [0_u16, 0x4801, 0x8000, 0xffff] {
            if content_type == 23 && len == 0 {
                continue;
            }
            let [high, low] = len.to_be_bytes();
            for mut victim in [Victim::server(), Victim::client(Version::Tls12), Victim::client(Version::Tls13)] {
                victim.receive(&[content_type, 3, 3, high, low], 1);
                assert!(victim.stack.lost().is_some(), "{content_type} {len}");
                assert_eq!(victim.assert_lost("a wrong length"), LayerErrorKind::Protocol);
            }
        }
    }
}

#[test]
fn empty_records_before_the_handshake_are_refused() {
    for mut victim in [Victim::server(), Victim::client(Version::Tls12), Victim::client(Version::Tls13)] {
        victim.receive(&[23, 3, 3, 0, 0].repeat(100_000), 5_000);
        assert_eq!(victim.assert_lost("empty records"), LayerErrorKind::Protocol);
    }
}

#[test]
fn every_alert_before_the_handshake_is_an_error_or_means_nothing() {
    for level in [0, 1, 2, 255] {
        for description in 0..=255 {
            for mut victim in [Victim::server(), Victim::client(Version::Tls12), Victim::client(Version::Tls13)] {
                victim.receive(&[21, 3, 3, 0, 2, level, description], 7);
                assert!(victim.stack.lost().is_some() || level == 1, "{level} {description}");
                // A close_notify that nobody has vouched for is no clean end.
                assert!(!matches!(victim.stack.readable(), Readable::Ended(_)));
                let kind = victim.assert_lost("an alert");
                assert!(kind != LayerErrorKind::Truncated || level == 1, "{level} {description}");
            }
        }
    }
}

#[test]
fn a_hello_in_the_smallest_records_is_read() {
    for version in [Version::Tls12, Version::Tls13] {
        for (fragment, cut) in
            [(1, Cut::Whole), (1, Cut::Bytes), (2, Cut::Random(1)), (7, Cut::Whole), (100, Cut::Bytes)]
        {
            let mut pair = Pair::new(cut);
            pair.right.hold(true);
            pair.left.splice(World::shared().fresh_client(version).to(NAME).unwrap());
            let id = pair.right.splice(World::shared().server().accept().unwrap());
            pair.run();
            let hello = pair.right.intercept();
            pair.right.inject(&in_fragments(&hello, fragment));
            pair.right.hold(false);
            pair.run();
            assert!(matches!(pair.right.events()[..], [Event::Ready(ready)] if ready == id));
            assert_eq!(server_name(&pair, id).as_deref(), Some(NAME), "in fragments of {fragment}");
        }
    }
}

#[test]
fn a_hello_with_garbage_for_its_second_half_is_refused() {
    for version in [Version::Tls12, Version::Tls13] {
        for fragment in [1, 9, 50] {
            for kept in [1, 3, 4, 5, 40, 150] {
                let mut pair = Pair::new(Cut::Whole);
                pair.right.hold(true);
                pair.left.splice(World::shared().fresh_client(version).to(NAME).unwrap());
                pair.run();
                let hello = pair.right.intercept();
                // How long it is depends on the provider.
                let kept = kept.min(hello.len() - 6);
                let mut begun = in_fragments(&hello[..5 + kept], fragment);
                for garbage in [
                    &b"220 hello\r\n"[..],
                    &[23, 3, 3, 0, 3, 1, 2, 3],
                    &[21, 3, 3, 0, 2, 2, 40],
                    &[20, 3, 3, 0, 1, 1],
                    &[22, 3, 3, 0, 0],
                    &[22, 9, 9, 0, 9],
                ] {
                    let len = begun.len();
                    begun.extend_from_slice(garbage);
                    for piece in [1, begun.len()] {
                        let mut victim = Victim::server();
                        victim.receive(&begun, piece);
                        let context = format!("{kept} bytes in {fragment}s, then {garbage:?}");
                        assert!(victim.stack.lost().is_some(), "{context}");
                        assert_eq!(victim.assert_lost(&context), LayerErrorKind::Protocol, "{context}");
                    }
                    begun.truncate(len);
                }
            }
        }
    }
}

#[test]
fn a_hello_of_50_kilobytes_is_read_or_refused_by_the_limits() {
    let mut config = ClientConfig::clone(&World::shared().raw_client(Version::Tls13));
    config.alpn_protocols = (0..250_u8).map(|index| vec![index; 200]).collect();
    let client = TlsClient::from_rustls(Arc::new(config)).unwrap();
    for cut in [Cut::Whole, Cut::Random(3)] {
        let mut pair = Pair::new(cut);
        pair.left.splice(client.to(NAME).unwrap());
        let id = pair.right.splice(World::shared().server().accept().unwrap());
        pair.run();
        assert!(matches!(pair.right.events()[..], [Event::Ready(ready)] if ready == id));
        assert_eq!(server_name(&pair, id).as_deref(), Some(NAME), "{cut:?}");

        let mut pair = Pair::new(cut);
        pair.right.stack = Stack::new(Limits::default().with_buffer(40 * 1024));
        pair.left.splice(client.to(NAME).unwrap());
        pair.right.splice(World::shared().server().accept().unwrap());
        pair.run();
        let error = pair.right.lost().unwrap().layer_error().unwrap();
        assert_eq!(error.kind(), LayerErrorKind::Limit);
    }
}

#[test]
fn a_hello_that_never_ends_is_refused_within_the_limits() {
    // 16 MB are announced; the longest message that rustls takes has 64 KB.
    for (announced, fragment) in [([0xff, 0xff, 0xff], 16_000), ([0, 0xff, 0xff], 16_000), ([0, 0xff, 0xff], 1)] {
        let mut victim = Victim::server();
        let mut message = vec![1, announced[0], announced[1], announced[2]];
        message.resize(60_000, 0);
        victim.receive(&records(&message, fragment), 1_000);
        victim.receive(&records(&message, fragment), 1_000);
        let lost = victim.stack.lost().is_some();
        let kind = victim.assert_lost("a hello without end");
        assert!(lost && matches!(kind, LayerErrorKind::Protocol | LayerErrorKind::Limit), "{announced:?} {fragment}");
    }
}

/// Whether the handshake is over does not depend on how the bytes arrive: what is wrong behind the peer's Finished loses
/// the connection, also where a failed handshake would not.
#[test]
fn garbage_behind_the_last_flight_is_no_failure_of_the_handshake() {
    for version in [Version::Tls12, Version::Tls13] {
        for cut in [Cut::Whole, Cut::Bytes] {
            let world = World::shared();
            let mut pair = Pair::new(cut);
            pair.left.splice(world.fresh_client(version).to(NAME).unwrap());
            let id = pair.right.splice(world.server().accept().unwrap().on_failure(OnFailure::Peel));
            // Stop where the client has said its last word of the handshake, and the server has not heard it.
            while pair.right.stack.outbound_len() == 0 && pair.right.sent().is_empty() {
                pair.step();
            }
            pair.right.hold(true);
            pair.run();
            pair.right.inject(&[23, 3, 3, 0xff, 0xff]);
            pair.right.hold(false);
            pair.run();
            let events = pair.right.events();
            assert!(matches!(events[..], [Event::Ready(ready)] if ready == id), "{version:?} {cut:?}: {events:?}");
            assert!(pair.right.stack.lost().is_some());
        }
    }
}

/// The records of one message, each with at most so many bytes of it.
fn records(message: &[u8], fragment: usize) -> Vec<u8> {
    let record = |body: &[u8]| [&[22, 3, 1][..], &(body.len() as u16).to_be_bytes(), body].concat();
    message.chunks(fragment).flat_map(record).collect()
}

/// The body of one record, in records of at most so many bytes.
fn in_fragments(record: &[u8], fragment: usize) -> Vec<u8> {
    records(&record[5..], fragment)
}

fn server_name(pair: &Pair, id: LayerId) -> Option<String> {
    let layer: &dyn Any = pair.right.stack.layer(id).unwrap();
    layer.downcast_ref::<TlsLayer>().unwrap().facts(id).server_name
}
