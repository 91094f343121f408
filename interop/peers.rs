//! The thirty-seven certificates with OpenSSL's `s_server` behind them: the same table as with servers of ours, and the same
//! errors of the same layer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use onionskin::endpoint::Listener;
use onionskin::runtime::Runtime;
use onionskin::tls::{Identity, TlsServer};

use crate::Case;
use crate::bench::{Peer, runtime};
use crate::peer_cases::{Way, World, the_same};

pub(crate) fn cases() -> Vec<Case> {
    let ways = [
        ("alone", Way::Inside(0)),
        ("inside a layer of TLS", Way::Inside(1)),
        ("inside two layers of TLS", Way::Inside(2)),
        ("behind SOCKS5", Way::Socks5),
        ("behind CONNECT", Way::Connect),
    ];
    let case = |(what, way)| {
        let name = format!("openssl s_server: the thirty-seven certificates, {what}");
        Case::new(name, move |_| each_certificate(way)).needs("openssl", "version")
    };
    ways.map(case).into()
}

fn each_certificate(way: Way) {
    let runtime = runtime();
    let world = World::new(&format!("openssl-{way:?}").replace(['(', ')'], "-"));
    // Each serves one client after the other.
    let servers = RefCell::new(BTreeMap::new());
    the_same(runtime, way, &world, "olleh", async |name, outer| {
        let server = match name {
            "closed" => return closed(runtime).await,
            "echo" => echo(runtime).await,
            name => servers.borrow_mut().entry(name).or_insert_with(|| s_server(&world, name)).1,
        };
        around(runtime, &world, server, outer).await
    });
}

/// One that turns lines round.
fn s_server(world: &World, name: &str) -> (Peer, SocketAddr) {
    let shown = if matches!(name, "mtls" | "tls1.1") { "good" } else { name };
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-rev", "-alpn", "h2,http/1.1"]);
    // What stands behind the first certificate of a file is shown as well.
    let (chain, key) = (world.path(&format!("{shown}.pem")), world.path(&format!("{shown}.key")));
    command.args(["-cert", &chain, "-cert_chain", &chain, "-key", &key]);
    match name {
        "mtls" => command.args(["-Verify", "2", "-verify_return_error", "-CAfile", &world.path("root.pem")]),
        "tls1.1" => command.args(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
        _ => &mut command,
    };
    let mut peer = Peer::start(&mut command);
    let line = peer.expect("ACCEPT ");
    let address = line.split_whitespace().last().and_then(|address| address.parse().ok());
    (peer, address.unwrap_or_else(|| panic!("no address in {line:?}")))
}

async fn closed(runtime: &'static dyn Runtime) -> SocketAddr {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    listener.local_address().as_tcp().unwrap()
}

/// What is no server of TLS: it says again what it hears.
async fn echo(runtime: &'static dyn Runtime) -> SocketAddr {
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let serving = async move {
        let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
        let mut heard = [0; 1024];
        while let Ok(count @ 1..) = conn.read(&mut heard).await {
            let _ = conn.write_all(&heard[..count]).await;
            let _ = conn.flush().await;
        }
    };
    runtime.spawn(serving.boxed());
    address
}

/// Puts so many layers of TLS around a server, for one client.
async fn around(runtime: &'static dyn Runtime, world: &World, server: SocketAddr, layers: usize) -> SocketAddr {
    if layers == 0 {
        return server;
    }
    let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let identity = Identity::from_pem_files(world.path("outer.test.pem"), world.path("outer.test.key")).unwrap();
    let outer = TlsServer::new(identity).unwrap();
    let serving = async move {
        let mut near = listener.accept().await.unwrap().ready().await.unwrap();
        for _ in 0..layers {
            if near.start_tls(outer.accept().unwrap()).await.is_err() {
                return;
            }
        }
        let far = runtime.connect_tcp(server).await.unwrap();
        drop(near.bridge(far).await);
    };
    runtime.spawn(serving.boxed());
    address
}
