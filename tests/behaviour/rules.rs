//! What the records of TLS 1.3 may hold behind the handshake (RFC 8446 sections 4.6, 5 and 6), with a peer that seals what
//! it likes. Each refusal has its alert.

use onionskin::stack::{LayerErrorKind, PeerAnswer, Stop};
use onionskin::tls::Role;

use crate::common::link::{assert_stopped, pattern, text};
use crate::oracle::{ALERT, Configs, DATA, Forger, HANDSHAKE, ROLES, give, has_taken_over, providers};

/// Alerts, by their numbers in section 6.
const CLOSE_NOTIFY: u8 = 0;
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const USER_CANCELED: u8 = 90;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const KEY_UPDATE_REQUESTED: [u8; 5] = [24, 0, 0, 1, 1];

fn configs() -> Configs {
    Configs::new(&providers()[0].1)
}

/// A forger whose stack does its records itself, in each role.
fn each(test: impl Fn(Role, Forger)) {
    let configs = configs();
    for role in ROLES {
        eprintln!("the stack as {role}");
        test(role, taken_over(role, &configs));
    }
}

fn taken_over(role: Role, configs: &Configs) -> Forger {
    let mut forger = Forger::connected(role, configs);
    forger.stack.write(b"hello");
    assert_eq!(forger.hear(), [(DATA, b"hello".to_vec())]);
    assert!(has_taken_over(&forger.stack, forger.layer));
    forger
}

/// The connection is sound: data goes both ways.
#[track_caller]
fn assert_talks(forger: &mut Forger) {
    forger.send(DATA, b"still there?");
    assert_eq!(text(&forger.stack.read()), "still there?", "{:?}", forger.stack.stack.lost());
    forger.stack.write(b"yes");
    assert_eq!(forger.hear(), [(DATA, b"yes".to_vec())]);
}

#[test]
fn records_of_every_length_are_read_and_their_padding_is_not() {
    each(|_, mut forger| {
        let content = pattern(1 << 14);
        for len in (1..=1 << 14).rev() {
            // At most one byte more than the content may be, and that is the type.
            let padding = (len * 7) % ((1 << 14) - len + 1);
            let record = forger.seal(DATA, &content[..len], padding);
            give(&mut forger.stack, &record);
            assert!(forger.stack.read() == content[..len], "{len} bytes and {padding} of padding");
        }
        let all_padding = forger.seal(DATA, b"", 1 << 14);
        give(&mut forger.stack, &all_padding);
        assert_talks(&mut forger);
    });
}

#[test]
fn records_that_come_together_are_read_in_order() {
    each(|_, mut forger| {
        let content = pattern(9_000);
        let mut records = Vec::new();
        for len in [9_000, 1, 4_095, 4_096, 0, 4_097, 8_191, 10] {
            records.extend(forger.seal(DATA, &content[..len], 3));
        }
        let (front, back) = records.split_at(records.len() - 1);
        give(&mut forger.stack, front);
        give(&mut forger.stack, back);
        let expected: Vec<u8> =
            [9_000, 1, 4_095, 4_096, 0, 4_097, 8_191, 10].iter().flat_map(|&len| &content[..len]).copied().collect();
        assert!(forger.stack.read() == expected);
    });
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    each(|_, mut forger| {
        forger.send(DATA, &pattern((1 << 14) + 1));
        forger.assert_refused(RECORD_OVERFLOW, "a record longer than TLS allows");
    });
    each(|_, mut forger| {
        // Refused by its header: its body would never be there whole.
        give(&mut forger.stack, &[DATA, 3, 3, 0xff, 0xff]);
        forger.assert_refused(RECORD_OVERFLOW, "a record longer than TLS allows");
    });
}

