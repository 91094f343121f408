//! Three proxies in a row, each of another kind, with TLS to some of them and to the origin.

use onionskin::tunnel::TunnelProtocol;

use super::asks::{connect, fetch, to_origin, to_proxy};
use super::origin::Origin;
use crate::Case;
use crate::bench::Bench;
use crate::servers::Server;
use crate::servers::apache::APACHE;
use crate::servers::dante::DANTE;
use crate::servers::microsocks::MICROSOCKS;
use crate::servers::openssh::OPENSSH;
use crate::servers::privoxy::PRIVOXY;
use crate::servers::squid::SQUID;
use crate::servers::tinyproxy::TINYPROXY;

pub(crate) fn cases() -> Vec<Case> {
    let case = |chain: &'static [Link; 3]| {
        let names = chain.each_ref().map(|link| link.server.name);
        let run = move |bench: &Bench| passes(bench, chain);
        Case::new(format!("our client through three: {}", names.join(", ")), run)
            .talks_to(&chain.each_ref().map(|link| link.server))
    };
    CHAINS.iter().map(case).collect()
}

/// A proxy of a chain, and what it is asked with.
struct Link {
    server: &'static Server,
    service: &'static str,
    tls: bool,
    step: &'static str,
    protocol: TunnelProtocol,
}

fn passes(bench: &Bench, chain: &[Link]) {
    let origin = Origin::web(bench);
    let addresses = chain.iter().map(|link| bench.server(link.server).address(link.service));
    let mut targets: Vec<String> = addresses.collect();
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
    assert_eq!(conn.layers().tls().count(), 1 + chain.iter().filter(|link| link.tls).count());
    fetch(conn);
}

const fn http(server: &'static Server) -> Link {
    Link { server, service: "http", tls: false, step: "connect", protocol: TunnelProtocol::Http1 }
}

const fn https(server: &'static Server) -> Link {
    Link { service: "https", tls: true, ..http(server) }
}

const fn socks5(server: &'static Server) -> Link {
    Link { server, service: "socks", tls: false, step: "socks5", protocol: TunnelProtocol::Socks5 }
}

const fn socks4a(server: &'static Server) -> Link {
    Link { step: "socks4a", protocol: TunnelProtocol::Socks4a, ..socks5(server) }
}

const CHAINS: &[[Link; 3]] = &[
    [https(&SQUID), socks5(&MICROSOCKS), http(&TINYPROXY)],
    [socks5(&DANTE), https(&SQUID), socks4a(&OPENSSH)],
    [socks4a(&OPENSSH), http(&PRIVOXY), https(&SQUID)],
    [http(&APACHE), http(&SQUID), socks5(&DANTE)],
];
