//! The records of TLS 1.3, with rustls itself as the peer: keys, their numbers and their limits, and who does the records.

use std::any::Any;

use onionskin::rustls::crypto::CryptoProvider;
use onionskin::rustls::{CipherSuite, HandshakeKind};
use onionskin::stack::{PeerAnswer, Stop};
use onionskin::testing::Dice;
use onionskin::tls::{Role, TlsLayer};

use crate::common::link::{assert_stopped, pattern, text};
use crate::oracle::{Audit, Configs, DATA, HANDSHAKE, Oracle, ROLES, SUITES, Sealed, give, providers, ticketer, tls13};

const GCM: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;

/// A provider that is left with this suite of TLS 1.3.
fn only(provider: &CryptoProvider, suite: CipherSuite) -> CryptoProvider {
    CryptoProvider { cipher_suites: vec![tls13(provider, suite).into()], ..provider.clone() }
}

fn any_provider() -> CryptoProvider {
    providers().remove(0).1
}

fn request_key_update(oracle: &mut Oracle) {
    let (now, layer) = (oracle.stack.now(), oracle.layer);
    oracle.stack.stack.with_layer(now, layer, TlsLayer::request_key_update).unwrap().unwrap();
}

fn is_ready(oracle: &Oracle) -> bool {
    let layer: &dyn Any = oracle.stack.stack.layer(oracle.layer).expect("the layer is there");
    layer.downcast_ref::<TlsLayer>().expect("it is TLS").is_ready()
}

fn talk(oracle: &mut Oracle) {
    oracle.stack.write(b"from the stack");
    oracle.rustls_writes(b"from rustls");
    oracle.run();
    assert_eq!(text(&oracle.take_heard()), "from the stack");
    assert_eq!(text(&oracle.stack.read()), "from rustls");
}

/// Both roles, with every provider and every suite.
fn each_suite(test: impl Fn(Role, &Configs)) {
    for (name, provider) in providers() {
        for suite in SUITES {
            let configs = Configs::new(&only(&provider, suite));
            for role in ROLES {
                eprintln!("the stack as {role}, with {suite:?} of {name}");
                test(role, &configs);
            }
        }
    }
}

#[test]
fn rustls_understands_the_records_and_the_keys_of_both_sides_change_often() {
    each_suite(|role, configs| {
        let mut oracle = Oracle::connected(role, configs, configs);
        talk(&mut oracle);
        assert!(oracle.has_taken_over());
        for round in 0..100 {
            match round % 4 {
                0 => request_key_update(&mut oracle),
                1 => oracle.rustls.refresh_traffic_keys().unwrap(),
                2 => {
                    // Both at once.
                    request_key_update(&mut oracle);
                    oracle.rustls.refresh_traffic_keys().unwrap();
                }
                _ => {}
            }
            talk(&mut oracle);
        }
        let sent = pattern(100_000);
        oracle.stack.write(&sent);
        oracle.rustls_writes(&sent);
        oracle.run();
        assert!(oracle.take_heard() == sent && oracle.stack.read() == sent);
    });
}

#[test]
fn a_side_that_only_receives_does_its_records_itself() {
    for role in ROLES {
        let configs = Configs::new(&any_provider());
        let mut oracle = Oracle::connected(role, &configs, &configs);
        assert!(oracle.has_taken_over());
        oracle.rustls_writes(b"never answered");
        oracle.run();
        assert_eq!(text(&oracle.stack.read()), "never answered");
    }
}

#[test]
fn records_that_come_with_the_end_of_the_handshake_are_not_lost() {
    for split in [usize::MAX, 1, 7, 64] {
        for role in ROLES {
            let configs = Configs::new(&any_provider());
            let mut oracle = Oracle::new(role, &configs, &configs);
            // rustls keeps what it is to write until the handshake is done, and sends it with that.
            oracle.rustls_writes(&pattern(40_000));
            while oracle.stack_sends(split) | oracle.rustls_sends(split) {
                if !oracle.rustls.is_handshaking() && oracle.rustls.wants_write() {
                    oracle.rustls.refresh_traffic_keys().unwrap();
                }
            }
            assert_eq!(oracle.stack.read(), pattern(40_000), "in pieces of {split}");
            talk(&mut oracle);
            assert!(oracle.has_taken_over());
        }
    }
}

/// What was sealed with each key, in sequence.
fn by_key(sealed: &[Sealed]) -> Vec<Vec<&Sealed>> {
    let mut keys: Vec<Vec<&Sealed>> = Vec::new();
    for record in sealed {
        match keys.iter_mut().find(|same| same[0].key == record.key) {
            Some(same) => same.push(record),
            None => keys.push(vec![record]),
        }
    }
    keys
}

