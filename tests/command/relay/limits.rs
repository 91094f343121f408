//! How much a relay holds, and how many.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use futures::io::AsyncWriteExt;

use super::{Files, Layers, Path, Relay, block_on, dial, greet, listen, read_all};

/// A sender is held up by a receiver that does not read, and goes on when that does.
#[test]
fn a_receiver_that_does_not_read_holds_up_the_sender() {
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start("tcp:127.0.0.1:0", &format!("tcp:{}", far.local_addr().unwrap()), &[]);
    let mut client = TcpStream::connect(relay.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
    let (mut server, _) = far.accept().unwrap();

    // A slow machine ends this early, which is a smaller number and no other result.
    client.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let piece = vec![7; 64 * 1024];
    let mut taken = 0;
    while taken < FAR_TOO_MUCH {
        match client.write(&piece) {
            Ok(count) => taken += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(taken < FAR_TOO_MUCH, "the relay took all of it, and nobody read");

    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        server.read_to_end(&mut read).unwrap();
        read.len()
    });
    client.set_write_timeout(None).unwrap();
    client.write_all(&piece).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reader.join().unwrap(), taken + piece.len());
}

#[test]
fn one_client_too_many_waits_for_its_turn() {
    let far = listen("tcp:127.0.0.1:0");
    let connect = far.endpoint().transport.to_string();
    for most in [1, 2] {
        let mut relay = Relay::talkative("tcp:127.0.0.1:0", &connect, &["--max-connections", &most.to_string()]);
        block_on(async {
            let mut first = dial(&relay.endpoint).await.unwrap();
            let mut first_server = far.accept().await.unwrap().ready().await.unwrap();
            // The system takes it, whatever the relay does.
            let mut second = dial(&relay.endpoint).await.unwrap();
            if most == 2 {
                relay.hears(&["#2 ", "accepted"]);
            }
            first.close().await.unwrap();
            read_all(&mut first_server).await.1.unwrap();
            first_server.close().await.unwrap();
            read_all(&mut first).await.1.unwrap();
            let mut second_server = far.accept().await.unwrap().ready().await.unwrap();
            greet(&mut second, &mut second_server).await;
        });
        relay.hears(&["#1 ", "ended"]);
        relay.hears(&["#2 ", "accepted"]);
        let place = |part: &[&str]| relay.seen.iter().position(|line| part.iter().all(|part| line.contains(part)));
        let (ended, accepted) = (place(&["#1 ", "ended"]).unwrap(), place(&["#2 ", "accepted"]).unwrap());
        assert_eq!(ended < accepted, most == 1, "{:#?}", relay.seen);
        if most == 1 {
            relay.hears(&["as many as there may be"]);
        }
    }
}

/// Each of its clients is told the end at once, and then nobody ends the other direction.
#[test]
fn clients_that_say_nothing_any_more_do_not_keep_others_out_for_ever() {
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!("tcp:{}", far.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut server in far.incoming().map_while(Result::ok) {
            server.write_all(b"bye").unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
            held.push(server);
        }
    });
    let hears_bye = |relay: &Relay| {
        let mut client = TcpStream::connect(relay.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"bye");
        client
    };

    let most = ["--max-connections", "5"];
    let without = Relay::start("tcp:127.0.0.1:0", &connect, &most);
    let mut relay = Relay::start("tcp:127.0.0.1:0", &connect, &[&most[..], &["--half-open", "1"]].concat());
    let _kept: Vec<_> = (0..5).map(|_| hears_bye(&without)).collect();
    let mut waits = TcpStream::connect(without.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
    let mut given_up: Vec<_> = (0..5).map(|_| hears_bye(&relay)).collect();

    hears_bye(&relay);
    relay.hears(&["LISTEN side: ", "nothing was sent or received for 1s after one direction had ended"]);
    for client in &mut given_up {
        // The reset may still be on its way.
        while client.write(b"!").is_ok() {}
    }
    waits.set_nonblocking(true).unwrap();
    assert_eq!(waits.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "control: without the limit it waits");
}

#[test]
fn a_silent_connection_is_given_up_on_both_sides_and_neither_takes_that_for_an_end() {
    let files = Files::new();
    for (near, far) in [(Layers::None, Layers::None), (Layers::Tls, Layers::Tls)] {
        let mut path = Path::new(&files, near, far, &["--idle", "1"]);
        block_on(async {
            let (mut client, mut server) = path.join().await;
            greet(&mut client, &mut server).await;
            greet(&mut server, &mut client).await;
            for (conn, layers) in [(&mut client, near), (&mut server, far)] {
                let (read, result) = read_all(conn).await;
                assert!(read.is_empty());
                let expected =
                    if layers == Layers::None { ErrorKind::ConnectionReset } else { ErrorKind::UnexpectedEof };
                assert_eq!(result.unwrap_err().kind(), expected);
            }
        });
        path.relay.hears(&["#1 ", "lost, ", "nothing was sent or received for 1s"]);
    }
}

#[test]
fn the_limit_of_an_endpoint_is_its_own() {
    let far = listen("tcp:127.0.0.1:0");
    let connect = format!("{}:idle=1", far.endpoint().transport);
    let mut relay = Relay::start("tcp:127.0.0.1:0:idle=none", &connect, &["--idle", "4000000000"]);
    block_on(async {
        let mut client = dial(&relay.endpoint).await.unwrap();
        let mut server = far.accept().await.unwrap().ready().await.unwrap();
        greet(&mut client, &mut server).await;
        assert_eq!(read_all(&mut client).await.1.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
    relay.hears(&["#1 ", "lost, CONNECT side: ", "idle 1s"]);
}

/// More than the sockets of two systems and the buffers of two stacks hold.
const FAR_TOO_MUCH: usize = 256 * 1024 * 1024;
