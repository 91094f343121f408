//! Steps through proxies of our own: every language through every other, with TLS and without, and with a password.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use onionskin::endpoint::{Listener, OpenErrorKind};
use onionskin::runtime::{Address, Runtime};
#[cfg(feature = "http2")]
use onionskin::tunnel::http2::PendingTunnels;
use onionskin::tunnel::{Accepted, Acceptor, ErrorKind, Grant, Request, TunnelProtocol};

use crate::{Files, connect, on_every_runtime, origin};

/// Reaches any port of this machine, by any name, for ever. Returns its port, and what it was asked.
async fn proxy(runtime: &'static dyn Runtime, steps: &str, acceptor: Acceptor) -> (u16, Arc<Mutex<Vec<Request>>>) {
    let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{steps}").parse().unwrap()).await.unwrap();
    let port = listener.local_address().port().unwrap();
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let seen = Arc::clone(&asked);
    runtime.spawn(Box::pin(async move {
        loop {
            let Ok(near) = listener.accept().await.unwrap().ready().await else { continue };
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            let serving = async move {
                // Who is not let in is told so by the acceptor.
                let Ok(Accepted::One(pending)) = acceptor.accept(near).await else { return };
                let request = pending.request().clone();
                let far = SocketAddr::from(([127, 0, 0, 1], request.target.port().unwrap()));
                seen.lock().unwrap().push(request);
                let far = runtime.connect_tcp(far).await.unwrap();
                let bound = far.local_address().clone();
                if let Ok(near) = pending.grant(Grant::bound_to(bound)).await {
                    drop(near.bridge(far).await);
                }
            };
            runtime.spawn(serving.boxed());
        }
    }));
    (port, asked)
}

/// The same for clients that speak HTTP/2.
#[cfg(feature = "http2")]
async fn http2_proxy(runtime: &'static dyn Runtime, steps: &str) -> u16 {
    let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{steps}").parse().unwrap()).await.unwrap();
    let port = listener.local_address().port().unwrap();
    runtime.spawn(Box::pin(async move {
        loop {
            let Ok(near) = listener.accept().await.unwrap().ready().await else { continue };
            let serving = async move {
                let mut tunnels = PendingTunnels::over(near);
                while let Some(pending) = tunnels.next().await {
                    let far = SocketAddr::from(([127, 0, 0, 1], pending.request().target.port().unwrap()));
                    let joining = async move {
                        let far = runtime.connect_tcp(far).await.unwrap();
                        if let Ok(near) = pending.grant(Grant::default()).await {
                            drop(near.bridge(far).await);
                        }
                    };
                    runtime.spawn(joining.boxed());
                }
            };
            runtime.spawn(serving.boxed());
        }
    }));
    port
}

const LANGUAGES: &[(&str, &str, TunnelProtocol)] = &[
    ("connect", "", TunnelProtocol::Http1),
    ("socks5", "", TunnelProtocol::Socks5),
    ("socks4a", "", TunnelProtocol::Socks4a),
    #[cfg(feature = "http2")]
    ("connect", ":version=2", TunnelProtocol::Http2),
];

