//! Who does not read holds up nobody else.

use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, join, select};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::testing::Cut;
use onionskin::tunnel::http2::Tunnels;

use crate::peer::{DATA, Far, Frame, Proxy, Raw, frame};
use crate::{hear, run, say, settle, target};

const WINDOW: usize = 1 << 20;

async fn open(tunnels: &Tunnels, proxy: &mut Proxy) -> (Connection<Socket>, Far) {
    let (opened, far) = join(tunnels.open(target()), proxy.grant()).await;
    (opened.unwrap(), far)
}

/// Says as much as there is room for, and how much that was.
async fn fill(far: &mut Far, most: usize) -> usize {
    let mut said = 0;
    while said < most {
        far.send.reserve_capacity((most - said).min(16_384));
        let Some(room) = std::future::poll_fn(|cx| far.send.poll_capacity(cx)).now_or_never() else {
            settle().await;
            if far.send.capacity() == 0 {
                break;
            }
            continue;
        };
        let room = room.unwrap().unwrap();
        far.say(&vec![7; room]);
        said += room;
    }
    settle().await;
    said
}

/// Does `work`, while somebody drives the connection and reads no tunnel.
async fn driven<T>(tunnels: &Tunnels, work: impl Future<Output = T>) -> T {
    match select(pin!(work), pin!(tunnels.drive())).await {
        Either::Left((done, _)) => done,
        Either::Right((ended, _)) => panic!("the connection is over: {ended:?}"),
    }
}

#[test]
fn t16_a_tunnel_that_is_not_read_stalls_alone() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(Cut::Whole).await;
        // More than the connection has windows to begin with.
        let mut unread = Vec::new();
        for _ in 0..20 {
            let (opened, mut far) = open(&tunnels, &mut proxy).await;
            // Whoever polls another drives for all.
            let said = driven(&tunnels, fill(&mut far, 3 * WINDOW)).await;
            assert_eq!(said, WINDOW, "a window, and no more");
            unread.push((opened, far));
        }
        let (mut opened, mut far) = open(&tunnels, &mut proxy).await;
        say(&mut opened, b"hello").await;
        assert_eq!(far.hear(5).await, b"hello");
        let sum = 2 * WINDOW;
        let said = async {
            let mut left = sum;
            while left > 0 {
                let said = fill(&mut far, left).await;
                left -= said;
            }
        };
        let heard = async {
            let mut heard = vec![0; sum];
            opened.read_exact(&mut heard).await.unwrap();
        };
        join(said, heard).await;
        // T17: room comes back as the reader takes, and no sooner.
        let (first, far) = &mut unread[0];
        assert_eq!(driven(&tunnels, fill(far, WINDOW)).await, 0);
        let mut some = vec![0; 700_000];
        first.read_exact(&mut some).await.unwrap();
        let again = driven(&tunnels, fill(far, WINDOW)).await;
        // At most what has been taken, the stack of the connection included; h2 tells of it by half windows.
        assert!((WINDOW / 2..1_000_000).contains(&again), "{again}");
    });
}

#[test]
fn t18_many_small_frames_that_nobody_reads_harm_nobody() {
    for count in [5_000, 50_000] {
        run(|bench| async move {
            let (carrier, end) = bench.carrier(Cut::Whole);
            let (tunnels, mut raw) = {
                let (tunnels, raw) = join(Tunnels::over(carrier), Raw::begin(end, &[])).await;
                (tunnels.unwrap(), raw)
            };
            let (first, unread) = join(tunnels.open(target()), raw.grant()).await;
            let (second, id) = join(tunnels.open(target()), raw.grant()).await;
            let (mut first, mut second) = (first.unwrap(), second.unwrap());
            let flood = async {
                for _ in 0..count {
                    raw.send(&frame(DATA, 0, unread, b"x")).await;
                }
                raw.send(&frame(DATA, 0, id, b"still here")).await;
            };
            join(flood, hear(&mut second, b"still here")).await;
            let mut heard = vec![0; count];
            first.read_exact(&mut heard).await.unwrap();
            assert!(heard.iter().all(|byte| *byte == b'x'));
        });
    }
}

#[test]
fn t19_a_hundred_tunnels_take_turns() {
    run(|bench| async move {
        const TUNNELS: usize = 100;
        let (carrier, end) = bench.carrier(Cut::Whole);
        // SETTINGS_INITIAL_WINDOW_SIZE 1 MiB, and a WINDOW_UPDATE that gives the connection as much for each.
        let (tunnels, mut raw) = join(Tunnels::over(carrier), Raw::begin(end, &[0, 4, 0, 16, 0, 0])).await;
        let tunnels = tunnels.unwrap();
        raw.send(&frame(8, 0, 0, &(TUNNELS as u32 * (1 << 20)).to_be_bytes())).await;
        let mut opened = Vec::new();
        for _ in 0..TUNNELS {
            let (one, _) = join(tunnels.open(target()), raw.grant()).await;
            opened.push(one.unwrap());
        }
        let said = vec![7; 200_000];
        let saying = futures::future::join_all(opened.iter_mut().map(async |one: &mut Connection<Socket>| {
            one.write_all(&said).await.unwrap();
            one.flush().await.unwrap();
        }));
        let hearing = async {
            let (mut order, mut bytes) = (Vec::new(), 0);
            while bytes < TUNNELS * said.len() {
                let Frame { stream, payload, .. } = raw.next_of(DATA).await;
                bytes += payload.len();
                order.push((stream, payload.len()));
            }
            order
        };
        let (_, order) = join(saying, hearing).await;
        // Between two frames of a tunnel that has more to say, the others have a turn each and no more.
        let mut last = std::collections::HashMap::new();
        let mut longest = 0;
        for (at, (stream, _)) in order.iter().enumerate() {
            if let Some(before) = last.insert(*stream, at) {
                longest = longest.max(at - before);
            }
        }
        println!("{} frames, at most {longest} from one of a tunnel to its next", order.len());
        assert_eq!(last.len(), TUNNELS);
        assert!(longest <= TUNNELS, "{longest}");
    });
}

/// What is flushed has been written when its turn has come, however much others have to say all the while.
#[test]
fn t19_a_flush_waits_for_its_own_bytes_and_not_for_those_of_others() {
    run(|bench| async move {
        let wide = |builder: &mut h2::server::Builder| {
            builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
        };
        let (tunnels, mut proxy) = bench.tunnels_with(Cut::Pieces(1000), wide).await;
        let (mut bulk, mut far_bulk) = open(&tunnels, &mut proxy).await;
        let (mut asks, mut far_asks) = open(&tunnels, &mut proxy).await;
        bench.spawn(async move {
            let _ = far_bulk.hear_all().await;
        });
        let mut bulk = Box::pin(async move {
            let piece = vec![7; 65_536];
            for _ in 0..256 {
                bulk.write_all(&piece).await.unwrap();
            }
            bulk
        });
        // The queues are full.
        for _ in 0..20 {
            assert!((&mut bulk).now_or_never().is_none());
        }
        let flushed = Box::pin(async {
            asks.write_all(b"may I").await.unwrap();
            asks.flush().await.unwrap();
        });
        match select(bulk, flushed).await {
            Either::Left(_) => panic!("the flush has waited until there was nothing more to say"),
            Either::Right(((), bulk)) => {
                let (heard, _) = join(far_asks.hear(5), bulk).await;
                assert_eq!(heard, b"may I");
            }
        }
    });
}
