//! How many, for how long, and who waits.

use std::time::Duration;

use futures::future::join;
use futures::io::AsyncReadExt;
use futures::{FutureExt, StreamExt};
use onionskin::endpoint::Listener;
use onionskin::pool::{Dismissal, Event, Limits, Pool, PoolErrorKind};
use onionskin::testing::Clock;

use crate::{Origin, both, idle, on_every_runtime, pool, pool_by_clock, talk};

#[test]
fn the_one_that_was_idle_for_the_longest_makes_room() {
    on_every_runtime(async |runtime| {
        let (mut first, mut second) = (Origin::new(runtime, "").await, Origin::new(runtime, "").await);
        let (pool, mut dismissals) = pool(runtime, Limits::default().with_idle(3, 2));
        let (to_first, to_second) = (pool.peer(first.endpoint("")).unwrap(), pool.peer(second.endpoint("")).unwrap());
        // Three to the first peer, where two may be idle.
        let mut opened = Vec::new();
        for _ in 0..3 {
            opened.push(both(&to_first, &mut first).await);
        }
        let mut servers = Vec::new();
        for (client, server) in opened {
            client.give_back();
            servers.push(server);
        }
        assert_eq!(dismissals.next().await, Some(Dismissal::Crowded));
        assert_eq!(servers[0].read(&mut [0]).await.unwrap(), 0, "the first one was closed");
        // Two to the second peer: one is too many in all, and it is the eldest.
        let mut opened = Vec::new();
        for _ in 0..2 {
            opened.push(both(&to_second, &mut second).await);
        }
        let mut others = Vec::new();
        for (client, server) in opened {
            client.give_back();
            others.push(server);
        }
        assert_eq!(servers[1].read(&mut [0]).await.unwrap(), 0);
        let mut client = to_first.take().await.unwrap();
        talk(&mut client, &mut servers[2]).await;
    });
}

#[test]
fn time_and_uses_run_out() {
    on_every_runtime(async |runtime| {
        let mut origin = Origin::new(runtime, "").await;
        let clock = Clock::new();
        let limits = Limits::default().with_idle_time(Duration::from_secs(10)).with_age(Duration::from_secs(25));
        let (pool, mut dismissals) = pool_by_clock(runtime, limits.with_uses(3), &clock);
        let peer = pool.peer(origin.endpoint("")).unwrap();

        // Idle for a second less, and then for as long as one may be.
        let mut server = idle(&peer, &mut origin).await;
        clock.advance(Duration::from_secs(9));
        let mut client = peer.take().await.unwrap();
        assert!(client.is_reused());
        talk(&mut client, &mut server).await;
        client.give_back();
        clock.advance(Duration::from_secs(10));
        assert_eq!(dismissals.next().await, Some(Dismissal::IdleTime), "nobody had to ask for that");
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);

        // In use for long, and then too old.
        let (client, _server) = both(&peer, &mut origin).await;
        clock.advance(Duration::from_secs(25));
        client.give_back();
        assert_eq!(dismissals.next().await, Some(Dismissal::Age));

        // Used three times.
        let mut server = idle(&peer, &mut origin).await;
        for use_number in 2..=3 {
            let mut client = peer.take().await.unwrap();
            talk(&mut client, &mut server).await;
            assert_eq!(pool.statistics().retired, 2, "use {use_number}");
            client.give_back();
        }
        assert_eq!(dismissals.next().await, Some(Dismissal::Uses));
        assert_eq!(pool.statistics().retired, 3);
    });
}

