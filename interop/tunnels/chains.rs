//! Three proxies in a row, each of another kind, with TLS to some of them and to the origin.

use onionskin::tunnel::TunnelProtocol;

use super::asks::{connect, fetch, to_origin, to_proxy};
use super::origin::Origin;
use super::proxy::Proxy;
use crate::Case;
use crate::bench::Bench;
use crate::servers::Server;
use crate::servers::apache::APACHE;
use crate::servers::dante::DANTE;
use crate::servers::microsocks::MICROSOCKS;
use crate::servers::nghttpx::NGHTTPX;
use crate::servers::openssh::OPENSSH;
use crate::servers::privoxy::PRIVOXY;
use crate::servers::squid::SQUID;
use crate::servers::tinyproxy::TINYPROXY;

pub(crate) fn cases() -> Vec<Case> {
    let case = |chain: &'static [Link; 3]| {
        let names = chain.each_ref().map(|link| link.server.map_or("ours", |server| server.name));
        let servers: Vec<_> = chain.iter().filter_map(|link| link.server).collect();
        let name = format!("our client through three: {}", names.join(", "));
        Case::new(name, move |bench| passes(bench, chain)).talks_to(&servers)
    };
    CHAINS.iter().map(case).collect()
}

/// A proxy of a chain, and what it is asked with.
#[derive(Clone, Copy)]
struct Link {
    /// None is our `onion proxy`.
    server: Option<&'static Server>,
    service: &'static str,
    tls: bool,
    step: &'static str,
    protocol: TunnelProtocol,
}

fn passes(bench: &Bench, chain: &[Link]) {
    let origin = Origin::web(bench);
    let mut ours = Vec::new();
    let mut targets = Vec::new();
    for link in chain {
        targets.push(match link.server {
            Some(server) => bench.server(server).address(link.service),
            None => {
                let proxy = Proxy::start(bench, link.tls, &[]);
                let address = proxy.address.clone();
                ours.push(proxy);
                address
            }
        });
    }
    let mut endpoint = format!("tcp:{}", targets.remove(0));
    targets.push(origin.by_name());
    for (link, target) in chain.iter().zip(&targets) {
        if link.tls {
            endpoint += &to_proxy(bench);
        }
        endpoint += &format!("+{}:{target}", link.step);
    }
    let conn = connect(&(endpoint + &to_origin(bench))).unwrap_or_else(|error| panic!("{error}"));
    let asked: Vec<_> = conn.route().iter().map(|hop| (hop.protocol, hop.tls.len())).collect();
    let expected: Vec<_> = chain.iter().map(|link| (Some(link.protocol), usize::from(link.tls))).collect();
    assert_eq!(asked, expected);
    // A tunnel of HTTP/2 is a connection of its own, and its layers are those behind it.
    let behind = chain.iter().rev().take_while(|link| link.protocol != TunnelProtocol::Http2);
    assert_eq!(conn.layers().tls().count(), 1 + behind.filter(|link| link.tls).count());
    fetch(conn);
}

const fn http(server: &'static Server) -> Link {
    Link { server: Some(server), service: "http", tls: false, step: "connect", protocol: TunnelProtocol::Http1 }
}

const fn https(server: &'static Server) -> Link {
    Link { service: "https", tls: true, ..http(server) }
}

const fn h2(server: &'static Server) -> Link {
    Link { protocol: TunnelProtocol::Http2, ..https(server) }
}

const fn socks5(server: &'static Server) -> Link {
    Link { server: Some(server), service: "socks", tls: false, step: "socks5", protocol: TunnelProtocol::Socks5 }
}

const fn socks4a(server: &'static Server) -> Link {
    Link { step: "socks4a", protocol: TunnelProtocol::Socks4a, ..socks5(server) }
}

/// Our proxy, asked in the way of another.
const fn ours(link: Link) -> Link {
    Link { server: None, ..link }
}

const CHAINS: &[[Link; 3]] = &[
    [https(&SQUID), socks5(&MICROSOCKS), http(&TINYPROXY)],
    [socks5(&DANTE), https(&SQUID), socks4a(&OPENSSH)],
    [socks4a(&OPENSSH), http(&PRIVOXY), https(&SQUID)],
    [http(&APACHE), http(&SQUID), socks5(&DANTE)],
    [h2(&APACHE), h2(&NGHTTPX), socks5(&MICROSOCKS)],
    [socks5(&DANTE), h2(&NGHTTPX), ours(h2(&APACHE))],
    [https(&SQUID), ours(socks5(&DANTE)), http(&TINYPROXY)],
    [ours(h2(&APACHE)), socks5(&MICROSOCKS), ours(socks4a(&OPENSSH))],
    [socks4a(&OPENSSH), ours(http(&SQUID)), https(&SQUID)],
    [socks5(&DANTE), ours(h2(&APACHE)), h2(&NGHTTPX)],
    [ours(socks5(&DANTE)), ours(h2(&APACHE)), ours(http(&SQUID))],
];
