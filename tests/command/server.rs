//! `onion serve` against a client of the library, which can do what `onion connect` never would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use onionskin::Connection;
use onionskin::runtime::{self, Socket};
use onionskin::stack::Readable;
use onionskin::tls::{Roots, TlsClient};

use crate::common::Authority;
use crate::onion::{Directory, Server, finish, onion, run, signal};

pub(crate) fn client(directory: &Directory) -> TlsClient {
    TlsClient::new(Roots::from_pem_file(directory.file("ca.pem")).unwrap()).unwrap()
}

fn address(server: &Server) -> &str {
    server.endpoint.strip_prefix("tcp:").unwrap()
}

pub(crate) async fn dial(server: &Server) -> Connection<Socket> {
    let runtime = runtime::preferred().unwrap();
    Connection::new(runtime.connect_tcp(address(server).parse().unwrap()).await.unwrap())
}

pub(crate) async fn ask(conn: &mut Connection<Socket>, line: &str) -> String {
    conn.write_line(line).await.unwrap();
    hear(conn).await.expect("an answer")
}

async fn hear(conn: &mut Connection<Socket>) -> Option<String> {
    conn.read_line().await.unwrap().map(|line| String::from_utf8(line).unwrap())
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime::block_on(runtime::preferred().unwrap(), future)
}

#[test]
fn a_client_that_says_nothing_is_given_up() {
    let directory = Directory::new();
    let server = Server::start(["tcp:127.0.0.1:0", "--self-signed", &directory.text(), "--idle", "1"]);
    // The layer that watches the time is none of those that the protocol counts.
    let ca = directory.file("ca.pem");
    let script = "DEPTH\n\\starttls\nDEPTH\n\\stoptls\nDEPTH\n";
    let outcome = run(["connect", &server.endpoint, "--ca", &ca, "--lockstep"], script).succeeded();
    let expected = ["DEPTH 0 -", "OK STARTTLS 1", "DEPTH 1 TLSv1.3", "OK STOPTLS 0", "DEPTH 0 -"];
    assert_eq!(outcome.lines(), expected);
    let mut silent = TcpStream::connect(address(&server)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

#[test]
fn an_unannounced_close_is_answered_and_peels() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    block_on(async {
        let mut conn = dial(&server).await;
        let tls = client(&directory);
        for depth in 1..=2 {
            assert_eq!(ask(&mut conn, "STARTTLS").await, format!("OK STARTTLS {depth}"));
            conn.start_tls(tls.to("localhost").unwrap()).await.unwrap();
        }
        // Half a line behind it changes nothing.
        conn.queue(b"ECHO ha").unwrap();
        assert_eq!(conn.stop_tls().await.unwrap().late, b"");
        assert_eq!(ask(&mut conn, "DEPTH").await, "DEPTH 1 TLSv1.3");
        conn.stop_tls().await.unwrap();
        assert_eq!(ask(&mut conn, "DEPTH").await, "DEPTH 0 -");
    });
}

#[test]
fn quit_closes_every_layer_from_the_inside_out() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    block_on(async {
        let mut conn = dial(&server).await;
        for _ in 0..3 {
            ask(&mut conn, "STARTTLS").await;
            conn.start_tls(client(&directory).to("localhost").unwrap()).await.unwrap();
        }
        assert_eq!(ask(&mut conn, "QUIT").await, "BYE");
        for left in (0..3).rev() {
            assert_eq!(hear(&mut conn).await, None);
            assert!(matches!(conn.stack().readable(), Readable::Ended(_)), "layer {left}");
            assert_eq!(conn.stop_tls().await.unwrap().late, b"");
            assert_eq!(conn.depth(), left);
        }
        assert_eq!(hear(&mut conn).await, None);
        assert!(matches!(conn.stack().readable(), Readable::EndOfInput));
    });
}

#[test]
fn plaintext_pipelined_behind_starttls_fails_the_handshake() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let mut socket = TcpStream::connect(address(&server)).unwrap();
    socket.write_all(b"STARTTLS\r\nECHO injected\r\n").unwrap();
    let mut said = Vec::new();
    socket.read_to_end(&mut said).unwrap();
    let answer = b"OK STARTTLS 1\r\n";
    assert!(said.starts_with(answer), "{said:?}");
    // The alert, and no word more.
    assert!(matches!(said[answer.len()..], [21, 3, _, 0, 2, 2, _]), "{said:?}");
    drop(socket);
    let outcome = server.stop("TERM").succeeded();
    assert!(outcome.stderr.contains("the peer is speaking plaintext"), "{}", outcome.stderr);
}

#[test]
fn a_client_hello_behind_starttls_is_welcome() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    block_on(async {
        let mut conn = dial(&server).await;
        conn.queue(b"ECHO first\nSTARTTLS\r\n").unwrap();
        let id = conn.splice(client(&directory).to("localhost").unwrap());
        // The two answers are plaintext where TLS is due: this client was too hasty, the server was not.
        let error = conn.ready(id.unwrap()).await.unwrap_err();
        assert!(error.is_not_spoken() && error.to_string().contains("ECHO first"), "{error}");
    });
}

