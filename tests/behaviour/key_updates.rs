//! Key updates with little else between them: rustls counts those that come in vain, and so do we.

use std::io::Write;

use onionskin::rustls;
use onionskin::tls::{Role, TlsLayer};

use crate::common::link::text;
use crate::oracle::{Audit, Configs, DATA, HANDSHAKE, Oracle, ROLES, providers};

fn request_key_update(oracle: &mut Oracle) {
    let (now, layer) = (oracle.stack.now(), oracle.layer);
    oracle.stack.stack.with_layer(now, layer, TlsLayer::request_key_update).unwrap().unwrap();
}

/// With a ledger of what the stack seals.
fn each_role(test: impl Fn(&mut Oracle, &Audit)) {
    for role in ROLES {
        eprintln!("the stack as {role}");
        let provider = providers().remove(0).1;
        let audit = Audit::new(&provider, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256, None, false);
        let (ours, theirs) = Configs::pair(&audit.provider, &provider);
        let mut oracle = Oracle::connected(role, &ours, &theirs);
        // Until then a server that has only received leaves the records to rustls.
        talk(&mut oracle);
        assert!(oracle.has_taken_over());
        audit.clear();
        test(&mut oracle, &audit);
        talk(&mut oracle);
    }
}

fn talk(oracle: &mut Oracle) {
    oracle.stack.write(b"from the stack");
    oracle.rustls_writes(b"from rustls");
    oracle.run();
    assert_eq!(text(&oracle.take_heard()), "from the stack");
    assert_eq!(text(&oracle.stack.read()), "from rustls");
}

/// How many KeyUpdates the stack has sealed, and how many keys it has sealed data with.
fn counted(audit: &Audit) -> (usize, usize) {
    let sealed = audit.sealed();
    let updates = sealed.iter().filter(|record| record.content_type == HANDSHAKE).count();
    let mut keys: Vec<_> =
        sealed.iter().filter(|record| record.content_type == DATA).map(|record| &record.key).collect();
    keys.dedup();
    (updates, keys.len())
}

#[test]
fn a_hundred_key_updates_on_an_idle_connection_are_one() {
    each_role(|oracle, audit| {
        for _ in 0..100 {
            request_key_update(oracle);
            oracle.run();
            assert!(oracle.stack.stack.lost().is_none(), "{:?}", oracle.stack.stack.lost());
        }
        assert_eq!(counted(audit).0, 1);
    });
}

#[test]
fn keys_change_with_each_request_while_data_flows() {
    each_role(|oracle, audit| {
        // rustls answers with its next data, and so not before the end.
        for _ in 0..100 {
            request_key_update(oracle);
            oracle.stack.write(b"data");
            oracle.run();
        }
        assert_eq!(oracle.take_heard().len(), 400);
        assert_eq!(counted(audit), (100, 100));
    });
}

/// What is exported hangs on the handshake and not on the keys of the moment (RFC 8446 section 7.5).
#[test]
fn p8_a_key_update_changes_nothing_that_is_exported() {
    each_role(|oracle, audit| {
        let ours = |oracle: &Oracle| {
            let tls: &dyn std::any::Any = oracle.stack.stack.layer(oracle.layer).unwrap();
            let mut output = [0; 32];
            tls.downcast_ref::<TlsLayer>()
                .unwrap()
                .export_keying_material(&mut output, b"EXPERIMENTAL a", None)
                .unwrap();
            output
        };
        let before = ours(oracle);
        for _ in 0..3 {
            request_key_update(oracle);
            oracle.stack.write(b"data");
            oracle.rustls_writes(b"data");
            oracle.run();
            assert_eq!(ours(oracle), before);
            assert_eq!(oracle.rustls.export_keying_material([0; 32], b"EXPERIMENTAL a", None).unwrap(), before);
        }
        assert_eq!(counted(audit), (3, 3), "the keys of the records are new each time");
        assert_eq!((oracle.take_heard().len(), oracle.stack.read().len()), (12, 12));
    });
}

#[test]
fn answers_that_we_have_asked_for_are_not_counted_against_the_peer() {
    each_role(|oracle, audit| {
        for _ in 0..100 {
            request_key_update(oracle);
            oracle.stack.write(b"data");
            oracle.run();
            // As a peer that answers at once and has nothing to say, such as GnuTLS.
            answer_without_data(oracle);
            assert!(oracle.stack.stack.lost().is_none(), "{:?}", oracle.stack.stack.lost());
        }
        assert_eq!(oracle.take_heard().len(), 400);
        assert_eq!(counted(audit), (100, 100));
    });
}

/// rustls sends the answer that it owes ahead of data, also of none.
fn answer_without_data(oracle: &mut Oracle) {
    assert_eq!(oracle.rustls.writer().write(b"").unwrap(), 0);
    assert!(oracle.rustls.wants_write());
    oracle.run();
}

#[test]
fn where_only_the_peer_sends_requests_are_merged_before_they_are_too_many() {
    each_role(|oracle, audit| {
        for _ in 0..100 {
            request_key_update(oracle);
            oracle.rustls_writes(b"data");
            oracle.run();
            assert!(oracle.stack.stack.lost().is_none(), "{:?}", oracle.stack.stack.lost());
        }
        assert_eq!(oracle.stack.read().len(), 400);
        assert_eq!(counted(audit), (16, 0));
        // The rest are one, and go ahead of what is said next.
        oracle.stack.write(b"data");
        oracle.run();
        assert_eq!(counted(audit), (17, 1));
        assert_eq!(text(&oracle.take_heard()), "data");
    });
}

#[test]
fn requests_and_answers_count_together() {
    each_role(|oracle, audit| {
        for _ in 0..30 {
            oracle.rustls_writes(b"data");
            oracle.rustls.refresh_traffic_keys().unwrap();
            oracle.run();
            request_key_update(oracle);
            oracle.run();
            assert!(oracle.stack.stack.lost().is_none(), "{:?}", oracle.stack.stack.lost());
        }
        assert_eq!(oracle.stack.read().len(), 120);
        assert!(counted(audit).0 <= 32, "{:?}", counted(audit));
    });
}

#[test]
fn updates_that_nobody_has_asked_for_are_counted_as_ever() {
    each_role(|oracle, _| {
        for _ in 0..32 {
            oracle.rustls.refresh_traffic_keys().unwrap();
        }
        oracle.run();
        assert!(oracle.stack.stack.lost().is_none());
    });
    let role = Role::Client;
    let configs = Configs::new(&providers().remove(0).1);
    let mut oracle = Oracle::connected(role, &configs, &configs);
    talk(&mut oracle);
    for _ in 0..33 {
        oracle.rustls.refresh_traffic_keys().unwrap();
    }
    oracle.rustls_sends(usize::MAX);
    let reason = oracle.stack.stack.lost().expect("33 in a row");
    assert!(reason.to_string().contains("too many key updates"), "{reason}");
}
