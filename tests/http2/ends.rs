//! How tunnels end, and how their carrier does.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use h2::Reason;
use onionskin::Connection;
use onionskin::connection::Error as ConnectionError;
use onionskin::runtime::Socket;
use onionskin::testing::Cut;
use onionskin::tunnel::http2::Tunnels;
use onionskin::tunnel::{Error, ErrorKind};

use crate::peer::{Far, Proxy};
use crate::{Bench, CONFIGURED, CUTS, NAME, hear, run, say, settle, target};

/// One more tunnel.
async fn open(tunnels: &Tunnels, proxy: &mut Proxy) -> (Connection<Socket>, Far) {
    let (opened, far) = join(tunnels.open(target()), proxy.grant()).await;
    (opened.unwrap(), far)
}

/// The control: a tunnel works both ways.
async fn assert_works(opened: &mut Connection<Socket>, far: &mut Far) {
    say(opened, b"ping").await;
    assert_eq!(far.hear(4).await, b"ping");
    far.say(b"pong");
    hear(opened, b"pong").await;
}

/// What a tunnel fails with that is read to its end.
async fn failure(opened: &mut Connection<Socket>) -> std::io::Error {
    opened.read_to_end(&mut Vec::new()).await.expect_err("this is no end")
}

#[test]
fn t6_each_direction_ends_by_itself() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
            far.say(b"all of it");
            far.end();
            let mut heard = Vec::new();
            opened.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"all of it");
            // T7: our direction ends behind what we have still to say.
            opened.write_all(b"behind their end").await.unwrap();
            opened.close().await.unwrap();
            assert_eq!(far.hear_all().await.unwrap(), b"behind their end");
        });
    }
}

#[test]
fn t6_we_end_first_and_still_hear() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
        opened.write_all(b"question").await.unwrap();
        opened.close().await.unwrap();
        assert_eq!(far.hear_all().await.unwrap(), b"question");
        far.say(b"answer");
        hear(&mut opened, b"answer").await;
        far.end();
        assert_eq!(opened.read(&mut [0; 9]).await.unwrap(), 0);
    });
}

#[test]
fn t6_an_end_with_a_reset_that_is_no_error_is_a_clean_end() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
        far.say(b"all of it");
        far.end();
        settle().await;
        far.send.send_reset(Reason::NO_ERROR);
        settle().await;
        let mut heard = Vec::new();
        opened.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"all of it");
        // The control: without the end before it, it is none.
        let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
        far.send.send_reset(Reason::NO_ERROR);
        let error = failure(&mut opened).await;
        assert!(matches!(Error::of(&error).unwrap().kind(), ErrorKind::Reset(0)), "{error}");
    });
}

#[test]
fn t8_a_reset_is_never_an_end_and_says_its_reason() {
    for (reason, name, is_safe) in [
        (Reason::CONNECT_ERROR, "CONNECT_ERROR", false),
        (Reason::REFUSED_STREAM, "REFUSED_STREAM", true),
        (Reason::CANCEL, "CANCEL", false),
        (Reason::from(77), "code 77", false),
    ] {
        for cut in CUTS {
            run(|bench| async move {
                let (tunnels, mut proxy) = bench.tunnels(cut).await;
                let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
                let (mut other, mut other_far) = open(&tunnels, &mut proxy).await;
                far.say(b"said before");
                settle().await;
                far.send.send_reset(reason);
                settle().await;
                hear(&mut opened, b"said before").await;
                let error = failure(&mut opened).await;
                let found = Error::of(&error).unwrap();
                assert_eq!(*found.kind(), ErrorKind::Reset(reason.into()));
                assert_eq!(found.is_not_processed(), is_safe);
                let text = error.to_string();
                for part in [name, "http2 proxy tcp proxy.test:443", "tcp mail.test:993"] {
                    assert!(text.contains(part), "{part}: {text}");
                }
                assert_works(&mut other, &mut other_far).await;
            });
        }
    }
}

