//! What is lost on one side is lost on the other, and the log says where and why.

use std::io::ErrorKind;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::Socket;

use super::{Files, Layers, NOBODY, Path, Relay, block_on, dial, expect_reset, greet, read_all};
use crate::common::Authority;

/// Few enough that all of it is in the buffers of the system before anybody reads.
const SIZE: usize = 50_000;

/// Ends the stream of a connection as if the machine had gone.
async fn lose(conn: Connection<Socket>, layers: Layers) {
    let mut socket = conn.into_inner().io;
    match layers {
        // An end of file, without a close_notify.
        Layers::Tls | Layers::TlsInTls => socket.close().await.unwrap(),
        Layers::None => socket.reset().unwrap(),
    }
}

/// Whether the connection has not ended, but is lost.
fn is_lost(result: &std::io::Result<()>, layers: Layers) -> bool {
    let Err(error) = result else { return false };
    match layers {
        Layers::None => error.kind() == ErrorKind::ConnectionReset,
        Layers::Tls | Layers::TlsInTls => Error::of(error).is_some_and(Error::is_truncated),
    }
}

#[test]
fn a_loss_is_no_end_and_comes_behind_the_last_bytes() {
    let files = Files::new();
    for near in [Layers::None, Layers::Tls, Layers::TlsInTls] {
        for far in [Layers::None, Layers::Tls] {
            let mut path = Path::new(&files, near, far, &["--truncated", "reset"]);
            for (number, by_client) in [(1, true), (2, false)] {
                block_on(async {
                    let (client, server) = path.join().await;
                    let (mut from, mut to, layers) = match by_client {
                        true => (client, server, (near, far)),
                        false => (server, client, (far, near)),
                    };
                    // The way back ends gracefully, which saves nothing.
                    greet(&mut to, &mut from).await;
                    from.write_all(&[7; SIZE]).await.unwrap();
                    from.flush().await.unwrap();
                    if layers.0 == Layers::None {
                        // A reset may overtake bytes already on the way to the relay.
                        let mut read = vec![0; SIZE];
                        to.read_exact(&mut read).await.unwrap();
                        lose(from, layers.0).await;
                        let (rest, result) = read_all(&mut to).await;
                        assert!(rest.is_empty() && is_lost(&result, layers.1), "{near:?}, {far:?}: {result:?}");
                    } else {
                        lose(from, layers.0).await;
                        let (read, result) = read_all(&mut to).await;
                        assert_eq!(read, [7; SIZE], "{near:?}, {far:?}");
                        assert!(is_lost(&result, layers.1), "{near:?}, {far:?}: {result:?}");
                    }
                });
                let side = if by_client { "LISTEN side: " } else { "CONNECT side: " };
                let (outcome, cause) = match if by_client { near } else { far } {
                    Layers::None => ("lost, ", "the socket failed"),
                    _ => ("truncated, ", "without a close_notify"),
                };
                let line = path.relay.hears(&[&format!("#{number} "), outcome, side]);
                assert!(line.contains(cause), "{line}");
            }
            // And a graceful end is one.
            block_on(async {
                let (mut client, mut server) = path.join().await;
                client.close().await.unwrap();
                read_all(&mut server).await.1.unwrap();
                server.close().await.unwrap();
                read_all(&mut client).await.1.unwrap();
            });
            path.relay.hears(&["#3 ", "ended; 0 bytes there, 0 back"]);
        }
    }
}

/// The client stops reading, but what it had said is not lost with it.
#[test]
fn what_a_side_said_before_it_could_no_longer_be_written_to_arrives() {
    let files = Files::new();
    let mut path = Path::new(&files, Layers::Tls, Layers::Tls, &[]);
    block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut server, &mut client).await;
        client.write_all(&[7; SIZE]).await.unwrap();
        client.flush().await.unwrap();
        drop(client);
        // Until the relay finds that nobody takes it.
        while server.write_all(&[0; SIZE]).await.is_ok() {}
        let (read, result) = read_all(&mut server).await;
        assert_eq!(read, [7; SIZE]);
        assert!(result.is_err());
    });
    path.relay.hears(&["#1 ", "lost, LISTEN side: ", &format!("{SIZE} bytes there")]);
}

