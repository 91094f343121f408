//! Over real sockets, with every runtime that is compiled in.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{join, join_all};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::{self, ListeningSocket, Runtime, Socket, block_on};
use onionskin::stack::Stop;
use onionskin::tls::Version;

use crate::peers::{VERSIONS, answer, ask_to_depth, client, pattern, server};

#[test]
fn tls_nests_three_deep_and_stops_over_tcp() {
    for &runtime in runtime::all() {
        for version in VERSIONS {
            block_on(runtime, async {
                let (listener, address) = listen_tcp(runtime).await;
                let asker = async { runtime.connect_tcp(address).await.unwrap() };
                converse(runtime, &listener, asker, version).await;
            });
        }
    }
}

#[cfg(unix)]
#[test]
fn tls_nests_three_deep_and_stops_over_unix_sockets() {
    for &runtime in runtime::all() {
        for version in VERSIONS {
            let path = socket_path();
            block_on(runtime, async {
                let listener = runtime.listen_unix(path.clone()).await.unwrap();
                let asker = async { runtime.connect_unix(path).await.unwrap() };
                converse(runtime, &listener, asker, version).await;
            });
        }
    }
}

async fn converse(
    runtime: &'static dyn Runtime,
    listener: &ListeningSocket,
    asker: impl Future<Output = Socket>,
    version: Version,
) {
    let answerer = async {
        let mut conn = connect(runtime, listener.accept().await.unwrap());
        answer(&mut conn).await.unwrap();
    };
    let asker = async {
        let mut conn = connect(runtime, asker.await);
        ask_to_depth(&mut conn, version, 3).await.unwrap();
        conn.close().await.unwrap();
        assert_eq!(conn.read(&mut [0]).await.unwrap(), 0, "{runtime:?}");
    };
    join(answerer, asker).await;
}

#[test]
fn a_hundred_connections_are_three_deep_at_once() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (listener, address) = listen_tcp(runtime).await;
            let answered = Arc::new(AtomicUsize::new(0));
            let accept = async {
                for _ in 0..100 {
                    let mut conn = connect(runtime, listener.accept().await.unwrap());
                    let answered = Arc::clone(&answered);
                    runtime.spawn(Box::pin(async move {
                        answer(&mut conn).await.unwrap();
                        answered.fetch_add(1, Ordering::Relaxed);
                    }));
                }
            };
            let ask = |n: usize| async move {
                let mut conn = connect(runtime, runtime.connect_tcp(address).await.unwrap());
                ask_to_depth(&mut conn, VERSIONS[n % 2], 3).await.unwrap();
                conn.close().await.unwrap();
                assert_eq!(conn.read(&mut [0]).await.unwrap(), 0, "{runtime:?}");
            };
            join(accept, join_all((0..100).map(ask))).await;
        });
    }
}

#[test]
fn halves_in_tasks_of_their_own_move_megabytes_both_ways() {
    const BULK: usize = 4_000_000;
    for &runtime in runtime::all() {
        for depth in [0, 2] {
            block_on(runtime, async {
                let (listener, address) = listen_tcp(runtime).await;
                let (left, right) = join(runtime.connect_tcp(address), listener.accept()).await;
                let (mut left, mut right) = (connect(runtime, left.unwrap()), connect(runtime, right.unwrap()));
                for version in &VERSIONS[..depth] {
                    let (started, accepted) = join(left.start_tls(client(*version)), right.start_tls(server())).await;
                    started.unwrap();
                    accepted.unwrap();
                }
                let mut done = Vec::new();
                for conn in [left, right] {
                    let (mut reader, mut writer) = conn.split();
                    let (written, write) = oneshot::channel();
                    let (received, read) = oneshot::channel();
                    // Threads of the runtime, which meet at the lock between the halves.
                    runtime.spawn(Box::pin(async move {
                        writer.write_all(&pattern(BULK)).await.unwrap();
                        writer.flush().await.unwrap();
                        let _ = written.send(writer);
                    }));
                    runtime.spawn(Box::pin(async move {
                        let mut bytes = vec![0; BULK];
                        reader.read_exact(&mut bytes).await.unwrap();
                        assert!(bytes == pattern(BULK), "{runtime:?}");
                        let _ = received.send(reader);
                    }));
                    done.push(join(write, read));
                }
                for (writer, reader) in join_all(done).await {
                    writer.unwrap();
                    reader.unwrap();
                }
            });
        }
    }
}

#[test]
fn one_socket_starts_and_stops_a_thousand_times() {
    let Some(runtime) = runtime::preferred() else { return };
    block_on(runtime, async {
        let (listener, address) = listen_tcp(runtime).await;
        let cycles = |n: usize| VERSIONS[n % 2];
        let left = async {
            let mut conn = connect(runtime, runtime.connect_tcp(address).await.unwrap());
            for n in 0..1000 {
                conn.start_tls(client(cycles(n))).await.unwrap();
                conn.write_line(n.to_string()).await.unwrap();
                let stopped = conn.stop_tls().await.unwrap();
                assert_eq!(stopped.late, format!("{n}\r\n").as_bytes());
            }
            conn.write_line("done").await.unwrap();
            conn.stack().depth()
        };
        let right = async {
            let mut conn = connect(runtime, listener.accept().await.unwrap());
            for n in 0..1000 {
                conn.start_tls(server()).await.unwrap();
                let line = conn.read_line().await.unwrap().unwrap();
                assert_eq!(line, n.to_string().into_bytes());
                conn.write_line(line).await.unwrap();
                conn.stop_with(Stop::new().after_peer(Stop::GRACE)).await.unwrap();
            }
            assert_eq!(conn.read_line().await.unwrap().unwrap(), b"done");
            conn.stack().depth()
        };
        assert_eq!(join(left, right).await, (0, 0));
    });
}

#[test]
fn a_handshake_that_nobody_answers_times_out_on_real_clocks() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (listener, address) = listen_tcp(runtime).await;
            let (silent, asker) = join(listener.accept(), runtime.connect_tcp(address)).await;
            let mut conn = connect(runtime, asker.unwrap());
            let layer = client(Version::Tls13).handshake_timeout(Some(Duration::from_millis(50)));
            let error = conn.start_tls(layer).await.unwrap_err();
            assert!(error.is_timeout(), "{runtime:?}: {error}");
            drop(silent);
        });
    }
}

pub(crate) fn connect(runtime: &'static dyn Runtime, socket: Socket) -> Connection<Socket> {
    let label = socket.peer_address().to_string();
    Connection::with_timer(socket, Arc::new(runtime)).named(label)
}

pub(crate) async fn listen_tcp(runtime: &dyn Runtime) -> (ListeningSocket, std::net::SocketAddr) {
    let listener = runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    (listener, address)
}

fn socket_path() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("onionskin-{}-{number}.sock", std::process::id()))
}
