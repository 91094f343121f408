//! Tunnels over a connection of HTTP/2 to a proxy, and what becomes of them when that goes away.

use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{Either, select};
use onionskin::Connection;
use onionskin::endpoint::{Endpoint, Listener};
use onionskin::pool::{Event, Limits, Pool, Pooled};
use onionskin::runtime::{Runtime, Socket};
use onionskin::tunnel::Grant;
use onionskin::tunnel::http2::PendingTunnels;

use crate::on_every_runtime;

/// Grants every tunnel, and answers each line in it. Each connection goes away when `leave` says so.
async fn proxy(runtime: &'static dyn Runtime) -> (Endpoint, UnboundedReceiver<UnboundedSender<()>>) {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let transport = listener.endpoint().transport.to_string();
    let (sender, connections) = unbounded();
    runtime.spawn(Box::pin(async move {
        while let Ok(incoming) = listener.accept().await {
            let Ok(near) = incoming.ready().await else { continue };
            let (leave, left) = unbounded();
            if sender.unbounded_send(leave).is_err() {
                break;
            }
            runtime.spawn(Box::pin(serve(runtime, PendingTunnels::over(near), left)));
        }
    }));
    (format!("{transport}+connect:target.example:7:version=2").parse().unwrap(), connections)
}

async fn serve(runtime: &'static dyn Runtime, mut tunnels: PendingTunnels, mut left: UnboundedReceiver<()>) {
    loop {
        let asked = match select(Box::pin(tunnels.next()), left.next()).await {
            Either::Left((asked, _)) => Some(asked),
            Either::Right((Some(()), _)) => None,
            Either::Right((None, asking)) => Some(asking.await),
        };
        let asked = match asked {
            Some(Some(asked)) => asked,
            Some(None) => return,
            None => {
                tunnels.shutdown(Duration::from_secs(600));
                continue;
            }
        };
        let Ok(tunnel) = asked.grant(Grant::default()).await else { continue };
        runtime.spawn(Box::pin(echo(tunnel)));
    }
}

async fn echo(mut tunnel: Connection<Socket>) {
    while let Ok(Some(line)) = tunnel.read_line().await {
        if tunnel.write_line(line).await.is_err() {
            return;
        }
    }
}

async fn talks(tunnel: &mut Pooled) {
    tunnel.write_line("hello").await.unwrap();
    assert_eq!(tunnel.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
}

#[test]
fn p9_a_proxy_that_goes_away_is_an_event_and_its_tunnels_go_on() {
    on_every_runtime(async |runtime| {
        let (endpoint, mut connections) = proxy(runtime).await;
        let (sender, mut told) = unbounded();
        let pool = Pool::new(runtime, Limits::default()).observed_by(move |event| {
            if let Event::GoingAway { key } = event {
                let _ = sender.unbounded_send(key.to_string());
            }
        });
        let peer = pool.peer(endpoint).unwrap();
        let (mut one, mut other) = (peer.take().await.unwrap(), peer.take().await.unwrap());
        let leave = connections.next().await.unwrap();
        talks(&mut one).await;
        talks(&mut other).await;
        assert!(connections.try_recv().is_err(), "both are over one connection");
        assert!(told.try_recv().is_err() && pool.statistics().gone_away == 0);

        leave.unbounded_send(()).unwrap();
        assert_eq!(told.next().await.unwrap(), peer.key().to_string());
        talks(&mut one).await;
        talks(&mut other).await;
        // A new one is over another connection.
        let mut third = peer.take().await.unwrap();
        talks(&mut third).await;
        let leave = connections.next().await.unwrap();
        // And what is idle is used again over the one that was left.
        other.give_back();
        let mut other = peer.take().await.unwrap();
        assert!(other.is_reused());
        talks(&mut other).await;
        assert!(connections.try_recv().is_err());
        assert_eq!((pool.statistics().gone_away, pool.statistics().opened), (1, 3));

        // Each connection by itself, once; and one that is lost is another matter.
        leave.unbounded_send(()).unwrap();
        told.next().await.unwrap();
        assert_eq!(pool.statistics().gone_away, 2);
        drop((one, other, third));
        assert!(told.try_recv().is_err());
    });
}
