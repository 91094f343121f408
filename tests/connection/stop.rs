//! Stopping TLS: what is still on the way, who goes first, and what comes after.

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::{Error, ErrorKind};
use onionskin::stack::{CommandErrorKind, PeerAnswer, Stop};
use onionskin::testing::Cut;
use onionskin::tls::{OnPeerClose, Version};

use crate::common::layers::PassThrough;
use crate::executor::{Task, alone, both, run};
use crate::peers::{CUTS, Conn, VERSIONS, client, layered, pair, pattern, server, start, talk};

/// Reads to the end of the layer, and then answers the stop.
async fn read_and_stop(conn: &mut Conn) -> Vec<u8> {
    let mut received = Vec::new();
    conn.read_to_end(&mut received).await.unwrap();
    let stopped = conn.stop_tls().await.unwrap();
    assert_eq!(stopped.late, b"");
    received
}

#[test]
fn what_is_in_flight_when_tls_stops_comes_as_late() {
    let bytes = pattern(700_000);
    for version in VERSIONS {
        for depth in [1, 3] {
            for cut in [Cut::Whole, Cut::Random(4)] {
                let (mut left, mut right, _clock) = layered(cut, 1_000_000, &[version].repeat(depth));
                alone(right.send_all(&bytes)).unwrap();
                let stop = async {
                    left.write_line("enough").await.unwrap();
                    left.stop_tls().await.unwrap()
                };
                let (stopped, received) = both(stop, read_and_stop(&mut right));
                assert!(stopped.late == bytes, "{version:?} {depth} {cut:?}");
                assert_eq!(stopped.answer, PeerAnswer::CloseNotify);
                assert_eq!(received, b"enough\r\n");
                talk(&mut left, &mut right);
            }
        }
    }
}

#[test]
fn more_late_bytes_than_the_limit_are_an_error_and_nothing_is_lost() {
    let bytes = pattern(300_000);
    // Records of such sizes that they do not add up to the limit.
    for record in [1, 10_000, 16_384, 16_000] {
        for (limit, repeat) in [(100_000, 1), (1024 * 1024, 5)] {
            if record == 1 && repeat > 1 {
                continue;
            }
            let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000_000, &[Version::Tls13]);
            left.set_late_limit(limit);
            let sent = bytes.repeat(repeat);
            alone(async {
                for chunk in sent.chunks(record) {
                    right.send_all(chunk).await.unwrap();
                }
            });
            let mut stop = Task::new(left.stop_tls());
            let error = stop.run().expect("a stop whose peer has too much to say does not wait for more").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::TooMuchLate(named) if *named == limit), "{error}");
            drop(stop);
            let mut received = vec![0; sent.len()];
            alone(left.read_exact(&mut received)).unwrap();
            assert!(received == sent);
            let (stopped, _) = both(left.stop_tls(), read_and_stop(&mut right));
            assert_eq!(stopped.unwrap().late, b"");
            talk(&mut left, &mut right);
        }
    }
}

#[test]
fn reads_are_empty_until_the_peers_stop_is_answered() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = layered(cut, 1000, &[Version::Tls13, version]);
            let mut stop = Task::new(async {
                right.write_line("last").await.unwrap();
                right.stop_tls().await.unwrap()
            });
            let mut receive = Task::new(async {
                let mut received = Vec::new();
                for _ in 0..5 {
                    left.read_to_end(&mut received).await.unwrap();
                }
                assert_eq!(received, b"last\r\n");
                assert_eq!(left.read_line().await.unwrap(), None);
                // Our half is still open.
                left.write_line("not yet").await.unwrap();
                let stopped = left.stop_tls().await.unwrap();
                assert_eq!((stopped.answer, &stopped.late[..]), (PeerAnswer::CloseNotify, &b""[..]));
            });
            run(&mut [&mut stop, &mut receive]);
            receive.output().unwrap();
            assert_eq!(stop.output().unwrap().late, b"not yet\r\n");
            drop((stop, receive));
            assert_eq!((left.depth(), right.depth()), (1, 1));
            talk(&mut left, &mut right);
        }
    }
}

