//! The servers of the cases: each takes one client, inside so many layers of TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::endpoint::Listener;
use onionskin::runtime::{Runtime, Socket};
use onionskin::rustls::server::{ClientHello, ResolvesServerCert};
use onionskin::rustls::sign::CertifiedKey;
use onionskin::rustls::{ServerConfig, version};
use onionskin::tls::{Identity, Roots, TlsServer, default_provider};

use crate::peer_cases::World;

/// What stands at the innermost place.
pub(crate) enum Peer {
    Tls(TlsServer),
    /// Refuses as a server does that knows TLS 1.1 and nothing newer.
    Old,
    /// Says again what it hears.
    Echo,
}

impl Peer {
    /// Waits for one client; at a port that is closed, if nobody is to be there. Returns where.
    pub(crate) async fn open(runtime: &'static dyn Runtime, world: &World, name: &str, outer: usize) -> SocketAddr {
        let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_address().as_tcp().unwrap();
        let peer = match name {
            "closed" => return address,
            "tls1.1" => Self::Old,
            "echo" => Self::Echo,
            "mtls" => Self::Tls(demanding(world)),
            name => Self::Tls(showing(world.certified(name))),
        };
        let identity = Identity::from_pem_files(world.path("outer.test.pem"), world.path("outer.test.key")).unwrap();
        let around = TlsServer::new(identity).unwrap();
        let serving = async move {
            let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
            for _ in 0..outer {
                if conn.start_tls(around.accept().unwrap()).await.is_err() {
                    return;
                }
            }
            peer.serve(conn).await;
        };
        runtime.spawn(serving.boxed());
        address
    }

    /// What goes wrong here, the client tells.
    async fn serve(self, mut conn: Connection<Socket>) {
        match self {
            Self::Tls(server) => {
                if conn.start_tls(server.accept().unwrap()).await.is_err() {
                    return;
                }
                let Ok(Some(line)) = conn.read_line().await else { return };
                let _ = conn.write_line(line).await;
            }
            Self::Old => {
                let mut hello = [0; 4096];
                let _ = conn.read(&mut hello).await;
                // protocol_version, in a record of TLS 1.1.
                let _ = conn.write_all(&[21, 3, 2, 0, 2, 2, 70]).await;
                let _ = conn.flush().await;
            }
            Self::Echo => {
                let mut heard = [0; 1024];
                while let Ok(count @ 1..) = conn.read(&mut heard).await {
                    let _ = conn.write_all(&heard[..count]).await;
                    let _ = conn.flush().await;
                }
            }
        }
        let _ = conn.leave(Duration::from_secs(5)).await;
    }
}

fn demanding(world: &World) -> TlsServer {
    let identity = Identity::from_pem_files(world.path("good.pem"), world.path("good.key")).unwrap();
    let roots = Roots::from_pem_file(world.path("root.pem")).unwrap();
    TlsServer::builder(identity).require_client_certificates(roots).build().unwrap()
}

/// Shows a certificate as it is.
fn showing(certified: CertifiedKey) -> TlsServer {
    let mut config = ServerConfig::builder_with_provider(default_provider().unwrap())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(certified))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsServer::from_rustls(Arc::new(config)).unwrap()
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
