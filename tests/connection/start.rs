//! Starting TLS: what is on the way when it starts, and what comes of a start that fails.

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::ErrorKind;
use onionskin::stack::CommandErrorKind;
use onionskin::testing::Cut;
use onionskin::tls::{OnFailure, OnPeerClose, TlsFacts, Version};

use crate::executor::{Task, alone, both, run};
use crate::peers::{CUTS, VERSIONS, answer, ask_to_depth, client, layered, pair, pattern, server, start, talk};

#[test]
fn a_conversation_goes_three_deep_and_back_however_the_wire_cuts() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = pair(cut, 1000);
            let ask = async {
                ask_to_depth(&mut left, version, 3).await.unwrap();
                left.close().await.unwrap();
            };
            let ((), answered) = both(ask, answer(&mut right));
            answered.unwrap();
        }
    }
}

#[test]
fn a_client_hello_in_the_segment_of_the_line_that_announced_it() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
    assert_eq!(left.queue(b"STARTTLS\r\n").unwrap(), 10);
    let id = left.splice(client(Version::Tls13)).unwrap();
    let started = async {
        left.ready(id).await.unwrap();
        left.write_line("secret").await.unwrap();
    };
    let answered = async {
        assert_eq!(right.read_line().await.unwrap().unwrap(), b"STARTTLS");
        assert!(right.stack().inbound_len() > 100, "the ClientHello came with the line");
        right.start_tls(server()).await.unwrap();
        assert_eq!(right.read_line().await.unwrap().unwrap(), b"secret");
    };
    both(started, answered);
    assert!(left.get_ref().writes()[0] > 100, "line and ClientHello left together");
}

#[test]
fn plaintext_behind_the_announcement_fails_the_handshake_and_is_never_read() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
    left.queue(b"STARTTLS\r\nRCPT TO:<evil>\r\n").unwrap();
    alone(left.flush()).unwrap();
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"STARTTLS");
    let error = alone(right.start_tls(server())).unwrap_err();
    assert!(error.is_not_spoken(), "{error}");
    let error = alone(right.read(&mut [0])).unwrap_err();
    assert!(error.to_string().contains("RCPT"), "the error quotes what came: {error}");
}

#[test]
fn a_start_that_may_fail_leaves_the_connection_in_clear() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 10_000);
    let layer = client(Version::Tls13).on_failure(OnFailure::Peel);
    let refuse = async {
        right.write_line("500 no TLS here").await.unwrap();
    };
    let (started, ()) = both(left.start_tls(layer), refuse);
    let error = started.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Peeled(..)) && error.is_not_spoken(), "{error}");
    assert_eq!(left.depth(), 0);
    assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"500 no TLS here");
    alone(left.write_line("then without")).unwrap();
}

#[test]
fn a_layer_that_came_and_went_while_it_started_is_an_end_and_not_a_stranger() {
    // The peer's close_notify is right behind its Finished, and our layer answers by itself.
    let (mut left, mut right, _clock) = pair(Cut::Coalesced, 10_000);
    let accept = async {
        right.start_tls(server()).await.unwrap();
        right.stop_tls().await.unwrap();
    };
    let id = left.splice(client(Version::Tls12).on_peer_close(OnPeerClose::Peel)).unwrap(); // server speaks last
    let start = async {
        let error = left.ready(id).await.unwrap_err();
        let ErrorKind::Command(command) = error.kind() else { panic!("{error}") };
        assert!(matches!(command.kind(), CommandErrorKind::Ended(ended) if *ended == id), "{error}");
        assert_eq!(left.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(left.stop_tls().await.unwrap().layer, id);
    };
    both(accept, start);
    talk(&mut left, &mut right);
}

#[test]
fn what_is_written_during_the_handshake_leaves_after_it_and_readers_may_be_early() {
    let bytes = pattern(300_000); // more than the connection takes before the handshake is done
    for version in VERSIONS {
        for cut in [Cut::Whole, Cut::Random(3)] {
            let (mut left, mut right, _clock) = pair(cut, 5000);
            left.splice(client(version)).unwrap();
            right.splice(server()).unwrap();
            let (mut left_reader, mut left_writer) = left.split();
            let (mut right_reader, mut right_writer) = right.split();
            let mut received = [vec![0; bytes.len()], vec![0; bytes.len()]];
            let [by_left, by_right] = &mut received;
            // Four tasks; the readers are there before a byte of the handshake.
            let mut left_reads = Task::new(async { left_reader.read_exact(by_left).await.unwrap() });
            let mut right_reads = Task::new(async { right_reader.read_exact(by_right).await.unwrap() });
            run(&mut [&mut left_reads, &mut right_reads]);
            let mut left_writes = Task::new(async {
                left_writer.write_all(&bytes).await.unwrap();
                left_writer.flush().await.unwrap();
            });
            let mut right_writes = Task::new(async {
                right_writer.write_all(&bytes).await.unwrap();
                right_writer.flush().await.unwrap();
            });
            run(&mut [&mut left_reads, &mut right_reads, &mut left_writes, &mut right_writes]);
            for done in [left_reads.output(), right_reads.output(), left_writes.output(), right_writes.output()] {
                done.unwrap();
            }
            drop((left_reads, right_reads));
            assert!(received.iter().all(|received| *received == bytes), "{version:?} {cut:?}");
        }
    }
}

#[test]
fn a_second_start_during_the_handshake_of_the_first_nests() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = pair(cut, 1000);
        let outer = left.splice(client(Version::Tls13)).unwrap();
        let inner = left.splice(client(Version::Tls12)).unwrap();
        let left_starts = async {
            left.ready(inner).await.unwrap();
            left.ready(outer).await.unwrap();
        };
        let right_starts = async {
            right.start_tls(server()).await.unwrap();
            right.start_tls(server()).await.unwrap();
        };
        both(left_starts, right_starts);
        let versions: Vec<_> = left.layers().tls().map(TlsFacts::version_name).collect();
        assert_eq!(versions, ["TLSv1.3", "TLSv1.2"]);
        talk(&mut left, &mut right);
    }
}

#[test]
fn roles_mix_and_the_layers_are_shown_from_the_wire_inwards() {
    let (left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    let mut left = left.named("tcp 192.0.2.1:25");
    start(&mut right, &mut left, Version::Tls12);
    talk(&mut left, &mut right);
    let shown = left.layers().to_string();
    assert_eq!(left.to_string(), shown);
    let drawing = format!("{:#}", left.layers());
    assert_eq!(format!("{left:#}"), drawing);
    assert!(drawing.starts_with("application\n    │\n[ tls #2 ]    server \"a.test\"  TLSv1.2  "), "{drawing}");
    assert!(drawing.ends_with("\n    │\nwire          tcp 192.0.2.1:25"), "{drawing}");
    let parts: Vec<_> = shown.split(" ─ ").collect();
    assert!(
        matches!(parts[..], ["tcp 192.0.2.1:25", outer, inner]
            if outer.starts_with("tls1.3") && outer.ends_with("client \"a.test\"")
            && inner.starts_with("tls1.2") && inner.ends_with("server \"a.test\"")),
        "{shown}"
    );
}

#[test]
fn depth_is_limited() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 100_000, &[Version::Tls13; 16]);
    let error = alone(left.start_tls(client(Version::Tls13))).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Command(error) if matches!(error.kind(), CommandErrorKind::TooDeep(16))));
    talk(&mut left, &mut right);
    alone(async {
        let (left, right) = join(left.close(), right.close()).await;
        left.unwrap();
        right.unwrap();
    });
}
