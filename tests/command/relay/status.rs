//! `--status`: metrics for Prometheus, whoever asks for them and however.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use futures::future::join;
use futures::io::AsyncWriteExt;

use super::{Files, HANGING, Layers, NOBODY, Path, Relay, block_on, dial, greet, read_all};

/// Sends the bytes, and reads until the end.
fn ask(address: &str, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    // It may have said what it thinks of the request before the end of that.
    let _ = socket.write_all(request);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// What is counted may be seen a little before it is counted.
pub(super) fn eventually(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < HANGING, "it never came true");
    }
}

fn status_of(relay: &Relay) -> String {
    relay.place("status at ").strip_prefix("tcp:").unwrap().to_owned()
}

/// Every sample by its name and labels. Whatever is against the rules of the format fails the test.
pub(super) fn scrape(address: &str) -> HashMap<String, u64> {
    let answer = ask(address, b"GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
    let mut samples = HashMap::new();
    let mut described = None;
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let [word, name, rest] = comment.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            match word {
                "HELP" => described = Some((name, None)),
                "TYPE" => described = described.map(|(described, _)| (described, Some(rest))),
                _ => panic!("{line}"),
            }
            assert_eq!(described.unwrap().0, name, "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, Some(kind)) = described.unwrap() else { panic!("no type: {line}") };
        assert_eq!(sample.split('{').next().unwrap(), name, "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    samples
}

#[test]
fn metrics_follow_connections_while_they_live() {
    let files = Files::new();
    let path = Path::new(&files, Layers::Tls, Layers::TlsInTls, &["--status", "0", "--max-connections", "77"]);
    let status = status_of(&path.relay);
    assert!(status.starts_with("127.0.0.1:"), "{status}: a port alone is one of the loopback address");
    let relay = format!("relay=\"{}\"", path.relay.endpoint);
    let count = |name: &str, labels: &str| {
        let labels = if labels.is_empty() { relay.clone() } else { format!("{relay},{labels}") };
        scrape(&status)[&format!("onion_relay_{name}{{{labels}}}")]
    };
    assert_eq!(count("connections_accepted_total", ""), 0);
    assert_eq!(count("connections_limit", ""), 77);
    block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
        assert_eq!((count("connections_accepted_total", ""), count("connections", "")), (1, 1));
        assert_eq!(count("tls_handshakes_total", "side=\"listen\""), 1);
        assert_eq!(count("tls_handshakes_total", "side=\"connect\""), 2);
        // They count as they pass, and not when the connection ends.
        eventually(|| count("bytes_total", "from=\"listen\"") == 1);
        assert_eq!(count("bytes_total", "from=\"connect\""), 0);
        server.write_all(b"twelve bytes").await.unwrap();
        let (ended, closed) = join(client.close(), server.close()).await;
        ended.and(closed).unwrap();
        read_all(&mut client).await.1.unwrap();
        read_all(&mut server).await.1.unwrap();
    });
    // The end is in the log a little before it is counted.
    eventually(|| count("connections", "") == 0);
    assert_eq!(count("bytes_total", "from=\"connect\""), 12);
    assert_eq!(count("connections_ended_total", "outcome=\"ended\""), 1);
    assert_eq!(
        scrape(&status).iter().filter(|(name, _)| name.contains("failures")).map(|(_, value)| value).sum::<u64>(),
        0
    );
}

#[test]
fn failures_are_counted_by_side_and_class() {
    let files = Files::new();
    let listen = format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls));
    let mut relay = Relay::start(&listen, NOBODY, &["--status", "127.0.0.1:0"]);
    let status = status_of(&relay);
    let label = format!("relay=\"{}\"", relay.endpoint);
    block_on(async {
        let mut plain = dial(&relay.endpoint).await.unwrap();
        plain.write_all(b"EHLO here\r\n").await.unwrap();
        drop(read_all(&mut plain).await);
    });
    relay.hears(&["#1 ", "not joined"]);
    let client = format!("{}{}", relay.endpoint, files.client(Layers::Tls));
    // The client may hear of it in its handshake or behind it.
    block_on(async {
        if let Ok(mut client) = dial(&client).await {
            read_all(&mut client).await.1.unwrap_err();
        }
    });
    relay.hears(&["#2 ", "not joined"]);
    let count = |name: &str| scrape(&status)[&format!("onion_relay_{name}}}")];
    eventually(|| count(&format!("connections{{{label}")) == 0);
    assert_eq!(count(&format!("failures_total{{{label},side=\"listen\",class=\"not_spoken\"")), 1);
    assert_eq!(count(&format!("failures_total{{{label},side=\"connect\",class=\"unreachable\"")), 1);
    assert_eq!(count(&format!("connections_ended_total{{{label},outcome=\"not_joined\"")), 2);
}