#[test]
fn a_layer_can_answer_by_itself_and_the_application_still_decides_to_go_on() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = pair(cut, 1000);
            let layer = client(version).on_peer_close(OnPeerClose::Peel);
            let (started, accepted) = both(left.start_tls(layer), right.start_tls(server()));
            accepted.unwrap();
            let id = started.unwrap().layer;
            let peer = async {
                right.write_line("last").await.unwrap();
                let stopped = right.stop_tls().await.unwrap();
                right.write_line("in clear").await.unwrap();
                stopped
            };
            let read = async {
                let mut received = Vec::new();
                left.read_to_end(&mut received).await.unwrap();
                assert_eq!(received, b"last\r\n");
                let error = left.write_line("for whom?").await.unwrap_err();
                let ErrorKind::Command(command) = error.kind() else { panic!("{error}") };
                assert!(command.is_ended(), "{error}");
                assert_eq!((left.depth(), left.read(&mut [0; 9]).await.unwrap()), (0, 0));
                assert_eq!(left.stop_tls().await.unwrap().layer, id);
                assert_eq!(left.read_line().await.unwrap().unwrap(), b"in clear");
            };
            let (stopped, ()) = both(peer, read);
            assert_eq!(stopped.late, b"");
            talk(&mut left, &mut right);
        }
    }
}

#[test]
fn ends_of_two_layers_in_one_segment_are_two_ends() {
    for version in VERSIONS {
        for on_peer_close in [OnPeerClose::Hold, OnPeerClose::Peel] {
            for cut in CUTS {
                let (mut left, mut right, _clock) = pair(cut, 2000);
                for _ in 0..2 {
                    let layer = client(version).on_peer_close(on_peer_close);
                    let (started, accepted) = both(left.start_tls(layer), right.start_tls(server()));
                    started.unwrap();
                    accepted.unwrap();
                }
                let leave = async {
                    right.queue(b"two\n").unwrap();
                    right.begin_stop(Stop::new().writes_at_once()).unwrap();
                    right.queue(b"one\n").unwrap();
                    right.stop_tls().await.unwrap();
                    right.begin_stop(Stop::new().writes_at_once()).unwrap();
                    right.queue(b"none\n").unwrap();
                    right.stop_tls().await.unwrap();
                };
                let follow = async {
                    for (line, depth) in [(b"two", 1), (b"one", 0)] {
                        assert_eq!(left.read_line().await.unwrap().unwrap(), line);
                        assert_eq!(left.read_line().await.unwrap(), None);
                        let stopped = left.stop_tls().await.unwrap();
                        assert_eq!((stopped.late, stopped.answer), (Vec::new(), PeerAnswer::CloseNotify));
                        assert!(left.depth() <= depth);
                    }
                    assert_eq!(left.read_line().await.unwrap().unwrap(), b"none");
                };
                both(leave, follow);
                talk(&mut left, &mut right);
            }
        }
    }
}

#[test]
fn close_notifies_of_all_layers_in_one_segment_are_as_many_ends() {
    for on_peer_close in [OnPeerClose::Hold, OnPeerClose::Peel] {
        let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
        for version in [Version::Tls13, Version::Tls12, Version::Tls13] {
            let layer = client(version).on_peer_close(on_peer_close);
            let (started, accepted) = both(left.start_tls(layer), right.start_tls(server()));
            started.unwrap();
            accepted.unwrap();
        }
        alone(async {
            right.write_line("bye").await.unwrap();
            right.close().await.unwrap();
        });
        assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"bye");
        for _ in 0..3 {
            assert_eq!(alone(left.read_line()).unwrap(), None);
            alone(left.stop_tls()).unwrap();
        }
        assert_eq!((alone(left.read_line()).unwrap(), left.depth()), (None, 0));
        alone(left.close()).unwrap();
    }
}

