//! HTTP/2 on the port of all languages.

use std::sync::Arc;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tls::{TlsClient, TlsServer};
use onionskin::tunnel::http2::{self, Tunnels};
use onionskin::tunnel::{Accepted, Acceptor, Credentials, ErrorKind, Grant, Pending, Reason, TunnelProtocol};

use crate::common::Authority;
use crate::executor::both;

const CUTS: [Cut; 3] = [Cut::Whole, Cut::Bytes, Cut::Pieces(9)];

fn pair(cut: Cut) -> (Connection<Socket>, Connection<Socket>) {
    let clock = Clock::new();
    let (left, right) = wire(cut, 1 << 16);
    let address = || Address::Unix(None);
    let [left, right] =
        [left, right].map(|end| Connection::over(Socket::new(end, address(), address()), Arc::new(clock.clone())));
    (left, right)
}

fn target(name: &str) -> Address {
    Address::to_host(name, 443).unwrap()
}

/// Grants the tunnel to `a.example` and answers a line in it, and refuses that to any other.
async fn serve(accepted: Accepted) -> Vec<(String, Option<String>)> {
    let Accepted::Many(mut tunnels) = accepted else { panic!("many tunnels") };
    let mut asked = Vec::new();
    while let Some(pending) = tunnels.next().await {
        let mut pending = Pending::from(pending);
        let request = pending.request().clone();
        assert_eq!(request.protocol, TunnelProtocol::Http2);
        asked.push((request.target.to_string(), request.user));
        pending.during(futures::future::ready(())).await.unwrap();
        if request.target != target("a.example") {
            pending.refuse(Reason::Denied).await.unwrap();
            continue;
        }
        let mut tunnel = pending.grant(Grant::default()).await.unwrap();
        let line = tunnel.read_line().await.unwrap().unwrap();
        tunnel.write_line(line).await.unwrap();
        tunnel.close().await.unwrap();
        tunnel.read_to_end(&mut Vec::new()).await.unwrap();
    }
    asked
}

/// Opens both, and says a line in the one that there is.
async fn ask(connection: Connection<Socket>, credentials: Option<Credentials>) {
    let tunnels = Tunnels::over(connection).await.unwrap();
    let connect = |name| {
        let connect = http2::Connect::new(target(name));
        match &credentials {
            Some(credentials) => connect.credentials(credentials.clone()),
            None => connect,
        }
    };
    let mut tunnel = tunnels.open(connect("a.example")).await.unwrap();
    tunnel.write_line("hello").await.unwrap();
    assert_eq!(tunnel.read_line().await.unwrap().unwrap(), b"hello");
    tunnel.close().await.unwrap();
    tunnel.read_to_end(&mut Vec::new()).await.unwrap();
    let error = tunnels.open(connect("b.example")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused { code: 403, .. }), "{error}");
    assert_eq!(error.proxy_status()[0].error(), Some("http_request_denied"));
    drop(tunnels);
}

#[test]
fn k12_http2_is_told_by_its_preface_and_by_what_tls_has_agreed_on() {
    let authority = Authority::new();
    let client = TlsClient::builder(authority.roots()).alpn([b"h2"]).build().unwrap();
    let server = TlsServer::builder(authority.identity("proxy.example")).alpn([b"h2"]).build().unwrap();
    for cut in CUTS {
        for is_in_tls in [false, true] {
            let (mut left, mut right) = pair(cut);
            let dials = async {
                if is_in_tls {
                    left.start_tls(client.to("proxy.example").unwrap()).await.unwrap();
                }
                ask(left, None).await;
            };
            let serves = async {
                if is_in_tls {
                    right.start_tls(server.accept().unwrap()).await.unwrap();
                }
                serve(Acceptor::new().accept(right).await.unwrap()).await
            };
            let ((), asked) = both(dials, serves);
            let targets: Vec<_> = asked.iter().map(|(target, _)| &target[..]).collect();
            assert_eq!(targets, ["tcp a.example:443", "tcp b.example:443"], "{cut:?} {is_in_tls}");
        }
    }
}

#[test]
fn s4_users_log_in_over_http2_as_over_the_others() {
    let acceptor = Acceptor::new().authenticating("onion", |credentials: Credentials| async move {
        credentials.user() == "onion" && credentials.password() == b"peel"
    });
    let (left, right) = pair(Cut::Whole);
    let onion = Credentials::new("onion", "peel").unwrap();
    let ((), asked) = both(ask(left, Some(onion)), async { serve(acceptor.accept(right).await.unwrap()).await });
    assert!(asked.len() == 2 && asked.iter().all(|(_, user)| user.as_deref() == Some("onion")), "{asked:?}");
    // Without, nobody is asked for anything.
    let (left, right) = pair(Cut::Whole);
    let dials = async {
        let tunnels = Tunnels::over(left).await.unwrap();
        let error = tunnels.open(target("a.example")).await.unwrap_err();
        drop(tunnels);
        error
    };
    let (error, asked) = both(dials, async { serve(acceptor.accept(right).await.unwrap()).await });
    assert!(matches!(error.kind(), ErrorKind::AuthRequired(challenges) if challenges.basic().is_some()), "{error}");
    assert_eq!(asked, []);
}

#[test]
fn k12_http2_that_is_not_spoken_is_named() {
    let (left, right) = pair(Cut::Bytes);
    let accepts = async { Acceptor::new().only([TunnelProtocol::Http1]).accept(right).await };
    let (_, accepted) = both(Tunnels::over(left), accepts);
    let error = accepted.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported(what) if what.contains("http2")), "{error}");
}
