//! One port for all languages.

use std::sync::Arc;
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::{Address, Socket};
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tunnel::{Accepted, Acceptor, Credentials, Error, ErrorKind, Grant, Reason, Request, TunnelProtocol};

use crate::executor::{Task, cancelled_after};
use crate::peer::{CUTS, Peer};

const HTTP: &[u8] = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";
const SOCKS5: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x01\xbb";
const SOCKS4A: &[u8] = b"\x04\x01\x01\xbb\0\0\0\x01x\0a.example\0";

/// What a proxy does with a client that says this and then ends.
struct Outcome {
    request: Option<Request>,
    /// What it has read from the tunnel.
    tunnel: Result<Vec<u8>, Error>,
    heard: String,
}

impl Outcome {
    #[track_caller]
    fn error(&self) -> &Error {
        self.tunnel.as_ref().unwrap_err()
    }
}

/// What was asked for, and what was read from the tunnel.
type Served = (Option<Request>, Result<Vec<u8>, Error>);

struct Proxy<'a> {
    client: Peer,
    clock: Clock,
    proxy: Task<'a, Served>,
}

impl<'a> Proxy<'a> {
    fn new(cut: Cut, acceptor: Acceptor, refuses: Option<Reason>) -> Self {
        let clock = Clock::new();
        let (left, right) = wire(cut, 1 << 20);
        let address = || Address::Unix(None);
        let connection = Connection::over(Socket::new(right, address(), address()), Arc::new(clock.clone()));
        let proxy = async move {
            let mut asked = None;
            let tunnel = async {
                let Accepted::One(mut pending) = acceptor.accept(connection).await? else { panic!("one tunnel") };
                asked = Some(pending.request().clone());
                pending.during(futures::future::ready(())).await?;
                if let Some(reason) = refuses {
                    pending.refuse(reason).await?;
                    return Ok(Vec::new());
                }
                let mut tunnel = pending.grant(Grant::bound_to("tcp 192.0.2.9:1025".parse().unwrap())).await?;
                tunnel.write_all(b"hello").await.unwrap();
                let mut read = Vec::new();
                tunnel.read_to_end(&mut read).await.unwrap();
                tunnel.close().await.unwrap();
                Ok(read)
            };
            let tunnel = tunnel.await;
            (asked, tunnel)
        };
        let mut proxy = Self { client: Peer(Some(left)), clock, proxy: Task::new(proxy) };
        proxy.run();
        proxy
    }

    fn run(&mut self) {
        crate::executor::run(&mut [&mut self.proxy]);
    }

    /// When the client has ended.
    #[track_caller]
    fn outcome(mut self) -> Outcome {
        self.client.ends();
        self.run();
        let (request, tunnel) = self.proxy.output().expect("the proxy has come to an end");
        Outcome { request, tunnel, heard: self.client.hears() }
    }
}

#[track_caller]
fn accepted(cut: Cut, acceptor: Acceptor, refuses: Option<Reason>, said: &[u8]) -> Outcome {
    let mut proxy = Proxy::new(cut, acceptor, refuses);
    proxy.client.says(said);
    proxy.run();
    proxy.outcome()
}

fn authenticating() -> Acceptor {
    Acceptor::new().authenticating("onion", |credentials: Credentials| async move {
        credentials.user() == "onion" && credentials.password() == b"peel"
    })
}

#[test]
fn k12_one_port_takes_each_language_by_its_first_bytes() {
    for cut in CUTS {
        for (said, protocol, answer) in [
            (HTTP, TunnelProtocol::Http1, "HTTP/1.1 200 Connection Established\nProxy-Status: onionskin\n\nhello"),
            (SOCKS5, TunnelProtocol::Socks5, "\\x05\\x00\\x05\\x00\\x00\\x01\\xc0\\x00\\x02\\t\\x04\\x01hello"),
            (SOCKS4A, TunnelProtocol::Socks4a, "\\x00Z\\x04\\x01\\xc0\\x00\\x02\\thello"),
        ] {
            let outcome = accepted(cut, Acceptor::new(), None, &[said, b"behind"].concat());
            let request = outcome.request.unwrap();
            assert_eq!((request.protocol, &request.target.to_string()[..]), (protocol, "tcp a.example:443"), "{cut:?}");
            assert_eq!((&outcome.tunnel.unwrap()[..], &outcome.heard[..]), (&b"behind"[..], answer), "{cut:?}");
        }
    }
}

#[test]
fn k12_what_is_none_of_them_is_named_and_closed() {
    for (said, named) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], "as TLS does"),
        (b"\0\0\0\0", "it begins with"),
        (b"\x80\x2e\x01", "it begins with"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "as SSH does"),
    ] {
        let outcome = accepted(Cut::Whole, Acceptor::new(), None, said);
        let error = outcome.error();
        assert!(matches!(error.kind(), ErrorKind::NotSpoken(_)) && error.to_string().contains(named), "{error}");
        assert_eq!((&outcome.heard[..], error.to_string().lines().count()), ("", 1));
        assert!(outcome.request.is_none());
    }
}

#[test]
fn k12_a_language_that_is_not_spoken_is_named() {
    let all = [(TunnelProtocol::Http1, HTTP), (TunnelProtocol::Socks5, SOCKS5), (TunnelProtocol::Socks4a, SOCKS4A)];
    for (spoken, _) in all {
        for (asked, said) in all {
            let outcome = accepted(Cut::Bytes, Acceptor::new().only([spoken]), None, said);
            assert_eq!(outcome.tunnel.is_ok(), spoken == asked, "{spoken} {asked}");
            if spoken != asked {
                assert!(matches!(outcome.error().kind(), ErrorKind::Unsupported(what) if what.contains(asked.name())));
            }
        }
    }
}