#[test]
fn every_request_has_its_answer() {
    let relay = Relay::start("tcp:127.0.0.1:0", NOBODY, &["--status", "0"]);
    let status = status_of(&relay);
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(5000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    for (request, expected) in [
        (&b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"[..], "200"),
        (b"GET /metrics?format=x HTTP/1.0\r\n\r\n", "200"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"GET /metrics/../x HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", "405"),
        (b"nonsense\r\n\r\n", "400"),
        (b"\x16\x03\x01\x00\x05hello", "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        (long.as_bytes(), "431"),
        (many.as_bytes(), "431"),
    ] {
        let answer = ask(&status, request);
        let shown = String::from_utf8_lossy(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{shown:?}: {answer:?}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nconnection: close"), "{head}");
        assert_eq!(body.is_empty(), request.starts_with(b"HEAD"), "{shown:?}");
    }
    // One byte at a time is as good as all at once, and half a request is none.
    let mut socket = TcpStream::connect(&status).unwrap();
    b"GET /metrics HTTP/1.1\r\n\r\n".iter().for_each(|byte| socket.write_all(&[*byte]).unwrap());
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut socket = TcpStream::connect(&status).unwrap();
    socket.write_all(b"GET /metr").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    answer.clear();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// Those who say nothing have it for themselves for a while, and keep nobody from being relayed.
#[test]
fn whoever_holds_the_status_up_does_not_hold_up_the_relay() {
    let files = Files::new();
    let path = Path::new(&files, Layers::None, Layers::None, &["--status", "0"]);
    let status = status_of(&path.relay);
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(&status).unwrap()).collect();
    block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
    });
    let held = descriptors(path.relay.child.id());
    assert!(held < 40, "{held} descriptors: they were all accepted");
    drop(silent);
    assert_eq!(scrape(&status)["onion_build_info{version=\"0.1.0\"}"], 1);
}

fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// From afar it is served through TLS.
#[test]
fn an_endpoint_can_have_layers() {
    let files = Files::new();
    let status = format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls));
    let relay = Relay::start("tcp:127.0.0.1:0", NOBODY, &["--status", &status]);
    let client = format!("{}{}", relay.place("status at "), files.client(Layers::Tls));
    let answer = block_on(async {
        let mut client = dial(&client).await.unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
        let (answer, end) = read_all(&mut client).await;
        end.unwrap();
        String::from_utf8(answer).unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("onion_relay_connections{"), "{answer}");
}

#[test]
fn the_last_connections_are_seen_until_the_end() {
    let files = Files::new();
    let path = Path::new(&files, Layers::None, Layers::None, &["--status", "0"]);
    let mut relay = path.relay;
    let status = status_of(&relay);
    let far = path.far;
    block_on(async {
        let mut client = dial(&path.client).await.unwrap();
        let mut server = far.accept().await.unwrap().ready().await.unwrap();
        greet(&mut client, &mut server).await;
        relay.signal("TERM");
        relay.hears(&["asked to end: 1 connections"]);
        assert_eq!(scrape(&status)[&format!("onion_relay_connections{{relay=\"{}\"}}", relay.endpoint)], 1);
        let (ended, closed) = join(client.close(), server.close()).await;
        ended.and(closed).unwrap();
    });
    assert_eq!(relay.finish().0, Some(0));
}

#[test]
fn nothing_else_is_an_address() {
    for (address, reason) in [
        ("here", "status: endpoint tcp:here"),
        ("stdio", "status: standard input and output"),
        ("tcp:127.0.0.1:0+tls", "cert"),
        ("192.0.2.1:1", "status: cannot listen at tcp:192.0.2.1:1"),
        ("99999", "status: endpoint tcp:127.0.0.1:99999"),
    ] {
        let outcome = crate::onion::run(["relay", "tcp:127.0.0.1:0", NOBODY, "--status", address], "");
        assert!(matches!(outcome.status, Some(1 | 2)), "{outcome:?}");
        assert!(outcome.stderr.contains(reason) && outcome.stdout.is_empty(), "{address}: {outcome:?}");
    }
}
