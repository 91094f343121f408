//! The end of standard input is not the end of the conversation.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::{Either, select};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::endpoint::Listener;
use onionskin::runtime::{self, Runtime, Socket};

use crate::common::Authority;
use crate::onion::{Directory, Outcome, finish, onion, run};

/// A server in clear, for one connection.
fn server<R: Send + 'static>(serve: impl FnOnce(TcpStream) -> R + Send + 'static) -> (String, JoinHandle<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
    (endpoint, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// Both commands that take standard input for the peer.
fn each_command(endpoint: &str, options: &[&str], input: &str) -> [impl FnOnce() -> Outcome + use<>; 2] {
    [&["connect", "--raw", endpoint][..], &["relay", "stdio", endpoint]].map(|words| {
        let words: Vec<String> = words.iter().chain(options).map(|&word| word.to_owned()).collect();
        let input = input.to_owned();
        move || run(words.iter().map(String::as_str), input)
    })
}

/// A server that ends with its client, as those do that do not half close, and thinks for a moment before it answers.
async fn answer_unless_ended(mut conn: Connection<Socket>) {
    let timer: &dyn Runtime = runtime::preferred().unwrap();
    let mut question = [0; 2];
    conn.read_exact(&mut question).await.unwrap();
    let mut byte = [0];
    let thought = timer.sleep_until(timer.now() + Duration::from_secs(1));
    match select(conn.read(&mut byte), thought).await {
        Either::Left((read, _)) => assert_eq!(read.unwrap(), 0),
        Either::Right((_, reading)) => {
            drop(reading);
            conn.write_all(b"answer").await.unwrap();
        }
    }
    conn.close().await.unwrap();
    let _ = conn.read_to_end(&mut Vec::new()).await;
}

#[test]
fn a_server_that_does_not_half_close_is_heard() {
    let directory = Directory::new();
    let authority = Authority::new();
    let ca = directory.write("ca.pem", authority.pem());
    let (chain, key) = authority.pem_identity("localhost");
    let (chain, key) = (directory.write("chain.pem", chain), directory.write("key.pem", key));
    let runtime = runtime::preferred().unwrap();
    for tls in ["", ":max=1.2", ":min=1.3"] {
        let steps = |keys: &str| if tls.is_empty() { String::new() } else { format!("+tls:{keys}{tls}") };
        let endpoint = format!("tcp:127.0.0.1:0{}", steps(&format!("cert={chain}:key={key}")));
        let listener = runtime::block_on(runtime, Listener::new(runtime, &endpoint.parse().unwrap())).unwrap();
        let client = format!("{}{}", listener.endpoint().transport, steps(&format!("sni=localhost:ca={ca}")));
        let server = thread::spawn(move || {
            for _ in 0..4 {
                runtime::block_on(runtime, async {
                    answer_unless_ended(listener.accept().await.unwrap().ready().await.unwrap()).await;
                });
            }
        });
        for (options, heard) in [(&[][..], "answer"), (&["--half-close"], "")] {
            for command in each_command(&client, options, "q\n") {
                let outcome = command();
                assert_eq!(outcome.status, Some(0), "{options:?} {outcome:?}");
                assert_eq!(outcome.stdout, heard, "{options:?} {}", outcome.stderr);
            }
        }
        server.join().unwrap();
    }
}

/// A server that speaks before it is asked, or answers, and in any case waits for the end.
#[test]
fn whether_anything_was_unanswered_shows_in_the_status() {
    let cases = [("", "", Some(1)), ("", "answer", Some(0)), ("hello ", "answer", Some(0))];
    for (before, answer, status) in cases {
        for command in 0..2 {
            let (endpoint, server) = server(move |mut client| {
                client.write_all(before.as_bytes()).unwrap();
                let mut question = [0; 2];
                client.read_exact(&mut question).unwrap();
                client.write_all(answer.as_bytes()).unwrap();
                // It ends only when it is told to.
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            });
            let outcome = each_command(&endpoint, &["--wait", "1"], "q\n").into_iter().nth(command).unwrap()();
            server.join().unwrap();
            assert!(outcome.stdout.ends_with(answer), "{outcome:?}");
            if before.is_empty() || status == Some(0) {
                assert_eq!(outcome.status, status, "{before:?} {answer:?} {outcome:?}");
            }
            assert_eq!(
                outcome.stderr.contains("nothing came for what was sent last within 1s"),
                outcome.status == Some(1)
            );
        }
    }
}

/// Whoever reads along outside TLS is not to see what was meant for inside.
#[test]
fn when_the_peer_has_ended_tls_nothing_goes_in_clear() {
    let directory = Directory::new();
    let authority = Authority::new();
    let ca = directory.write("ca.pem", authority.pem());
    let (chain, key) = authority.pem_identity("localhost");
    let (chain, key) = (directory.write("chain.pem", chain), directory.write("key.pem", key));
    let runtime = runtime::preferred().unwrap();
    let at = format!("tcp:127.0.0.1:0+tls:cert={chain}:key={key}");
    let listener = runtime::block_on(runtime, Listener::new(runtime, &at.parse().unwrap())).unwrap();
    let endpoint = format!("{}+tls:sni=localhost:ca={ca}", listener.endpoint().transport);
    let (tell, stopped) = std::sync::mpsc::channel();
    let serving = thread::spawn(move || {
        runtime::block_on(runtime, async {
            let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
            let mut first = [0; 6];
            conn.read_exact(&mut first).await.unwrap();
            conn.stop_tls().await.unwrap();
            tell.send(()).unwrap();
            let mut in_clear = Vec::new();
            conn.read_to_end(&mut in_clear).await.unwrap();
            (first, String::from_utf8(in_clear).unwrap())
        })
    });
    let mut child = onion(["connect", "--raw", &endpoint]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"first\n").unwrap();
    stopped.recv().unwrap();
    // It may be gone by then.
    let _ = stdin.write_all(b"a secret\n");
    drop(stdin);
    let (first, in_clear) = serving.join().unwrap();
    assert_eq!(first, *b"first\n", "control: what was inside has come");
    assert_eq!(in_clear, "");
    let outcome = finish(child);
    assert!(outcome.stderr.contains("the peer closed layer #"), "{outcome:?}");
}

#[test]
fn nothing_was_asked_of_a_peer_that_only_speaks() {
    let (endpoint, server) = server(|mut client| {
        client.write_all(b"hello").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
    let outcome = run(["connect", "--raw", &endpoint, "--wait", "1"], "").succeeded();
    assert_eq!(outcome.stdout, "hello");
    server.join().unwrap();
}

#[test]
fn a_peer_that_never_ends_is_given_up() {
    let (endpoint, server) = server(|mut client| {
        client.write_all(b"hello").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        client
    });
    let outcome = run(["connect", "--raw", &endpoint, "--half-close", "--patience", "1"], "");
    assert_eq!(outcome.stdout, "hello");
    let line = outcome.failed(1);
    assert!(line.contains("the peer has not ended within 1s of silence after our end"), "{line}");
    server.join().unwrap();
}

#[test]
fn what_is_asked_in_the_line_protocol_is_known_to_be_answered() {
    // Nobody waits when there is nothing to wait for: the peer sees the end, and no time has to pass.
    let (endpoint, serving) = server(|client| {
        let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
        for index in 0..3 {
            assert_eq!(lines.next().unwrap().unwrap(), format!("ECHO {index}"));
        }
        (&client).write_all(b"ECHO 0\r\nECHO 1\r\nECHO 2\r\n").unwrap();
        assert!(lines.next().is_none(), "the end comes when all is answered");
    });
    let outcome = run(["connect", &endpoint, "--wait", "none"], "ECHO 0\nECHO 1\nECHO 2\n").succeeded();
    assert_eq!(outcome.lines().len(), 3);
    serving.join().unwrap();

    let (endpoint, serving) = server(|client| {
        let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
        lines.next().unwrap().unwrap();
        (&client).write_all(b"ECHO 0\r\n").unwrap();
        while lines.next().is_some() {}
        client.shutdown(Shutdown::Both).unwrap();
    });
    let line = run(["connect", &endpoint, "--wait", "1"], "ECHO 0\nECHO 1\n").failed(1);
    assert!(line.contains("the peer ended without 1 of the answers"), "{line}");
    serving.join().unwrap();
}

/// Speaks first, and answers each line with several. Whoever sends a line before the answer to the last is told so.
fn strict(client: &TcpStream, answer: impl Fn(&str) -> String) -> Vec<String> {
    let mut said = Vec::new();
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let early = reader.fill_buf().map_or(0, <[u8]>::len);
        client.set_read_timeout(None).unwrap();
        assert_eq!(early, 0, "{line:?} is not answered yet");
        let answer = answer(line.trim_end());
        // The lines come one by one.
        for part in answer.split_inclusive('\n') {
            (&*client).write_all(part.as_bytes()).unwrap();
        }
        said.push(std::mem::take(&mut line));
        if said.last().is_some_and(|line| line.contains("QUIT")) {
            break;
        }
    }
    said
}

#[test]
fn lockstep_waits_for_the_replies_of_another_protocol() {
    let (endpoint, server) = server(|client| {
        (&client).write_all(b"220-mail.example\r\n220 ready\r\n").unwrap();
        strict(&client, |line| match line {
            "EHLO me" => "250-mail.example\r\n250-anything\r\n250 8BITMIME\r\n".to_owned(),
            _ => "250 fine\r\n".to_owned(),
        })
    });
    let words = ["connect", "--raw", "--crlf", "--lockstep", "--greeting", &endpoint];
    let outcome = run(words, "EHLO me\nNOOP\nQUIT\n").succeeded();
    assert_eq!(outcome.lines().len(), 7, "{outcome:?}");
    assert_eq!(server.join().unwrap(), ["EHLO me\r\n", "NOOP\r\n", "QUIT\r\n"]);
}

#[cfg(unix)]
#[test]
fn lockstep_waits_for_the_tag_behind_a_step_of_imap() {
    let directory = Directory::new();
    let authority = Authority::new();
    let ca = directory.write("ca.pem", authority.pem());
    let (chain, key) = authority.pem_identity("localhost");
    let (chain, key) = (directory.write("chain.pem", chain), directory.write("key.pem", key));
    let (endpoint, server) = server(|client| {
        // The relay takes this one.
        (&client).write_all(b"* OK ready\r\n").unwrap();
        strict(&client, |line| match line {
            "a1 NOOP" => "* 23 EXISTS\r\na1 OK done\r\n".to_owned(),
            "a2 LOGIN {2}" => "+ go on\r\n".to_owned(),
            "me x" => "me OK in\r\n".to_owned(),
            _ => "* BYE\r\na3 OK bye\r\n".to_owned(),
        })
    });
    // Another process starts the TLS, so that the server need not.
    let listen = format!("tcp:127.0.0.1:0+starttls:imap:cert={chain}:key={key}");
    let mut relay = onion(["relay", &listen, &endpoint]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(relay.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let client = format!("{}+starttls:imap:sni=localhost", first.strip_prefix("listening on ").unwrap().trim_end());
    let outcome =
        run(["connect", "--crlf", "--lockstep", &client, "--ca", &ca], "a1 NOOP\na2 LOGIN {2}\nme x\na3 QUIT\n");
    relay.kill().unwrap();
    relay.wait().unwrap();
    let outcome = outcome.succeeded();
    assert_eq!(outcome.lines(), ["* 23 EXISTS", "a1 OK done", "+ go on", "me OK in", "* BYE", "a3 OK bye"]);
    assert_eq!(server.join().unwrap().len(), 4);
}