#[test]
fn a_refusal_is_said_in_each_language_before_the_connection_is_closed() {
    for cut in CUTS {
        for (said, answer) in [
            (HTTP, "HTTP/1.1 403 Forbidden\nProxy-Status: onionskin; error=http_request_denied\n"),
            (SOCKS5, "\\x05\\x00\\x05\\x02\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00"),
            (SOCKS4A, "\\x00["),
        ] {
            // What the client has sent behind its request lies there unread, and does not turn the close into a reset.
            let outcome = accepted(cut, Acceptor::new(), Some(Reason::Denied), &[said, &[b'x'; 200_000]].concat());
            assert!(outcome.tunnel.is_ok() && outcome.heard.starts_with(answer), "{cut:?}: {}", outcome.heard);
        }
    }
}

#[test]
fn who_has_to_log_in_is_asked_for_with_the_user_and_who_cannot_is_told() {
    let http = |field: &str| [&HTTP[..HTTP.len() - 2], field.as_bytes(), b"\r\n\r\n"].concat();
    for cut in CUTS {
        for said in [
            http("Proxy-Authorization: Basic b25pb246cGVlbA=="),
            [&b"\x05\x02\x00\x02\x01\x05onion\x04peel"[..], &SOCKS5[3..]].concat(),
        ] {
            let outcome = accepted(cut, authenticating(), None, &said);
            assert_eq!(outcome.request.unwrap().user.as_deref(), Some("onion"), "{cut:?}");
            assert!(outcome.tunnel.is_ok());
        }
        for (said, answer) in [
            (HTTP.to_vec(), "HTTP/1.1 407 "),
            (http("Proxy-Authorization: Basic b25pb246cGVlbGVk"), "HTTP/1.1 407 "),
            ([&b"\x05\x01\x02\x01\x05onion\x05peels"[..], &SOCKS5[3..]].concat(), "\\x05\\x02\\x01\\x01"),
            (SOCKS5.to_vec(), "\\x05\\xff"),
            (SOCKS4A.to_vec(), "\\x00["),
        ] {
            let outcome = accepted(cut, authenticating(), None, &said);
            assert!(outcome.heard.starts_with(answer) && outcome.request.is_none(), "{cut:?}: {}", outcome.heard);
            let error = outcome.error();
            assert!(error.is_auth() && !format!("{error:?}").contains("peel"), "{error}");
        }
    }
}

#[test]
fn s8_a_client_that_says_nothing_or_little_has_its_time_and_no_more() {
    for (said, heard) in [(&b""[..], ""), (b"P", ""), (&HTTP[..20], "HTTP/1.1 408 "), (&SOCKS5[..8], "")] {
        let mut proxy = Proxy::new(Cut::Whole, Acceptor::new(), None);
        proxy.client.says(said);
        proxy.run();
        // Nobody is slower for a byte now and then.
        for _ in 0..9 {
            proxy.clock.advance(Duration::from_secs(1));
            proxy.run();
        }
        assert!(proxy.proxy.output().is_none() && !proxy.client.hears().starts_with("HTTP/"));
        proxy.clock.advance(Duration::from_secs(2));
        proxy.run();
        assert!(proxy.proxy.output().is_none());
        // The client does not close, and is not waited for.
        proxy.clock.advance(Duration::from_secs(3));
        proxy.run();
        let (_, tunnel) = proxy.proxy.output().expect("the proxy has given up");
        let error = tunnel.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(proxy.client.hears().starts_with(heard), "{said:?}");
    }
}

#[test]
fn a_client_that_goes_while_the_target_is_looked_for_ends_that() {
    let (left, right) = wire(Cut::Whole, 1 << 20);
    let mut client = Peer(Some(left));
    let address = || Address::Unix(None);
    let connection = Connection::over(Socket::new(right, address(), address()), Arc::new(Clock::new()));
    client.says(HTTP);
    let serving = async {
        let Accepted::One(mut pending) = Acceptor::new().accept(connection).await.unwrap() else { panic!() };
        pending.during(futures::future::pending::<()>()).await.unwrap_err()
    };
    let mut serving = Task::new(serving);
    assert!(serving.run().is_none());
    client.resets();
    let error = serving.run().unwrap();
    assert!(error.kind() == &ErrorKind::Lost && error.to_string().contains("reset"), "{error}");
    assert_eq!(error.target().unwrap().to_string(), "tcp a.example:443");
}

#[test]
fn h17_whoever_is_dropped_at_any_await_leaves_a_closed_connection_and_no_half_answer() {
    for refuses in [None, Some(Reason::Denied)] {
        for polls in 0.. {
            let (left, right) = wire(Cut::Bytes, 1 << 20);
            let mut client = Peer(Some(left));
            let address = || Address::Unix(None);
            let connection = Connection::over(Socket::new(right, address(), address()), Arc::new(Clock::new()));
            client.says(HTTP);
            client.ends();
            let serving = async move {
                let Accepted::One(pending) = Acceptor::new().accept(connection).await.unwrap() else { panic!() };
                match refuses {
                    Some(reason) => pending.refuse(reason).await.unwrap(),
                    None => drop(pending.grant(Grant::default()).await.unwrap()),
                }
            };
            let is_done = Task::new(cancelled_after(polls, serving)).run().unwrap().is_some();
            let heard = client.hears();
            let last = if refuses.is_some() { "that target is denied\\n" } else { "\nProxy-Status: onionskin\n\n" };
            assert!(heard.is_empty() || heard.ends_with(last), "{polls}: {heard}");
            assert!(client.is_hung_up_on(), "{polls}");
            if is_done {
                assert!(!heard.is_empty());
                break;
            }
        }
    }
}
