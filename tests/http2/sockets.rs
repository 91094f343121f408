//! Tunnels over sockets of every runtime, polled on several threads; and tunnels in tunnels.

use std::sync::Arc;

use futures::future::{join, join_all};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::{self, Address, Socket};
use onionskin::testing::Cut;
use onionskin::tunnel::http2::Tunnels;

use crate::peer::{Far, Proxy};
use crate::{CUTS, hear, run, say, target};

fn pattern(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|n| ((n * 7 + seed) % 251) as u8).collect()
}

/// Says all that it hears, to the end.
async fn echo(mut far: Far) {
    while let Some(Ok(bytes)) = far.recv.data().await {
        far.recv.flow_control().release_capacity(bytes.len()).unwrap();
        far.send.send_data(bytes, false).unwrap();
    }
    far.end();
}

#[test]
fn a_hundred_tunnels_run_side_by_side_in_tasks_of_their_own() {
    for runtime in runtime::all() {
        runtime::block_on(*runtime, async {
            let (far, near) = runtime::tcp_pair(*runtime).unwrap();
            let far = runtime.adopt_tcp(far).unwrap();
            let (mut proxy, served) = Proxy::over(far, h2::server::Builder::new());
            runtime.spawn(Box::pin(served));
            let tunnels = Tunnels::over(Connection::over(near, Arc::new(*runtime))).await.unwrap();
            runtime.spawn(Box::pin(async move {
                while let Some(asked) = proxy.try_next().await {
                    runtime.spawn(Box::pin(echo(asked.grant())));
                }
            }));
            let (finished, mut results) = futures::channel::mpsc::unbounded();
            for seed in 0..100 {
                let (tunnels, finished) = (tunnels.clone(), finished.clone());
                runtime.spawn(Box::pin(async move {
                    let said = pattern(50_000, seed);
                    let opened = tunnels.open(target()).await.unwrap();
                    drop(tunnels);
                    let (mut reader, mut writer) = opened.split();
                    let mut heard = Vec::new();
                    let (wrote, read) = join(
                        async {
                            writer.write_all(&said).await?;
                            writer.close().await
                        },
                        reader.read_to_end(&mut heard),
                    )
                    .await;
                    let is_whole = wrote.is_ok() && read.is_ok() && heard == said;
                    finished.unbounded_send((seed, is_whole)).unwrap();
                }));
            }
            drop(finished);
            for _ in 0..100 {
                let (seed, is_whole) = futures::StreamExt::next(&mut results).await.unwrap();
                assert!(is_whole, "tunnel {seed} on {}", runtime.name());
            }
            assert!(tunnels.is_empty());
            tunnels.shutdown().await.unwrap();
        });
    }
}

/// A proxy whose tunnels lead to another proxy, three deep, and nobody drives but who reads and writes at the end.
#[test]
fn tunnels_run_in_tunnels_in_tunnels() {
    for cut in CUTS {
        run(|bench| async move {
            let (outer, mut proxy) = bench.tunnels(cut).await;
            let mut inmost = outer;
            for depth in 0..2 {
                let (opened, far) = join(inmost.open(target()), proxy.grant()).await;
                let (end, passed) = onionskin::testing::wire(Cut::Whole, 64 * 1024);
                bench.spawn(pass(far, passed));
                let next = Proxy::serve(&bench, end, h2::server::Builder::new());
                let opened = opened.unwrap();
                assert_eq!(opened.route().len(), depth + 1);
                inmost = Tunnels::over(opened).await.unwrap();
                proxy = next;
            }
            let (opened, mut far) = join(inmost.open(target()), proxy.grant()).await;
            let mut opened = opened.unwrap();
            assert_eq!(opened.route().len(), 3);
            let text = opened.to_string();
            assert_eq!(text.matches("http2#1").count(), 6, "each hop, with those before it: {text}");
            drop(inmost);
            say(&mut opened, b"far down").await;
            assert_eq!(far.hear(8).await, b"far down");
            far.say(b"and back");
            hear(&mut opened, b"and back").await;
            let many = pattern(20_000, 1);
            let (wrote, heard) = join(opened.write_all(&many), far.hear(many.len())).await;
            wrote.unwrap();
            assert!(heard == many);
        });
    }
}

/// Passes on what comes either way.
async fn pass(far: Far, end: onionskin::testing::WireEnd) {
    let Far { mut send, mut recv } = far;
    let (mut reader, mut writer) = end.split();
    let there = async {
        while let Some(Ok(bytes)) = recv.data().await {
            recv.flow_control().release_capacity(bytes.len()).unwrap();
            writer.write_all(&bytes).await.unwrap();
        }
    };
    let back = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            send.send_data(bytes::Bytes::copy_from_slice(&buffer[..count]), false).unwrap();
        }
    };
    join(there, back).await;
}

#[test]
fn a_reset_of_a_tunnel_reaches_the_proxy_and_no_other_tunnel() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        let mut opened: Vec<(Connection<Socket>, Far)> = Vec::new();
        for _ in 0..2 {
            let (one, far) = join(tunnels.open(Address::to_host("192.0.2.1", 1).unwrap()), proxy.grant()).await;
            opened.push((one.unwrap(), far));
        }
        let (one, mut far) = opened.remove(0);
        one.reset().unwrap();
        assert_eq!(far.reset().await, h2::Reason::CANCEL);
        let all = opened.iter_mut().map(async |(one, far)| {
            say(one, b"alive").await;
            assert_eq!(far.hear(5).await, b"alive");
        });
        join_all(all).await;
    });
}
