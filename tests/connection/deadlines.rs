//! Deadlines, on a clock that passes only when told.

use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::Error;
use onionskin::stack::{OnTimeout, PeerAnswer, Stop};
use onionskin::testing::{Clock, Cut};
use onionskin::tls::{OnFailure, Version};

use crate::executor::{Task, alone, run};
use crate::peers::{VERSIONS, client, layered, pair, pattern, server, talk};

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_stalled_handshake_fails_at_its_deadline() {
    for timeout in [None, Some(Duration::from_millis(300))] {
        let (mut left, _right, clock) = pair(Cut::Whole, 10_000);
        let mut layer = client(Version::Tls13);
        if timeout.is_some() {
            layer = layer.handshake_timeout(timeout);
        }
        let timeout = timeout.unwrap_or(Duration::from_secs(10));
        let mut start = Task::new(left.start_tls(layer));
        assert!(start.run().is_none());
        clock.advance(timeout - MILLISECOND);
        assert!(start.run().is_none());
        clock.advance(MILLISECOND);
        let error = start.run().expect("the deadline has passed").unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(error.to_string().contains("layer #1"), "{error}");
        drop(start);
        // It was lost once, for one reason.
        let error = alone(left.write_line("hello")).unwrap_err();
        assert!(error.is_timeout(), "{error}");
    }
}

#[test]
fn a_handshake_without_a_deadline_waits_for_ever() {
    let (mut left, _right, clock) = pair(Cut::Whole, 10_000);
    let mut start = Task::new(left.start_tls(client(Version::Tls13).handshake_timeout(None)));
    assert!(start.run().is_none());
    assert_eq!(clock.until_next_alarm(), None);
    clock.advance(Duration::from_secs(1_000_000));
    assert!(start.run().is_none());
}

#[test]
fn a_stalled_handshake_may_leave_the_connection_in_clear() {
    let (mut left, mut right, clock) = pair(Cut::Whole, 10_000);
    let mut start = Task::new(left.start_tls(client(Version::Tls13).on_failure(OnFailure::Peel)));
    assert!(start.run().is_none());
    clock.advance(Duration::from_secs(10));
    let error = start.run().unwrap().unwrap_err();
    assert!(error.is_timeout() && error.reason().is_none(), "{error}");
    drop(start);
    alone(left.write_line("in clear")).unwrap();
    let mut said = Vec::new();
    drop(left);
    alone(right.read_to_end(&mut said)).unwrap();
    assert!(said.ends_with(b"in clear\r\n"));
}

#[test]
fn a_deadline_fires_while_only_a_reader_or_only_a_writer_waits() {
    for reads in [true, false] {
        let (mut left, _right, clock) = pair(Cut::Whole, 10_000);
        left.splice(client(Version::Tls13)).unwrap();
        let (mut reader, mut writer) = left.split();
        let bytes = pattern(500_000);
        let mut wait = Task::new(async {
            if reads { reader.read(&mut [0]).await.map(drop) } else { writer.write_all(&bytes).await }
        });
        assert!(wait.run().is_none());
        clock.advance(Duration::from_secs(10));
        let error = wait.run().expect("the deadline has passed").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(Error::of(&error).unwrap().is_timeout(), "{error}");
    }
}

#[test]
fn a_peer_that_does_not_answer_a_stop_loses_the_connection() {
    for version in VERSIONS {
        let (mut left, right, clock) = layered(Cut::Whole, 10_000, &[version]);
        let mut stop = Task::new(left.stop_tls());
        assert!(stop.run().is_none());
        clock.advance(Duration::from_secs(5) - MILLISECOND);
        assert!(stop.run().is_none());
        clock.advance(MILLISECOND);
        let error = stop.run().expect("the deadline has passed").unwrap_err();
        assert!(error.is_timeout() && error.reason().is_some(), "{error}");
        drop((stop, right));
    }
}

#[test]
fn a_stop_behind_much_for_a_slow_reader_loses_none_of_it() {
    for depth in [1, 2] {
        for version in VERSIONS {
            let (mut left, mut right, clock) = layered(Cut::Whole, 1000, &[Version::Tls13, version][2 - depth..]);
            let mut written = 0;
            while let Ok(count @ 1..) = left.queue(&pattern(1000)) {
                written += count;
            }
            assert!(written > 100_000);
            let mut stop = Task::new(left.stop_tls());
            let mut arrived = 0;
            // The wire holds a thousand bytes, which are read twice a second; the answer comes three seconds after the end.
            while stop.run().is_none() {
                clock.advance(Duration::from_millis(500));
                let mut piece = [0; 20_000];
                match Task::new(right.read(&mut piece)).run() {
                    Some(Ok(0)) => break,
                    Some(Ok(count)) => arrived += count,
                    Some(Err(error)) => panic!("after {arrived} of {written}: {error}"),
                    None => {}
                }
            }
            assert_eq!(arrived, written);
            clock.advance(Duration::from_secs(3));
            assert!(stop.run().is_none());
            let mut answer = Task::new(right.stop_tls());
            run(&mut [&mut stop, &mut answer]);
            assert_eq!(stop.output().unwrap().unwrap().answer, PeerAnswer::CloseNotify);
            answer.output().unwrap().unwrap();
        }
    }
}

