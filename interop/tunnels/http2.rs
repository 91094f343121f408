//! Our client, and many tunnels at a time on one connection to a proxy of somebody else.

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt, join};
use onionskin::runtime::{Address, Socket};
use onionskin::tunnel::http2::Tunnels;
use onionskin::tunnel::{Answer, ErrorKind, TunnelProtocol};

use super::asks::{fetched, reach, to_proxy};
use super::origin::{GREETING, Origin};
use crate::Case;
use crate::bench::{Bench, run};
use crate::servers::Server;
use crate::servers::apache::APACHE;
use crate::servers::nghttpx::NGHTTPX;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (server, service, tls) in
        [(&APACHE, "http", false), (&APACHE, "https", true), (&NGHTTPX, "h2c", false), (&NGHTTPX, "https", true)]
    {
        let mut add = |what: &str, run: fn(&Bench, &str)| {
            let below = if tls { "over TLS" } else { "in clear" };
            let name = format!("our HTTP/2 tunnels through {}: {below}, {what}", server.name);
            let case = Case::new(name, move |bench| run(bench, &proxy(bench, server, service, tls)));
            cases.push(case.talks_to(&[server]));
        };
        add("ten pages at a time", fetches_ten_at_a_time);
        add("a refusal leaves the others alone", is_refused);
        add("what nobody reads holds up nobody", transfers_beside_one_that_is_not_read);
    }
    cases
}

fn proxy(bench: &Bench, server: &'static Server, service: &str, tls: bool) -> String {
    let tls = if tls { to_proxy(bench) + ":alpn=h2" } else { String::new() };
    format!("tcp:{}{tls}", bench.server(server).address(service))
}

async fn tunnels(proxy: &str) -> Tunnels {
    let conn = reach(proxy).await.unwrap_or_else(|error| panic!("{error}"));
    Tunnels::over(conn).await.unwrap_or_else(|error| panic!("{error}"))
}

fn fetches_ten_at_a_time(bench: &Bench, proxy: &str) {
    let origin = Origin::web(bench);
    let client = bench.authority().client(crate::common::BOTH);
    run(async {
        let tunnels = tunnels(proxy).await;
        let fetch = async || {
            let mut tunnel = tunnels.open(address(&origin.by_name())).await.unwrap_or_else(|error| panic!("{error}"));
            let [hop] = tunnel.route() else { panic!("{:?}", tunnel.route()) };
            assert_eq!(hop.protocol, Some(TunnelProtocol::Http2));
            assert!(matches!(hop.answer, Some(Answer::Http { status: 200, .. })), "{:?}", hop.answer);
            tunnel.start_tls(client.to("localhost").unwrap()).await.unwrap();
            fetched(tunnel).await;
        };
        join_all((0..10).map(|_| fetch())).await;
        tunnels.shutdown().await.unwrap_or_else(|error| panic!("{error}"));
    });
}

fn is_refused(_: &Bench, proxy: &str) {
    let (origin, nobody) = (Origin::greeting(), Origin::nobody());
    run(async {
        let tunnels = tunnels(proxy).await;
        let mut tunnel = tunnels.open(address(&origin.by_address())).await.unwrap_or_else(|error| panic!("{error}"));
        echoes(&mut tunnel, true).await;
        let error = tunnels.open(address(&nobody.by_address())).await.expect_err("nobody listens");
        assert!(matches!(error.kind(), ErrorKind::Refused { code: 503, .. }), "{:?}: {error}", error.kind());
        echoes(&mut tunnel, false).await;
        let mut tunnel = tunnels.open(address(&origin.by_address())).await.unwrap_or_else(|error| panic!("{error}"));
        echoes(&mut tunnel, true).await;
    });
}

async fn echoes(tunnel: &mut onionskin::Connection<Socket>, greeted: bool) {
    if greeted {
        assert_eq!(tunnel.read_line().await.unwrap().as_deref(), Some(GREETING.trim_end().as_bytes()));
    }
    tunnel.write_line("peel me").await.unwrap();
    assert_eq!(tunnel.read_line().await.unwrap().as_deref(), Some(&b"peel me"[..]));
}

fn transfers_beside_one_that_is_not_read(_: &Bench, proxy: &str) {
    let origin = Origin::greeting();
    let sent: Vec<u8> = (0..500_000_u32).map(|n| if n % 100 == 99 { b'\n' } else { b'a' + (n % 23) as u8 }).collect();
    run(async {
        let tunnels = tunnels(proxy).await;
        let open = async || tunnels.open(address(&origin.by_address())).await.unwrap_or_else(|error| panic!("{error}"));
        let (mut unread, mut read) = (open().await, open().await);
        unread.write_all(&sent[..20_000]).await.unwrap();
        unread.flush().await.unwrap();
        assert_eq!(read.read_line().await.unwrap().as_deref(), Some(GREETING.trim_end().as_bytes()));
        let (mut reader, mut writer) = read.split();
        let mut received = vec![0; sent.len()];
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.flush().await.unwrap();
        };
        let ((), came) = join!(write, reader.read_exact(&mut received));
        came.unwrap();
        assert!(received == sent, "what came is not what was sent");
        let mut late = vec![0; GREETING.len() + 20_000];
        unread.read_exact(&mut late).await.unwrap();
        assert!(late[GREETING.len()..] == sent[..20_000], "what came is not what was sent");
    });
}

pub(super) fn address(target: &str) -> Address {
    let (host, port) = target.rsplit_once(':').expect("a target has a port");
    Address::to_host(host, port.parse().expect("it is one")).expect("it is a host")
}