#[test]
fn t9_who_drops_a_tunnel_cancels_it() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let (opened, mut far) = open(&tunnels, &mut proxy).await;
        let (mut other, mut other_far) = open(&tunnels, &mut proxy).await;
        drop(opened);
        assert_eq!(far.reset().await, Reason::CANCEL);
        assert_eq!(tunnels.len(), 1);
        // A tunnel that has ended both ways is not cancelled.
        other_far.end();
        other.close().await.unwrap();
        assert_eq!(other.read(&mut [0; 9]).await.unwrap(), 0);
        drop(other);
        settle().await;
        assert_eq!(other_far.hear_all().await.unwrap(), b"");
        assert!(other_far.reset().now_or_never().is_none());
        assert!(tunnels.is_empty());
    });
}

#[test]
fn t9_what_a_closed_tunnel_had_to_say_arrives_though_it_is_dropped() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
        let said = vec![7; 100_000];
        let hearing = far.hear_all();
        let saying = async {
            opened.write_all(&said).await.unwrap();
            assert!(opened.close().now_or_never().is_none(), "the peer has no room for all of it");
            assert_eq!(opened.stack().outbound_len(), 0, "the tunnel has all of it");
            drop(opened);
            while !tunnels.is_empty() {
                settle().await;
            }
        };
        let (heard, ()) = join(hearing, saying).await;
        assert_eq!(heard.unwrap().len(), said.len());
    });
}

#[test]
fn t9_who_stops_waiting_for_a_tunnel_cancels_it() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let asked = {
            let mut opening = Box::pin(tunnels.open(target()));
            assert!((&mut opening).now_or_never().is_none());
            proxy.next().await
        };
        let mut far = asked.grant();
        assert_eq!(far.reset().await, Reason::CANCEL);
        let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
        assert_works(&mut opened, &mut far).await;
    });
}

#[test]
fn t13_who_opens_waits_for_room_and_who_tries_does_not() {
    run(|bench| async move {
        let (tunnels, mut proxy) =
            bench.tunnels_with(Cut::Whole, |builder| _ = builder.max_concurrent_streams(2)).await;
        let (first, _far1) = open(&tunnels, &mut proxy).await;
        let (mut second, mut far2) = open(&tunnels, &mut proxy).await;
        let error = tunnels.try_open(target()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooManyTunnels(2), "{error}");
        assert!(error.is_not_processed());
        let mut opening = Box::pin(tunnels.open(target()));
        assert!((&mut opening).now_or_never().is_none());
        settle().await;
        assert!((&mut opening).now_or_never().is_none());
        bench.clock.advance(Duration::from_secs(25));
        drop(first);
        let (opened, mut far) = join(opening, proxy.grant()).await;
        assert_works(&mut opened.unwrap(), &mut far).await;
        assert_works(&mut second, &mut far2).await;
    });
}

#[test]
fn t14_a_proxy_that_goes_away_keeps_the_tunnels_that_there_are() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
            assert!(tunnels.is_open());
            proxy.leave();
            assert_works(&mut opened, &mut far).await;
            let error = tunnels.open(target()).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::GoingAway(0), "{error}");
            assert!(error.is_not_processed() && !tunnels.is_open());
            assert_works(&mut opened, &mut far).await;
            far.end();
            opened.close().await.unwrap();
            assert_eq!(opened.read(&mut [0; 9]).await.unwrap(), 0);
            drop((opened, far));
            tunnels.drive().await.unwrap();
        });
    }
}

#[test]
fn t15_a_proxy_that_gives_up_fails_all_tunnels_with_its_reason() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let (mut first, _far1) = open(&tunnels, &mut proxy).await;
            let (mut second, _far2) = open(&tunnels, &mut proxy).await;
            proxy.give_up(Reason::ENHANCE_YOUR_CALM);
            for opened in [&mut first, &mut second] {
                let error = failure(opened).await;
                assert_eq!(*Error::of(&error).unwrap().kind(), ErrorKind::GoingAway(11), "{error}");
                assert!(error.to_string().contains("ENHANCE_YOUR_CALM"), "{error}");
            }
            let error = tunnels.open(target()).await.unwrap_err();
            assert!(error.to_string().contains("ENHANCE_YOUR_CALM") && !error.is_not_processed(), "{error}");
            assert!(tunnels.drive().await.is_err());
        });
    }
}

