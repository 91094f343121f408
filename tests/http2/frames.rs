//! Frames that no library sends, or not at such a time.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::testing::{Cut, Dice, WireEnd};
use onionskin::tunnel::http2::Tunnels;
use onionskin::tunnel::{Error, ErrorKind};

use crate::peer::{ACK, DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, OK, PING, RST_STREAM, Raw, SETTINGS, frame};
use crate::{Bench, CONFIGURED, CUTS, NAME, hear, run, settle, target};

async fn begin(bench: &Bench, cut: Cut) -> (Tunnels, Raw) {
    begin_with(bench, cut, &[]).await
}

async fn begin_with(bench: &Bench, cut: Cut, settings: &[u8]) -> (Tunnels, Raw) {
    let (carrier, end) = bench.carrier(cut);
    let (tunnels, raw) = join(Tunnels::over(carrier), Raw::begin(end, settings)).await;
    (tunnels.unwrap(), raw)
}

async fn open(tunnels: &Tunnels, raw: &mut Raw) -> (Connection<Socket>, u32) {
    let (opened, id) = join(tunnels.open(target()), raw.grant()).await;
    (opened.unwrap(), id)
}

async fn assert_hears(opened: &mut Connection<Socket>, raw: &mut Raw, id: u32) {
    raw.send(&frame(DATA, 0, id, b"still here")).await;
    hear(opened, b"still here").await;
}

fn kind(error: &std::io::Error) -> ErrorKind {
    Error::of(error).expect("it is an error of a tunnel").kind().clone()
}

#[test]
fn t12_fields_in_an_open_tunnel_are_no_end() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut raw) = begin(&bench, cut).await;
            let (mut opened, id) = open(&tunnels, &mut raw).await;
            let (mut other, other_id) = open(&tunnels, &mut raw).await;
            raw.send(&frame(DATA, 0, id, b"before")).await;
            // Trailers: a field without a name in any table, `a: b`.
            let field = [0, 1, b'a', 1, b'b'];
            raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, id, &field)).await;
            hear(&mut opened, b"before").await;
            let error = opened.read(&mut [0; 9]).await.unwrap_err();
            assert!(matches!(kind(&error), ErrorKind::Http2(what) if what.contains("HEADERS")), "{error}");
            let reset = raw.next_of(RST_STREAM).await;
            assert_eq!((reset.stream, &reset.payload[..]), (id, &[0, 0, 0, 1][..]), "PROTOCOL_ERROR");
            assert_hears(&mut other, &mut raw, other_id).await;
        });
    }
}

#[test]
fn t13_a_limit_that_is_lowered_keeps_the_tunnels_that_there_are() {
    run(|bench| async move {
        let (tunnels, mut raw) = begin_with(&bench, Cut::Whole, &[0, 3, 0, 0, 0, 3]).await;
        let (mut first, id1) = open(&tunnels, &mut raw).await;
        let (mut second, id2) = open(&tunnels, &mut raw).await;
        raw.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1])).await;
        assert_hears(&mut first, &mut raw, id1).await;
        assert_hears(&mut second, &mut raw, id2).await;
        let error = tunnels.try_open(target()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooManyTunnels(1));
        let mut opening = Box::pin(tunnels.open(target()));
        assert!((&mut opening).now_or_never().is_none());
        drop(first);
        assert!((&mut opening).now_or_never().is_none(), "there is still one");
        raw.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2])).await;
        let (opened, _) = join(opening, raw.grant()).await;
        opened.unwrap();
    });
}

#[test]
fn t14_a_tunnel_behind_the_last_of_a_going_away_is_not_processed() {
    for cut in CUTS {
        for code in [0, 11] {
            run(|bench| async move {
                let (tunnels, mut raw) = begin(&bench, cut).await;
                let (mut opened, id) = open(&tunnels, &mut raw).await;
                let going = async {
                    let asked = raw.next_of(HEADERS).await;
                    assert_eq!(asked.stream, 3);
                    raw.send(&frame(GO_AWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, code])).await;
                };
                let (refused, ()) = join(tunnels.open(target()), going).await;
                let error = refused.unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::NotProcessed, "{error}");
                assert!(error.is_not_processed());
                if code == 0 {
                    assert_hears(&mut opened, &mut raw, id).await;
                } else {
                    let error = opened.read(&mut [0; 9]).await.unwrap_err();
                    assert_eq!(kind(&error), ErrorKind::GoingAway(11));
                }
            });
        }
    }
}