/// One that ends gracefully, inside TLS, and one that does not speak it.
#[test]
fn the_log_can_be_objects() {
    let directory = Directory::new();
    let path = directory.file("");
    let server = Server::start(["tcp:127.0.0.1:0", "--self-signed", &path, "--log-format", "json"]);
    block_on(async {
        let mut conn = dial(&server).await;
        ask(&mut conn, "STARTTLS").await;
        conn.start_tls(client(&directory).to("localhost").unwrap()).await.unwrap();
        assert_eq!(ask(&mut conn, "QUIT").await, "BYE");
        assert_eq!(hear(&mut conn).await, None);
        conn.stop_tls().await.unwrap();
    });
    let mut plain = TcpStream::connect(address(&server)).unwrap();
    plain.write_all(b"STARTTLS\r\nECHO injected\r\n").unwrap();
    plain.read_to_end(&mut Vec::new()).unwrap();
    let peer = format!("tcp {}", plain.local_addr().unwrap());
    drop(plain);
    let log = server.stop("TERM").succeeded().stderr;
    let objects = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}")));
    let ends: Vec<serde_json::Value> = objects.filter(|line: &serde_json::Value| !line["outcome"].is_null()).collect();
    let of = |outcome: &str| ends.iter().find(|line| line["outcome"] == outcome).unwrap_or_else(|| panic!("{log}"));
    let (ended, failed) = (of("ended"), of("failed"));
    assert_eq!((&ended["level"], &ended["listen"]), (&"info".into(), &"tcp:127.0.0.1:0".into()), "{ended}");
    assert!(ended["seconds"].is_f64() && ended["listen_layers"].is_array() && ended["cause"].is_null(), "{ended}");
    assert_eq!((&failed["level"], &failed["peer"]), (&"error".into(), &peer.into()), "{failed}");
    assert!(failed["cause"].as_str().unwrap().contains("the peer is speaking plaintext"), "{failed}");
}

#[test]
fn a_line_over_the_limit_ends_the_connection() {
    let server = Server::start(["tcp:127.0.0.1:0"]);
    for (length, answer) in [(8192, "ECHO"), (8193, "ERR line too long"), (1_000_000, "ERR line too long")] {
        let mut socket = TcpStream::connect(address(&server)).unwrap();
        let text = "x".repeat(length - "ECHO ".len());
        // The server may stop reading before the end.
        let _ = socket.write_all(format!("ECHO {text}\r\nQUIT\r\n").as_bytes());
        let mut said = String::new();
        BufReader::new(&socket).read_line(&mut said).unwrap();
        assert_eq!(said.trim_end().trim_end_matches(['x']).trim_end(), answer, "{length} bytes");
    }
}

#[test]
fn commands_without_their_files_are_refused() {
    let server = Server::start(["tcp:127.0.0.1:0"]);
    let outcome = run(["connect", &server.endpoint, "--lockstep"], "STARTTLS\nRSTARTTLS\nDEPTH\n").succeeded();
    let lines = outcome.lines();
    assert!(lines[0].starts_with("ERR ") && lines[0].contains("--cert"), "{lines:?}");
    assert!(lines[1].starts_with("ERR ") && lines[1].contains("--ca"), "{lines:?}");
    assert_eq!(lines[2], "DEPTH 0 -");
}

#[test]
fn a_name_chooses_its_certificate() {
    let directory = Directory::new();
    let ca = Authority::new();
    let ca_file = directory.write("ca.pem", ca.pem());
    let files = |name: &str| {
        let (chain, key) = ca.pem_identity(name);
        (directory.write(&format!("{name}.pem"), chain), directory.write(&format!("{name}.key"), key))
    };
    let (first, second) = (files("first.example"), files("second.example"));
    let named = format!("second.example={},{}", second.0, second.1);
    let server = Server::start(["tcp:127.0.0.1:0", "--cert", &first.0, "--key", &first.1, "--name", &named]);
    for name in ["first.example", "second.example"] {
        let script = format!("\\starttls {name}\nDEPTH\n");
        let outcome = run(["connect", &server.endpoint, "--ca", &ca_file, "--lockstep"], script).succeeded();
        assert_eq!(outcome.lines(), ["OK STARTTLS 1", "DEPTH 1 TLSv1.3"]);
    }
}