#[test]
fn empty_records_are_taken_but_not_without_end() {
    each(|_, mut forger| {
        for _ in 0..3 {
            (0..32).for_each(|_| forger.send(DATA, b""));
            assert_talks(&mut forger);
        }
        (0..32).for_each(|_| forger.send(DATA, b""));
        assert!(forger.stack.stack.lost().is_none());
        forger.send(DATA, b"");
        forger.assert_refused(UNEXPECTED_MESSAGE, "too many empty records");
    });
}

#[test]
fn empty_messages_and_alerts_are_refused() {
    for content_type in [HANDSHAKE, ALERT] {
        for padding in [0, 100] {
            each(|_, mut forger| {
                let record = forger.seal(content_type, b"", padding);
                give(&mut forger.stack, &record);
                forger.assert_refused(UNEXPECTED_MESSAGE, "broke the protocol");
            });
        }
    }
}

#[test]
fn nothing_but_padding_is_refused() {
    each(|_, mut forger| {
        let record = forger.seal(0, b"", 100);
        give(&mut forger.stack, &record);
        forger.assert_refused(UNEXPECTED_MESSAGE, "broke the protocol");
    });
}

#[test]
fn content_of_another_type_is_refused() {
    for content_type in [20, 24, 99, 255] {
        each(|_, mut forger| {
            forger.send(content_type, &[1]);
            forger.assert_refused(UNEXPECTED_MESSAGE, "broke the protocol");
        });
    }
}

#[test]
fn records_in_clear_are_refused() {
    let records: [&[u8]; 4] = [
        &[20, 3, 3, 0, 1, 1],
        &[21, 3, 3, 0, 2, WARNING, CLOSE_NOTIFY],
        &[22, 3, 3, 0, 5, 24, 0, 0, 1, 0],
        &[24, 3, 3, 0, 1, 1],
    ];
    for record in records {
        each(|_, mut forger| {
            give(&mut forger.stack, record);
            forger.assert_refused(UNEXPECTED_MESSAGE, "broke the protocol");
        });
    }
}

#[test]
fn messages_are_not_interleaved_with_anything() {
    for (content_type, content) in [(DATA, &b"data"[..]), (DATA, b""), (ALERT, &[WARNING, CLOSE_NOTIFY])] {
        each(|_, mut forger| {
            forger.send(HANDSHAKE, &KEY_UPDATE[..3]);
            forger.send(content_type, content);
            forger.assert_refused(UNEXPECTED_MESSAGE, "between the parts of a handshake message");
        });
    }
}

#[test]
fn a_key_update_is_answered_whole_or_in_parts() {
    for size in 1..=5 {
        each(|_, mut forger| {
            for part in KEY_UPDATE_REQUESTED.chunks(size) {
                assert_eq!(forger.hear(), []);
                forger.send(HANDSHAKE, part);
            }
            assert_eq!(forger.hear(), [(HANDSHAKE, KEY_UPDATE.to_vec())]);
        });
    }
    each(|_, mut forger| {
        forger.send(HANDSHAKE, &KEY_UPDATE);
        assert_eq!(forger.hear(), [], "no answer was asked for");
    });
}

#[test]
fn behind_a_key_update_the_old_key_is_refused() {
    each(|_, mut forger| {
        forger.send(HANDSHAKE, &KEY_UPDATE);
        forger.send(DATA, b"with the old key");
        forger.assert_refused(BAD_RECORD_MAC, "cannot decrypt");
    });
    for behind in [&KEY_UPDATE[..], &KEY_UPDATE[..1]] {
        each(|_, mut forger| {
            forger.send(HANDSHAKE, &[&KEY_UPDATE, behind].concat());
            forger.assert_refused(UNEXPECTED_MESSAGE, "new keys in the middle of a message");
        });
    }
}

#[test]
fn a_key_update_that_is_none_is_refused() {
    for (message, alert) in [
        (&[24, 0, 0, 1, 2][..], ILLEGAL_PARAMETER),
        (&[24, 0, 0, 1, 255], ILLEGAL_PARAMETER),
        (&[24, 0, 0, 0], DECODE_ERROR),
        (&[24, 0, 0, 2, 0, 0], DECODE_ERROR),
    ] {
        each(|_, mut forger| {
            forger.send(HANDSHAKE, message);
            forger.assert_refused(alert, "KeyUpdate");
        });
    }
}

