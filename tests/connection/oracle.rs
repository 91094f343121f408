//! With futures-rustls, an independent driver of TLS: above us, below us, and at the other end.

use std::sync::Arc;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures_rustls::{TlsAcceptor, TlsConnector};
use onionskin::Connection;
use onionskin::rustls::ServerConfig;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use onionskin::testing::{Clock, Cut, wire};
use onionskin::tls::{Version, default_provider};

use crate::executor::both;
use crate::peers::{
    CUTS, NAME, VERSIONS, answer, ask_to_depth, authority, client, client_config, layered, pattern, server,
};

#[test]
fn futures_rustls_runs_above_our_layers() {
    for version in VERSIONS {
        for cut in CUTS {
            let (left, right, _clock) = layered(cut, 5000, &[Version::Tls13, Version::Tls12]);
            let asker = async { swap(connector(version).connect(name(), left).await.unwrap(), 40_000).await };
            let answerer = async { swap(acceptor().accept(right).await.unwrap(), 40_000).await };
            both(asker, answerer);
        }
    }
}

#[test]
fn our_layers_run_above_futures_rustls() {
    for version in VERSIONS {
        for cut in CUTS {
            let (left, right) = wire(cut, 5000);
            let asker = async {
                let stream = connector(version).connect(name(), left).await.unwrap();
                let mut conn = Connection::with_timer(stream, Arc::new(Clock::new())).named("futures-rustls");
                ask_to_depth(&mut conn, version, 2).await.unwrap();
                conn.close().await.unwrap();
                assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
            };
            let answerer = async {
                let stream = acceptor().accept(right).await.unwrap();
                let mut conn = Connection::with_timer(stream, Arc::new(Clock::new()));
                answer(&mut conn).await.unwrap();
            };
            both(asker, answerer);
        }
    }
}

#[test]
fn our_layer_talks_to_futures_rustls_in_both_roles() {
    for version in VERSIONS {
        for cut in CUTS {
            let (left, right, _clock) = layered(cut, 5000, &[Version::Tls13]);
            let ours = async {
                let mut left = left;
                left.start_tls(client(version)).await.unwrap();
                swap(left, 40_000).await
            };
            let theirs = async { swap(acceptor().accept(right).await.unwrap(), 40_000).await };
            both(ours, theirs);

            let (left, right, _clock) = layered(cut, 5000, &[Version::Tls13]);
            let ours = async {
                let mut right = right;
                right.start_tls(server()).await.unwrap();
                swap(right, 40_000).await
            };
            let theirs = async { swap(connector(version).connect(name(), left).await.unwrap(), 40_000).await };
            both(theirs, ours);
        }
    }
}

#[test]
fn a_stop_is_an_end_of_file_for_futures_rustls_and_the_other_way_round() {
    for version in VERSIONS {
        let (mut left, right) = {
            let (left, right) = wire(Cut::Whole, 5000);
            (Connection::with_timer(left, Arc::new(Clock::new())), right)
        };
        let ours = async {
            left.start_tls(client(version)).await.unwrap();
            left.finish().await.unwrap();
            let mut said = Vec::new();
            left.read_to_end(&mut said).await.unwrap();
            assert_eq!(said, b"bye");
            left.stop_tls().await.unwrap();
            // futures-rustls cannot stop TLS without closing the socket.
            assert_eq!(left.read_line().await.unwrap(), None);
        };
        let theirs = async {
            let mut stream = acceptor().accept(right).await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            stream.write_all(b"bye").await.unwrap();
            stream.close().await.unwrap();
        };
        both(ours, theirs);
    }
}

/// Sends bytes and takes as many, in both directions at once, then closes. The stream is given back, because the peer
/// may not yet have ended the layers below.
async fn swap<S: AsyncRead + AsyncWrite + Unpin>(stream: S, count: usize) -> S {
    let bytes = pattern(count);
    let (mut reader, mut writer) = stream.split();
    let mut received = vec![0; count];
    let write = async {
        writer.write_all(&bytes).await.unwrap();
        writer.flush().await.unwrap();
    };
    let read = async { reader.read_exact(&mut received).await.unwrap() };
    futures::future::join(write, read).await;
    assert!(received == bytes);
    writer.close().await.unwrap();
    assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
    reader.reunite(writer).unwrap()
}

fn connector(version: Version) -> TlsConnector {
    TlsConnector::from(client_config(authority(), version))
}

fn acceptor() -> TlsAcceptor {
    let (chain, key) = authority().pem_identity(NAME);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(default_provider().unwrap())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}
