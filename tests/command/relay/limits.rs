//! How much a relay holds, and how many.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use futures::io::AsyncWriteExt;

use super::{Relay, block_on, dial, greet, listen, read_all};

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

/// More than the sockets of two systems and the buffers of two stacks hold.
const FAR_TOO_MUCH: usize = 256 * 1024 * 1024;