#[test]
fn a_stop_may_go_on_without_the_peers_answer() {
    let (mut left, mut right, clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    let stop = Stop::new().timeout(Some(Duration::from_secs(60))).on_timeout(OnTimeout::Peel);
    let mut stopped = Task::new(left.stop_with(stop));
    assert!(stopped.run().is_none());
    clock.advance(Duration::from_secs(60));
    assert_eq!(stopped.run().unwrap().unwrap().answer, PeerAnswer::TimedOut);
    drop(stopped);
    alone(async {
        left.write_line("in clear").await.unwrap();
        assert_eq!(right.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn a_stop_without_a_deadline_waits_for_ever() {
    let (mut left, mut right, clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    let mut stop = Task::new(left.stop_with(Stop::new().timeout(None)));
    assert!(stop.run().is_none());
    assert_eq!(clock.until_next_alarm(), None);
    clock.advance(Duration::from_secs(1_000_000));
    let mut answer = Task::new(right.stop_tls());
    run(&mut [&mut stop, &mut answer]);
    stop.output().unwrap().unwrap();
    answer.output().unwrap().unwrap();
    drop((stop, answer));
    talk(&mut left, &mut right);
}

#[test]
fn a_grace_lets_the_peer_go_first_and_no_longer() {
    let (mut left, mut right, clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    let mut stop = Task::new(left.stop_with(Stop::new().after_peer(Stop::GRACE)));
    assert!(stop.run().is_none());
    assert_eq!(right.get_ref().arriving(), 0);
    clock.advance(Stop::GRACE);
    assert!(stop.run().is_none());
    assert!(right.get_ref().arriving() > 0, "the grace is over");
    let mut answer = Task::new(right.stop_tls());
    run(&mut [&mut stop, &mut answer]);
    stop.output().unwrap().unwrap();
    answer.output().unwrap().unwrap();
    drop((stop, answer));
    assert_eq!(clock.until_next_alarm(), None, "a stop that is done has no deadline");
    talk(&mut left, &mut right);
}

#[test]
fn a_future_that_was_dropped_does_not_take_the_deadline_along() {
    let (mut left, right, clock) = pair(Cut::Whole, 10_000);
    let mut start = Task::new(left.start_tls(client(Version::Tls13)));
    assert!(start.run().is_none());
    drop(start);
    clock.advance(Duration::from_secs(6));
    let mut read = Task::new(left.read_line());
    assert!(read.run().is_none());
    clock.advance(Duration::from_secs(4));
    let error = read.run().expect("the deadline counts from the start").unwrap_err();
    assert!(error.is_timeout(), "{error}");
    drop(right);
}

#[test]
fn a_socket_that_never_flushes_does_not_keep_a_failed_handshake_waiting_for_ever() {
    let (mut left, _right, clock) = pair(Cut::Whole, 10_000);
    left.get_ref().stall(true);
    let mut start = Task::new(left.start_tls(client(Version::Tls13)));
    assert!(start.run().is_none());
    let error = expect_within(&mut start, &clock, Duration::from_secs(20)).unwrap_err();
    assert!(error.is_timeout(), "{error}");
}

#[test]
fn a_full_socket_does_not_keep_a_failed_handshake_waiting_for_ever() {
    // So much is queued below the inner layer that it stands in the boundaries of the outer ones.
    for depth in [0, 1, 2] {
        let (mut left, right, clock) = layered(Cut::Whole, 1000, &[Version::Tls13; 2][..depth]);
        let mut written = 0;
        loop {
            let count = left.queue(&[b'x'; 1000]).unwrap();
            written += count;
            if count == 0 {
                break;
            }
        }
        assert!(written > 100_000 * (depth + 1), "{written}");
        let mut start = Task::new(left.start_tls(client(Version::Tls13)));
        assert!(start.run().is_none());
        // Half a minute in which the socket takes nothing, and what an alert is given.
        let error = expect_within(&mut start, &clock, Duration::from_secs(40)).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        drop(right);
    }
}

#[test]
fn an_alarm_that_is_not_needed_any_more_is_forgotten() {
    let (mut left, mut right, clock) = pair(Cut::Whole, 10_000);
    for _ in 0..3 {
        let mut started = (Task::new(left.start_tls(client(Version::Tls13))), Task::new(right.start_tls(server())));
        run(&mut [&mut started.0, &mut started.1]);
        started.0.output().unwrap().unwrap();
        started.1.output().unwrap().unwrap();
        drop(started);
        talk(&mut left, &mut right);
        assert_eq!(clock.until_next_alarm(), None);
    }
}

/// Lets time pass from alarm to alarm.
#[track_caller]
fn expect_within<T>(task: &mut Task<'_, T>, clock: &Clock, limit: Duration) -> T {
    let mut passed = Duration::ZERO;
    loop {
        if let Some(output) = task.run() {
            return output;
        }
        let until = clock.until_next_alarm().expect("a task that waits has an alarm set");
        passed += until;
        assert!(passed <= limit, "not done after {passed:?}");
        clock.advance(until);
    }
}
