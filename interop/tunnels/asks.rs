//! Our client asks, a proxy of somebody else answers.

use std::process::Command;

use futures::AsyncReadExt;
use onionskin::Connection;
use onionskin::connection::End;
use onionskin::endpoint::{Connector, OpenError};
use onionskin::runtime::Socket;
use onionskin::tunnel::{Answer, Error, ErrorKind, TunnelProtocol};

use super::origin::{GREETING, Origin, PAGE};
use crate::Case;
use crate::bench::{Bench, Peer, run, runtime};
use crate::servers::apache::APACHE;
use crate::servers::dante::DANTE;
use crate::servers::microsocks::{MICROSOCKS, MICROSOCKS_LOGIN};
use crate::servers::nghttpx::NGHTTPX;
use crate::servers::openssh::OPENSSH;
use crate::servers::place::Running;
use crate::servers::privoxy::PRIVOXY;
use crate::servers::squid::SQUID;
use crate::servers::stunnel::STUNNEL;
use crate::servers::tinyproxy::TINYPROXY;
use crate::servers::tor::TOR;
use crate::servers::{NAME, PASSWORD, Server, USER};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in WAYS {
        cases.push(way.case("a page over TLS", move |bench, running| way.fetches(bench, running)));
        cases.push(way.case("a greeting in clear", move |bench, running| way.hears_a_greeting(bench, running)));
        cases.push(way.case("nobody is there", move |bench, running| way.is_refused(bench, running)));
    }
    cases.extend(log_ins());
    cases.extend(refusals());
    cases.extend(COMMANDS.iter().map(|way| {
        way.case("`onion connect --raw`", move |bench, running| {
            let origin = Origin::greeting();
            let endpoint = way.endpoint(bench, running, &origin.by_name());
            let mut onion = Command::new(env!("CARGO_BIN_EXE_onion"));
            let mut onion = Peer::start(onion.args(["connect", "--raw", "--half-close", &endpoint]));
            onion.expect(GREETING.trim_end());
            onion.say("peel me\n");
            onion.expect("peel me");
        })
    }));
    cases
}

/// A proxy, and how it is asked.
struct Way {
    server: &'static Server,
    service: &'static str,
    /// Whether there is TLS to the proxy.
    tls: bool,
    /// `connect`, `socks5` or `socks4a`.
    step: &'static str,
    protocol: TunnelProtocol,
    /// In the kind of error with which the proxy says that nobody listens there.
    refusal: &'static str,
}

impl Way {
    fn case(&'static self, what: &str, run: impl FnOnce(&Bench, &Running) + Send + 'static) -> Case {
        let tls = if self.tls { " behind TLS" } else { "" };
        let name = format!("our client through {}: {}{tls}, {what}", self.server.name, self.step);
        Case::new(name, move |bench| run(bench, bench.server(self.server))).talks_to(&[self.server])
    }

    fn endpoint(&self, bench: &Bench, running: &Running, target: &str) -> String {
        let tls = if self.tls { to_proxy(bench) } else { String::new() };
        format!("tcp:{}{tls}+{}:{target}", running.address(self.service), self.step)
    }

    fn fetches(&self, bench: &Bench, running: &Running) {
        let origin = Origin::web(bench);
        let endpoint = self.endpoint(bench, running, &origin.by_name()) + &to_origin(bench);
        let conn = connect(&endpoint).unwrap_or_else(|error| panic!("{error}"));
        let [hop] = conn.route() else { panic!("{:?}", conn.route()) };
        assert_eq!(hop.protocol, Some(self.protocol));
        assert_eq!(hop.tls.len(), usize::from(self.tls));
        assert_eq!(conn.layers().tls().last().and_then(|tls| tls.server_name.as_deref()), Some("localhost"));
        match hop.answer.as_ref().expect("it has answered") {
            Answer::Http { status, .. } => assert_eq!(*status, 200),
            _ => assert_ne!(self.step, "connect"),
        }
        fetch(conn);
    }

    fn hears_a_greeting(&self, bench: &Bench, running: &Running) {
        let origin = Origin::greeting();
        let mut conn =
            connect(&self.endpoint(bench, running, &origin.by_address())).unwrap_or_else(|error| panic!("{error}"));
        run(async {
            let greeting = conn.read_line().await.unwrap().expect("it comes");
            assert_eq!(greeting, GREETING.trim_end().as_bytes());
            for n in 0..20 {
                let line = format!("line {n}");
                conn.write_line(&line).await.unwrap();
                assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(line.as_bytes()));
            }
        });
    }

    fn is_refused(&self, bench: &Bench, running: &Running) {
        let error =
            connect(&self.endpoint(bench, running, &Origin::nobody().by_address())).expect_err("nobody listens");
        let kind = kind(&error);
        assert!(format!("{kind:?}").contains(self.refusal), "{kind:?}: {error}");
        assert!(error.to_string().contains("hop 1 of the route"), "{error}");
    }
}

