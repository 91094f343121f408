//! What the system does for sockets, read back from live ones; what cannot be had, named; and what a failure is about.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use futures::future::join;
use futures::{AsyncReadExt, AsyncWriteExt};
use onionskin::endpoint::{Connector, Endpoint, Listener, OpenError};
use onionskin::peer::{Advice, ClassKind, ConnectFault};
use onionskin::runtime::{Runtime, TcpOptions};

use crate::{Files, on_every_runtime};

/// What the system does at both ends of a connection: of the client, of the server.
async fn options(runtime: &'static dyn Runtime, client: &str, server: &str) -> [TcpOptions; 2] {
    let listener = Listener::new(runtime, &server.parse().unwrap()).await.unwrap();
    let client: Endpoint = format!("{}{client}", listener.endpoint().transport).parse().unwrap();
    let connecting = async {
        let mut conn = Connector::new(runtime, &client).unwrap().connect().await.unwrap();
        // With fast open nobody is reached before something is said.
        conn.write_all(b"a").await.unwrap();
        conn.flush().await.unwrap();
        conn
    };
    let accepting = async {
        let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
        conn.read_exact(&mut [0]).await.unwrap();
        conn
    };
    let (client, server) = join(connecting, accepting).await;
    assert_eq!(Some(client.get_ref().local_address()), server.addresses().peer.as_ref());
    [client, server].map(|conn| conn.get_ref().tcp_options().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn what_an_endpoint_asks_the_system_for_is_so_at_both_ends() {
    on_every_runtime(async |runtime| {
        let keys = ":user-timeout=7:receive-buffer=65536:send-buffer=32768:dscp=46";
        for host in ["127.0.0.1", "[::1]"] {
            let mine = if host == "[::1]" { "bind=[::1]" } else { "bind=127.0.0.9" };
            let client = format!("{keys}:{mine}:bind-ports=31000-32000:fast-open=yes");
            let server = format!("tcp:{host}:0{keys}:reuse-port=yes");
            let ends = options(runtime, &client, &server).await;
            for end in &ends {
                assert_eq!(end.user_timeout, Some(Duration::from_secs(7)), "{runtime:?} {end:?}");
                assert_eq!(end.dscp, Some(46), "{runtime:?} {end:?}");
                // Linux makes twice as much of it.
                assert_eq!((end.receive_buffer, end.send_buffer), (Some(131_072), Some(65_536)), "{runtime:?} {end:?}");
            }
            let [client, server] = ends;
            assert!(client.fast_open && !server.fast_open);
            let asked: std::net::IpAddr = mine["bind=".len()..].trim_matches(['[', ']']).parse().unwrap();
            assert_eq!(client.bind, Some(asked));
            assert!((31_000..=32_000).contains(client.bind_ports.unwrap().start()));
        }
        for end in options(runtime, "", "tcp:127.0.0.1:0").await {
            assert_eq!(
                (end.user_timeout, end.dscp, end.fast_open),
                (None, Some(0), false),
                "{runtime:?}: unless asked"
            );
        }
    });
}

#[cfg(unix)]
#[test]
fn several_listen_at_one_address_where_all_of_them_want_it() {
    on_every_runtime(async |runtime| {
        let shared = "tcp:127.0.0.1:0:reuse-port=yes".parse().unwrap();
        let first = Listener::new(runtime, &shared).await.unwrap();
        let at = first.endpoint().transport.to_string();
        let second = Listener::new(runtime, &format!("{at}:reuse-port=yes").parse().unwrap()).await.unwrap();
        assert_eq!(first.local_address(), second.local_address());
        let error = Listener::new(runtime, &at.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error.class().kind(), ClassKind::Listen(io::ErrorKind::AddrInUse)), "{error}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_local_port_that_is_taken_is_passed_over() {
    on_every_runtime(async |runtime| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = TcpListener::bind("127.0.0.8:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let to = |ports: String| {
            let endpoint = format!("tcp:{}:bind=127.0.0.8:bind-ports={ports}", server.local_addr().unwrap());
            Connector::new(runtime, &endpoint.parse().unwrap()).unwrap()
        };
        let error = to(port.to_string()).connect().await.unwrap_err();
        assert!(error.to_string().contains("none of the ports"), "{error}");
        assert!(is_local(&error), "{error}");
        assert_eq!(error.class().retry().advice, Advice::No);
        let (first, last) = (port.saturating_sub(20).max(1024), port.saturating_add(20));
        let conn = to(format!("{first}-{last}")).connect().await.unwrap();
        let chosen = conn.get_ref().local_address().port().unwrap();
        assert!((first..=last).contains(&chosen) && chosen != port, "{chosen}");
    });
}

fn is_local(error: &OpenError) -> bool {
    matches!(error.class().kind(), ClassKind::Connect { fault: ConnectFault::LocalAddress, .. })
}

#[test]
fn a_local_address_that_cannot_be_had_is_named() {
    on_every_runtime(async |runtime| {
        let fails = async |endpoint: &str| {
            Connector::new(runtime, &endpoint.parse().unwrap()).unwrap().connect().await.unwrap_err()
        };
        let error = fails("tcp:127.0.0.1:9:bind=192.0.2.1").await;
        assert!(is_local(&error) && error.to_string().contains("cannot be at 192.0.2.1:0"), "{error}");
        let error = fails("tcp:127.0.0.1:9:bind=[::1]").await;
        assert!(is_local(&error) && error.to_string().contains("they are of two families"), "{error}");
    });
}

#[test]
fn bad_values_and_keys_for_the_other_side_are_named() {
    for (text, said) in [
        ("tcp:a:1:dscp=64", "write a number from 0 to 63"),
        ("tcp:a:1:receive-buffer=0", "write bytes from 1"),
        ("tcp:a:1:send-buffer=x", "write bytes from 1"),
        ("tcp:a:1:user-timeout=0", "write seconds from 1"),
        ("tcp:a:1:bind=here", "is no IP address"),
        ("tcp:a:1:bind-ports=9-5", "write FIRST-LAST"),
        ("tcp:a:1:bind-ports=0-5", "write FIRST-LAST"),
        (r"tcp:a:1:bind-ports=\+1", "write FIRST-LAST"),
        ("tcp:a:1:fast-open=no", "write yes"),
        ("tcp:a:1:reuse-port=1", "write yes"),
        ("tcp:a:1:total-timeout=0", "whole seconds from 1"),
        ("unix:a:dscp=1", "unknown key"),
        ("unix:a:resolve-timeout=1", "unknown key"),
    ] {
        let error = text.parse::<Endpoint>().unwrap_err();
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert!(matches!(error.class().kind(), ClassKind::Configuration));
    }
    on_every_runtime(async |runtime| {
        for keys in [":bind=127.0.0.1", ":bind-ports=5-6", ":fast-open=yes", ":total-timeout=5", ":resolve-timeout=5"] {
            let error = Listener::new(runtime, &format!("tcp:127.0.0.1:0{keys}").parse().unwrap()).await.unwrap_err();
            let key = &keys[1..keys.find('=').unwrap()];
            assert!(error.is_usage() && error.to_string().contains(&format!("`{key}` is for clients")), "{error}");
        }
        let error = Connector::new(runtime, &"tcp:127.0.0.1:1:reuse-port=yes".parse().unwrap()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("`reuse-port` is for servers"), "{error}");
    });
}

#[test]
fn p7_nobody_is_there_with_the_local_end_of_the_attempt() {
    on_every_runtime(async |runtime| {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Connector::new(runtime, &format!("tcp:{closed}").parse().unwrap()).unwrap().connect().await;
        let class = error.unwrap_err().class();
        let ClassKind::Connect { fault: ConnectFault::Refused, local: Some(local), .. } = class.kind() else {
            panic!("{class:?}");
        };
        assert!(local.ip().is_loopback() && local.port() != 0 && local.port() != closed.port(), "{local}");
        assert_eq!(class.retry().advice, Advice::SafeElsewhere);
        assert!(class.to_string().contains(&format!("from {local}")), "{class}");
    });
}

#[test]
fn p7_a_proxy_that_refuses_is_named_by_its_hop() {
    on_every_runtime(async |runtime| {
        let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let endpoint = format!("{}+connect:a.test:443+tls:insecure=yes", listener.endpoint().transport);
        let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
        for (answer, name, advice) in [
            ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "tunnel", Advice::No),
            ("HTTP/1.1 200 Yes\r\n\r\nSSH-2.0-here", "not_tls", Advice::No),
            ("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "tunnel", Advice::Safe),
        ] {
            let serving = async {
                let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
                while !conn.read_line().await.unwrap().unwrap().is_empty() {}
                conn.send_all(answer.as_bytes()).await.unwrap();
                let _ = conn.read(&mut [0; 4096]).await;
            };
            let (error, ()) = join(connector.connect(), serving).await;
            let class = error.unwrap_err().class();
            assert_eq!((class.kind().name(), class.retry().advice), (name, advice), "{class}");
            // TLS with the target is no affair of the proxy.
            assert_eq!(class.hop(), (name == "tunnel").then_some(1), "{class}");
        }
    });
}

#[test]
fn p10_what_is_wrong_is_an_error_and_never_a_panic() {
    let files = Files::new("p10");
    std::fs::write(files.path("empty.pem"), "").unwrap();
    let damaged = "-----BEGIN CERTIFICATE-----\nMAUCAQAwAA==\n-----END CERTIFICATE-----\n";
    std::fs::write(files.path("damaged.pem"), damaged).unwrap();
    for text in ["tcp:a:65536", "tcp:a:x", "tcp:a:-1", "unix:@", "tcp::1"] {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
    on_every_runtime(async |runtime| {
        for file in ["empty.pem", "damaged.pem", "missing.pem"] {
            let endpoint: Endpoint = format!("tcp:127.0.0.1:1+tls:ca={}", files.path(file)).parse().unwrap();
            let error = Connector::new(runtime, &endpoint).unwrap_err();
            assert!(error.to_string().contains(file), "the file is named: {error}");
            assert!(matches!(error.class().kind(), ClassKind::Configuration), "{error}");
            assert_eq!(error.class().retry().advice, Advice::No);
        }
        let fails = async |endpoint: &str| {
            Connector::new(runtime, &endpoint.parse().unwrap()).unwrap().connect().await.unwrap_err()
        };
        let error = fails("tcp:nobody.invalid:25").await;
        assert!(matches!(error.class().kind(), ClassKind::Resolve(_)) && error.is_io(), "{error}");
        assert!(error.to_string().starts_with("cannot resolve the name in tcp:nobody.invalid:25"), "{error}");
        #[cfg(target_os = "linux")]
        {
            let class = fails(&format!("unix:@nobody-{}", std::process::id())).await.class();
            assert!(matches!(class.kind(), ClassKind::Connect { fault: ConnectFault::Refused, .. }), "{class}");
        }
    });
}
