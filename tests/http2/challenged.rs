//! A proxy that wants to know who asks, and is told on another stream of the same connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::oneshot;
use futures::future::{join, ready};
use futures::io::AsyncReadExt;
use http::Response;
use onionskin::testing::Cut;
use onionskin::tunnel::http2::{Connect, PendingTunnel, PendingTunnels, Tunnels};
use onionskin::tunnel::{Challenges, Credentials, ErrorKind, Grant};

use crate::peer::{ACK, END_HEADERS, END_STREAM, HEADERS, PING, Raw, frame};
use crate::{Bench, CUTS, hear, run, say, settle, target};

fn onion(password: &str) -> Credentials {
    Credentials::new("onion", password).unwrap()
}

/// Asks with whatever is known when the proxy asks, and counts how often that is.
fn asking(known: Option<Credentials>) -> (Connect, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let connect = Connect::new(target()).asking(move |challenges: Challenges| {
        assert_eq!(challenges.basic().unwrap().realm(), Some("onions"));
        counted.fetch_add(1, Ordering::SeqCst);
        ready(known.clone())
    });
    (connect, asked)
}

/// A client of ours, and a server of ours that lets one user in and echoes; how often it has granted.
async fn ours(bench: &Bench, cut: Cut) -> (Tunnels, Arc<AtomicUsize>) {
    let (carrier, end) = bench.carrier(cut);
    let asked = PendingTunnels::over(bench.connection(end));
    let mut asked = asked.authenticating("onions", |credentials| ready(credentials == onion("peel")));
    let granted = Arc::<AtomicUsize>::default();
    let (counted, spawner) = (Arc::clone(&granted), bench.clone());
    bench.spawn(async move {
        while let Some(pending) = asked.next().await {
            counted.fetch_add(1, Ordering::SeqCst);
            assert_eq!(pending.request().user.as_deref(), Some("onion"));
            spawner.spawn(echo(pending));
        }
    });
    (Tunnels::over(carrier).await.unwrap(), granted)
}

async fn echo(pending: PendingTunnel) {
    let Ok(tunnel) = pending.grant(Grant::default()).await else { return };
    let (reader, mut writer) = tunnel.split();
    let _ = futures::io::copy(reader, &mut writer).await;
}

#[test]
fn h7_a_challenge_is_answered_once_on_another_stream_of_the_same_connection() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, granted) = ours(&bench, cut).await;
            let (connect, asked) = asking(Some(onion("peel")));
            let mut opened = tunnels.open(connect.clone()).await.unwrap();
            assert_eq!((asked.load(Ordering::SeqCst), granted.load(Ordering::SeqCst)), (1, 1));
            // There is but the one connection in this test, and the second stream of it is the tunnel.
            assert_eq!(opened.route()[0].stream, Some(3));
            say(&mut opened, b"hello").await;
            hear(&mut opened, b"hello").await;
            assert_eq!(tunnels.len(), 1, "the refusal is over");
            // Each tunnel is asked for by itself, and who tells at once is not asked.
            let other = tunnels.try_open(connect.clone()).await.unwrap();
            let told = tunnels.open(connect.credentials(onion("peel"))).await.unwrap();
            assert_eq!([&other, &told].map(|opened| opened.route()[0].stream), [Some(7), Some(9)]);
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        });
    }
}

#[test]
fn h7_a_user_that_is_not_accepted_is_not_told_again_and_the_connection_goes_on() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, granted) = ours(&bench, cut).await;
            for (password, kind) in [(Some("wrong"), "rejected"), (None, "required")] {
                let (connect, asked) = asking(password.map(onion));
                let error = tunnels.open(connect).await.unwrap_err();
                let found = match error.kind() {
                    ErrorKind::AuthRejected => "rejected",
                    ErrorKind::AuthRequired(challenges) if challenges.basic().is_some() => "required",
                    _ => panic!("{error}"),
                };
                assert_eq!((found, asked.load(Ordering::SeqCst)), (kind, 1), "{error}");
                assert!(error.is_auth() && !format!("{error:?}").contains("wrong"), "{error:?}");
            }
            // Who has said it with the first request is not asked either.
            let (connect, asked) = asking(Some(onion("peel")));
            let error = tunnels.open(connect.clone().credentials(onion("wrong"))).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::AuthRejected), "{error}");
            assert_eq!((asked.load(Ordering::SeqCst), granted.load(Ordering::SeqCst)), (0, 0));
            tunnels.open(connect).await.unwrap();
            assert_eq!((tunnels.len(), granted.load(Ordering::SeqCst)), (0, 1));
        });
    }
}

#[test]
fn h7_a_proxy_that_does_not_take_a_password_is_told_none() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let (connect, asked) = asking(Some(onion("peel")));
        for (challenge, times) in [("Negotiate, Digest realm=\"onions\"", 0), ("Basic realm=\"onions\"", 1)] {
            let answer = || Response::builder().status(407).header("proxy-authenticate", challenge).body(()).unwrap();
            let challenged = async {
                let first = proxy.next().await;
                assert!(first.request.headers().get("proxy-authorization").is_none());
                first.answer(answer()).end();
                if times == 0 {
                    return None;
                }
                let second = proxy.next().await;
                let said = second.request.headers().get("proxy-authorization").cloned();
                let far = second.grant();
                Some((said, far))
            };
            let (opened, second) = join(tunnels.open(connect.clone()), challenged).await;
            assert_eq!(asked.load(Ordering::SeqCst), times);
            match second {
                None => assert!(matches!(opened.unwrap_err().kind(), ErrorKind::AuthRequired(_))),
                Some((said, _far)) => {
                    assert_eq!(said.unwrap(), "Basic b25pb246cGVlbA==");
                    opened.unwrap();
                }
            }
        }
    });
}

/// Somebody may have to be asked, who takes their time.
#[test]
fn h7_the_connection_is_driven_while_it_is_not_known_who_asks() {
    for is_lost in [false, true] {
        run(|bench| async move {
            let (carrier, end) = bench.carrier(Cut::Whole);
            let (tunnels, raw) = join(Tunnels::over(carrier), Raw::begin(end, &[])).await;
            let (tunnels, mut raw) = (tunnels.unwrap(), raw);
            let (tell, told) = oneshot::channel::<Credentials>();
            let told = std::sync::Mutex::new(Some(told));
            let connect = Connect::new(target()).asking(move |_| {
                let told = told.lock().unwrap().take().unwrap();
                async move { told.await.ok() }
            });
            let opening = tunnels.open(connect);
            let proxy = async move {
                let asked = raw.next_of(HEADERS).await;
                let challenge = b"Basic realm=\"onions\"";
                // `:status: 407` and `proxy-authenticate`, by their names in the static table (RFC 7541, appendix A).
                let head = [&[0x08, 3][..], b"407", &[0x0f, 33, challenge.len() as u8], challenge].concat();
                raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, asked.stream, &head)).await;
                settle().await;
                raw.send(&frame(PING, 0, 0, b"anybody?")).await;
                assert_eq!(raw.next_of(PING).await.flags, ACK);
                if is_lost {
                    return Some(tell);
                }
                tell.send(onion("peel")).unwrap();
                assert_eq!(raw.grant().await, 3);
                settle().await;
                None
            };
            let (opened, _untold) = join(opening, proxy).await;
            match opened {
                Ok(opened) => assert!(!is_lost && opened.route()[0].stream == Some(3)),
                Err(error) => assert!(is_lost && matches!(error.kind(), ErrorKind::Ended(_)), "{error}"),
            }
        });
    }
}