/// The record that shows AWS-LC where a key's numbers begin, and that nobody gets.
fn is_shown_only(record: &Sealed) -> bool {
    record.number == 0 && record.len == 0 && record.content_type == DATA
}

#[test]
fn with_one_key_each_number_seals_one_record() {
    for (name, provider) in providers() {
        for role in ROLES {
            let audit = Audit::new(&provider, GCM, None, false);
            let (ours, theirs) = Configs::pair(&audit.provider, &provider);
            let mut oracle = Oracle::connected(role, &ours, &theirs);
            for round in 0..10 {
                talk(&mut oracle);
                if round % 3 == 0 {
                    request_key_update(&mut oracle);
                } else {
                    oracle.rustls.refresh_traffic_keys().unwrap();
                }
                talk(&mut oracle);
            }
            assert!(oracle.has_taken_over());
            let sealed = audit.sealed();
            let keys = by_key(&sealed);
            assert!(keys.len() > 10, "{name}, {role}: {} keys", keys.len());
            // Only a server has sealed something with the key that is taken over: its tickets.
            let shown = sealed.iter().filter(|record| is_shown_only(record)).count();
            assert_eq!(shown, usize::from(role == Role::Server), "{name}");
            for records in keys {
                let shown = records.iter().filter(|record| is_shown_only(record)).count();
                let numbers: Vec<u64> =
                    records.iter().filter(|record| !is_shown_only(record)).map(|record| record.number).collect();
                assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{name}, {role}: {records:?}");
                assert!(shown <= 1, "{name}, {role}: {records:?}");
            }
        }
    }
}

#[test]
fn no_key_seals_more_records_than_its_cipher_allows() {
    const LIMIT: u64 = 100;
    for (name, provider) in providers() {
        for role in ROLES {
            let audit = Audit::new(&provider, GCM, Some(LIMIT), false);
            let (ours, theirs) = Configs::pair(&audit.provider, &provider);
            let mut oracle = Oracle::connected(role, &ours, &theirs);
            audit.clear();
            let mut expected = Vec::new();
            for round in 0..1_000_usize {
                let sent = pattern(round);
                oracle.stack.write(&sent);
                expected.extend(sent);
                oracle.run();
            }
            assert!(oracle.has_taken_over());
            assert!(oracle.take_heard() == expected);
            let sealed = audit.sealed();
            let keys = by_key(&sealed);
            assert!(keys.len() >= 10, "{name}, {role}: {} keys", keys.len());
            for records in &keys {
                assert!(records.len() as u64 <= LIMIT, "{name}, {role}: {} records with one key", records.len());
            }
            // A key is not given up before its time either: all its records but the last are data.
            for records in &keys[1..keys.len() - 1] {
                assert_eq!(records.len() as u64, LIMIT, "{name}, {role}");
                let data = records.iter().filter(|record| record.content_type == DATA).count();
                assert_eq!(data as u64, LIMIT - 1, "{name}, {role}");
            }
        }
    }
}

#[test]
fn a_provider_that_gives_no_keys_out_leaves_the_records_to_rustls() {
    for (_, provider) in providers() {
        for role in ROLES {
            let audit = Audit::new(&provider, GCM, Some(100), true);
            let (ours, theirs) = Configs::pair(&audit.provider, &provider);
            let mut oracle = Oracle::connected(role, &ours, &theirs);
            for round in 0..300 {
                talk(&mut oracle);
                match round % 10 {
                    0 => request_key_update(&mut oracle),
                    5 => oracle.rustls.refresh_traffic_keys().unwrap(),
                    _ => {}
                }
            }
            assert!(!oracle.has_taken_over());
            let sealed = audit.sealed();
            assert!(by_key(&sealed).len() >= 60);
        }
    }
}

#[test]
fn key_updates_are_answered_before_the_next_record_of_data_however_many_there_were() {
    for role in ROLES {
        let audit = Audit::new(&any_provider(), GCM, None, false);
        let (ours, theirs) = Configs::pair(&audit.provider, &any_provider());
        for count in [1, 15, 16, 17, 30] {
            let mut oracle = Oracle::connected(role, &ours, &theirs);
            talk(&mut oracle);
            for _ in 0..count {
                audit.clear();
                oracle.rustls.refresh_traffic_keys().unwrap();
                oracle.run();
            }
            oracle.stack.write(b"data");
            oracle.run();
            assert_eq!(text(&oracle.take_heard()), "data");
            let behind_last: Vec<_> = audit.sealed().iter().map(|record| (record.content_type, record.len)).collect();
            assert_eq!(behind_last, [(HANDSHAKE, 5), (DATA, 4)], "{role}, {count} key updates");
            talk(&mut oracle);
        }
    }
}

