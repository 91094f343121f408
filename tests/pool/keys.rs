//! Who shares connections with whom: only equals.

use std::collections::HashSet;

use futures::StreamExt;
use onionskin::connection::Addresses;
use onionskin::endpoint::Endpoint;
use onionskin::pool::{Dismissal, Key, Limits};
use onionskin::runtime::Address;

use crate::{Files, Origin, both, idle, on_every_runtime, pool, talk};

/// Endpoints that differ from the first one, and from each other, in one thing.
const ENDPOINTS: [&str; 36] = [
    "tcp:a.example:1+tls+connect:b.example:2+tls",
    "tcp:b.example:1+tls+connect:b.example:2+tls",
    "tcp:a.example:2+tls+connect:b.example:2+tls",
    "tcp:a.example:1:timeout=7+tls+connect:b.example:2+tls",
    "tcp:a.example:1:keepalive=7+tls+connect:b.example:2+tls",
    "tcp:a.example:1:idle=7+tls+connect:b.example:2+tls",
    "tcp:a.example:1:half-open=7+tls+connect:b.example:2+tls",
    "unix:/a+tls+connect:b.example:2+tls",
    "tcp:a.example:1+connect:b.example:2+tls",
    "tcp:a.example:1+tls+tls+connect:b.example:2+tls",
    "tcp:a.example:1+tls:sni=c.example+connect:b.example:2+tls",
    "tcp:a.example:1+tls:ca=ca.pem+connect:b.example:2+tls",
    "tcp:a.example:1+tls:ca=cb.pem+connect:b.example:2+tls",
    "tcp:a.example:1+tls:roots=webpki+connect:b.example:2+tls",
    "tcp:a.example:1+tls:insecure=yes+connect:b.example:2+tls",
    "tcp:a.example:1+tls:cert=c.pem:key=c.key+connect:b.example:2+tls",
    "tcp:a.example:1+tls:cert=d.pem:key=c.key+connect:b.example:2+tls",
    "tcp:a.example:1+tls:alpn=h2+connect:b.example:2+tls",
    "tcp:a.example:1+tls:alpn=h2,http/1.1+connect:b.example:2+tls",
    "tcp:a.example:1+tls:min=1.3+connect:b.example:2+tls",
    "tcp:a.example:1+tls:max=1.2+connect:b.example:2+tls",
    "tcp:a.example:1+tls+connect:c.example:2+tls",
    "tcp:a.example:1+tls+connect:b.example:3+tls",
    "tcp:a.example:1+tls+connect:b.example:2:version=1+tls",
    "tcp:a.example:1+tls+connect:b.example:2:version=2+tls",
    "tcp:a.example:1+tls+connect:b.example:2:header=A=b+tls",
    "tcp:a.example:1+tls+connect:b.example:2:header=A=c+tls",
    "tcp:a.example:1+tls+connect:b.example:2:user=u:password-file=p+tls",
    "tcp:a.example:1+tls+connect:b.example:2:user=u:password-file=q+tls",
    "tcp:a.example:1+tls+socks5:b.example:2+tls",
    "tcp:a.example:1+tls+socks5:b.example:2:dns=local+tls",
    "tcp:a.example:1+tls+socks4a:b.example:2:user=u+tls",
    "tcp:a.example:1+tls+connect:b.example:2",
    "tcp:a.example:1+proxy-header:version=2+tls+connect:b.example:2+tls",
    "tcp:a.example:1+tls+connect:b.example:2+starttls:smtp",
    "tcp:a.example:1+tls+connect:b.example:2+tls:sni=b.example",
];

