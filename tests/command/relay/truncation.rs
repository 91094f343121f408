//! Clients and servers that end TCP without a close_notify: what they said is answered, and the log has a word for it.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::Socket;
use onionskin::tls::{Roots, TlsClient};

use super::{Files, Layers, NOBODY, Path, block_on, greet, read_all, runtime};
use crate::onion::run;

/// A client, and its socket below all layers.
struct Client {
    conn: Connection<Socket>,
    below: TcpStream,
}

impl Client {
    async fn connect(path: &Path, files: &Files, layers: Layers) -> Self {
        let socket = TcpStream::connect(path.relay.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
        let below = socket.try_clone().unwrap();
        let mut conn = Connection::with_timer(runtime().adopt_tcp(socket).unwrap(), Arc::new(runtime()));
        let roots = Roots::from_pem_file(files.directory.file("ca.pem")).unwrap();
        let client = TlsClient::new(roots).unwrap();
        for _ in 0..layers.steps("+").len() {
            conn.start_tls(client.to("localhost").unwrap()).await.unwrap();
        }
        Self { conn, below }
    }

    /// A FIN, and nothing above it.
    fn end(&self) {
        self.below.shutdown(Shutdown::Write).unwrap();
    }
}

fn is_truncated(result: &std::io::Result<()>) -> bool {
    result.as_ref().is_err_and(|error| Error::of(error).is_some_and(Error::is_truncated))
}

#[test]
fn the_answer_arrives_and_the_end_is_passed_on_without_a_close_notify() {
    let files = Files::new();
    for near in [Layers::Tls, Layers::TlsInTls] {
        for far in [Layers::None, Layers::Tls, Layers::TlsInTls] {
            let mut path = Path::new(&files, near, far, &[]);
            block_on(async {
                let accepting = async { path.far.accept().await.unwrap().ready().await.unwrap() };
                let (mut client, mut server) = join(Client::connect(&path, &files, near), accepting).await;
                client.conn.send_all(b"request").await.unwrap();
                client.end();
                let (request, result) = read_all(&mut server).await;
                assert_eq!(request, b"request");
                match far {
                    Layers::None => result.unwrap(),
                    _ => assert!(is_truncated(&result), "{near:?}, {far:?}: {result:?}"),
                }
                server.send_all(b"answer").await.unwrap();
                server.close().await.unwrap();
                let (answer, result) = read_all(&mut client.conn).await;
                assert_eq!(answer, b"answer");
                result.unwrap();
            });
            let line = path.relay.hears(&["#1 ", "truncated, LISTEN side: layer #"]);
            assert!(line.contains("without a close_notify; 7 bytes there, 6 back"), "{line}");
            path.relay.signal("TERM");
            let (_, log) = path.relay.finish();
            let last = log.last().unwrap();
            assert!(
                last.contains("1 accepted: 0 ended") && last.contains(" 0 lost") && last.contains("1 truncated"),
                "{last}"
            );
        }
    }
}

#[test]
fn a_server_that_leaves_it_out_is_treated_the_same() {
    let files = Files::new();
    for near in [Layers::None, Layers::Tls] {
        let mut path = Path::new(&files, near, Layers::Tls, &[]);
        block_on(async {
            let (mut client, mut server) = path.join().await;
            greet(&mut client, &mut server).await;
            server.send_all(b"greeting").await.unwrap();
            server.close_wire().await.unwrap();
            let (greeting, result) = read_all(&mut client).await;
            assert_eq!(greeting, b"greeting");
            assert_eq!(is_truncated(&result), near == Layers::Tls, "{result:?}");
            client.send_all(b"still there").await.unwrap();
            client.close().await.unwrap();
            let (said, result) = read_all(&mut server).await;
            assert_eq!(said, b"still there");
            result.unwrap();
        });
        path.relay.hears(&["#1 ", "truncated, CONNECT side: layer #", "12 bytes there, 8 back"]);
    }
}

/// There is one place for all of them, one after the other. That none waits for time to pass is shown where time is a test's own.
#[test]
fn clients_in_turn_hold_no_slot_behind_their_end() {
    let files = Files::new();
    for how in ["fin", "reset"] {
        let options = ["--max-connections", "1", "--truncated", how];
        let mut path = Path::new(&files, Layers::Tls, Layers::None, &options);
        for number in 1..=20 {
            block_on(async {
                let accepting = async { path.far.accept().await.unwrap().ready().await.unwrap() };
                let (mut client, mut server) = join(Client::connect(&path, &files, Layers::Tls), accepting).await;
                client.conn.send_all(b"request").await.unwrap();
                client.end();
                let (request, result) = read_all(&mut server).await;
                assert_eq!(request, b"request");
                if how == "reset" {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
                    return;
                }
                result.unwrap();
                server.send_all(b"answer").await.unwrap();
                server.close().await.unwrap();
                // It has ended: neither side waits for this client to go.
                let (answer, result) = read_all(&mut client.conn).await;
                result.unwrap();
                assert_eq!(answer, b"answer");
            });
            path.relay.hears(&[&format!("#{number} "), "truncated, LISTEN side: "]);
        }
    }
}

#[test]
fn an_end_in_the_middle_of_a_record_is_a_loss() {
    let files = Files::new();
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &[]);
    block_on(async {
        let accepting = async { path.far.accept().await.unwrap().ready().await.unwrap() };
        let (mut client, mut server) = join(Client::connect(&path, &files, Layers::Tls), accepting).await;
        client.conn.send_all(b"request").await.unwrap();
        std::io::Write::write_all(&mut &client.below, &[23, 3, 3, 0, 64, 1, 2, 3]).unwrap();
        client.end();
        let (request, result) = read_all(&mut server).await;
        assert_eq!(request, b"request");
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let (_, result) = read_all(&mut client.conn).await;
        assert!(is_truncated(&result), "nobody tells it that all is well: {result:?}");
    });
    path.relay.hears(&["#1 ", "lost, LISTEN side: layer #", "in the middle of a record"]);
}

