//! A name that is resolved here, and a proxy that is asked for one address after the other.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture};

use crate::endpoint::{Connector, Listener, OpenErrorKind};
use crate::layer::opening::Opening;
use crate::runtime::{self, ListeningSocket, Runtime, Socket, TcpOptions, Timer};
use crate::tunnel::socks::SocksServer;
use crate::tunnel::{Grant, Question, Reason};

/// One after the other, each on a connection of its own, and no further than to the one that is there.
#[test]
fn a13_a_proxy_is_asked_for_each_address_in_turn() {
    for &runtime in runtime::all() {
        runtime::block_on(runtime, async {
            for (reachable, asked) in [
                (&["[2001:db8::1]:1"][..], &["192.0.2.1:1", "[2001:db8::1]:1"][..]),
                (&["192.0.2.1:1", "192.0.2.2:1"], &["192.0.2.1:1"]),
                (&[], &["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"]),
            ] {
                let (port, seen) = proxy(runtime, reachable, Reason::ConnectionRefused).await;
                let result = connect(runtime, port).await;
                assert_eq!(result.is_ok(), !reachable.is_empty());
                assert_eq!(*seen.lock().unwrap(), asked);
            }
            // What the proxy itself refuses, it refuses for all of them.
            let (port, seen) = proxy(runtime, &[], Reason::Denied).await;
            let error = connect(runtime, port).await.unwrap_err();
            assert!(matches!(error.kind(), OpenErrorKind::Tunnel(_)), "{error}");
            assert_eq!(*seen.lock().unwrap(), ["192.0.2.1:1"]);
        });
    }
}

async fn connect(runtime: &'static dyn Runtime, port: u16) -> Result<(), crate::endpoint::OpenError> {
    let names: &'static Names = Box::leak(Box::new(Names(runtime)));
    let endpoint = format!("tcp:127.0.0.1:{port}+socks5:several.example:1:dns=local");
    let conn = Connector::new(names, &endpoint.parse()?)?.connect().await?;
    // Whoever comes behind verifies the name.
    assert_eq!(conn.addresses().target.as_ref().unwrap().to_string(), "tcp several.example:1");
    Ok(())
}

/// A proxy that can reach these, for ever: its port, and whom it was asked for.
async fn proxy(
    runtime: &'static dyn Runtime,
    reachable: &'static [&'static str],
    reason: Reason,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listener.local_address().port().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = Arc::clone(&seen);
    runtime.spawn(Box::pin(async move {
        loop {
            let mut near = listener.accept().await.unwrap().ready().await.unwrap();
            let layer = near.splice(Opening::of(SocksServer::new())).unwrap();
            let question = near.asked::<SocksServer>(layer).await.unwrap();
            let Question::Tunnel(request) = question.question() else { panic!("{question:?}") };
            let target = request.target.as_tcp().unwrap().to_string();
            asked.lock().unwrap().push(target.clone());
            match reachable.contains(&&*target) {
                true => drop(question.grant(Grant::default()).await),
                false => drop(question.refuse(reason.into()).await),
            }
            let _ = near.leave(Duration::from_secs(5)).await;
        }
    }));
    (port, seen)
}

/// A runtime that knows what `several.example` stands for, and is another one in everything else.
#[derive(Debug)]
struct Names(&'static dyn Runtime);

impl Timer for Names {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(deadline)
    }
}

impl runtime::sealed::Sealed for Names {}

impl Runtime for Names {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn connect_tcp_with(&self, to: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<Socket>> {
        self.0.connect_tcp_with(to, options)
    }

    fn listen_tcp_with(&self, at: SocketAddr, options: TcpOptions) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        self.0.listen_tcp_with(at, options)
    }

    #[cfg(unix)]
    fn connect_unix(&self, to: PathBuf) -> BoxFuture<'static, io::Result<Socket>> {
        self.0.connect_unix(to)
    }

    #[cfg(unix)]
    fn listen_unix(&self, at: PathBuf) -> BoxFuture<'static, io::Result<ListeningSocket>> {
        self.0.listen_unix(at)
    }

    fn adopt_tcp(&self, stream: std::net::TcpStream) -> io::Result<Socket> {
        self.0.adopt_tcp(stream)
    }

    fn adopt_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<ListeningSocket> {
        self.0.adopt_tcp_listener(listener)
    }

    #[cfg(unix)]
    fn adopt_unix(&self, stream: std::os::unix::net::UnixStream) -> io::Result<Socket> {
        self.0.adopt_unix(stream)
    }

    #[cfg(unix)]
    fn adopt_unix_listener(&self, listener: std::os::unix::net::UnixListener) -> io::Result<ListeningSocket> {
        self.0.adopt_unix_listener(listener)
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        if host != "several.example" {
            return self.0.resolve(host, port);
        }
        let addresses = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        async move { Ok(addresses.to_vec()) }.boxed()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn block_on(&self, future: LocalBoxFuture<'_, ()>) {
        self.0.block_on(future);
    }
}
