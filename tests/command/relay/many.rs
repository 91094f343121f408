//! A thousand connections at once.

use futures::future::join_all;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::endpoint::Connector;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Files, Layers, Path, block_on, read_all, runtime};

const CONNECTIONS: usize = 1000;

/// Handshakes at a time: each has a deadline, and there is no more to see in a thousand of them at once.
const ABREAST: usize = 50;

#[test]
fn a_thousand_connections_are_there_at_once() {
    // Two sockets of each are in this process.
    let limits = getrlimit(Resource::Nofile);
    let needed = (2 * CONNECTIONS + 200) as u64;
    if limits.current.is_some_and(|current| current < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limits.maximum }).unwrap();
    }
    let files = Files::new();
    let mut path = Path::new(&files, Layers::Tls, Layers::None, &["--patience", "600"]);
    let connector = Connector::new(runtime(), &path.client.parse().unwrap()).unwrap();
    block_on(async {
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS / ABREAST {
            let connecting = join_all((0..ABREAST).map(|_| connector.connect()));
            let accepting = async {
                for _ in 0..ABREAST {
                    servers.push(path.far.accept().await.unwrap().ready().await.unwrap());
                }
            };
            let (connected, ()) = futures::future::join(connecting, accepting).await;
            clients.extend(connected.into_iter().map(Result::unwrap));
        }
        assert_eq!((clients.len(), servers.len()), (CONNECTIONS, CONNECTIONS));
        // All are open, and no one has ended. Whose server is whose, their words tell.
        for (index, client) in clients.iter_mut().enumerate() {
            client.write_all(&word(index)).await.unwrap();
            client.flush().await.unwrap();
        }
        for server in &mut servers {
            let mut said = [0; 4];
            server.read_exact(&mut said).await.unwrap();
            server.write_all(&said).await.unwrap();
            server.flush().await.unwrap();
        }
        for (index, client) in clients.iter_mut().enumerate() {
            let mut heard = [0; 4];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, word(index));
        }
        path.relay.signal("TERM");
        path.relay.hears(&["asked to end: 1000 connections"]);
        for conn in clients.iter_mut().chain(&mut servers) {
            conn.close().await.unwrap();
        }
        for conn in clients.iter_mut().chain(&mut servers) {
            let (read, result) = read_all(conn).await;
            result.unwrap();
            assert!(read.is_empty());
        }
    });
    let (status, log) = path.relay.finish();
    assert_eq!(status, Some(0), "{:?}", log.last());
    assert!(log.last().unwrap().contains("1000 accepted: 1000 ended, 0 not joined"), "{:?}", log.last());
}

fn word(index: usize) -> [u8; 4] {
    (index as u32).to_be_bytes()
}
