//! What is used again, and what is not because something has come over it.

use std::sync::Arc;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::{FutureExt, StreamExt};
use onionskin::connection::{Disturbance, End};
use onionskin::pool::{Dismissal, Limits, PoolErrorKind};
use onionskin::runtime::Socket;
use onionskin::tls::{Identity, TlsClient, TlsServer};
use onionskin::{Connection, runtime};

use crate::common::Authority;
use crate::{Files, Origin, both, idle, on_every_runtime, pool, talk};

#[test]
fn p9_what_was_given_back_is_used_again_with_all_its_layers() {
    on_every_runtime(async |runtime| {
        let files = Files::new("again");
        let (outer, inner) = (files.server_step("outer.example"), files.server_step("inner.example"));
        let steps = [files.client_step("outer.example"), files.client_step("inner.example")];
        for depth in 0..=2 {
            let mut origin = Origin::new(runtime, &[outer.as_str(), inner.as_str()][..depth].concat()).await;
            let (pool, _) = pool(runtime, Limits::default());
            let peer = pool.peer(origin.endpoint(&steps[..depth].concat())).unwrap();
            let mut server = idle(&peer, &mut origin).await;
            for _ in 0..3 {
                let mut client = peer.take().await.unwrap();
                assert!(client.is_reused() && client.depth() == depth);
                talk(&mut client, &mut server).await;
                client.give_back();
            }
            assert!(!origin.has_more());
            let statistics = pool.statistics();
            assert_eq!((statistics.opened, statistics.reused, statistics.disturbed), (1, 3, 0));
            assert_eq!((statistics.idle, statistics.open, statistics.waiting), (1, 1, 0));
        }
    });
}

/// Two connections are idle; something comes over one of them, and the other is still good.
async fn is_thrown_away(
    runtime: &'static dyn runtime::Runtime,
    files: &Files,
    why: &[Dismissal],
    happens: impl AsyncFn(Connection<Socket>) -> Option<Connection<Socket>>,
) {
    let mut origin =
        Origin::new(runtime, &format!("{}{}", files.server_step("outer.example"), files.server_step("inner.example")))
            .await;
    let (pool, mut dismissals) = pool(runtime, Limits::default());
    let steps = format!("{}{}", files.client_step("outer.example"), files.client_step("inner.example"));
    let peer = pool.peer(origin.endpoint(&steps)).unwrap();
    let (mut client, mut server) = both(&peer, &mut origin).await;
    talk(&mut client, &mut server).await;
    let mut good = idle(&peer, &mut origin).await;
    client.give_back();
    let kept = happens(server).await;
    let seen = dismissals.next().await.unwrap();
    assert!(why.contains(&seen), "{seen:?}, where it should be one of {why:?}");
    let mut client = peer.take().await.unwrap();
    assert!(client.is_reused(), "the other one is as good as ever");
    talk(&mut client, &mut good).await;
    assert_eq!((pool.statistics().disturbed, pool.statistics().opened), (1, 2));
    drop(kept);
}

#[test]
fn p9_a_byte_that_nobody_asked_for_is_the_end_of_it() {
    on_every_runtime(async |runtime| {
        let files = Files::new("byte");
        is_thrown_away(runtime, &files, &[Dismissal::Data], async |mut server| {
            server.write_all(b"x").await.unwrap();
            Some(server)
        })
        .await;
    });
}

#[test]
fn p9_a_late_close_notify_of_any_layer_is_the_end_of_it() {
    on_every_runtime(async |runtime| {
        let files = Files::new("end");
        // The innermost ends alone; all of them end.
        is_thrown_away(runtime, &files, &[Dismissal::Ended], async |mut server| {
            let _ = server.stop_tls().await;
            Some(server)
        })
        .await;
        is_thrown_away(runtime, &files, &[Dismissal::Ended], async |mut server| {
            server.close().await.unwrap();
            Some(server)
        })
        .await;
    });
}

#[test]
fn p9_a_loss_is_the_end_of_it_in_whatever_way_it_comes() {
    on_every_runtime(async |runtime| {
        let files = Files::new("loss");
        // The socket ends under both layers, or is reset.
        is_thrown_away(runtime, &files, &[Dismissal::Lost], async |server| {
            let mut socket = server.into_inner().io;
            socket.close().await.unwrap();
            drop(socket);
            None
        })
        .await;
    });
}

#[test]
fn p9_an_outer_layer_that_ends_under_the_inner_one_is_the_end_of_it() {
    on_every_runtime(async |runtime| {
        let files = Files::new("outer-end");
        let mut origin = Origin::new(runtime, &files.server_step("outer.example")).await;
        let (pool, mut dismissals) = pool(runtime, Limits::default());
        let steps = format!("{}{}", files.client_step("outer.example"), files.client_step("inner.example"));
        let peer = pool.peer(origin.endpoint(&steps)).unwrap();
        let identity =
            Identity::from_pem_files(files.path("inner.example.pem"), files.path("inner.example.key")).unwrap();
        let inner = TlsServer::builder(identity).build().unwrap();
        let accepts = async {
            let outer = origin.accept().await;
            let mut server = Connection::over(outer.into_socket(runtime::Address::Stdio), Arc::new(runtime));
            server.start_tls(inner.accept().unwrap()).await.unwrap();
            server
        };
        let (client, mut server) = join(peer.take(), accepts).await;
        let mut client = client.unwrap();
        talk(&mut client, &mut server).await;
        client.give_back();
        assert_eq!(pool.statistics().idle, 1);
        server.into_inner().io.close().await.unwrap();
        assert_eq!(dismissals.next().await, Some(Dismissal::Lost));
    });
}