/// The server has been told that the client has no more to say, and still has to hear that the client is lost.
#[test]
fn a_loss_after_an_end_is_a_reset() {
    let files = Files::new();
    for far in [Layers::None, Layers::Tls] {
        let mut path = Path::new(&files, Layers::None, far, &[]);
        block_on(async {
            let (mut client, mut server) = path.join().await;
            greet(&mut client, &mut server).await;
            client.close().await.unwrap();
            read_all(&mut server).await.1.unwrap();
            greet(&mut server, &mut client).await;
            client.into_inner().io.reset().unwrap();
            let error = loop {
                if let Err(error) = server.write_all(&[0; SIZE]).await {
                    break error;
                }
            };
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{far:?}: {error}");
        });
        path.relay.hears(&["#1 ", "lost, LISTEN side: the socket failed", "; 1 bytes there, "]);
    }
}

#[test]
fn without_a_connect_side_the_client_is_lost_and_the_log_says_why() {
    let files = Files::new();
    for near in [Layers::None, Layers::Tls] {
        let mut relay = Relay::start(&format!("tcp:127.0.0.1:0{}", files.server(near)), NOBODY, &[]);
        match near {
            Layers::None => expect_reset(&relay, || ()),
            _ => block_on(async {
                // It may be lost before the client has seen that its handshake is done.
                let result = match dial(&format!("{}{}", relay.endpoint, files.client(near))).await {
                    Ok(mut client) => read_all(&mut client).await.1,
                    Err(error) => Err(error.into()),
                };
                assert!(is_lost(&result, near), "{near:?}: {result:?}");
            }),
        }
        let line = relay.hears(&["#1 ", "not joined, CONNECT side: cannot connect to "]);
        assert!(line.contains(NOBODY) && line.contains("refused") && line.contains("WARN"), "{line}");
        assert!(line.ends_with(" ⇄ nothing"), "{line}");
    }
}

#[test]
fn a_wrong_certificate_on_the_connect_side_is_named() {
    let files = Files::new();
    let far = super::listen(&format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls)));
    let transport = far.endpoint().transport.to_string();
    let stranger = files.directory.write("stranger.pem", Authority::new().pem());
    let ca = files.directory.file("ca.pem");
    for (trust, sni, cause) in [
        (&stranger, "localhost", Some("its issuer is none of the trust anchors")),
        (&ca, "other.example", Some("other.example")),
        (&ca, "localhost", None),
    ] {
        let mut relay = Relay::start("tcp:127.0.0.1:0", &format!("{transport}+tls:sni={sni}:ca={trust}"), &[]);
        let accepting = async { far.accept().await.unwrap().ready().await };
        let Some(cause) = cause else {
            block_on(async {
                let (client, server) = join(dial(&relay.endpoint), accepting).await;
                greet(&mut client.unwrap(), &mut server.unwrap()).await;
            });
            continue;
        };
        expect_reset(&relay, || {
            assert!(block_on(accepting).unwrap_err().connection_error().unwrap().is_refused());
        });
        let line = relay.hears(&["#1 ", "not joined, CONNECT side: layer #"]);
        assert!(line.contains(cause), "{line}");
    }
}

#[test]
fn a_client_that_does_not_get_in_opens_nothing_on_the_connect_side() {
    let files = Files::new();
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &[]);
    block_on(async {
        let mut client = dial(&path.relay.endpoint).await.unwrap();
        client.write_all(b"HELO there\r\n").await.unwrap();
        client.flush().await.unwrap();
        // The alert.
        let _ = read_all(&mut client).await;
        let line = path.relay.hears(&["#1 ", "not joined, LISTEN side: layer #"]);
        assert!(line.contains("speaking plaintext"), "{line}");
        // The first that is accepted there belongs to the second client.
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
    });
}
