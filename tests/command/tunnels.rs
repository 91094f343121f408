//! Commands that reach their peer through proxies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::onion::{Directory, Server, finish, onion, run};

/// A proxy of HTTP/1.1 that reaches any port of this machine by any name, and says what it was asked for. Returns its port.
fn proxy() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming() {
            let mut near = near.unwrap();
            thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if near.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let port: u16 = head.split([':', ' ']).nth(2).unwrap().parse().unwrap();
                if head.contains("closed.example") {
                    near.write_all(b"HTTP/1.1 403 Not there\r\nContent-Length: 0\r\n\r\n").unwrap();
                    return;
                }
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                near.write_all("HTTP/1.1 200 Well\r\nX-Proxy: a\u{9b}2J\r\n\r\n".as_bytes()).unwrap();
                let there = pump(near.try_clone().unwrap(), far.try_clone().unwrap());
                pump(far, near).join().unwrap();
                there.join().unwrap();
            });
        }
    });
    port
}

fn pump(mut from: TcpStream, mut to: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    })
}

fn port(server: &Server) -> String {
    server.endpoint.rsplit_once(':').unwrap().1.to_owned()
}

#[test]
fn connect_says_its_route_in_json_and_in_the_drawing() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let (first, second) = (proxy(), proxy());
    let port = port(&server);
    let endpoint = format!("tcp:127.0.0.1:{first}+connect:second.example:{second}+connect:localhost:{port}");
    let ca = directory.file("ca.pem");
    let outcome = run(
        ["connect", &endpoint, "--ca", &ca, "--json-route"],
        "ECHO in clear\n\\starttls\nECHO in TLS\n\\layers\n\\quit\n",
    )
    .succeeded();
    assert!(outcome.stdout.contains("ECHO in TLS"), "{outcome:?}");
    let (route, drawing) = outcome.stderr.split_once('\n').unwrap();
    let route: serde_json::Value = serde_json::from_str(route).unwrap();
    let hops = route.as_array().unwrap();
    assert_eq!(hops.len(), 2);
    assert_eq!((&hops[0]["hop"], &hops[0]["protocol"], &hops[0]["status"]), (&1.into(), &"http1".into(), &200.into()));
    assert_eq!(hops[0]["proxy"]["port"], first);
    assert_eq!(hops[0]["target"]["host"], "second.example");
    assert_eq!(hops[1]["proxy"]["address"], format!("tcp second.example:{second}"));
    assert_eq!(hops[1]["headers"][0][0], "x-proxy");
    assert!(hops[1]["milliseconds"].as_f64().unwrap() >= 0.0);
    // The name to verify was that of the target.
    assert!(drawing.contains("client \"localhost\""), "{drawing}");
    assert!(drawing.contains("\nhop 2         http1 at tcp second.example:"), "{drawing}");
    assert_eq!(hops[1]["headers"][0][1], "a\u{9b}2J");
    assert!(!outcome.stderr.contains('\u{9b}'), "what a proxy says is not for a terminal");
}

#[test]
fn the_environment_is_asked_only_where_that_is_wanted() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let endpoint = format!("tcp:localhost:{}", port(&server));
    let url = format!("http://127.0.0.1:{}", proxy());
    let hops = |options: &[&str], name: &str| {
        let arguments = ["connect", &endpoint, "--json-route"].into_iter().chain(options.iter().copied());
        let mut command = onion(arguments);
        command.env(name, &url);
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"ECHO a\n\\quit\n").unwrap();
        let outcome = finish(child).succeeded();
        let route: serde_json::Value = serde_json::from_str(outcome.stderr.lines().next().unwrap()).unwrap();
        route.as_array().unwrap().len()
    };
    assert_eq!(hops(&["--proxy-from-env"], "ALL_PROXY"), 1);
    assert_eq!(hops(&["--proxy-from-env"], "http_proxy"), 1);
    assert_eq!(hops(&["--proxy-from-env"], "HTTP_PROXY"), 0);
    assert_eq!(hops(&[], "ALL_PROXY"), 0);

    let mut command = onion(["connect", &endpoint, "--proxy-from-env"]);
    command.env("ALL_PROXY", "gopher://user:secret@proxy");
    let line = finish(command.spawn().unwrap()).failed(2);
    assert!(line.contains("ALL_PROXY") && !line.contains("secret"), "{line}");
}