#[test]
fn t25_where_the_wire_ends_no_tunnel_has_ended() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let (mut first, mut far1) = open(&tunnels, &mut proxy).await;
            let (mut second, _far2) = open(&tunnels, &mut proxy).await;
            far1.say(b"said before");
            settle().await;
            proxy.hang_up();
            hear(&mut first, b"said before").await;
            for opened in [&mut first, &mut second] {
                let error = failure(opened).await;
                assert!(matches!(Error::of(&error).unwrap().kind(), ErrorKind::Ended(_)), "{error}");
                assert!(opened.write_all(b"x").await.is_err());
            }
            assert!(tunnels.drive().await.is_err());
        });
    }
}

/// Tunnels over TLS to the proxy.
async fn over_tls(bench: &Bench, cut: Cut) -> (Tunnels, Proxy) {
    let (mut carrier, end) = bench.carrier(cut);
    let mut far = Connection::with_timer(end, Arc::new(bench.clock.clone()));
    let (client, server) = (CONFIGURED.0.to(NAME).unwrap(), CONFIGURED.1.accept().unwrap());
    let (near_started, far_started) = join(carrier.start_tls(client), far.start_tls(server)).await;
    near_started.unwrap();
    far_started.unwrap();
    let proxy = Proxy::serve(bench, far, h2::server::Builder::new());
    (Tunnels::over(carrier).await.unwrap(), proxy)
}

#[test]
fn t25_a_carrier_that_is_cut_off_shows_as_what_it_is_in_every_tunnel() {
    for cut in [Cut::Whole, Cut::Random(3)] {
        run(|bench| async move {
            let (tunnels, mut proxy) = over_tls(&bench, cut).await;
            let (mut first, mut far1) = open(&tunnels, &mut proxy).await;
            let (mut second, mut far2) = open(&tunnels, &mut proxy).await;
            assert_works(&mut first, &mut far1).await;
            assert_works(&mut second, &mut far2).await;
            // The end of the wire without a close_notify before it.
            proxy.hang_up();
            for opened in [&mut first, &mut second] {
                let error = failure(opened).await;
                let error = ConnectionError::of(&error).unwrap();
                assert!(error.is_truncated(), "{error}");
                let reason = error.reason().unwrap();
                let below = reason.below().expect("it is lost below");
                assert_eq!(below.wire_name(), Some("tcp proxy.test:443"));
                let text = error.to_string();
                assert!(text.contains("close_notify") && text.contains("http2#"), "{text}");
            }
            let error = tunnels.open(target()).await.unwrap_err();
            assert!(error.reason().unwrap().is_truncated(), "{error}");
        });
    }
}

#[test]
fn t26_tls_starts_nests_and_stops_in_a_tunnel() {
    for cut in [Cut::Whole, Cut::Random(11)] {
        run(|bench| async move {
            let (tunnels, mut proxy) = over_tls(&bench, cut).await;
            let (mut plain, mut plain_far) = open(&tunnels, &mut proxy).await;
            let (mut opened, far) = open(&tunnels, &mut proxy).await;
            // The target's end of the tunnel is a socket whose bytes the proxy passes on.
            let (there, mut near) = onionskin::testing::wire(Cut::Whole, 64 * 1024);
            let Far { mut send, mut recv } = far;
            let (mut reader, mut writer) = there.split();
            bench.spawn(async move {
                while let Some(Ok(bytes)) = recv.data().await {
                    let _ = recv.flow_control().release_capacity(bytes.len());
                    writer.write_all(&bytes).await.unwrap();
                }
            });
            bench.spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                    send.send_data(bytes::Bytes::copy_from_slice(&buffer[..count]), false).unwrap();
                }
            });
            let clock = Arc::new(bench.clock.clone());
            let mut target = Connection::with_timer(&mut near, clock);
            for round in 0..2 {
                for _ in 0..2 {
                    let (client, server) = (CONFIGURED.0.to(NAME).unwrap(), CONFIGURED.1.accept().unwrap());
                    let (near, far) = join(opened.start_tls(client), target.start_tls(server)).await;
                    near.unwrap();
                    far.unwrap();
                }
                assert_eq!(opened.depth(), 2);
                opened.write_all(b"secret").await.unwrap();
                let mut heard = [0; 6];
                target.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"secret");
                for _ in 0..2 {
                    let (near, far) = join(opened.stop_tls(), target.stop_tls()).await;
                    near.unwrap();
                    far.unwrap();
                }
                assert_eq!(opened.depth(), 0, "round {round}");
                assert_works(&mut plain, &mut plain_far).await;
            }
            target.write_all(b"in clear").await.unwrap();
            hear(&mut opened, b"in clear").await;
        });
    }
}