#[test]
fn a_client_that_is_gone_before_its_answer_is_a_loss() {
    let files = Files::new();
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &[]);
    block_on(async {
        let accepting = async { path.far.accept().await.unwrap().ready().await.unwrap() };
        let (mut client, mut server) = join(Client::connect(&path, &files, Layers::Tls), accepting).await;
        client.conn.send_all(b"request").await.unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0; 7]).await.unwrap(), 7);
        while server.write_all(&[0; 10_000]).await.is_ok() {}
    });
    path.relay.hears(&["#1 ", "lost, LISTEN side: the socket failed"]);
}

#[test]
fn what_it_is_to_be_passed_on_as_is_one_of_two() {
    let outcome = run(["relay", "tcp:127.0.0.1:0", NOBODY, "--truncated", "politely"], "");
    assert_eq!(outcome.status, Some(2));
    assert!(outcome.stderr.contains("fin") && outcome.stderr.contains("reset"), "{}", outcome.stderr);
}

#[test]
fn where_nobody_sends_a_close_notify_that_is_counted_apart() {
    let files = Files::new();
    let [near, far] = [files.server(Layers::Tls), files.client(Layers::Tls)];
    // TDS up to 7, TDS 8.0, and something else.
    for (step, outcome) in [
        ("+starttls:tds:", "truncated by custom"),
        ("+tls:alpn=tds/8.0:", "truncated by custom"),
        ("+tls:", "truncated"),
    ] {
        let [near, far] = [&near, &far].map(|steps| steps.replace("+tls:", step));
        let server = super::listen(&format!("tcp:127.0.0.1:0{near}"));
        let behind = format!("{}{far}", server.endpoint().transport);
        let mut relay = super::Relay::start(&format!("tcp:127.0.0.1:0{near}"), &behind, &[]);
        block_on(async {
            let accepting = async { server.accept().await.unwrap().ready().await.unwrap() };
            let address = format!("{}{far}", relay.endpoint);
            let (client, mut server) = join(super::dial(&address), accepting).await;
            let mut client = client.unwrap();
            client.send_all(b"a query").await.unwrap();
            client.close_wire().await.unwrap();
            let (query, result) = read_all(&mut server).await;
            assert_eq!(query, b"a query");
            assert!(is_truncated(&result), "nothing proves that it was all: {result:?}");
            server.close_wire().await.unwrap();
        });
        let line = relay.hears(&["#1 ", &format!("{outcome}, LISTEN side: layer #")]);
        assert!(line.contains("without a close_notify"), "{line}");
        relay.signal("TERM");
        let (_, log) = relay.finish();
        let last = log.last().unwrap();
        assert!(last.contains(&format!("1 {outcome}")) && last.contains("0 lost"), "{last}");
    }
}