#[test]
fn self_signed_files_are_kept_for_the_next_start() {
    let directory = Directory::new();
    drop(Server::self_signed(&directory));
    let read = || ["ca.pem", "cert.pem", "key.pem"].map(|name| std::fs::read(directory.file(name)).unwrap());
    let made = read();
    drop(Server::self_signed(&directory));
    assert_eq!(read(), made);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(directory.file("key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o077, 0);
    }
}

#[test]
fn two_clients_are_served_at_once() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    block_on(async {
        let (mut first, mut second) = (dial(&server).await, dial(&server).await);
        assert_eq!(ask(&mut first, "STARTTLS").await, "OK STARTTLS 1");
        // The first is in the middle of a handshake, and the second does not wait for it.
        assert_eq!(ask(&mut second, "ECHO second").await, "ECHO second");
        first.start_tls(client(&directory).to("localhost").unwrap()).await.unwrap();
        assert_eq!(ask(&mut second, "DEPTH").await, "DEPTH 0 -");
        assert_eq!(ask(&mut first, "DEPTH").await, "DEPTH 1 TLSv1.3");
    });
}

#[test]
fn a_signal_closes_every_connection_and_ends() {
    for name in ["TERM", "INT"] {
        let directory = Directory::new();
        let server = Server::self_signed(&directory);
        block_on(async {
            let mut conn = dial(&server).await;
            ask(&mut conn, "STARTTLS").await;
            conn.start_tls(client(&directory).to("localhost").unwrap()).await.unwrap();
            assert_eq!(ask(&mut conn, "ECHO a").await, "ECHO a");
            signal(name, server.id());
            assert_eq!(hear(&mut conn).await, None);
            conn.stop_tls().await.unwrap();
            assert_eq!(hear(&mut conn).await, None);
        });
        let outcome = server.finish();
        assert_eq!((outcome.status, &*outcome.stderr), (Some(0), ""), "SIG{name}");
    }
}

#[test]
#[cfg(unix)]
fn a_second_signal_does_not_wait_for_anybody() {
    let server = Server::start(["tcp:127.0.0.1:0"]);
    let mut idle = TcpStream::connect(address(&server)).unwrap();
    signal("TERM", server.id());
    // The server has closed its side, and now waits for this one.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.stop("TERM").status, Some(128 + 15));
}

#[test]
#[cfg(unix)]
fn a_unix_socket_serves_as_well() {
    let directory = Directory::new();
    let path = directory.file("onion.sock");
    let server = Server::start([&*format!("unix:{path}"), "--self-signed", &directory.text()]);
    assert_eq!(server.endpoint, format!("unix:{path}"));
    let ca = directory.file("ca.pem");
    let script = "\\starttls\nDEPTH\n\\layers\n\\quit\n";
    let outcome = run(["connect", &server.endpoint, "--ca", &ca, "--lockstep"], script).succeeded();
    assert_eq!(outcome.lines(), ["OK STARTTLS 1", "DEPTH 1 TLSv1.3", "BYE"]);
    let layers = outcome.stderr.trim_end();
    assert!(layers.contains("[ tls #1 ]    client ") && layers.ends_with(&format!("unix {path}")), "{layers}");
    server.stop("TERM").succeeded();
    assert!(!Path::new(&path).exists(), "the socket is removed at the end");
}

/// The process has one client, and ends with it.
#[cfg(unix)]
#[test]
fn standard_input_and_output_serve_as_well() {
    let outcome = run(["serve", "stdio"], "ECHO over pipes\nDEPTH\nQUIT\n").succeeded();
    assert_eq!(outcome.lines(), ["ECHO over pipes", "DEPTH 0 -", "BYE"]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_serves_as_well() {
    let name = format!("unix:@onion-{}", std::process::id());
    let server = Server::start([&*name]);
    assert_eq!(server.endpoint, name);
    let outcome = run(["connect", &name], "ECHO without a file\n\\quit\n").succeeded();
    assert_eq!(outcome.lines()[0], "ECHO without a file");
}

#[test]
fn a_client_whose_input_stays_open_ends_with_its_peer() {
    let directory = Directory::new();
    let server = Server::self_signed(&directory);
    let ca = directory.file("ca.pem");
    let mut child = onion(["connect", &server.endpoint, "--ca", &ca]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"\\starttls\nECHO a\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "OK STARTTLS 1");
    assert_eq!(lines.next().unwrap().unwrap(), "ECHO a");
    server.stop("TERM").succeeded();
    let outcome = finish(child);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("the peer closed layer #"), "{outcome:?}");
    drop(stdin);
}

/// By both sides, and read all the same.
#[test]
fn the_former_name_of_a_step_is_warned_of() {
    let words = "the step `proxy` of an endpoint is called `proxy-header` now";
    for (step, warnings) in [("proxy", 1), ("proxy-header", 0)] {
        let server = Server::start([&*format!("tcp:127.0.0.1:0+{step}")]);
        let client = run(["connect", &format!("tcp:{}+{step}", address(&server))], "ECHO hello\nQUIT\n").succeeded();
        assert_eq!(client.lines(), ["ECHO hello", "BYE"]);
        let server = server.stop("TERM").succeeded();
        for outcome in [client, server] {
            assert_eq!(outcome.stderr.matches(words).count(), warnings, "{outcome:?}");
        }
    }
}