#[test]
fn who_waits_has_a_turn_in_order() {
    on_every_runtime(async |runtime| {
        let mut origin = Origin::new(runtime, "").await;
        let (pool, _) = pool(runtime, Limits::default().with_open_per_peer(1, 2));
        let peer = pool.peer(origin.endpoint("")).unwrap();
        let (client, mut server) = both(&peer, &mut origin).await;
        let (mut first, mut second) = (Box::pin(peer.take()), Box::pin(peer.take()));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        let third = peer.take().await.unwrap_err();
        assert!(third.is_too_many_waiting() && matches!(third.kind(), PoolErrorKind::TooManyWaiting(2)), "{third}");
        assert_eq!(pool.statistics().waiting, 2);

        // It is handed on, though it has been given back for a moment; and who gives up with it in hand hands it on as well.
        client.give_back();
        assert!((&mut second).now_or_never().is_none(), "it is not the second one's turn");
        drop(first);
        let mut client = second.await.unwrap();
        assert!(client.is_reused());
        talk(&mut client, &mut server).await;

        // What is broken makes room for a new one.
        let waits = peer.take();
        let breaks = async { drop(client) };
        let (fresh, ()) = join(waits, breaks).await;
        let mut fresh = fresh.unwrap();
        assert!(!fresh.is_reused());
        talk(&mut fresh, &mut origin.accept().await).await;
        assert_eq!((pool.statistics().open, pool.statistics().opened), (1, 2));

        // And who waits is told of the end.
        let waits = peer.take();
        let (refused, ()) = join(waits, async { pool.close() }).await;
        assert!(refused.unwrap_err().is_closed());
    });
}

#[test]
fn p9_connections_are_there_before_they_are_asked_for() {
    on_every_runtime(async |runtime| {
        let mut origin = Origin::new(runtime, "").await;
        let (pool, _) = pool(runtime, Limits::default().with_idle(8, 3));
        let peer = pool.peer(origin.endpoint("")).unwrap();
        assert_eq!(peer.warm(2).await.unwrap(), 2);
        assert_eq!(peer.warm(2).await.unwrap(), 0, "they are there");
        assert_eq!(peer.warm(100).await.unwrap(), 1, "no more than may be idle");
        let _servers = [origin.accept().await, origin.accept().await, origin.accept().await];
        assert!(!origin.has_more());
        peer.check().await.unwrap();
        let mut checked = origin.accept().await;
        assert_eq!(checked.read(&mut [0]).await.unwrap(), 0);
        assert_eq!((pool.statistics().opened, pool.statistics().idle), (3, 3), "what was looked at is not of the pool");

        let nobody = pool.peer("tcp:127.0.0.1:1".parse::<onionskin::endpoint::Endpoint>().unwrap()).unwrap();
        assert!(nobody.check().await.unwrap_err().is_io());
        assert!(nobody.warm(2).await.unwrap_err().open_error().unwrap().is_io());
        assert!(nobody.take().await.unwrap_err().open_error().unwrap().is_io());
        assert_eq!((pool.statistics().failed, pool.statistics().open), (2, 3), "what was not opened holds no place");
    });
}

#[test]
fn what_happens_is_told_in_its_order() {
    on_every_runtime(async |runtime| {
        let mut origin = Origin::new(runtime, "").await;
        let (sender, told) = std::sync::mpsc::channel();
        let pool = Pool::new(runtime, Limits::default().with_open_per_peer(1, 1)).observed_by(move |event| {
            let word = match event {
                Event::Opened { .. } => "opened",
                Event::Failed { .. } => "failed",
                Event::Reused { uses: 1, .. } => "reused",
                Event::Reused { uses: 2, .. } => "reused again",
                Event::Waiting { .. } => "waiting",
                Event::GivenBack { .. } => "given back",
                Event::Dismissed { why: Dismissal::Dropped, .. } => "dropped",
                _ => "something else",
            };
            sender.send(word).unwrap();
        });
        let told = || told.try_iter().collect::<Vec<_>>();
        let peer = pool.peer(origin.endpoint("")).unwrap();
        let (mut client, mut server) = both(&peer, &mut origin).await;
        assert_eq!(told(), ["opened"]);
        talk(&mut client, &mut server).await;
        let mut next = std::pin::pin!(peer.take());
        assert!(futures::poll!(next.as_mut()).is_pending());
        assert_eq!(told(), ["waiting"]);
        client.give_back();
        let client = next.await.unwrap();
        assert_eq!(told(), ["reused"], "it was never idle");
        client.give_back();
        drop(peer.take().await.unwrap());
        assert_eq!(told(), ["given back", "reused again", "dropped"]);
        let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let closed = listener.endpoint().clone();
        drop(listener);
        assert!(pool.peer(closed).unwrap().take().await.is_err());
        assert_eq!(told().last(), Some(&"failed"));
    });
}