#[test]
fn t20_a_ping_is_answered_while_no_tunnel_is_read() {
    run(|bench| async move {
        let (tunnels, mut raw) = begin(&bench, Cut::Whole).await;
        let (_opened, _) = open(&tunnels, &mut raw).await;
        let asked = async {
            raw.send(&frame(PING, 0, 0, b"12345678")).await;
            raw.next_of(PING).await
        };
        let driven = tunnels.clone();
        bench.spawn(async move { driven.drive().await.unwrap_or_default() });
        let pong = asked.await;
        assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"12345678"[..]));
    });
}

#[test]
fn t20_a_silent_proxy_is_asked_and_then_given_up() {
    for answers in [true, false] {
        run(|bench| async move {
            let (tunnels, mut raw) = begin(&bench, Cut::Whole).await;
            let (mut opened, id) = open(&tunnels, &mut raw).await;
            let mut reading = Box::pin(async {
                let mut heard = [0; 10];
                opened.read_exact(&mut heard).await.map(|()| heard)
            });
            assert!((&mut reading).now_or_never().is_none());
            let before = raw.0.arriving();
            bench.clock.advance(Duration::from_secs(29));
            assert!((&mut reading).now_or_never().is_none());
            assert_eq!(raw.0.arriving(), before, "nothing is asked yet");
            bench.clock.advance(Duration::from_secs(1));
            assert!((&mut reading).now_or_never().is_none());
            let ping = raw.next_of(PING).await;
            assert_eq!(ping.flags, 0);
            if answers {
                raw.send(&frame(PING, ACK, 0, &ping.payload)).await;
                assert!((&mut reading).now_or_never().is_none());
                bench.clock.advance(Duration::from_secs(20));
                assert!((&mut reading).now_or_never().is_none());
                raw.send(&frame(DATA, 0, id, b"still here")).await;
                assert_eq!(&reading.await.unwrap(), b"still here");
            } else {
                bench.clock.advance(Duration::from_secs(9));
                assert!((&mut reading).now_or_never().is_none());
                bench.clock.advance(Duration::from_secs(1));
                let error = reading.await.unwrap_err();
                let found = Error::of(&error).unwrap();
                assert!(found.is_timeout() && error.to_string().contains("PING"), "{error}");
            }
        });
    }
}

#[test]
fn t20_without_tunnels_nobody_is_asked() {
    run(|bench| async move {
        let (tunnels, mut raw) = begin(&bench, Cut::Whole).await;
        let driven = tunnels.clone();
        bench.spawn(async move { driven.drive().await.unwrap_or_default() });
        settle().await;
        bench.clock.advance(Duration::from_secs(3600));
        settle().await;
        let (mut opened, id) = open(&tunnels, &mut raw).await;
        assert_hears(&mut opened, &mut raw, id).await;
    });
}

/// What comes of tunnels over a peer that says this first.
fn over(said: &'static [u8], cut: Cut, ends: bool, waits: Duration) -> Error {
    run(|bench| async move {
        let (carrier, mut end): (_, WireEnd) = bench.carrier(cut);
        let mut over = Box::pin(Tunnels::over(carrier));
        assert!((&mut over).now_or_never().is_none());
        end.write_all(said).await.unwrap();
        if ends {
            end.close().await.unwrap();
        }
        let ticking = async {
            settle().await;
            bench.clock.advance(waits);
            std::future::pending::<()>().await;
        };
        match futures::future::select(over, Box::pin(ticking)).await {
            futures::future::Either::Left((over, _)) => over.unwrap_err(),
            futures::future::Either::Right(_) => unreachable!(),
        }
    })
}

