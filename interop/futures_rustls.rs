//! Nesting against an independent driver: futures-rustls inside futures-rustls.

use futures::io::{AsyncRead, AsyncWrite};
use futures::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::{TlsAcceptor, TlsConnector};
use onionskin::endpoint::Listener;
use onionskin::runtime::Socket;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use onionskin::rustls::{ClientConfig, RootCertStore, ServerConfig};
use onionskin::tls::{TlsClient, TlsServer, default_provider};
use onionskin::{Connection, connect};

use crate::Case;
use crate::bench::{Bench, run, runtime};

type Boxed = Box<dyn Stream>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for depth in 1..=4 {
        cases.push(Case::new(format!("futures-rustls client, {depth} deep, on our server"), move |bench| {
            run(our_server(bench, depth));
        }));
        cases.push(Case::new(format!("futures-rustls server, {depth} deep, under our client"), move |bench| {
            run(our_client(bench, depth));
        }));
    }
    cases
}

async fn our_server(bench: &Bench, depth: usize) {
    let (listener, address) = listen().await;
    let server = TlsServer::new(bench.authority().identity("localhost")).unwrap();
    let ours = async {
        let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
        for _ in 0..depth {
            conn.start_tls(server.accept().unwrap()).await.expect("the handshake succeeds");
        }
        talk(&mut conn).await;
        close(conn).await;
    };
    let theirs = async {
        let mut stream: Boxed = Box::new(connect(&address).await.unwrap().into_inner().io);
        let connector = TlsConnector::from(std::sync::Arc::new(client_config(bench)));
        for _ in 0..depth {
            let name = ServerName::try_from("localhost").unwrap();
            stream = Box::new(connector.connect(name, stream).await.expect("the handshake succeeds"));
        }
        talk(&mut stream).await;
        close(stream).await;
    };
    futures::join!(ours, theirs);
}

async fn our_client(bench: &Bench, depth: usize) {
    let (listener, address) = listen().await;
    let client = TlsClient::new(bench.authority().roots()).unwrap();
    let ours = async {
        let mut conn: Connection<Socket> = connect(&address).await.unwrap();
        for _ in 0..depth {
            conn.start_tls(client.to("localhost").unwrap()).await.expect("the handshake succeeds");
        }
        talk(&mut conn).await;
        close(conn).await;
    };
    let theirs = async {
        let conn = listener.accept().await.unwrap().ready().await.unwrap();
        let mut stream: Boxed = Box::new(conn.into_inner().io);
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(server_config(bench)));
        for _ in 0..depth {
            stream = Box::new(acceptor.accept(stream).await.expect("the handshake succeeds"));
        }
        talk(&mut stream).await;
        close(stream).await;
    };
    futures::join!(ours, theirs);
}

/// Sends and receives at once, enough for many records; both sides do the same.
async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut reader, mut writer) = stream.split();
    let mut received = vec![0; sent.len()];
    let write = async {
        writer.write_all(&sent).await.expect("it is sent");
        writer.flush().await.expect("it is flushed");
    };
    let read = async { reader.read_exact(&mut received).await.expect("it comes") };
    futures::join!(write, read);
    assert!(received == sent, "what came is not what was sent");
}

/// Closes the innermost layer, and sees the peer close it too.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream.close().await.expect("it closes");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end is clean");
    assert_eq!(rest, b"");
}

async fn listen() -> (Listener, String) {
    let endpoint = "tcp:127.0.0.1:0".parse().unwrap();
    let listener = Listener::new(runtime(), &endpoint).await.expect("a free port is found");
    let address = listener.local_address().as_tcp().expect("it is TCP");
    (listener, format!("tcp:{address}"))
}

fn client_config(bench: &Bench) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(bench.ca()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(default_provider().unwrap());
    builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
}

fn server_config(bench: &Bench) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(bench.certificate("localhost")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(bench.key("localhost")).unwrap();
    let builder = ServerConfig::builder_with_provider(default_provider().unwrap());
    builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()
}