#[test]
fn more_key_updates_in_a_row_than_anybody_needs_end_the_connection() {
    for (count, is_lost) in [(32, false), (33, true)] {
        for role in ROLES {
            let configs = Configs::new(&any_provider());
            let mut oracle = Oracle::connected(role, &configs, &configs);
            talk(&mut oracle);
            for _ in 0..count {
                oracle.rustls.refresh_traffic_keys().unwrap();
            }
            oracle.rustls_sends(usize::MAX);
            assert_eq!(oracle.stack.stack.lost().is_some(), is_lost, "{role}, {count}");
            if let Some(reason) = oracle.stack.stack.lost() {
                assert!(reason.to_string().contains("too many key updates"), "{reason}");
            }
        }
    }
}

#[test]
fn tickets_in_many_records_are_kept_and_used() {
    for split in [usize::MAX, 1, 50] {
        let mut configs = Configs::new(&any_provider());
        configs.server.max_fragment_size = Some(64);
        configs.server.ticketer = ticketer();
        // One client, so that its second connection has the tickets of the first.
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut oracle = Oracle::new(Role::Client, &configs, &configs);
            while oracle.stack_sends(split) | oracle.rustls_sends(split) {}
            assert_eq!(oracle.rustls.handshake_kind(), Some(kind), "in pieces of {split}");
            talk(&mut oracle);
            assert!(oracle.has_taken_over());
        }
    }
}

#[test]
fn a_server_resumes_with_the_tickets_that_rustls_had_sealed_before_the_keys_were_taken_over() {
    let configs = Configs::new(&any_provider());
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let mut oracle = Oracle::connected(Role::Server, &configs, &configs);
        assert_eq!(oracle.rustls.handshake_kind(), Some(kind));
        talk(&mut oracle);
    }
}

#[test]
fn a_largest_record_that_was_configured_is_kept_to() {
    for role in ROLES {
        for largest in [32, 33, 64, 1_000, 5_000] {
            let audit = Audit::new(&any_provider(), GCM, None, false);
            let (mut ours, theirs) = Configs::pair(&audit.provider, &any_provider());
            ours.client.max_fragment_size = Some(largest);
            ours.server.max_fragment_size = Some(largest);
            let mut oracle = Oracle::connected(role, &ours, &theirs);
            audit.clear();
            let sent = pattern(20_000);
            oracle.stack.write(&sent);
            oracle.run();
            assert!(oracle.take_heard() == sent);
            let sealed = audit.sealed();
            let most = sealed.iter().map(|record| record.len).max().unwrap();
            assert_eq!(most, largest - 5, "{role}");
        }
    }
}

#[test]
fn whatever_the_order_of_writes_and_key_updates_both_hear_the_same() {
    for seed in 0..60 {
        let dice = &mut Dice::new(seed);
        let role = ROLES[dice.below(2)];
        let (_, provider) = {
            let mut all = providers();
            all.remove(dice.below(all.len()))
        };
        let mut configs = Configs::new(&only(&provider, SUITES[dice.below(3)]));
        configs.server.max_fragment_size = [None, Some(100), Some(3_000)][dice.below(3)];
        let mut oracle = Oracle::new(role, &configs, &configs);
        let case = format!("seed {seed}, {role}");
        let (mut to_rustls, mut to_stack, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..200 {
            let piece = pattern(dice.below(9_000));
            match dice.below(7) {
                0 | 1 => {
                    let count = oracle.stack.write_some(&piece);
                    to_rustls.extend_from_slice(&piece[..count]);
                }
                2 | 3 => {
                    oracle.rustls_writes(&piece);
                    to_stack.extend(piece);
                }
                4 if is_ready(&oracle) => request_key_update(&mut oracle),
                5 if !oracle.rustls.is_handshaking() => oracle.rustls.refresh_traffic_keys().unwrap(),
                _ => {
                    oracle.stack_sends(1 + dice.below(3_000));
                    oracle.rustls_sends(1 + dice.below(3_000));
                }
            }
            read.extend(oracle.stack.read());
        }
        oracle.run();
        read.extend(oracle.stack.read());
        assert!(oracle.take_heard() == to_rustls, "{case}");
        assert!(read == to_stack, "{case}");
        oracle.stack.events();
        let layer = oracle.stack.stop(Stop::new()).unwrap();
        oracle.stack.write(b"below");
        oracle.rustls.send_close_notify();
        oracle.rustls_sends(usize::MAX);
        give(&mut oracle.stack, b"220 and behind it");
        oracle.run();
        assert_stopped(&mut oracle.stack, layer, PeerAnswer::CloseNotify);
        oracle.stack.pass_end().unwrap();
        assert_eq!(text(&oracle.stack.read()), "220 and behind it", "{case}");
    }
}