#[test]
fn other_messages_are_refused() {
    // hello_request, client_hello, finished, certificate_request
    for kind in [0, 1, 20, 13] {
        each(|_, mut forger| {
            forger.send(HANDSHAKE, &[kind, 0, 0, 0]);
            forger.assert_refused(UNEXPECTED_MESSAGE, "handshake message");
        });
    }
    let mut server = taken_over(Role::Server, &configs());
    server.send(HANDSHAKE, &TICKET);
    server.assert_refused(UNEXPECTED_MESSAGE, "handshake message");
}

/// A NewSessionTicket: lifetime, age_add, a nonce, a ticket, no extensions.
const TICKET: [u8; 20] = [4, 0, 0, 16, 0, 0, 0, 9, 1, 2, 3, 4, 1, 7, 0, 2, 8, 9, 0, 0];

#[test]
fn a_client_takes_tickets_in_any_parts_and_refuses_what_is_none() {
    for size in [1, 3, 20, 27, 60] {
        let mut client = taken_over(Role::Client, &configs());
        for part in TICKET.repeat(3).chunks(size) {
            client.send(HANDSHAKE, part);
        }
        assert_talks(&mut client);
    }
    let mut client = taken_over(Role::Client, &configs());
    client.send(HANDSHAKE, &[4, 0, 0, 1, 0]);
    client.assert_refused(DECODE_ERROR, "broke the protocol");
}

#[test]
fn a_message_of_more_than_64_kib_is_refused_at_once() {
    each(|_, mut forger| {
        forger.send(HANDSHAKE, &[4, 1, 0, 0]);
        forger.assert_refused(DECODE_ERROR, "a handshake message that is too long");
    });
    // And one below that is waited for.
    each(|_, mut forger| {
        forger.send(HANDSHAKE, &[4, 0, 0xff, 0xff]);
        assert!(forger.stack.stack.lost().is_none());
    });
}

#[test]
fn alerts_end_the_connection_whatever_their_level_says() {
    for alert in [[FATAL, 40], [WARNING, 40], [7, 40], [FATAL, USER_CANCELED], [7, CLOSE_NOTIFY], [WARNING, 200]] {
        each(|_, mut forger| {
            forger.send(ALERT, &alert);
            let reason = forger.stack.stack.lost().expect("the connection is lost");
            assert_eq!(reason.layers()[0].error.kind(), LayerErrorKind::Refused, "{reason}");
        });
    }
    for alert in [&[WARNING][..], &[WARNING, CLOSE_NOTIFY, WARNING, CLOSE_NOTIFY], &[WARNING, CLOSE_NOTIFY, 0]] {
        each(|_, mut forger| {
            forger.send(ALERT, alert);
            forger.assert_refused(DECODE_ERROR, "broke the protocol");
        });
    }
}

#[test]
fn a_user_may_cancel_four_times() {
    each(|_, mut forger| {
        for _ in 0..4 {
            forger.send(ALERT, &[WARNING, USER_CANCELED]);
            assert_talks(&mut forger);
        }
        forger.send(ALERT, &[WARNING, USER_CANCELED]);
        forger.assert_refused(UNEXPECTED_MESSAGE, "too many alerts that mean nothing");
    });
}

