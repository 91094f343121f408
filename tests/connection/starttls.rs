//! STARTTLS in async code: futures that are dropped, connections that go on in clear, layers that leave.

use onionskin::connection::{End, ErrorKind};
use onionskin::starttls::{self, Imap, Negotiate, Opportunity, Smtp};
use onionskin::testing::Cut;

use crate::executor::{both, cancelled_after};
use crate::peers::{Conn, VERSIONS, client, pair, server};

#[test]
fn a_start_that_is_dropped_at_any_poll_goes_on() {
    let mut dropped = 0;
    for version in VERSIONS {
        for cut in [Cut::Whole, Cut::Random(51), Cut::Random(52)] {
            for polls in 0.. {
                let (mut left, mut right, _clock) = pair(cut, 500);
                let asks = async {
                    let start = left.start_tls_as(Smtp::new(), client(version));
                    let was_dropped = cancelled_after(polls, start).await.is_none();
                    if polls == 0 {
                        // It had not begun: the layer is put in by the first poll.
                        assert_eq!(left.depth(), 0);
                        left.start_tls_as(Smtp::new(), client(version)).await.unwrap();
                    } else if was_dropped {
                        // The layer keeps its id from the first word on.
                        let id = left.stack().layers().last().expect("it stays").0;
                        left.ready(id).await.unwrap();
                    }
                    left.write_line("EHLO client.example").await.unwrap();
                    assert_eq!(left.read_line().await.unwrap().unwrap(), b"250 hello");
                    was_dropped
                };
                let answers = async {
                    right.start_tls_as(Smtp::new(), server()).await.unwrap();
                    assert_eq!(right.read_line().await.unwrap().unwrap(), b"EHLO client.example");
                    right.write_line("250 hello").await.unwrap();
                };
                let (was_dropped, ()) = both(asks, answers);
                if !was_dropped {
                    break;
                }
                dropped += 1;
            }
        }
    }
    assert!(dropped > 12, "it never had to wait");
}

/// A server that has no TLS, as far as a client of IMAP sees it.
async fn has_no_tls(conn: &mut Conn) {
    conn.write_line("* OK ready").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().unwrap(), b"A CAPABILITY");
    conn.send_all(b"* CAPABILITY IMAP4rev1\r\nA OK done\r\n").await.unwrap();
}

#[test]
fn a_connection_goes_on_in_clear_where_that_was_asked_for_and_says_why() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(53)] {
        let (mut left, mut right, _clock) = pair(cut, 500);
        let asks = async {
            let layer = client(VERSIONS[0]);
            let Opportunity::Cleartext(error) = left.start_tls_opportunistic(Imap::new(), layer).await.unwrap() else {
                panic!("there is no TLS")
            };
            assert_eq!(starttls::Error::of(&error).unwrap().kind(), starttls::ErrorKind::NotOffered);
            assert_eq!(left.depth(), 0);
            left.write_line("B NOOP").await.unwrap();
            // The answer to what the negotiation had asked was taken by it.
            assert_eq!(left.read_line().await.unwrap().unwrap(), b"B OK");
        };
        let answers = async {
            has_no_tls(&mut right).await;
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"B NOOP");
            right.write_line("B OK").await.unwrap();
        };
        both(asks, answers);

        let (mut left, mut right, _clock) = pair(cut, 500);
        let asks = async {
            let error = left.start_tls_as(Imap::new(), client(VERSIONS[0])).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Lost(_)), "{error}");
            assert!(starttls::Error::of(&error).unwrap().is_stripped(), "{error}");
            assert_eq!(left.end(), Some(End::Lost));
        };
        both(asks, has_no_tls(&mut right));
    }
}

#[test]
fn a_negotiation_without_tls_leaves_behind_the_go_ahead() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(54)] {
        let (mut left, mut right, _clock) = pair(cut, 500);
        let asks = async {
            let id = left.splice(Negotiate::without_tls(Imap::new())).unwrap();
            left.ready(id).await.unwrap();
            assert_eq!((left.depth(), left.end()), (0, None));
            assert_eq!(left.read_line().await.unwrap().unwrap(), b"in clear");
        };
        let answers = async {
            right.write_line("* OK ready").await.unwrap();
            right.read_line().await.unwrap();
            right.send_all(b"* CAPABILITY STARTTLS\r\nA OK done\r\n").await.unwrap();
            assert_eq!(right.read_line().await.unwrap().unwrap(), b"B STARTTLS");
            right.send_all(b"B OK\r\nin clear\r\n").await.unwrap();
        };
        both(asks, answers);
    }
}