#[test]
fn one_half_can_be_finished_and_the_other_goes_on() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = layered(cut, 1000, &[version]);
            let finish = async {
                left.write_line("last").await.unwrap();
                left.finish().await.unwrap();
                let error = left.write_line("one more").await.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Command(error)
                    if matches!(error.kind(), CommandErrorKind::Finished(_))));
                assert_eq!(left.read_line().await.unwrap().unwrap(), b"answer");
                left.stop_tls().await.unwrap();
            };
            let answer = async {
                let mut received = Vec::new();
                right.read_to_end(&mut received).await.unwrap();
                assert_eq!(received, b"last\r\n");
                right.write_line("answer").await.unwrap();
                right.stop_tls().await.unwrap();
            };
            both(finish, answer);
            talk(&mut left, &mut right);
        }
    }
}

#[test]
fn both_sides_stop_at_once() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = layered(cut, 1000, &[version; 2]);
            for depth in [1, 0] {
                left.queue(b"left").unwrap();
                right.queue(b"right").unwrap();
                let (stopped, answered) = both(left.stop_tls(), right.stop_tls());
                assert_eq!((stopped.unwrap().late, answered.unwrap().late), (b"right".to_vec(), b"left".to_vec()));
                assert_eq!((left.depth(), right.depth()), (depth, depth));
            }
            talk(&mut left, &mut right);
        }
    }
}

#[test]
fn a_client_hello_right_behind_the_close_notify_starts_the_next_layer() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = layered(cut, 1000, &[version]);
            for next in [Version::Tls13, Version::Tls12] {
                let left_restarts = async {
                    assert_eq!(left.read(&mut [0]).await.unwrap(), 0);
                    left.stop_tls().await.unwrap();
                    left.start_tls(client(next)).await.unwrap();
                    left.write_line("again").await.unwrap();
                };
                let right_restarts = async {
                    right.stop_tls().await.unwrap();
                    right.start_tls(server()).await.unwrap();
                    assert_eq!(right.read_line().await.unwrap().unwrap(), b"again");
                };
                both(left_restarts, right_restarts);
                talk(&mut left, &mut right);
            }
        }
    }
}

#[test]
fn a_stop_and_what_follows_leave_in_a_single_write() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13, version]);
        let before = left.get_ref().writes().len();
        left.queue(b"OK GLUE\r\n").unwrap();
        left.begin_stop(Stop::new().writes_at_once()).unwrap();
        left.queue(b"GLUED hello\r\n").unwrap();
        let glue = async { left.stop_tls().await.unwrap() };
        let read = async {
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"OK GLUE");
            assert_eq!(right.read_line().await.unwrap(), None);
            right.stop_tls().await.unwrap();
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"GLUED hello");
        };
        both(glue, read);
        assert_eq!(left.get_ref().writes().len(), before + 1);
        talk(&mut left, &mut right);
    }
}

#[test]
fn writes_after_a_stop_wait_for_the_peers_close_notify() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    left.begin_stop(Stop::new()).unwrap();
    left.queue(b"in clear\r\n").unwrap();
    let mut flush = Task::new(left.flush());
    assert!(flush.run().is_none(), "what waits below the layer is not flushed");
    let sent = right.get_ref().arriving();
    let (answered, ()) = both(
        async {
            assert_eq!(right.read(&mut [0]).await.unwrap(), 0);
            right.stop_tls().await
        },
        async { flush.run().unwrap_or(Ok(())).unwrap() },
    );
    answered.unwrap();
    assert!(sent < 64, "a close_notify and no more");
    drop(flush);
    assert_eq!(alone(left.stop_tls()).unwrap().answer, PeerAnswer::CloseNotify);
    alone(left.flush()).unwrap();
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"in clear");
}

#[test]
fn a_stop_during_the_handshake_waits_for_its_end() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = pair(cut, 1000);
            left.splice(client(version)).unwrap();
            left.queue(b"secret").unwrap();
            let stop = async { left.stop_tls().await.unwrap() };
            let accept = async {
                right.start_tls(server()).await.unwrap();
                read_and_stop(&mut right).await
            };
            let (_, received) = both(stop, accept);
            assert_eq!(received, b"secret");
            talk(&mut left, &mut right);
        }
    }
}

