//! Streams of HTTP, to servers that are a few lines and say exactly what a test wants.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures::executor::block_on;
use onionskin::streams::{Delivery, ErrorKind, Message, State};

use crate::world::World;

/// A request as it came, the connections numbered from 0.
#[derive(Debug)]
struct Asked {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

impl Asked {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server that gives these answers in turn, to whom it may concern. An answer that ends with `CLOSE` ends the connection behind it.
struct Server {
    port: u16,
    asked: mpsc::Receiver<Asked>,
}

impl Server {
    fn new(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, asked) = mpsc::channel();
        let answers: VecDeque<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let answers = Arc::new(Mutex::new(answers));
        std::thread::spawn(move || {
            for connection in 0.. {
                let Ok((peer, _)) = listener.accept() else { return };
                let (answers, sender) = (Arc::clone(&answers), sender.clone());
                std::thread::spawn(move || serve(&peer, connection, &answers, &sender));
            }
        });
        Self { port, asked }
    }

    fn world(&self, retry: &str, stream: &str) -> World {
        World::new(retry, &format!(r#""endpoint": "127.0.0.1", "port": {}, "protocol": "h1", {stream}"#, self.port))
    }

    fn asked(&self) -> Asked {
        self.asked.recv().unwrap()
    }
}

/// Serves one connection.
fn serve(
    peer: &TcpStream,
    connection: usize,
    answers: &Mutex<VecDeque<String>>,
    asked: &mpsc::Sender<Asked>,
) -> Option<()> {
    let mut reader = BufReader::new(peer);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return Some(());
            }
        }
        let mut request = Asked { connection, head, body: Vec::new() };
        if let Some(len) = request.field("content-length") {
            request.body = vec![0; len.parse().unwrap()];
            reader.read_exact(&mut request.body).unwrap();
        } else if request.field("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let mut chunk = vec![0; usize::from_str_radix(line.trim_end(), 16).unwrap() + 2];
                reader.read_exact(&mut chunk).unwrap();
                if chunk.len() == 2 {
                    break;
                }
                request.body.extend_from_slice(&chunk[..chunk.len() - 2]);
            }
        }
        asked.send(request).ok()?;
        let answer = answers.lock().unwrap().pop_front()?;
        let mut peer = peer;
        peer.write_all(answer.trim_end_matches("CLOSE").as_bytes()).ok();
        if answer.ends_with("CLOSE") {
            return Some(());
        }
    }
}