#[test]
fn t26_a_drawing_shows_all_layers_from_the_wire_inwards() {
    run(|bench| async move {
        let (tunnels, mut proxy) = over_tls(&bench, Cut::Whole).await;
        let (opened, _far) = open(&tunnels, &mut proxy).await;
        let line = opened.to_string();
        assert!(line.contains("mail.test:993") && line.contains("http2#1") && line.contains("tls"), "{line}");
        let [hop] = opened.route() else { panic!() };
        assert_eq!(hop.tls.len(), 1, "TLS that ends at the proxy");
        assert_eq!(format!("{tunnels:?}").lines().count(), 1);
    });
}

#[test]
fn t27_with_the_last_tunnel_and_the_last_handle_goes_the_connection() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let clone = tunnels.clone();
            let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
            drop(tunnels);
            assert_works(&mut opened, &mut far).await;
            drop(clone);
            assert_works(&mut opened, &mut far).await;
            far.end();
            opened.close().await.unwrap();
            drop((opened, far));
            proxy.ended.await.unwrap().expect("GOAWAY without an error, and the end of the wire");
        });
    }
}

#[test]
fn t27_a_shutdown_goes_from_the_inside_out() {
    for cut in [Cut::Whole, Cut::Random(5)] {
        run(|bench| async move {
            let (tunnels, mut proxy) = over_tls(&bench, cut).await;
            let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
            let mut shutting_down = Box::pin(tunnels.clone().shutdown());
            assert!((&mut shutting_down).now_or_never().is_none());
            let error = tunnels.open(target()).await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::GoingAway(0));
            assert_works(&mut opened, &mut far).await;
            drop((opened, far));
            let (done, ended) = join(shutting_down, proxy.ended).await;
            done.unwrap();
            // Without a close_notify the proxy's reads would have failed.
            ended.unwrap().unwrap();
        });
    }
}

/// A tunnel that is over on both sides and was read keeps nobody waiting, whoever still has it; and who waits for one that is not
/// over sleeps meanwhile.
#[test]
fn t27_a_shutdown_waits_for_what_is_not_over_and_for_nothing_else() {
    for cut in [Cut::Whole, Cut::Random(5)] {
        run(|bench| async move {
            let (tunnels, mut proxy) = over_tls(&bench, cut).await;
            let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
            let (waker, woken) = noting_waker();
            let mut shutting_down = Box::pin(tunnels.shutdown());
            // What there is to be said leaves in a few polls, and then it is for the tunnel to go on.
            let mut polls = 0;
            loop {
                woken.store(false, Ordering::SeqCst);
                assert!(shutting_down.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                polls += 1;
                if !woken.load(Ordering::SeqCst) {
                    break;
                }
                assert!(polls < 100, "it wakes itself for ever");
            }
            assert_works(&mut opened, &mut far).await;
            opened.close().await.unwrap();
            far.end();
            opened.read_to_end(&mut Vec::new()).await.unwrap();
            let (done, ended) = join(shutting_down, proxy.ended).await;
            done.unwrap();
            ended.unwrap().unwrap();
            drop((opened, far));
        });
    }
}

/// A waker that notes whether it was woken.
fn noting_waker() -> (Waker, Arc<AtomicBool>) {
    struct Noting(Arc<AtomicBool>);

    impl Wake for Noting {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let woken = Arc::<AtomicBool>::default();
    (Waker::from(Arc::new(Noting(Arc::clone(&woken)))), woken)
}