#[test]
fn every_language_leads_through_every_other() {
    let files = Files::new("own-proxy");
    let ca = files.ca();
    on_every_runtime(async |runtime| {
        let far = origin(runtime, &format!("+tls:{}", files.identity("inner.example"))).await.port();
        let identity = files.identity("outer.example");
        let (clear, _) = proxy(runtime, "", Acceptor::new()).await;
        let (encrypted, _) = proxy(runtime, &format!("+tls:{identity}"), Acceptor::new()).await;
        let tls = format!("+tls:sni=outer.example:{ca}");
        let places = [(clear, String::new()), (encrypted, tls.clone())];
        #[cfg(feature = "http2")]
        let (clear, encrypted) =
            (http2_proxy(runtime, "").await, http2_proxy(runtime, &format!("+tls:{identity}:alpn=h2")).await);
        let of_http2 = [(clear, String::new()), (encrypted, tls)];
        let places = |protocol| if protocol == TunnelProtocol::Http2 { &of_http2 } else { &places };
        for &(outer, outer_keys, outer_protocol) in LANGUAGES {
            for &(inner, inner_keys, inner_protocol) in LANGUAGES {
                for (first, first_tls) in places(outer_protocol) {
                    for (second, second_tls) in places(inner_protocol) {
                        let endpoint = format!(
                            "tcp:127.0.0.1:{first}{first_tls}+{outer}:second.example:{second}{outer_keys}{second_tls}\
                             +{inner}:inner.example:{far}{inner_keys}+tls:{ca}"
                        );
                        let conn =
                            connect(runtime, &endpoint).await.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
                        let kinds: Vec<_> = conn.route().iter().filter_map(|hop| hop.protocol).collect();
                        assert_eq!(kinds, [outer_protocol, inner_protocol], "{endpoint}");
                        let tls: Vec<_> = conn.route().iter().map(|hop| hop.tls.len()).collect();
                        assert_eq!(tls, [first_tls, second_tls].map(|tls| usize::from(!tls.is_empty())), "{endpoint}");
                        for hop in conn.route().iter().filter(|hop| hop.protocol == Some(TunnelProtocol::Socks5)) {
                            let bound = hop.answer.as_ref().unwrap().bound().unwrap().as_tcp().unwrap();
                            assert!(bound.ip().is_loopback() && bound.port() != 0, "{hop}");
                        }
                    }
                }
            }
        }
    });
}

/// A proxy that closes behind its question (407) is connected to once more, and one that is told wrong is not.
#[test]
fn a12_who_asks_is_said_in_every_language_that_has_words_for_it() {
    let files = Files::new("own-proxy-login");
    std::fs::write(files.path("right"), "peel\n").unwrap();
    std::fs::write(files.path("wrong"), "core\n").unwrap();
    on_every_runtime(async |runtime| {
        let far = origin(runtime, "").await.port();
        let check = |credentials: onionskin::tunnel::Credentials| async move {
            (credentials.user(), credentials.password()) == ("onion", b"peel")
        };
        let (port, asked) = proxy(runtime, "", Acceptor::new().authenticating("the cellar", check)).await;
        for (language, ..) in &LANGUAGES[..2] {
            let through = format!("tcp:127.0.0.1:{port}+{language}:a.example:{far}");
            let with = |file: &str| format!("{through}:user=onion:password-file={}", files.path(file));
            connect(runtime, &with("right")).await.unwrap_or_else(|error| panic!("{language}: {error}"));
            let request = asked.lock().unwrap().pop().unwrap();
            assert_eq!(request.user.as_deref(), Some("onion"));
            assert_eq!(request.target, Address::to_host("a.example", far).unwrap());
            for endpoint in [with("wrong"), through] {
                let error = connect(runtime, &endpoint).await.unwrap_err();
                let OpenErrorKind::Tunnel(hop) = error.kind() else { panic!("{error}") };
                assert!(hop.tunnel_error().unwrap().is_auth(), "{error}");
                assert!(!format!("{error:?}").contains("core"), "{error:?}");
                assert!(asked.lock().unwrap().is_empty());
            }
        }
        // SOCKS4a has a user, whom nobody checks.
        let (port, asked) = proxy(runtime, "", Acceptor::new()).await;
        connect(runtime, &format!("tcp:127.0.0.1:{port}+socks4a:a.example:{far}:user=onion")).await.unwrap();
        assert_eq!(asked.lock().unwrap().pop().unwrap().user.as_deref(), Some("onion"));
    });
}

/// What a proxy does not speak is told as that, and not waited for.
#[test]
fn h12_a_proxy_of_another_language_is_no_proxy() {
    on_every_runtime(async |runtime| {
        let (port, _) = proxy(runtime, "", Acceptor::new().only([TunnelProtocol::Socks5])).await;
        for step in ["connect", "socks4a"] {
            let error = connect(runtime, &format!("tcp:127.0.0.1:{port}+{step}:a.example:1")).await.unwrap_err();
            let OpenErrorKind::Tunnel(hop) = error.kind() else { panic!("{error}") };
            let kind = hop.tunnel_error().unwrap().kind();
            let is_told = matches!(kind, ErrorKind::Ended(_) | ErrorKind::NotSpoken(_) | ErrorKind::Refused { .. });
            assert!(is_told, "{error:?}");
        }
    });
}