#[test]
fn there_is_no_layer_to_stop_in_clear() {
    let (mut left, _right, _clock) = pair(Cut::Whole, 100);
    for error in [alone(left.stop_tls()).unwrap_err(), alone(left.finish()).unwrap_err()] {
        assert!(error.is_no_such_layer(), "{error}");
        assert_eq!(error.to_string(), "no layer to stop");
    }
}

#[test]
fn a_start_over_a_layer_that_is_stopping_or_has_ended_is_refused_by_name() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    let id = left.begin_stop(Stop::new()).unwrap();
    let refused = |error: &Error| {
        matches!(error.kind(), ErrorKind::Command(error)
        if matches!(error.kind(), CommandErrorKind::Stopping(named) | CommandErrorKind::Ended(named) if *named == id))
    };
    let error = left.splice(client(Version::Tls13)).unwrap_err();
    assert!(refused(&error), "{error}");
    alone(left.flush()).unwrap();
    both(async { read_and_stop(&mut right).await }, async { assert_eq!(left.read(&mut [0]).await.unwrap(), 0) });
    let error = left.splice(client(Version::Tls13)).unwrap_err();
    assert!(refused(&error), "{error}");
    alone(left.stop_tls()).unwrap();
    start(&mut left, &mut right, Version::Tls13);
}

#[test]
fn a_peer_that_leaves_out_its_close_notify_is_let_pass_only_if_asked() {
    for version in VERSIONS {
        for lenient in [true, false] {
            let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[version]);
            talk(&mut left, &mut right);
            assert_eq!(alone(right.stop_with(Stop::new().abandon())).unwrap().answer, PeerAnswer::Abandoned);
            alone(right.write_line("in clear")).unwrap();
            if lenient {
                let stopped = alone(left.stop_with(Stop::new().lenient())).unwrap();
                assert_eq!(stopped.answer, PeerAnswer::Missing);
                assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"in clear");
            } else {
                let error = alone(left.stop_tls()).unwrap_err();
                assert!(error.is_not_spoken(), "{error}");
            }
        }
    }
}

#[test]
fn close_takes_leave_on_every_layer() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = layered(cut, 1000, &[Version::Tls13, Version::Tls12, Version::Tls13]);
        let close = async {
            left.write_line("bye").await.unwrap();
            left.close().await.unwrap();
            // Closed for writing is not closed for reading.
            let mut rest = Vec::new();
            left.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"you too\r\n");
            left.close().await.unwrap();
        };
        let answer = async {
            let mut received = Vec::new();
            right.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, b"bye\r\n");
            right.write_line("you too").await.unwrap();
            right.close().await.unwrap();
        };
        both(close, answer);
        let error = alone(left.write_line("more")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Command(error) if matches!(error.kind(), CommandErrorKind::Closed)));
    }
}

#[test]
fn a_stop_that_was_begun_comes_before_that_of_an_outer_layer_which_answered_by_itself() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
    for version in VERSIONS {
        let layer = client(version).on_peer_close(OnPeerClose::Peel);
        let (started, accepted) = both(left.start_tls(layer), right.start_tls(server()));
        started.unwrap();
        accepted.unwrap();
    }
    let inner = left.begin_stop(Stop::new()).unwrap();
    alone(right.close()).unwrap();
    assert_eq!((alone(left.read_line()).unwrap(), left.depth()), (None, 0));
    assert_eq!(alone(left.stop_tls()).unwrap().layer, inner);
    assert_ne!(alone(left.stop_tls()).unwrap().layer, inner);
}

#[test]
fn a_stop_is_joined_also_while_its_end_waits_below_a_layer_that_has_no_room() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = layered(Cut::Whole, 1_000_000, &[Version::Tls13, version]);
        left.splice(PassThrough).unwrap();
        let inner = left.begin_stop(Stop::new()).unwrap();
        let late = pattern(200_000);
        let answer = async {
            right.send_all(&late).await.unwrap();
            right.stop_tls().await.unwrap();
        };
        both(answer, left.flush()).1.unwrap();
        alone(left.flush()).unwrap();
        assert_eq!(left.depth(), 2);
        let stopped = alone(left.stop_tls()).unwrap();
        assert!((stopped.layer, stopped.late) == (inner, late));
        talk(&mut left, &mut right);
    }
}
