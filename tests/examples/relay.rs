//! The relay.

use std::io;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::endpoint::Listener;
use onionskin::runtime::Socket;

use crate::common::Authority;
use crate::process::{Directory, Example, block_on};

const SIZE: usize = 8 * 1024 * 1024;

/// Which sides of a relay speak TLS.
#[derive(Clone, Copy, Debug)]
struct Sides {
    near: bool,
    far: bool,
}

const ALL: [Sides; 4] = [
    Sides { near: false, far: false },
    Sides { near: true, far: false },
    Sides { near: false, far: true },
    Sides { near: true, far: true },
];

#[test]
fn eight_mebibytes_pass_both_ways_at_once() {
    each_way(async |client, server| {
        let talk = async |conn: Connection<Socket>, sent: u8, received: u8| {
            let (mut reader, mut writer) = conn.split();
            let write = async {
                writer.write_all(&pattern(sent)).await.unwrap();
                writer.close().await.unwrap();
            };
            let mut read = Vec::new();
            let (_, result) = join(write, reader.read_to_end(&mut read)).await;
            result.unwrap();
            assert!(read == pattern(received), "{} bytes, not the ones that were sent", read.len());
        };
        join(talk(client, 1, 2), talk(server, 2, 1)).await;
    });
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    for client_first in [true, false] {
        each_way(async |client, server| {
            let (mut first, mut second) = match client_first {
                true => (client, server),
                false => (server, client),
            };
            let first = async {
                first.write_all(&pattern(1)).await.unwrap();
                first.close().await.unwrap();
                assert!(read_all(&mut first).await.unwrap() == pattern(2));
            };
            let second = async {
                assert!(read_all(&mut second).await.unwrap() == pattern(1));
                second.write_all(&pattern(2)).await.unwrap();
                second.close().await.unwrap();
            };
            join(first, second).await;
        });
    }
}

#[test]
fn a_direction_goes_on_while_nobody_reads_the_other() {
    each_way(async |mut client, server| {
        // More than all buffers on the way hold.
        let client = async {
            for _ in 0..4 {
                client.write_all(&pattern(1)).await.unwrap();
            }
            client.close().await.unwrap();
            assert_eq!(read_all(&mut client).await.unwrap().len(), 4 * SIZE);
        };
        let server = async {
            let (mut reader, mut writer) = server.split();
            let write = async {
                for _ in 0..4 {
                    writer.write_all(&pattern(2)).await.unwrap();
                }
                writer.close().await.unwrap();
            };
            let mut read = Vec::new();
            let (_, result) = join(write, reader.read_to_end(&mut read)).await;
            result.unwrap();
            assert_eq!(read.len(), 4 * SIZE);
        };
        join(client, server).await;
    });
}

/// Behind a TLS layer, so that a graceful end is not to be mistaken for a loss.
#[test]
fn a_loss_on_one_side_is_a_loss_on_the_other() {
    let both = Sides { near: true, far: true };
    pass(both, async |mut client, mut server| {
        client.close().await.unwrap();
        assert_eq!(read_all(&mut server).await.unwrap(), b"", "a graceful end is one");
    });
    pass(both, async |client, mut server| {
        drop(client);
        read_all(&mut server).await.unwrap_err();
    });
    pass(both, async |mut client, server| {
        drop(server);
        read_all(&mut client).await.unwrap_err();
    });
    // A FIN without a close_notify, on a socket that goes on reading.
    pass(both, async |mut client, mut server| {
        client.close_wire().await.unwrap();
        read_all(&mut server).await.unwrap_err();
    });
    pass(both, async |mut client, mut server| {
        server.close_wire().await.unwrap();
        read_all(&mut client).await.unwrap_err();
    });
}

#[test]
fn without_a_far_side_the_near_side_ends() {
    block_on(async {
        let nobody = onionskin::listen("tcp:127.0.0.1:0").await.unwrap();
        let port = nobody.local_address().as_tcp().unwrap().port();
        drop(nobody);
        let relay = Example::start("relay", ["tcp:127.0.0.1:0", &format!("tcp:127.0.0.1:{port}")]);
        let mut client = relay.connect().await;
        // Aborted: an end or a reset, as the system likes.
        assert_eq!(read_all(&mut client).await.unwrap_or_default(), b"");
    });
}

fn each_way(test: impl AsyncFn(Connection<Socket>, Connection<Socket>)) {
    for sides in ALL {
        eprintln!("{sides:?}");
        pass(sides, &test);
    }
}

/// A client and a server, with a relay between them.
fn pass(sides: Sides, test: impl AsyncFn(Connection<Socket>, Connection<Socket>)) {
    let directory = Directory::new();
    let authority = Authority::new();
    let (chain, key) = authority.pem_identity("localhost");
    for (name, text) in [("ca.pem", authority.pem()), ("chain.pem", chain), ("key.pem", key)] {
        std::fs::write(directory.path(name), text).unwrap();
    }
    let accepting = format!("+tls:cert={}:key={}", directory.path("chain.pem"), directory.path("key.pem"));
    let connecting = format!("+tls:sni=localhost:ca={}", directory.path("ca.pem"));
    let tls = |yes: bool, step: &str| if yes { step.to_owned() } else { String::new() };

    let runtime = onionskin::runtime::preferred().unwrap();
    block_on(async {
        let endpoint = format!("tcp:127.0.0.1:0{}", tls(sides.far, &accepting));
        let listener = Listener::new(runtime, &endpoint.parse().unwrap()).await.unwrap();
        let port = listener.local_address().as_tcp().unwrap().port();
        let from = format!("tcp:127.0.0.1:0{}", tls(sides.near, &accepting));
        let to = format!("tcp:127.0.0.1:{port}{}", tls(sides.far, &connecting));
        let relay = Example::start("relay", [from.as_str(), to.as_str()]);

        let client = async { onionskin::connect(&format!("{}{}", relay.endpoint, tls(sides.near, &connecting))).await };
        let server = async { listener.accept().await.unwrap().ready().await };
        let (client, server) = join(client, server).await;
        test(client.unwrap(), server.unwrap()).await;
    });
}

async fn read_all(conn: &mut Connection<Socket>) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    conn.read_to_end(&mut read).await?;
    Ok(read)
}

/// Bytes that show when one is lost or out of its place.
fn pattern(seed: u8) -> Vec<u8> {
    (0..SIZE).map(|at| (at as u8) ^ ((at >> 8) as u8) ^ ((at >> 16) as u8).wrapping_mul(31) ^ seed).collect()
}