/// Steps, and what each of their keys may be beside nothing.
const OPTIONS: [(&str, &str); 7] = [
    (
        "tcp:a.example:1",
        "bind=127.0.0.1 bind=127.0.0.2 bind-ports=1-2 bind-ports=1-3 user-timeout=7 user-timeout=8 receive-buffer=4096 \
         receive-buffer=8192 send-buffer=4096 send-buffer=8192 dscp=1 dscp=2 fast-open=yes reuse-port=yes timeout=7 timeout=none \
         keepalive=7 keepalive=off keepalive-interval=7 keepalive-interval=8 keepalive-count=7 keepalive-count=8 idle=7 half-open=7",
    ),
    (
        "tcp:b.example:1+tls",
        "sni=c.example sni=d.example ca=a.pem ca=b.pem roots=webpki insecure=yes cert=a.pem:key=a.key cert=a.pem:key=b.key \
         ocsp=a.der ocsp=b.der second-cert=a.pem:second-key=a.key second-cert=a.pem:second-key=b.key second-ocsp=a.der \
         alpn=a alpn=b alpn=a,b alpn=b,a min=1.2 min=1.3 max=1.2 max=1.3 groups=X25519 groups=secp256r1 \
         groups=X25519,secp256r1 groups=secp256r1,X25519 shares=1 shares=2 suites=TLS_AES_128_GCM_SHA256 \
         suites=TLS_AES_256_GCM_SHA384 resumption=off ticket-keys=a ticket-keys=b client-ca=a.pem client-ca=b.pem \
         client-auth=ask client-auth=demand keylog=yes verify=name verify=chain verify=pin names=c.example names=d.example \
         names=c.example,d.example pin=ONE pin=TWO pin=ONE,TWO crl=a.pem crl=b.pem crl=a.pem:crl=b.pem crl-unknown=accept \
         crl-expired=accept handshake-timeout=7 handshake-timeout=8 for=c.example:cert=a.pem:key=a.key \
         for=d.example:cert=a.pem:key=a.key for=c.example:client-ca=a.pem for=c.example:crl=a.pem",
    ),
    (
        "tcp:a.example:1+connect:b.example:2",
        "version=1 version=2 user=u:password-file=p user=v:password-file=p user=u:password-file=q header=A=b header=A=c \
         timeout=7 timeout=none",
    ),
    (
        "tcp:a.example:1+socks5:b.example:2",
        "dns=local user=u:password-file=p user=v:password-file=p user=u:password-file=q timeout=7 timeout=none",
    ),
    ("tcp:a.example:1+socks4a:b.example:2", "user=u user=v timeout=7 timeout=none"),
    ("tcp:a.example:1+proxy-header", "version=1 version=2 local=yes optional=yes"),
    ("tcp:a.example:1+starttls:smtp", "name=c.example name=d.example opportunistic=yes"),
];

/// What a key of the strings is called, wherever one is read.
fn keys_that_are_read() -> HashSet<&'static str> {
    const SOURCES: [&str; 7] = [
        include_str!("../../src/endpoint/named.rs"),
        include_str!("../../src/endpoint/proxy_header.rs"),
        include_str!("../../src/endpoint/sockets.rs"),
        include_str!("../../src/endpoint/starttls.rs"),
        include_str!("../../src/endpoint/step.rs"),
        include_str!("../../src/endpoint/transport.rs"),
        include_str!("../../src/endpoint/tunnel.rs"),
    ];
    let reads = SOURCES.iter().flat_map(|source| source.split("arguments.key").skip(1));
    let names = reads.filter_map(|read| read.trim_start_matches('s').strip_prefix("(\"")?.split('"').next());
    names.collect()
}

/// Two ways that differ in one key never share, and no key is left out of this.
#[test]
fn p9_each_key_of_each_step_is_in_the_key() {
    let mut keys = HashSet::new();
    let mut missing = keys_that_are_read();
    assert!(missing.len() > 40 && missing.contains("pin") && missing.contains("dscp"), "{missing:?}");
    for (step, options) in OPTIONS {
        assert!(keys.insert(Key::new(step.parse().unwrap())), "{step}");
        let options = options.replace("ONE", &"1".repeat(64)).replace("TWO", &"2".repeat(64));
        for option in options.split_whitespace() {
            let endpoint: Endpoint = format!("{step}:{option}").parse().unwrap_or_else(|error| panic!("{error}"));
            let key = Key::new(endpoint);
            assert!(keys.insert(key.clone()), "{step}:{option} was there before");
            assert!(!keys.insert(key), "{step}:{option} is not equal to itself");
            for one in option.split(':') {
                missing.remove(one.split('=').next().unwrap());
            }
        }
    }
    assert!(missing.is_empty(), "no endpoint has {missing:?}");
}