/// The whole of the next answer.
fn answer(world: &World) -> (u16, Vec<u8>) {
    let mut message = block_on(world.stream.receive()).unwrap().unwrap();
    assert!(message.is_first);
    let status = message.status.unwrap();
    let mut body = message.payload.to_vec();
    while !message.is_last {
        message = block_on(world.stream.receive()).unwrap().unwrap();
        assert!(!message.is_first && message.status.is_none());
        body.extend_from_slice(&message.payload);
    }
    (status, body)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_request_and_its_answer_in_the_order_of_libwebsockets() {
    let server = Server::new(&[OK]);
    let mut world = server.world(r#""conceal": 0"#, r#""http_url": "index.html""#);
    world.stream.connect();
    assert_eq!(answer(&world), (200, b"hello".to_vec()));
    world.expect(&["connecting 1", "connected", "acknowledged #1", "disconnected"]);
    assert_eq!(world.stream.state(), State::Idle);
    let asked = server.asked();
    assert_eq!(asked.line(), "GET /index.html HTTP/1.1");
    assert_eq!(asked.field("host"), Some(&*format!("127.0.0.1:{}", server.port)));
    assert_eq!(asked.field("origin"), None);
}

#[test]
fn a_message_is_a_request_and_says_what_became_of_it() {
    let server = Server::new(&[OK, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]);
    let mut world = server.world(r#""backoff": [10], "conceal": 5"#, r#""http_method": "POST", "http_url": "/in""#);
    assert_eq!(block_on(world.stream.send("one")).unwrap(), Delivery::Acknowledged);
    assert_eq!(block_on(world.stream.send("two")).unwrap(), Delivery::Refused(404));
    world.expect(&["connecting 1", "connected", "acknowledged #1", "disconnected"]);
    world.expect(&["connecting 1", "connected", "message #2 refused: 404", "disconnected"]);
    assert_eq!(answer(&world), (200, b"hello".to_vec()));
    assert_eq!(answer(&world), (404, Vec::new()));
    for (text, expected) in [("one", 0), ("two", 0)] {
        let asked = server.asked();
        assert_eq!((asked.line(), asked.body.as_slice()), ("POST /in HTTP/1.1", text.as_bytes()));
        assert_eq!(asked.connection, expected, "the connection is used again");
    }
}

#[test]
fn what_is_expected_and_what_a_status_is_called() {
    for (expect, status, delivery) in [
        ("", 204, Delivery::Acknowledged),
        ("", 302, Delivery::Refused(302)),
        (r#""http_expect": 404, "#, 404, Delivery::Acknowledged),
        (r#""http_expect": 404, "#, 200, Delivery::Refused(200)),
    ] {
        let server = Server::new(&[&format!("HTTP/1.1 {status} Some\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")]);
        let stream = format!(r#"{expect}"http_resp_map": [{{ "204": 1204 }}, {{ "404": 1404 }}]"#);
        let mut world = server.world(r#""conceal": 0"#, &stream);
        assert_eq!(block_on(world.stream.send("")).unwrap(), delivery);
        world.expect(&["connecting 1"]);
        if [204, 404].contains(&status) {
            world.expect(&[&format!("status 1{status}")]);
        }
        world.expect(&["connected"]);
    }
}

#[test]
fn who_asks_to_come_again_is_asked_again_after_that_time_with_the_same_message() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let many = "HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n";
    let server = Server::new(&[busy, many, OK]);
    let mut world = server.world(r#""backoff": [100], "conceal": 2"#, r#""http_method": "PUT""#);
    let sending = block_on(world.stream.enqueue("it")).unwrap();
    world.expect(&["connecting 1", "unreachable: the answer is 503", "backoff 7000"]);
    world.wait(Duration::from_secs(7));
    world.expect(&["connecting 2", "unreachable: the answer is 429", "backoff 100"]);
    world.wait(Duration::from_millis(100));
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);
    for _ in 0..3 {
        assert_eq!(server.asked().body, b"it");
    }
}

#[test]
fn when_all_retries_failed_the_status_is_what_became_of_it() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let server = Server::new(&[busy, busy]);
    let mut world = server.world(r#""backoff": [100], "conceal": 1"#, r#""http_method": "PUT""#);
    let sending = block_on(world.stream.enqueue("it")).unwrap();
    world.expect(&["connecting 1", "unreachable", "backoff 100"]);
    world.wait(Duration::from_millis(100));
    world.expect(&["connecting 2", "unreachable", "all retries failed", "message #1 refused: 503"]);
    assert_eq!(block_on(sending).unwrap(), Delivery::Refused(503));
    let error = block_on(world.stream.receive()).unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Status(503)) && error.is_refused());
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced_and_the_request_sent_once() {
    for method in ["GET", "POST"] {
        let server = Server::new(&[&format!("{OK}CLOSE"), OK]);
        let mut world = server.world(r#""conceal": 0"#, &format!(r#""http_method": "{method}""#));
        for connection in [0, 1] {
            assert_eq!(block_on(world.stream.send("x")).unwrap(), Delivery::Acknowledged);
            assert_eq!(server.asked().connection, connection);
            assert_eq!(answer(&world).0, 200);
        }
        world.expect(&["connecting 1", "connected", "acknowledged #1", "disconnected", "connecting 1", "connected"]);
    }
}

#[test]
fn closed_at_once_what_does_no_harm_twice_is_tried_again_and_the_rest_is_lost() {
    let server = Server::new(&["CLOSE", OK]);
    let mut world = server.world(r#""backoff": [100], "conceal": 1"#, r#""http_method": "PUT""#);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    world.expect(&["connecting 1", "unreachable: the peer has ended", "backoff 100"]);
    world.wait(Duration::from_millis(100));
    assert_eq!(block_on(sending).unwrap(), Delivery::Acknowledged);

    let server = Server::new(&["CLOSE", OK]);
    let mut world = server.world(r#""backoff": [100], "conceal": 1"#, r#""http_method": "POST""#);
    let sending = block_on(world.stream.enqueue("x")).unwrap();
    world.expect(&["connecting 1", "undelivered #1: the peer has ended", "unreachable", "backoff 100"]);
    assert!(matches!(block_on(sending).unwrap_err().kind(), ErrorKind::Ended));
    // There is nothing to ask for any more, and so nothing is.
    world.wait(Duration::from_millis(100));
    world.expect(&["connecting 2", "disconnected"]);
    assert_eq!(server.asked().body, b"x");
    assert!(server.asked.try_recv().is_err());
}

#[test]
fn an_answer_that_breaks_off_is_lost_and_a_get_is_tried_again() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhelloCLOSE";
    let server = Server::new(&[half, OK]);
    let mut world = server.world(r#""backoff": [100], "conceal": 1"#, r#""http_url": "/""#);
    world.stream.connect();
    world.expect(&["connecting 1", "connected", "disconnected: the peer has ended", "backoff 100"]);
    world.wait(Duration::from_millis(100));
    world.expect(&["connecting 1", "connected", "acknowledged #1", "disconnected"]);
    let first = block_on(world.stream.receive()).unwrap().unwrap();
    assert!(first.is_first && !first.is_last);
    assert_eq!(answer(&world), (200, b"hello".to_vec()), "it begins anew");
}

#[test]
fn a_time_limit_in_the_middle_of_an_answer() {
    let server = Server::new(&["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"]);
    let mut world = server.world(r#""backoff": [100], "conceal": 9"#, r#""timeout_ms": 3000"#);
    let sending = block_on(world.stream.enqueue("")).unwrap();
    world.expect(&["connecting 1", "connected"]);
    world.wait(Duration::from_secs(3));
    world.expect(&["disconnected: not done within 3s", "all retries failed", "undelivered #1: not done within 3s"]);
    assert!(block_on(sending).unwrap_err().is_timeout());
}

#[test]
fn fields_of_the_policy_of_the_message_and_of_the_answer() {
    let server = Server::new(&["HTTP/1.1 200 OK\r\nX-Job: 17\r\nContent-Length: 0\r\n\r\n"]);
    let stream = r#""http_url": "/${what}?q=${what}", "metadata": [{ "what": "" }, { "kind": "content-type:" }, { "job": "x-job:" }, { "unset": "x-unset:" }]"#;
    let mut world = server.world(r#""conceal": 0"#, stream);
    world.stream.set("what", "a b/c&d").unwrap();
    world.stream.set("kind", "text/plain").unwrap();
    let message = Message::from("").field("x-own", "1").unwrap().field("x-own", "2").unwrap();
    block_on(world.stream.send(message)).unwrap();
    world.expect(&["connecting 1", "value job", "connected"]);
    assert_eq!(world.stream.value("job").as_deref(), Some("17"));
    let received = block_on(world.stream.receive()).unwrap().unwrap();
    assert_eq!(received.fields["x-job"], "17");
    let asked = server.asked();
    assert_eq!(asked.line(), "GET /a%20b%2Fc%26d?q=a%20b%2Fc%26d HTTP/1.1");
    assert_eq!((asked.field("content-type"), asked.field("x-unset")), (Some("text/plain"), None));
    assert_eq!(asked.head.matches("x-own: ").count(), 2);

    // What frames the message is for the library.
    let message = Message::from("").field("content-length", "9").unwrap();
    assert!(block_on(world.stream.send(message)).unwrap_err().is_policy());
}

#[test]
fn a_value_with_a_line_break_reaches_no_wire() {
    let server = Server::new(&[OK]);
    let mut world = server.world(r#""conceal": 0"#, r#""metadata": [{ "kind": "content-type:" }]"#);
    world.stream.set("kind", "a\r\nx-evil: 1").unwrap();
    let error = block_on(world.stream.send("")).unwrap_err();
    assert!(error.is_policy(), "{error}");
    world.expect(&["connecting 1", "undelivered #1: $.s.it.metadata"]);
    world.stream.set("kind", "a").unwrap();
    block_on(world.stream.send("")).unwrap();
    assert_eq!(server.asked().field("x-evil"), None);
}

#[test]
fn who_asks_is_said_by_basic_and_bearer_and_shown_nowhere() {
    for (auth, expected) in [
        (r#""type": "basic", "user": "me", "password": "${secret}""#, "Basic bWU6c2VzYW1l"),
        (r#""type": "bearer", "token": "${secret}""#, "Bearer sesame"),
    ] {
        let server = Server::new(&[OK]);
        let policy = format!(
            r#"{{ "auth": [{{ "name": "who", {auth} }}], "s": {{ "it": {{ "endpoint": "127.0.0.1", "port": {}, "use_auth": "who", "metadata": {{ "secret": "" }} }} }} }}"#,
            server.port
        );
        let world = World::of(&policy);
        assert!(block_on(world.stream.send("")).unwrap_err().is_policy(), "without it nobody is asked");
        world.stream.set("secret", "sesame").unwrap();
        block_on(world.stream.send("")).unwrap();
        assert_eq!(server.asked().field("authorization"), Some(expected));
        assert!(!format!("{:?}{:?}", world.stream, world.streams).contains("sesame"));
    }
}

#[test]
fn a_body_in_pieces_is_chunked_and_one_without_a_length_too() {
    let server = Server::new(&[OK, OK]);
    let world = server.world(r#""conceal": 0"#, r#""http_method": "POST""#);
    let piece = |text: &str, is_first, is_last| Message::from(text).piece(is_first, is_last);
    let first = block_on(world.stream.enqueue(piece("one,", true, false))).unwrap();
    assert_eq!(block_on(world.stream.send(piece("two,", false, false))).unwrap(), Delivery::Sent);
    assert_eq!(block_on(world.stream.send(piece("three", false, true))).unwrap(), Delivery::Sent);
    assert_eq!(block_on(first).unwrap(), Delivery::Acknowledged, "the first stands for all");
    let asked = server.asked();
    assert_eq!((asked.field("transfer-encoding"), asked.body.as_slice()), (Some("chunked"), &b"one,two,three"[..]));

    let world = server.world(r#""conceal": 0"#, r#""http_method": "POST", "http_no_content_length": true"#);
    block_on(world.stream.send("whole")).unwrap();
    let asked = server.asked();
    assert_eq!((asked.field("transfer-encoding"), asked.body.as_slice()), (Some("chunked"), &b"whole"[..]));
}

#[test]
fn forms_with_parts_and_without() {
    let server = Server::new(&[OK, OK]);
    let world = server.world(r#""conceal": 0"#, r#""http_method": "POST", "http_www_form_urlencoded": true"#);
    block_on(world.stream.send("a=b")).unwrap();
    assert_eq!(server.asked().field("content-type"), Some("application/x-www-form-urlencoded"));
    let parts = r#""http_method": "POST", "http_multipart_name": "it", "http_multipart_filename": "a.txt", "http_mime_content_type": "text/plain""#;
    let world = server.world(r#""conceal": 0"#, parts);
    block_on(world.stream.send("hello")).unwrap();
    let asked = server.asked();
    let boundary = asked.field("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let expected = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"it\"; filename=\"a.txt\"\r\ncontent-type: text/plain\r\n\r\nhello\r\n--{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8(asked.body.clone()).unwrap(), expected);
}

#[test]
fn interim_answers_are_passed_over_and_what_has_no_body_has_none() {
    for (answer_text, expected) in [
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
    ] {
        let server = Server::new(&[answer_text, OK]);
        let world = server.world(r#""conceal": 0"#, r#""http_url": "/""#);
        block_on(world.stream.send("")).unwrap();
        assert_eq!(answer(&world).1, expected.as_bytes());
        block_on(world.stream.send("")).unwrap();
        assert_eq!(answer(&world).1, b"hello", "and the next answer is the next");
        server.asked();
        assert_eq!(server.asked().connection, 0);
    }
}

#[test]
fn hostile_answers_are_named_errors() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X-More: 0123456789\r\n".repeat(20_000));
    for (text, expected) in [
        (endless.as_str(), "h1: "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!CLOSE", "h1: "),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\nCLOSE", "h1: "),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nxCLOSE", "h1: "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nxCLOSE", "the peer has ended"),
    ] {
        let server = Server::new(&[text]);
        let world = server.world(r#""conceal": 0"#, r#""http_method": "POST""#);
        let error = block_on(world.stream.send("x")).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text:.60}: {error}");
    }
}

#[test]
fn what_this_version_does_not_do_is_said_when_the_stream_is_opened() {
    let policy = r#"{ "s": { "a": { "endpoint": "h.example", "http_cookies": true } } }"#;
    let policy = onionskin::streams::policy::Policy::read(policy).unwrap();
    let streams = onionskin::streams::Streams::new(policy, crate::world::runtime()).unwrap();
    let error = streams.open("a").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported(_)) && error.to_string().contains("http_cookies"), "{error}");
    assert_eq!(streams.open("b").unwrap_err().to_string(), r#"$.s: no stream is called "b""#);
}
