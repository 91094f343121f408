//! Steps through proxies: small ones that do what the test says, and tell what they were asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, join, select};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use onionskin::Connection;
use onionskin::connection::Hop;
use onionskin::endpoint::{
    BaseTransport, ConnectStep, Connector, Endpoint, Listener, OpenError, OpenErrorKind, Socks5Step, proxy_from_env,
};
use onionskin::route::HopError;
use onionskin::runtime::{Address, Runtime, Socket};
use onionskin::tunnel::{Answer, ErrorKind, TunnelProtocol};

use crate::{Files, connect, on_every_runtime, origin};

/// What a proxy is asked: the head of a request, or what SOCKS has in its place, by connection.
type Asked = Arc<Mutex<Vec<(usize, String)>>>;

#[derive(Clone)]
struct Proxy {
    runtime: &'static dyn Runtime,
    port: u16,
    asked: Asked,
}

/// What a proxy does with the request of this number, on the connection of that number.
enum Does {
    /// Connects to whom it knows by that name, and says this beforehand.
    Reach(&'static str),
    /// Says this, and waits for a further request.
    Say(&'static str),
    /// Says this, and closes.
    End(&'static [u8]),
    /// Says nothing for ever.
    Hang,
}

impl Proxy {
    /// Listens at this endpoint, for ever.
    async fn open(
        runtime: &'static dyn Runtime,
        endpoint: &str,
        known: HashMap<&'static str, SocketAddr>,
        does: impl Fn(&str) -> Does + Send + Sync + Copy + 'static,
    ) -> Self {
        let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
        let port = listener.local_address().port().unwrap();
        let proxy = Self { runtime, port, asked: Asked::default() };
        let here = proxy.clone();
        runtime.spawn(Box::pin(async move {
            for number in 0.. {
                let Ok(near) = listener.accept().await.unwrap().ready().await else { continue };
                let (here, known) = (here.clone(), known.clone());
                // A connection that ends is no concern of the others.
                let serving = async move { drop(here.serve(near, number, &known, does).await) };
                runtime.spawn(serving.boxed());
            }
        }));
        proxy
    }

    /// Reaches everybody.
    async fn kind(runtime: &'static dyn Runtime, endpoint: &str, known: HashMap<&'static str, SocketAddr>) -> Self {
        Self::open(runtime, endpoint, known, |_| Does::Reach("HTTP/1.1 200 Well\r\nX-Proxy: kind\r\n\r\n")).await
    }

    async fn serve(
        self,
        mut near: Connection<Socket>,
        number: usize,
        known: &HashMap<&'static str, SocketAddr>,
        does: impl Fn(&str) -> Does,
    ) -> Result<(), Box<dyn std::error::Error>> {
        loop {
            let (target, question, is_socks) = heard(&mut near).await?;
            self.asked.lock().unwrap().push((number, question.clone()));
            match does(&question) {
                Does::Reach(words) => {
                    let far = self.runtime.connect_tcp(*known.get(&*target).ok_or("nobody")?).await?;
                    match is_socks {
                        true => near.write_all(&[5, 0, 0, 1, 192, 0, 2, 7, 0, 9]).await?,
                        false => near.write_all(words.as_bytes()).await?,
                    }
                    near.bridge(far).await?;
                    return Ok(());
                }
                Does::Say(words) => near.send_all(words.as_bytes()).await?,
                Does::End(words) => {
                    near.write_all(words).await?;
                    near.leave(Duration::from_secs(5)).await?;
                    return Ok(());
                }
                Does::Hang => {
                    let _ = near.read(&mut [0]).await?;
                    self.asked.lock().unwrap().push((number, "gone".to_owned()));
                    return Ok(());
                }
            }
        }
    }

    fn asked(&self) -> Vec<(usize, String)> {
        self.asked.lock().unwrap().clone()
    }
}

/// The host, what was said, and whether that was SOCKS5.
async fn heard(near: &mut Connection<Socket>) -> Result<(String, String, bool), Box<dyn std::error::Error>> {
    let mut first = [0];
    near.read_exact(&mut first).await?;
    if first == [5] {
        let mut count = [0];
        near.read_exact(&mut count).await?;
        let mut methods = vec![0; count[0].into()];
        near.read_exact(&mut methods).await?;
        near.write_all(&[5, 0]).await?;
        let mut head = [0; 4];
        near.read_exact(&mut head).await?;
        let host = match head[3] {
            3 => {
                near.read_exact(&mut count).await?;
                let mut name = vec![0; count[0].into()];
                near.read_exact(&mut name).await?;
                String::from_utf8(name)?
            }
            1 => {
                let mut ip = [0; 4];
                near.read_exact(&mut ip).await?;
                std::net::Ipv4Addr::from(ip).to_string()
            }
            _ => {
                let mut ip = [0; 16];
                near.read_exact(&mut ip).await?;
                std::net::Ipv6Addr::from(ip).to_string()
            }
        };
        near.read_exact(&mut [0; 2]).await?;
        return Ok((host.clone(), host, true));
    }
    let mut head = String::from_utf8(first.to_vec())?;
    while let Some(line) = near.read_line().await?.filter(|line| !line.is_empty()) {
        head += &(String::from_utf8(line)? + "\n");
    }
    let authority = head.split(' ').nth(1).ok_or("no request")?;
    let (host, _) = authority.rsplit_once(':').ok_or("no target")?;
    Ok((host.to_owned(), head.clone(), false))
}

#[track_caller]
fn hop_error(result: Result<Connection<Socket>, OpenError>) -> HopError {
    match result.unwrap_err().kind() {
        OpenErrorKind::Tunnel(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// A chain of three languages, with TLS to each proxy and to the target, which is verified by its own name each.
#[test]
fn h16_a_chain_is_the_same_code_for_each_hop_and_tells_of_each() {
    let files = Files::new("tunnel-chain");
    let ca = files.ca();
    on_every_runtime(async |runtime| {
        let far = origin(runtime, &format!("+tls:{}", files.identity("inner.example"))).await;
        let third = Proxy::kind(runtime, "tcp:localhost:0", HashMap::from([("inner.example", far)])).await;
        let second = format!("tcp:localhost:0+tls:{}", files.identity("outer.example"));
        let second = Proxy::kind(runtime, &second, HashMap::from([("third.example", local(third.port))])).await;
        let first = format!("tcp:localhost:0+tls:{}", files.identity("localhost"));
        let first = Proxy::kind(runtime, &first, HashMap::from([("outer.example", local(second.port))])).await;

        let endpoint = format!(
            "tcp:localhost:{}+tls:{ca}+connect:outer.example:8443:version=1:header=X-Who=me+tls:{ca}\
             +socks5:third.example:1080+connect:inner.example:443+tls:{ca}",
            first.port
        );
        let conn = connect(runtime, &endpoint).await.unwrap();
        let hops = conn.route();
        let kinds: Vec<_> = hops.iter().filter_map(|hop| hop.protocol).collect();
        assert_eq!(kinds, [TunnelProtocol::Http1, TunnelProtocol::Socks5, TunnelProtocol::Http1]);
        let host = |address: &Address| address.host().unwrap();
        let ways: Vec<_> = hops.iter().map(|hop| (host(&hop.proxy), host(&hop.target))).collect();
        let names = ["localhost", "outer.example", "third.example", "inner.example"].map(str::to_owned);
        assert!(ways.iter().zip(names.windows(2)).all(|((from, to), names)| [from, to] == [&names[0], &names[1]]));
        let tls = |hop: &Hop| hop.tls.iter().map(|tls| tls.server_name.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(hops.iter().map(tls).collect::<Vec<_>>(), [vec!["localhost"], vec!["outer.example"], vec![]]);
        let answer = hops[0].answer.as_ref().unwrap();
        assert!(matches!(answer, Answer::Http { status: 200, .. }), "{answer:?}");
        assert_eq!(answer.field("x-proxy"), Some(&b"kind"[..]));
        let bound = hops[1].answer.as_ref().unwrap().bound().cloned();
        assert_eq!(bound, Some("tcp 192.0.2.7:9".parse().unwrap()));
        assert!(hops.iter().all(|hop| hop.took.is_some()));

        // Names and drawings have it all.
        let (line, drawing) = (conn.to_string(), format!("{conn:#}"));
        let name = format!(
            "tcp inner.example:443 via tcp localhost:{}, tcp outer.example:8443, tcp third.example:1080 [http1, socks5, http1]",
            first.port
        );
        assert!(line.starts_with(&name), "{line}");
        let hop = "\nhop 2         socks5 at tcp outer.example:8443 to tcp third.example:1080  from tcp 192.0.2.7:9  ";
        assert!(drawing.contains(hop) && drawing.contains("\nhop 3         http1 at tcp third"), "{drawing}");
        assert_eq!(drawing, format!("{:#}", conn.layers()));
        assert_eq!(conn.layers().tls().count(), 3);
        assert!(first.asked()[0].1.contains("X-Who: me\n"), "{:?}", first.asked());
        assert!(!third.asked()[0].1.contains("X-Who"), "it is for its own hop");
    });
}

fn local(port: u16) -> SocketAddr {
    // Whichever family `localhost` has been listened at, which the system prefers.
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port)).unwrap();
    addresses.into_iter().next().unwrap()
}

/// The layer that stands behind the tunnel is the target's, and there is no way back into clear.
#[test]
fn h15_a_target_that_has_no_tls_is_an_error_of_tls() {
    let files = Files::new("tunnel-h15");
    on_every_runtime(async |runtime| {
        let (clear, other) =
            (origin(runtime, "").await, origin(runtime, &format!("+tls:{}", files.identity("outer.example"))).await);
        let known = HashMap::from([("clear.example", clear), ("inner.example", other), ("outer.example", other)]);
        let proxy = Proxy::kind(runtime, "tcp:localhost:0", known).await;
        let through = |host: &str| format!("tcp:localhost:{}+connect:{host}:1+tls:{}", proxy.port, files.ca());
        for (host, is_certificate) in [("clear.example", false), ("inner.example", true)] {
            let error = connect(runtime, &through(host)).await.unwrap_err();
            let error = error.connection_error().unwrap();
            assert_eq!(error.is_certificate(), is_certificate, "{error}");
        }
        connect(runtime, &through("outer.example")).await.unwrap();
    });
}

/// What a 407 is answered with, and how often.
#[test]
fn h7_a_password_is_said_once_to_who_asks_for_it() {
    const KEPT: &str = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n";
    const CLOSED: &str =
        "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"a\"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    const WELL: &str = "HTTP/1.1 200 Well\r\n\r\n";
    // `onion:peel`
    const BASIC: &str = "Proxy-Authorization: Basic b25pb246cGVlbA==\n";
    let files = Files::new("tunnel-h7");
    std::fs::write(files.path("password"), "peel\n").unwrap();
    let login = format!(":user=onion:password-file={}", files.path("password"));
    on_every_runtime(async |runtime| {
        let known = HashMap::from([("a.example", origin(runtime, "").await)]);
        let keeps = |head: &str| if head.contains(BASIC) { Does::Reach(WELL) } else { Does::Say(KEPT) };
        let closes = |head: &str| if head.contains(BASIC) { Does::Reach(WELL) } else { Does::End(CLOSED.as_bytes()) };
        let kept = Proxy::open(runtime, "tcp:localhost:0", known.clone(), keeps).await;
        let closed = Proxy::open(runtime, "tcp:localhost:0", known.clone(), closes).await;
        for (proxy, second) in [(&kept, 0), (&closed, 1)] {
            let through = format!("tcp:localhost:{}+connect:a.example:1", proxy.port);
            let connector = Connector::new(runtime, &format!("{through}{login}").parse().unwrap()).unwrap();
            for _ in 0..2 {
                let mut conn = connector.connect().await.unwrap();
                conn.write_line("hello").await.unwrap();
                assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
            }
            // Unasked, asked, and at once where it was wanted before.
            let said: Vec<_> = proxy.asked().iter().map(|(number, head)| (*number, head.contains(BASIC))).collect();
            assert_eq!(said, [(0, false), (second, true), (second + 1, true)]);

            // Who has nothing to say is told what is wanted.
            let error = hop_error(connect(runtime, &through).await);
            let kind = error.tunnel_error().unwrap().kind();
            assert!(matches!(kind, ErrorKind::AuthRequired(challenges) if challenges.basic().is_some()), "{error}");
        }

        // What is not taken is not said a third time.
        for answer in [KEPT, CLOSED] {
            let denies = move |_: &str| if answer == KEPT { Does::Say(KEPT) } else { Does::End(CLOSED.as_bytes()) };
            let proxy = Proxy::open(runtime, "tcp:localhost:0", known.clone(), denies).await;
            let error =
                hop_error(connect(runtime, &format!("tcp:localhost:{}+connect:a.example:1{login}", proxy.port)).await);
            assert!(matches!(error.tunnel_error().unwrap().kind(), ErrorKind::AuthRejected), "{error}");
            assert_eq!(proxy.asked().len(), 2);
            assert!(!format!("{error} {error:?}").contains("peel"), "{error:?}");
        }
    });
}

/// A file with a password is read when a connector is made, and when it reads its files again.
#[test]
fn a12_a_password_is_read_with_the_other_files() {
    const WELL: &str = "HTTP/1.1 200 Well\r\n\r\n";
    let files = Files::new("tunnel-a12");
    let file = files.path("password");
    on_every_runtime(async |runtime| {
        let known = HashMap::from([("a.example", origin(runtime, "").await)]);
        let does = |head: &str| match head.contains("Proxy-Authorization") {
            true => Does::Reach(WELL),
            false => Does::Say("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=a\r\nContent-Length: 0\r\n\r\n"),
        };
        let proxy = Proxy::open(runtime, "tcp:localhost:0", known, does).await;
        let text = format!("tcp:localhost:{}+connect:a.example:1:user=onion:password-file={file}", proxy.port);
        let endpoint: Endpoint = text.parse().unwrap();
        let _ = std::fs::remove_file(&file);
        let error = Connector::new(runtime, &endpoint).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(&file), "{error}");
        assert!(proxy.asked().is_empty());

        std::fs::write(&file, "peel").unwrap();
        let connector = Connector::new(runtime, &endpoint).unwrap();
        connector.connect().await.unwrap();
        std::fs::write(&file, "other\r\nsecond line").unwrap();
        connector.connect().await.unwrap();
        connector.reload().await.unwrap();
        connector.connect().await.unwrap();
        let said: Vec<_> =
            proxy.asked().iter().filter_map(|(_, head)| Some(head.split_once("Basic ")?.1.to_owned())).collect();
        assert_eq!(said, ["b25pb246cGVlbA==\n", "b25pb246cGVlbA==\n", "b25pb246b3RoZXI=\n"]);
    });
}

/// Which of the proxies it was, and what it has said.
#[test]
fn k7_an_error_names_the_hop_that_has_refused() {
    on_every_runtime(async |runtime| {
        let refusing = |_: &str| Does::End(b"HTTP/1.1 503 Gone fishing\r\nContent-Length: 0\r\n\r\n");
        let second = Proxy::open(runtime, "tcp:localhost:0", HashMap::new(), refusing).await;
        let first =
            Proxy::kind(runtime, "tcp:localhost:0", HashMap::from([("second.example", local(second.port))])).await;
        let endpoint =
            format!("tcp:localhost:{}+socks5:second.example:3128+connect:a.example:443+tls:insecure=yes", first.port);
        let error = hop_error(connect(runtime, &endpoint).await);
        let text = error.to_string();
        assert_eq!(
            (error.number(), error.proxy().host().unwrap(), error.target().host().unwrap()),
            (2, "second.example".to_owned(), "a.example".to_owned())
        );
        assert!(matches!(error.tunnel_error().unwrap().kind(), ErrorKind::Refused { code: 503, .. }), "{text}");
        for piece in ["hop 2", "http1", "tcp second.example:3128", "tcp a.example:443", "503 Gone fishing"] {
            assert!(text.contains(piece), "{piece}: {text}");
        }
        assert_eq!(text.lines().count(), 1);

        // Nobody is there.
        let error = connect(runtime, "tcp:localhost:1+connect:a.example:443").await.unwrap_err();
        assert!(error.is_io(), "{error}");
    });
}

/// A name goes to the proxy as it is unless that is not wanted, and TLS verifies it either way.
#[test]
fn a13_a_name_is_resolved_by_the_proxy_or_here() {
    let files = Files::new("tunnel-a13");
    on_every_runtime(async |runtime| {
        let far = origin(runtime, &format!("+tls:{}", files.identity("localhost"))).await;
        let known = HashMap::from([("localhost", far), ("127.0.0.1", far), ("::1", far)]);
        let proxy = Proxy::kind(runtime, "tcp:localhost:0", known).await;
        for (key, is_name) in [("", true), (":dns=remote", true), (":dns=local", false)] {
            let endpoint = format!("tcp:localhost:{}+socks5:localhost:443{key}+tls:{}", proxy.port, files.ca());
            let conn = connect(runtime, &endpoint).await.unwrap();
            assert_eq!(conn.addresses().target, Some(Address::to_host("localhost", 443).unwrap()));
            let asked = proxy.asked().last().unwrap().1.clone();
            assert_eq!(asked == "localhost", is_name, "{asked}");
        }
        let endpoint = format!("tcp:localhost:{}+socks5:nobody.invalid:443:dns=local", proxy.port);
        let error = hop_error(connect(runtime, &endpoint).await);
        assert!(error.to_string().contains("cannot be resolved here"), "{error}");
    });
}

#[test]
fn h10_a_proxy_that_says_nothing_has_its_time() {
    on_every_runtime(async |runtime| {
        let proxy = Proxy::open(runtime, "tcp:localhost:0", HashMap::new(), |_| Does::Hang).await;
        for step in ["connect:a.example:1:timeout=1", "socks5:a.example:1:timeout=1"] {
            let error = connect(runtime, &format!("tcp:localhost:{}+{step}", proxy.port)).await.unwrap_err();
            assert!(error.connection_error().unwrap().is_timeout(), "{error}");
        }
    });
}

#[test]
fn h17_who_is_dropped_closes_its_socket_at_every_step() {
    let files = Files::new("tunnel-h17");
    on_every_runtime(async |runtime| {
        let hangs = Proxy::open(runtime, "tcp:localhost:0", HashMap::new(), |_| Does::Hang).await;
        let first =
            Proxy::kind(runtime, "tcp:localhost:0", HashMap::from([("hangs.example", local(hangs.port))])).await;
        let direct = format!("tcp:localhost:{}", hangs.port);
        let behind = format!("tcp:localhost:{}+socks5:hangs.example:1", first.port);
        for (round, before) in [direct, behind].iter().enumerate() {
            let endpoint = format!("{before}+connect:a.example:1+tls:{}", files.ca());
            let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
            let asked = async {
                while hangs.asked().len() < 2 * round + 1 {
                    runtime.sleep_until(runtime.now() + Duration::from_millis(1)).await;
                }
            };
            match select(connector.connect().boxed(), asked.boxed()).await {
                Either::Left((result, _)) => panic!("{result:?}"),
                Either::Right(((), connecting)) => drop(connecting),
            }
            while hangs.asked().len() < 2 * round + 2 {
                runtime.sleep_until(runtime.now() + Duration::from_millis(1)).await;
            }
            assert_eq!(hangs.asked().last().unwrap().1, "gone");
        }
    });
}

#[test]
fn what_nobody_can_be_asked_for_is_told_before_anything_is_dialed() {
    on_every_runtime(async |runtime| {
        let nobody = Endpoint::new(BaseTransport::tcp("nobody.invalid", 1));
        for step in [
            nobody.clone().then(ConnectStep::new(Address::Stdio)),
            nobody.clone().then(Socks5Step::new(Address::Unix(None))),
            nobody.clone().then(Socks5Step::new("tcp 192.0.2.1:0".parse().unwrap())),
        ] {
            let error = Connector::new(runtime, &step).unwrap_err();
            assert!(error.is_usage(), "{error}");
        }
        let name = Address::Name { host: "a".repeat(256), port: 1 };
        let error = Connector::new(runtime, &nobody.then(Socks5Step::new(name))).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("at most"), "{error}");
        let error = Listener::check(&"tcp:localhost:0+socks5:a.example:1".parse().unwrap()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("for clients"), "{error}");
    });
}

#[test]
fn the_environment_leads_through_a_proxy() {
    on_every_runtime(async |runtime| {
        let known = HashMap::from([("a.example", origin(runtime, "").await)]);
        let proxy = Proxy::kind(runtime, "tcp:localhost:0", known).await;
        let endpoint: Endpoint = "tcp:a.example:1".parse().unwrap();
        let url = format!("http://localhost:{}", proxy.port);
        let through = proxy_from_env(&endpoint, |name| (name == "all_proxy").then(|| url.clone())).unwrap();
        let (conn, ()) = join(connect(runtime, &through.to_string()), async {}).await;
        assert_eq!(conn.unwrap().route().len(), 1);
        assert!(proxy.asked()[0].1.starts_with("CONNECT a.example:1 HTTP/1.1\n"));
    });
}
