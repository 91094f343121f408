//! The control connection of FTP, both sides in async code.

use futures::io::AsyncWriteExt;
use onionskin::connection::{Error, PeerAnswer, Stop};
use onionskin::starttls::ftp::{self, Change, ErrorKind, Protection};
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::executor::{alone, both};
use crate::peers::{CUTS, Conn, VERSIONS, client, layered, pair, server};

/// Answers the security commands, and every other line with itself, until the client closes.
async fn answer(conn: &mut Conn, mut protection: Protection) -> Result<(), Error> {
    while let Some(line) = conn.read_line().await? {
        let Some(answer) = protection.command(&line) else {
            conn.write_line([b"200 ", &line[..]].concat()).await?;
            continue;
        };
        conn.write_line(answer.reply()).await?;
        match answer.change() {
            Change::StartTls => _ = conn.start_tls(server()).await?,
            Change::StopTls(stop) => _ = conn.stop_with(stop).await?,
            Change::Nothing => {}
        }
    }
    Ok(())
}

async fn code(conn: &mut Conn, line: &str) -> u16 {
    ftp::command(conn, line).await.unwrap().code()
}

#[test]
fn a_client_protects_and_clears_again_and_again() {
    for version in VERSIONS {
        for cut in CUTS {
            let (mut left, mut right, _clock) = pair(cut, 1000);
            let talk = async {
                for _ in 0..30 {
                    assert_eq!(code(&mut left, "AUTH TLS").await, 234);
                    left.start_tls(client(version)).await.unwrap();
                    ftp::protect(&mut left).await.unwrap();
                    assert_eq!(code(&mut left, "PWD").await, 200);
                    let stopped = ftp::clear_control(&mut left, Stop::new()).await.unwrap();
                    assert_eq!((stopped.answer, &stopped.late[..]), (PeerAnswer::CloseNotify, &b""[..]));
                    assert_eq!(left.depth(), 0);
                    assert_eq!(code(&mut left, "PWD").await, 200);
                }
                left.close().await.unwrap();
            };
            both(talk, answer(&mut right, Protection::new())).1.unwrap();
        }
    }
}

#[test]
fn a_refusal_is_told_and_changes_nothing() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    let talk = async {
        let error = ftp::clear_control(&mut left, Stop::new()).await.unwrap_err();
        assert_eq!(error.refusal().map(ftp::Reply::code), Some(534));
        assert_eq!(error.to_string(), "the server refused CCC: 534 TLS stays");
        assert_eq!(left.depth(), 1);
        assert_eq!(code(&mut left, "PWD").await, 200);
        left.close().await.unwrap();
    };
    both(talk, answer(&mut right, Protection::in_tls().refuse_clear_control())).1.unwrap();
}

#[test]
fn nothing_is_asked_for_in_clear() {
    let (mut left, _right, _clock) = pair(Cut::Whole, 1000);
    let error = alone(ftp::protect(&mut left)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InClear), "{error}");
    let error = alone(ftp::clear_control(&mut left, Stop::new())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InClear), "{error}");
}

/// What a client makes of these bytes, with the end of the connection behind them.
fn heard(bytes: &[u8]) -> Result<ftp::Reply, ftp::Error> {
    let (mut left, mut right, _clock) = pair(Cut::Random(1), 1_000_000);
    alone(async {
        right.send_all(bytes).await.unwrap();
        right.close().await.unwrap();
    });
    alone(ftp::read_reply(&mut left))
}

#[test]
fn replies_of_many_lines_are_taken_whole() {
    let reply =
        heard(b"211-Features\r\n AUTH TLS\r\n\r\n220 no end\r\n211-nor here\r\n211 End\r\n500 not this\r\n").unwrap();
    assert_eq!((reply.code(), reply.text(), reply.lines().len()), (211, &b"End"[..], 6));
    assert_eq!(heard(b"200\n").unwrap().text(), b"");
}

#[test]
fn what_is_no_reply_is_an_error() {
    for bytes in [&b"hello\r\n"[..], b"\r\n", b"20 short\r\n", b"2000 long\r\n"] {
        assert!(matches!(heard(bytes).unwrap_err().kind(), ErrorKind::Malformed(_)));
    }
    for bytes in [&b""[..], b"211-Features\r\n AUTH TLS\r\n"] {
        assert!(matches!(heard(bytes).unwrap_err().kind(), ErrorKind::Ended));
    }
    let endless = [b"211-\r\n", &b"\r\n".repeat(10_000)[..]].concat();
    assert!(matches!(heard(&endless).unwrap_err().kind(), ErrorKind::TooLong));
    let unfinished = heard(b"200 fi").unwrap_err();
    assert!(matches!(unfinished.kind(), ErrorKind::Connection(_)), "{unfinished}");
}

#[test]
fn a_server_that_stops_tls_in_place_of_a_reply_is_told_from_one_that_replies() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    let stop = async {
        right.read_line().await.unwrap();
        right.finish().await.unwrap();
    };
    let (error, ()) = both(ftp::command(&mut left, "PWD"), stop);
    assert!(matches!(error.unwrap_err().kind(), ErrorKind::Ended));
}
