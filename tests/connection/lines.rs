//! Lines, codecs that work on `AsyncBufRead`, and taking a connection apart.

use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use futures::stream::StreamExt;
use onionskin::connection::ErrorKind;
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::executor::{Task, alone, both, run};
use crate::peers::{CUTS, client, layered, pair, server, talk};

#[test]
fn lines_end_in_lf_or_crlf_and_may_be_split_anywhere() {
    let text = b"one\r\ntwo\n\r\n\na\rb\r\r\nthree\n";
    let expected: [&[u8]; 6] = [b"one", b"two", b"", b"", b"a\rb\r", b"three"];
    for at in 0..=text.len() {
        let (mut left, mut right, _clock) = pair(Cut::Whole, 100);
        left.get_ref().inject(&text[..at]);
        let mut read = Task::new(async {
            for line in expected {
                assert_eq!(left.read_line().await.unwrap().unwrap(), line);
            }
        });
        assert_eq!(read.run().is_some(), at == text.len());
        if at < text.len() {
            let mut write = Task::new(right.send_all(&text[at..]));
            run(&mut [&mut write, &mut read]);
            assert!(read.output().is_some(), "split at {at}");
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_not_consumed() {
    for depth in [0, 1] {
        let (mut left, mut right, _clock) = layered(Cut::Bytes, 1000, &[Version::Tls13][..depth]);
        left.set_line_limit(8);
        alone(right.send_all(b"1234567\n12345678\nrest\n")).unwrap();
        assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"1234567");
        for _ in 0..2 {
            let error = alone(left.read_line()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::LineTooLong(8)), "{error}");
        }
        left.set_line_limit(9);
        assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"12345678");
        assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"rest");
    }
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_one_without_end_is_an_error() {
    let limit = 1_000_000; // far more than the connection holds by default
    for depth in [0, 1, 2] {
        let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13; 2][..depth]);
        left.set_line_limit(limit);
        let mut line = vec![b'x'; limit - 1];
        let (sent, read) = both(
            async {
                for chunk in line.chunks(10_000) {
                    right.send_all(chunk).await?;
                }
                right.send_all(b"\n").await
            },
            left.read_line(),
        );
        sent.unwrap();
        assert!(read.unwrap().unwrap() == line);

        line.resize(2 * limit, b'x');
        let mut write = Task::new(right.send_all(&line));
        let mut read = Task::new(left.read_line());
        run(&mut [&mut write, &mut read]);
        let error = read.output().expect("a line without end is not waited for for ever").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::LineTooLong(named) if *named == limit), "{error}");
    }
}

#[test]
fn a_line_without_its_end_is_an_error_and_still_there() {
    for depth in [0, 1] {
        for cut in CUTS {
            let (mut left, mut right, _clock) = layered(cut, 1000, &[Version::Tls13][..depth]);
            alone(async {
                right.send_all(b"whole\r\nhalf").await.unwrap();
                right.close().await.unwrap();
            });
            assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"whole");
            for _ in 0..2 {
                let error = alone(left.read_line()).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::UnfinishedLine), "{error}");
            }
            let mut rest = Vec::new();
            alone(left.read_to_end(&mut rest)).unwrap();
            assert_eq!(rest, b"half");
            assert_eq!(alone(left.read_line()).unwrap(), None);
        }
    }
}

#[test]
fn an_unfinished_line_does_not_hide_a_loss() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    alone(right.send_all(b"half")).unwrap();
    drop(right); // without a close_notify
    let error = alone(left.read_line()).unwrap_err();
    assert!(error.is_truncated(), "{error}");
}

#[test]
fn the_socket_comes_back_with_every_byte() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 1000);
    alone(right.send_all(b"line\r\nunread")).unwrap();
    assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"line");
    left.queue(b"unsent").unwrap();
    let parts = left.into_inner();
    assert_eq!(parts.unread(), b"unread");
    assert_eq!(parts.remains.len(), 1);
    assert_eq!(parts.remains[0].outbound, b"unsent");
    // The socket is in working order.
    let mut socket = parts.io;
    alone(socket.write_all(b"past all layers\n")).unwrap();
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"past all layers");
}

#[test]
fn the_socket_comes_back_with_ciphertext_that_was_not_decrypted() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    alone(right.send_all(b"first\nplain")).unwrap();
    let mut send = Task::new(right.send_all(&[b'x'; 1200]));
    assert!(send.run().is_none(), "the wire holds only a part of the record");
    drop(send);
    assert_eq!(alone(left.read_line()).unwrap().unwrap(), b"first");
    let (left, right) = (left.into_inner(), right.into_inner());
    assert_eq!(left.unread(), b"plain");
    let [_, left_wire] = &left.remains[..] else { panic!("one layer has two boundaries") };
    let [_, right_wire] = &right.remains[..] else { panic!("one layer has two boundaries") };
    let record = [&left_wire.inbound[..], &right_wire.outbound[..]].concat();
    let [23, 3, 3, high, low, body @ ..] = &record[..] else { panic!("no record: {record:?}") };
    assert_eq!(body.len(), usize::from(u16::from_be_bytes([*high, *low])));
}

#[test]
fn codecs_on_a_buffered_reader_take_no_byte_too_many() {
    for cut in CUTS {
        let (mut left, mut right, _clock) = pair(cut, 1000);
        let ask = async {
            right.send_all(b"GET x\0HELLO\nSTARTTLS\n").await.unwrap();
            right.start_tls(client(Version::Tls13)).await.unwrap();
            right.send_all(b"a\nb\nc\n").await.unwrap();
            right.stop_tls().await.unwrap()
        };
        let answer = async {
            let mut record = Vec::new();
            left.read_until(b'\0', &mut record).await.unwrap();
            assert_eq!(record, b"GET x\0");
            let mut line = String::new();
            left.read_until(b'\n', &mut record).await.unwrap();
            AsyncBufReadExt::read_line(&mut left, &mut line).await.unwrap();
            assert_eq!(line, "STARTTLS\n");
            left.start_tls(server()).await.unwrap();
            // The end of the layer is the end of the lines.
            let lines: Vec<_> = AsyncBufReadExt::lines(&mut left).map(Result::unwrap).collect().await;
            assert_eq!(lines, ["a", "b", "c"]);
            left.stop_tls().await.unwrap();
        };
        both(ask, answer);
        talk(&mut left, &mut right);
    }
}

#[test]
fn a_line_that_the_peer_would_take_for_two_is_not_written() {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 100);
    let error = alone(left.write_line("RCPT TO:<a>\r\nQUIT")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LineBreak), "{error}");
    alone(left.write_line("RCPT TO:<a>")).unwrap();
    assert_eq!(alone(right.read_line()).unwrap().unwrap(), b"RCPT TO:<a>");
}