/// Who asks, where a proxy wants to know.
fn log_ins() -> Vec<Case> {
    let case = |server: &'static Server, service: &'static str, step: &'static str| {
        let name = format!("our client through {}: {step}, with a log-in, with a wrong one, with none", server.name);
        Case::new(name, move |bench| {
            let running = bench.server(server);
            let asked = |origin: &Origin, password: Option<&str>| {
                let mut endpoint = format!("tcp:{}+{step}:{}", running.address(service), origin.by_name());
                if let Some(password) = password {
                    // A file of this case alone.
                    let file = bench.directory().join(format!("{password} for {} of {step}", server.name));
                    std::fs::write(&file, format!("{password}\n")).expect("a file can be written");
                    endpoint += &format!(":user={USER}:password-file={}", file.display());
                }
                connect(&(endpoint + &to_origin(bench)))
            };
            let origin = Origin::web(bench);
            fetch(asked(&origin, Some(PASSWORD)).unwrap_or_else(|error| panic!("{error}")));
            let error = asked(&origin, Some("other")).expect_err("it is not the password");
            assert!(!error.to_string().contains("other"), "{error}");
            let kind = kind(&error);
            assert!(matches!(kind, ErrorKind::AuthRejected), "{kind:?}: {error}");
            let error = asked(&origin, None).expect_err("it wants to know");
            let kind = self::kind(&error);
            assert!(matches!(kind, ErrorKind::AuthRequired(_) | ErrorKind::NoAcceptableMethod), "{kind:?}: {error}");
            fetch(asked(&origin, Some(PASSWORD)).unwrap_or_else(|error| panic!("{error}")));
        })
        .talks_to(&[server])
    };
    vec![case(&SQUID, "http-login", "connect"), case(&MICROSOCKS_LOGIN, "socks", "socks5")]
}

/// Proxies that refuse whatever is on loopback, or cannot be asked for a name. That the origin is there is seen without them.
fn refusals() -> Vec<Case> {
    let case =
        |server: &'static Server, service: &'static str, tls: bool, step: &'static str, refusal: &'static str| {
            let name = format!("our client through {}: {step}, its refusal", server.name);
            Case::new(name, move |bench| {
                let origin = Origin::web(bench);
                let tls = if tls { to_proxy(bench) } else { String::new() };
                let proxy = format!("tcp:{}{tls}", bench.server(server).address(service));
                // Tor cannot resolve anything here, and says so late.
                let target = if server.name == "dante" { origin.by_name() } else { origin.by_address() };
                let error = connect(&format!("{proxy}+{step}:{target}")).expect_err("it refuses");
                let kind = kind(&error);
                assert!(format!("{kind:?}").contains(refusal), "{kind:?}: {error}");
                fetch(
                    connect(&format!("tcp:{}{}", origin.by_address(), to_origin(bench))).expect("the origin is there"),
                );
            })
            .talks_to(&[server])
        };
    vec![
        case(&TOR, "socks", false, "socks5", "code: 1,"),
        case(&TOR, "socks", false, "socks4a", "code: 91,"),
        case(&TOR, "http", false, "connect", "code: 500,"),
        case(&STUNNEL, "socks", true, "socks5", "code: 2,"),
        case(&STUNNEL, "socks", true, "socks4a", "code: 91,"),
        case(&DANTE, "socks", false, "socks4a", "code: 91,"),
    ]
}

pub(super) fn connect(endpoint: &str) -> Result<Connection<Socket>, OpenError> {
    run(reach(endpoint))
}

pub(super) async fn reach(endpoint: &str) -> Result<Connection<Socket>, OpenError> {
    let endpoint = endpoint.parse().unwrap_or_else(|error| panic!("{endpoint}: {error}"));
    Connector::new(runtime(), &endpoint)?.connect().await
}

/// Asks for the page of an origin, and sees all of it and a clean end.
pub(super) fn fetch(conn: Connection<Socket>) {
    run(fetched(conn));
}

pub(super) async fn fetched(mut conn: Connection<Socket>) {
    conn.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    conn.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(PAGE), "{answer}");
    assert!(matches!(conn.end(), Some(End::Layer(_))), "a clean end of TLS: {:?}", conn.end());
}

fn kind(error: &OpenError) -> &ErrorKind {
    Error::of(error).unwrap_or_else(|| panic!("it is no error of a tunnel: {error}")).kind()
}

pub(super) fn to_proxy(bench: &Bench) -> String {
    format!("+tls:sni={NAME}:ca={}", bench.ca().display())
}

/// TLS to the target of the tunnel, whose name is verified.
pub(super) fn to_origin(bench: &Bench) -> String {
    format!("+tls:ca={}", bench.ca().display())
}

const fn way(server: &'static Server, service: &'static str, step: &'static str, refusal: &'static str) -> Way {
    let protocol = match step.as_bytes() {
        b"connect" => TunnelProtocol::Http1,
        b"socks5" => TunnelProtocol::Socks5,
        _ => TunnelProtocol::Socks4a,
    };
    Way { server, service, tls: false, step, protocol, refusal }
}

const WAYS: &[Way] = &[
    way(&SQUID, "http", "connect", "code: 503,"),
    Way { tls: true, ..way(&SQUID, "https", "connect", "code: 503,") },
    way(&TINYPROXY, "http", "connect", "code: 500,"),
    way(&PRIVOXY, "http", "connect", "code: 503,"),
    way(&APACHE, "http", "connect", "code: 503,"),
    // By what TLS has agreed on.
    Way { tls: true, protocol: TunnelProtocol::Http2, ..way(&APACHE, "https", "connect", "code: 503,") },
    Way { tls: true, protocol: TunnelProtocol::Http2, ..way(&NGHTTPX, "https", "connect", "code: 503,") },
    way(&DANTE, "socks", "socks5", "code: 5,"),
    way(&MICROSOCKS, "socks", "socks5", "code: 5,"),
    way(&OPENSSH, "socks", "socks5", "Ended("),
    way(&OPENSSH, "socks", "socks4a", "Ended("),
];

const COMMANDS: &[Way] = &[
    way(&SQUID, "http", "connect", ""),
    way(&MICROSOCKS, "socks", "socks5", ""),
    way(&OPENSSH, "socks", "socks4a", ""),
];