#[test]
fn p9_any_one_option_that_differs_makes_another_key() {
    let mut keys = HashSet::new();
    for endpoint in ENDPOINTS {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let key = || Key::new(endpoint.clone());
        let client = |port: u16| {
            Addresses::new(
                Some(Address::Tcp(([127, 0, 0, 1], 1).into())),
                Some(Address::Tcp(([192, 0, 2, 1], port).into())),
            )
        };
        let variants = [
            key(),
            key().in_group("a"),
            key().in_group("b"),
            key().to(Address::to_host("c.example", 3).unwrap()),
            key().to(Address::to_host("c.example", 4).unwrap()),
            key().on_behalf_of(client(1)),
            key().on_behalf_of(client(2)),
        ];
        for variant in variants {
            assert!(keys.insert(variant.clone()), "{variant} was there before");
            assert!(!keys.insert(variant.clone()), "{variant} is not equal to itself");
        }
    }
    assert_eq!(keys.len(), ENDPOINTS.len() * 7);
}

#[test]
fn p9_no_connection_comes_to_who_has_asked_for_another() {
    on_every_runtime(async |runtime| {
        let files = Files::new("keys");
        let server = format!("{}:alpn=a,b", files.server_step("outer.example"));
        let mut origin = Origin::new(runtime, &server).await;
        let (pool, _) = pool(runtime, Limits::default());
        let tls = files.client_step("outer.example");
        std::fs::copy(files.path("ca.pem"), files.path("same-ca.pem")).unwrap();
        let same_ca = tls.replace("ca.pem", "same-ca.pem");
        let variants = [
            Key::new(origin.endpoint(&tls)),
            Key::new(origin.endpoint(&tls)).in_group("tenant"),
            Key::new(origin.endpoint(&same_ca)),
            Key::new(origin.endpoint(&format!("{tls}:alpn=a"))),
            Key::new(origin.endpoint(&format!("{tls}:alpn=b"))),
            Key::new(origin.endpoint(&format!("{tls}:min=1.3"))),
            Key::new(origin.endpoint(&format!(":keepalive=50{tls}"))),
        ];
        let mut servers = Vec::new();
        for key in &variants {
            servers.push(idle(&pool.peer(key.clone()).unwrap(), &mut origin).await);
        }
        assert!(!origin.has_more());
        assert_eq!((pool.statistics().opened, pool.statistics().reused), (7, 0));
        // And each has its own again, whoever asks in whatever order.
        for (key, server) in variants.iter().zip(&mut servers).rev() {
            let mut client = pool.peer(key.clone()).unwrap().take().await.unwrap();
            assert_eq!(client.key(), key);
            talk(&mut client, server).await;
            client.give_back();
        }
        assert_eq!((pool.statistics().opened, pool.statistics().reused), (7, 7));
    });
}

#[test]
fn files_that_are_read_again_end_what_was_opened_by_the_old_ones() {
    on_every_runtime(async |runtime| {
        let files = Files::new("reload");
        let mut origin = Origin::new(runtime, &files.server_step("outer.example")).await;
        let (pool, mut dismissals) = pool(runtime, Limits::default());
        let peer = pool.peer(origin.endpoint(&files.client_step("outer.example"))).unwrap();
        let (in_use, _server) = both(&peer, &mut origin).await;
        let _server = idle(&peer, &mut origin).await;

        // A file that is wrong changes nothing about what is trusted, but old connections end all the same.
        let ca = std::fs::read(files.path("ca.pem")).unwrap();
        std::fs::write(files.path("ca.pem"), b"nothing").unwrap();
        pool.reload().await.unwrap_err();
        assert_eq!(dismissals.next().await, Some(Dismissal::Outdated));
        in_use.give_back();
        assert_eq!(dismissals.next().await, Some(Dismissal::Outdated));
        let _server = idle(&peer, &mut origin).await;

        // Another authority: whoever was trusted is not any more.
        files.renew();
        pool.reload().await.unwrap();
        assert_eq!(dismissals.next().await, Some(Dismissal::Outdated));
        let refused = peer.take().await.unwrap_err();
        assert!(refused.open_error().unwrap().connection_error().unwrap().is_certificate(), "{refused}");
        std::fs::write(files.path("ca.pem"), ca).unwrap();
        pool.reload().await.unwrap();
        let _server = idle(&peer, &mut origin).await;
    });
}