#[test]
fn t21_a_peer_that_speaks_something_else_is_told_apart() {
    for cut in CUTS {
        for said in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"220 hello\r\n"] {
            let error = over(said, cut, false, Duration::ZERO);
            let ErrorKind::NotSpoken(first) = error.kind() else { panic!("{error}") };
            assert!(first.len() >= 4 && said.starts_with(first), "{error}");
        }
        // An ACK is no beginning, though it is one of SETTINGS.
        let error = over(&[0, 0, 0, 4, 1, 0, 0, 0, 0], cut, false, Duration::ZERO);
        assert!(matches!(error.kind(), ErrorKind::NotSpoken(_)), "{error}");
        let error = over(b"HT", cut, true, Duration::ZERO);
        assert!(matches!(error.kind(), ErrorKind::NotSpoken(first) if first == b"HT"), "{error}");
        let error = over(b"", cut, true, Duration::ZERO);
        assert!(matches!(error.kind(), ErrorKind::Ended("its SETTINGS")), "{error}");
    }
}

#[test]
fn t21_settings_that_do_not_come_are_not_waited_for() {
    let error = over(b"", Cut::Whole, false, Duration::from_secs(10));
    assert!(error.is_timeout() && error.to_string().contains("SETTINGS"), "{error}");
    // They come, but ours are never accepted.
    run(|bench| async move {
        let (carrier, mut end) = bench.carrier(Cut::Whole);
        let (tunnels, ()) = join(Tunnels::over(carrier), async {
            end.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        })
        .await;
        let tunnels = tunnels.unwrap();
        bench.clock.advance(Duration::from_secs(9));
        settle().await;
        assert!(tunnels.is_open());
        bench.clock.advance(Duration::from_secs(1));
        let error = tunnels.drive().await.unwrap_err();
        assert!(error.is_timeout() && error.to_string().contains("acceptance"), "{error}");
    });
}

#[test]
fn t23_a_head_that_is_too_long_is_refused() {
    run(|bench| async move {
        let (tunnels, mut raw) = begin(&bench, Cut::Whole).await;
        let (mut opened, id) = open(&tunnels, &mut raw).await;
        let answered = async {
            let asked = raw.next_of(HEADERS).await;
            // `a: xxx...` of 1,000 bytes, twenty times.
            let mut head = OK.to_vec();
            for _ in 0..20 {
                head.extend([0, 1, b'a', 0x7f, 0xe9, 0x06]);
                head.extend([b'x'; 1000]);
            }
            let (first, rest) = head.split_at(16_000);
            raw.send(&frame(HEADERS, 0, asked.stream, first)).await;
            raw.send(&frame(9, END_HEADERS, asked.stream, rest)).await;
        };
        let (opened_too, ()) = join(tunnels.open(target()), answered).await;
        let error = opened_too.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Http2(_)), "{error}");
        assert_hears(&mut opened, &mut raw, id).await;
    });
}

#[test]
fn t24_floods_end_the_connection_or_wait() {
    let empty_data = |id| frame(DATA, 0, id, &[]);
    type Flood = (&'static str, fn(u32) -> Vec<u8>, bool);
    let floods: [Flood; 4] = [
        ("empty DATA", empty_data, true),
        ("PING", |_| frame(PING, 0, 0, b"12345678"), false),
        ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[]), false),
        ("WINDOW_UPDATE of 0", |id| frame(8, 0, id, &[0; 4]), true),
    ];
    for (what, flood, ends) in floods {
        run(|bench| async move {
            let (tunnels, mut raw) = begin(&bench, Cut::Whole).await;
            let (mut opened, id) = open(&tunnels, &mut raw).await;
            // Nobody reads what is answered.
            let bytes = flood(id).repeat(200_000);
            let (mut sent, mut idle) = (0, 0);
            while sent < bytes.len() && idle < 20 {
                let count = raw.0.write(&bytes[sent..]).now_or_never().map_or(0, |written| written.unwrap_or(0));
                sent += count;
                idle = if count == 0 { idle + 1 } else { 0 };
                let _ = opened.read(&mut [0; 9]).now_or_never();
            }
            println!("{what}: {sent} of {} bytes taken", bytes.len());
            if ends {
                let error = opened.read(&mut [0; 9]).await.unwrap_err();
                assert!(Error::of(&error).is_some(), "{what}: {error}");
            } else {
                assert!(sent < bytes.len() / 2, "{what}: who does not read is not answered without end");
                assert!(tunnels.is_open());
            }
        });
    }
}