#[test]
fn p9_tickets_that_come_while_it_is_idle_are_nothing() {
    on_every_runtime(async |runtime| {
        let files = Files::new("tickets");
        let mut origin = Origin::new(
            runtime,
            &format!("{}{}", files.server_step("outer.example"), files.server_step("inner.example")),
        )
        .await;
        let (pool, _) = pool(runtime, Limits::default());
        let steps = format!("{}{}", files.client_step("outer.example"), files.client_step("inner.example"));
        let peer = pool.peer(origin.endpoint(&steps)).unwrap();
        let (mut client, mut server) = both(&peer, &mut origin).await;
        let before = bytes_in(&client);
        client.give_back();
        // Behind this flush, both servers' tickets are on their way.
        server.flush().await.unwrap();
        // The task that watches takes them in; whoever looks now or later finds a connection that is quiet.
        loop {
            client = peer.take().await.unwrap();
            assert!(client.is_reused(), "the tickets have ended it");
            if bytes_in(&client) > before {
                break;
            }
            client.give_back();
        }
        talk(&mut client, &mut server).await;
        assert_eq!((pool.statistics().opened, pool.statistics().disturbed), (1, 0));
    });
}

/// What the outer layer has opened so far.
fn bytes_in(client: &Connection<Socket>) -> u64 {
    client.layers().tls().next().unwrap().traffic.wire_bytes_in
}

#[test]
fn what_is_not_whole_is_not_kept() {
    on_every_runtime(async |runtime| {
        let mut origin = Origin::new(runtime, "").await;
        let (pool, mut dismissals) = pool(runtime, Limits::default());
        let peer = pool.peer(origin.endpoint("")).unwrap();

        // An answer that was not read.
        let (mut client, mut server) = both(&peer, &mut origin).await;
        server.write_line("half an answer").await.unwrap();
        assert!(matches!(client.disturbed().await, Disturbance::Data));
        client.give_back();
        assert_eq!(dismissals.next().await, Some(Dismissal::Data));

        // A request that has not left, since the peer does not read.
        let (mut client, _server) = both(&peer, &mut origin).await;
        while client.write(&[0; 65536]).now_or_never().is_some() {}
        client.give_back();
        assert_eq!(dismissals.next().await, Some(Dismissal::Unsent));

        // Other layers than at the beginning.
        let authority = Authority::new();
        let tls = TlsClient::builder(authority.roots()).build().unwrap();
        let (mut client, mut server) = both(&peer, &mut origin).await;
        let accept = authority.server("inner.example", &[onionskin::tls::Version::Tls13]).accept().unwrap();
        let (started, accepted) =
            join(client.start_tls(tls.to("inner.example").unwrap()), server.start_tls(accept)).await;
        started.unwrap();
        accepted.unwrap();
        talk(&mut client, &mut server).await;
        client.give_back();
        assert_eq!(dismissals.next().await, Some(Dismissal::Changed));

        // And who gives nothing back.
        let (client, mut server) = both(&peer, &mut origin).await;
        drop(client);
        assert_eq!(dismissals.next().await, Some(Dismissal::Dropped));
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);

        // The control.
        let (mut client, mut server) = both(&peer, &mut origin).await;
        talk(&mut client, &mut server).await;
        client.give_back();
        assert_eq!((pool.statistics().idle, pool.statistics().opened), (1, 5));
    });
}

#[test]
fn it_is_closed_from_the_inside_out() {
    on_every_runtime(async |runtime| {
        let files = Files::new("closing");
        let mut origin = Origin::new(
            runtime,
            &format!("{}{}", files.server_step("outer.example"), files.server_step("inner.example")),
        )
        .await;
        let (pool, mut dismissals) = pool(runtime, Limits::default());
        let steps = format!("{}{}", files.client_step("outer.example"), files.client_step("inner.example"));
        let peer = pool.peer(origin.endpoint(&steps)).unwrap();
        let mut server = idle(&peer, &mut origin).await;
        pool.close();
        assert_eq!(dismissals.next().await, Some(Dismissal::Closed));
        for _ in 0..2 {
            let innermost = server.stack().layers().last().unwrap().0;
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(server.end(), Some(End::Layer(innermost)), "its close_notify, and no other end before it");
            server.stop_tls().await.unwrap();
        }
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(server.end(), Some(End::Wire));
        let refused = peer.take().await.unwrap_err();
        assert!(refused.is_closed() && matches!(refused.kind(), PoolErrorKind::Closed), "{refused}");
        pool.close();
    });
}