#[test]
fn a_refusal_names_the_proxy_and_the_target() {
    let port = proxy();
    let line = run(["connect", &format!("tcp:127.0.0.1:{port}+connect:closed.example:1+tls")], "").failed(1);
    for piece in ["hop 1", &format!("tcp 127.0.0.1:{port}"), "tcp closed.example:1", "403 Not there"] {
        assert!(line.contains(piece), "{piece}: {line}");
    }
}

#[test]
fn probe_looks_at_the_target_through_the_proxy() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let ca = directory.file("ca.pem");
    let identity = [directory.file("cert.pem"), directory.file("key.pem")];
    let tls = Server::start(["tcp:127.0.0.1:0+tls", "--cert", &identity[0], "--key", &identity[1]]);
    let endpoint = format!("tcp:127.0.0.1:{}+connect:localhost:{}+tls", proxy(), port(&tls));
    let outcome = run(["probe", &endpoint, "--ca", &ca, "--json", "--timeout=3"], "");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["trust"]["name"], "localhost", "{outcome:?}");
    assert!(report["tls"]["version"].is_string(), "{outcome:?}");
    let hops = report["times"]["hops"].as_array().unwrap();
    assert_eq!(hops.len(), 1, "{outcome:?}");
    assert!(hops[0]["took_ms"].is_number() && hops[0]["protocol"] == "http1", "{outcome:?}");
    drop(server);
}

#[test]
fn relay_reaches_its_server_through_the_proxy() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let through = format!("tcp:127.0.0.1:{}+connect:localhost:{}", proxy(), port(&server));
    let outcome = run(["relay", "stdio", &through], "ECHO a\nQUIT\n").succeeded();
    assert_eq!(outcome.lines(), ["ECHO a", "BYE"]);
    assert!(outcome.stderr.contains("[http1]"), "the log says by what it went: {outcome:?}");
    // And where it is not there, the client is told nothing but its end.
    let nobody = format!("tcp:127.0.0.1:{}+connect:closed.example:1", proxy());
    let outcome = run(["relay", "stdio", &nobody], "ECHO a\nQUIT\n");
    assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
    assert!(outcome.stderr.contains("hop 1 of the route") && outcome.stderr.contains("403"), "{outcome:?}");
}

#[test]
fn probe_waits_no_longer_for_a_proxy_than_for_a_server() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for step in ["connect", "socks5", "socks4a"] {
        let endpoint = format!("tcp:127.0.0.1:{port}+{step}:mail.example:993:timeout=none+tls");
        let line = run(["probe", &endpoint, "--timeout", "1"], "").failed(1);
        assert!(line.contains("hop 1") && line.contains("no answer in time"), "{line}");
    }
}

#[test]
fn input_that_is_not_sent_when_the_peer_ends_shows_in_the_status() {
    let directory = Directory::new();
    // More than the system takes from whoever writes, and as much as the peer reads.
    for (bytes, is_lost) in [(32 << 20, true), (2, false)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
        let input = directory.file("input");
        std::fs::File::create(&input).unwrap().set_len(bytes).unwrap();
        let mut command = onion(["connect", "--raw", &endpoint]);
        command.stdin(std::fs::File::open(&input).unwrap());
        let child = command.spawn().unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.read_exact(&mut [0; 2]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let outcome = finish(child);
        match is_lost {
            true => assert!(outcome.failed(1).contains("the peer ended before all of the input was sent")),
            false => drop(outcome.succeeded()),
        }
        drop(peer);
    }
}