#[test]
fn t24_floods_end_the_connection_through_tls_too() {
    run(|bench| async move {
        let (mut carrier, end) = bench.carrier(Cut::Whole);
        let mut far = Connection::with_timer(end, Arc::new(bench.clock.clone()));
        let (client, server) = (CONFIGURED.0.to(NAME).unwrap(), CONFIGURED.1.accept().unwrap());
        let (near_started, far_started) = join(carrier.start_tls(client), far.start_tls(server)).await;
        near_started.unwrap();
        far_started.unwrap();
        let (tunnels, raw) = join(Tunnels::over(carrier), Raw::begin(far, &[])).await;
        let (tunnels, mut raw) = (tunnels.unwrap(), raw);
        let (opened, id) = join(tunnels.open(target()), raw.grant()).await;
        let mut opened = opened.unwrap();
        let flood = frame(DATA, 0, id, &[]).repeat(10_000);
        let flooded = async {
            let _ = raw.0.write_all(&flood).await;
            let _ = raw.0.flush().await;
            raw.next_of(GO_AWAY).await
        };
        let mut nothing = [0; 9];
        let (read, going) = join(opened.read(&mut nothing), flooded).await;
        let error = read.unwrap_err();
        assert!(matches!(kind(&error), ErrorKind::Http2(_)), "{error}");
        assert_eq!(going.payload[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    });
}

/// Frames that are nearly right, in an order that is not.
#[test]
fn whatever_a_proxy_says_nobody_panics_or_waits_for_ever() {
    let (mut lost, mut alive) = (0, 0);
    for seed in 0..600 {
        let is_over = run(|bench| async move {
            let dice = &mut Dice::new(seed);
            let cut = [Cut::Whole, Cut::Random(seed)][dice.below(2)];
            let (tunnels, mut raw) = begin(&bench, cut).await;
            let (mut opened, _) = open(&tunnels, &mut raw).await;
            let mut opening = Box::pin(tunnels.open(target()));
            let _ = (&mut opening).now_or_never();
            for _ in 0..dice.below(12) {
                let payload: Vec<u8> = match dice.below(4) {
                    0 => OK.to_vec(),
                    1 => vec![0; dice.below(10)],
                    2 => vec![0, 0, 0, dice.below(12) as u8, 0, 0, 0, dice.below(14) as u8],
                    _ => (0..dice.below(60)).map(|_| dice.below(256) as u8).collect(),
                };
                let stream = [0, 1, 1, 3, 3, 2, 5][dice.below(7)];
                let kind = [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10][dice.below(13)];
                let flags = [0, 0, 1, 4, 4, 5, 8, 32, 255][dice.below(9)];
                let _ = raw.0.write_all(&frame(kind, flags, stream, &payload)).now_or_never();
                let _ = opened.read(&mut [0; 100]).now_or_never();
            }
            drop(raw);
            // With the wire gone, everybody is told.
            let _ = opening.await;
            let end = opened.read_to_end(&mut Vec::new()).await;
            assert!(tunnels.open(target()).await.is_err());
            end.is_err()
        });
        *(if is_over { &mut lost } else { &mut alive }) += 1;
    }
    println!("{lost} lost, {alive} ended");
    assert!(lost > 300 && alive > 0);
}

#[test]
fn t24_a_head_without_end_is_cut_off() {
    run(|bench| async move {
        let (tunnels, mut raw) = begin(&bench, Cut::Whole).await;
        let flood = async {
            let asked = raw.next_of(HEADERS).await;
            let mut sent = raw.0.write_all(&frame(HEADERS, 0, asked.stream, OK)).await;
            for _ in 0..100_000 {
                if sent.is_err() {
                    return;
                }
                sent = raw.0.write_all(&frame(9, 0, asked.stream, &[0, 1, b'a', 1, b'b'].repeat(100))).await;
            }
            panic!("50 megabytes of a head are taken");
        };
        let mut opening = Box::pin(tunnels.open(target()));
        let opened = futures::future::select(&mut opening, Box::pin(flood)).await;
        let error = match opened {
            futures::future::Either::Left((opened, _)) => opened.unwrap_err(),
            futures::future::Either::Right(_) => opening.await.unwrap_err(),
        };
        assert!(matches!(error.kind(), ErrorKind::Http2(_)), "{error}");
    });
}