#[test]
fn what_stands_behind_a_close_notify_is_left_as_it_is() {
    let leftovers: [&[u8]; 4] = [b"220 in clear", &[23, 3, 3, 0, 1], &[21, 3, 3, 0, 2, 1, 0], &[22]];
    for leftover in leftovers {
        for level in [WARNING, FATAL] {
            each(|_, mut forger| {
                let mut sent = forger.seal(DATA, &pattern(5_000), 10);
                sent.extend(forger.seal(ALERT, &[level, CLOSE_NOTIFY], 10));
                sent.extend(leftover);
                give(&mut forger.stack, &sent);
                assert!(forger.stack.read() == pattern(5_000));
                forger.stack.events();
                let layer = forger.stack.stop(Stop::new()).unwrap();
                assert_stopped(&mut forger.stack, layer, PeerAnswer::CloseNotify);
                forger.stack.pass_end().unwrap();
                assert_eq!(forger.stack.read(), leftover);
                assert_eq!(forger.hear(), [(ALERT, vec![WARNING, CLOSE_NOTIFY])]);
            });
        }
    }
}

#[test]
fn nothing_is_said_behind_our_close_notify() {
    for (content_type, content) in [(HANDSHAKE, &KEY_UPDATE_REQUESTED[..]), (99, b"nonsense"), (ALERT, b"")] {
        each(|_, mut forger| {
            forger.stack.stop(Stop::new()).unwrap();
            assert_eq!(forger.hear(), [(ALERT, vec![WARNING, CLOSE_NOTIFY])]);
            forger.send(content_type, content);
            assert_eq!(forger.hear(), [], "{:?}", forger.stack.stack.lost());
        });
    }
}

#[test]
fn an_error_in_a_message_is_not_blamed_on_what_follows_it() {
    each(|_, mut forger| {
        let mut sent = forger.seal(HANDSHAKE, &[24, 0, 0, 1, 2], 0);
        sent.extend(b"250 in clear");
        give(&mut forger.stack, &sent);
        forger.assert_refused(ILLEGAL_PARAMETER, "a KeyUpdate that is none");
        let reason = forger.stack.stack.lost().unwrap();
        assert_eq!(reason.layers()[0].error.kind(), LayerErrorKind::Protocol, "{reason}");
    });
}

#[test]
fn a_record_with_any_bit_turned_is_refused() {
    let configs = configs();
    let len = 5 + 20 + 1 + 16;
    for at in 0..len {
        for role in ROLES {
            let mut forger = taken_over(role, &configs);
            let mut record = forger.seal(DATA, &pattern(20), 0);
            assert_eq!(record.len(), len);
            record[at] ^= 1 << (at % 8);
            give(&mut forger.stack, &record);
            match at {
                // The type becomes 22, the major version another; the minor one is nobody's business (section 5.1).
                0 => forger.assert_refused(UNEXPECTED_MESSAGE, "broke the protocol"),
                1 => forger.assert_refused(DECODE_ERROR, "a record of a version that is no TLS"),
                2 => assert_eq!(forger.stack.read(), pattern(20)),
                // Longer than a record can be, or than what has come.
                3 | 4 => {
                    assert_eq!(forger.stack.read(), b"");
                    give(&mut forger.stack, &[0; 2_100]);
                    forger.assert_refused(BAD_RECORD_MAC, "cannot decrypt");
                }
                _ => forger.assert_refused(BAD_RECORD_MAC, "cannot decrypt"),
            }
            assert_eq!(forger.stack.read(), b"");
        }
    }
}

#[test]
fn a_record_is_not_taken_twice_nor_out_of_order() {
    each(|_, mut forger| {
        let record = forger.seal(DATA, b"once", 0);
        give(&mut forger.stack, &record);
        assert_eq!(text(&forger.stack.read()), "once");
        give(&mut forger.stack, &record);
        forger.assert_refused(BAD_RECORD_MAC, "cannot decrypt");
    });
    each(|_, mut forger| {
        let _dropped = forger.seal(DATA, b"first", 0);
        forger.send(DATA, b"second");
        forger.assert_refused(BAD_RECORD_MAC, "cannot decrypt");
    });
    each(|_, mut forger| {
        // No longer than a tag.
        give(&mut forger.stack, &[DATA, 3, 3, 0, 0]);
        forger.assert_refused(BAD_RECORD_MAC, "cannot decrypt");
    });
}
