//! The two peers of a test: layers that trust each other, connections on a wire in memory, and a small line protocol.

use std::sync::{Arc, OnceLock};

use futures::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::rustls::client::Resumption;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::pki_types::pem::PemObject;
use onionskin::rustls::{ClientConfig, RootCertStore, version};
use onionskin::stack::Stop;
use onionskin::testing::{Clock, Cut, WireEnd, wire};
use onionskin::tls::{TlsClient, TlsLayer, TlsServer, Version, default_provider};

use crate::common::{Authority, BOTH};
use crate::executor::both;

pub(crate) type Conn = Connection<WireEnd>;

pub(crate) const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// The ways to cut a stream that every conversation must survive.
pub(crate) const CUTS: [Cut; 5] = [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(11), Cut::Random(12)];

pub(crate) const NAME: &str = "a.test";

struct Configurations {
    authority: Authority,
    clients: [TlsClient; 2],
    server: TlsServer,
}

fn configurations() -> &'static Configurations {
    static MADE: OnceLock<Configurations> = OnceLock::new();
    MADE.get_or_init(|| {
        let authority = Authority::new();
        Configurations {
            clients: VERSIONS.map(|version| TlsClient::from_rustls(client_config(&authority, version)).unwrap()),
            server: authority.server(NAME, BOTH),
            authority,
        }
    })
}

/// Without resumption, so that no handshake depends on what other tests have done before.
pub(crate) fn client_config(authority: &Authority, version: Version) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let version = if version == Version::Tls13 { &version::TLS13 } else { &version::TLS12 };
    let mut config = ClientConfig::builder_with_provider(default_provider().unwrap())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

pub(crate) fn authority() -> &'static Authority {
    &configurations().authority
}

pub(crate) fn client(version: Version) -> TlsLayer {
    let index = usize::from(version == Version::Tls13);
    configurations().clients[index].to(NAME).unwrap()
}

pub(crate) fn server() -> TlsLayer {
    configurations().server.accept().unwrap()
}

/// Two connections in clear, and their clock.
pub(crate) fn pair(cut: Cut, capacity: usize) -> (Conn, Conn, Clock) {
    let clock = Clock::new();
    let (left, right) = wire(cut, capacity);
    let connect = |end| Connection::with_timer(end, Arc::new(clock.clone()));
    (connect(left), connect(right), clock)
}

/// Two connections with a TLS layer of each version, from the wire inwards; left is the client.
pub(crate) fn layered(cut: Cut, capacity: usize, versions: &[Version]) -> (Conn, Conn, Clock) {
    let (mut left, mut right, clock) = pair(cut, capacity);
    for &version in versions {
        start(&mut left, &mut right, version);
    }
    (left, right, clock)
}

/// Starts one layer more.
#[track_caller]
pub(crate) fn start<IO>(left: &mut Connection<IO>, right: &mut Connection<IO>, version: Version)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (started, accepted) = both(left.start_tls(client(version)), right.start_tls(server()));
    assert_eq!(started.unwrap().version, accepted.unwrap().version);
}

/// Sends a line from one to the other.
#[track_caller]
pub(crate) fn say(from: &mut Conn, to: &mut Conn, line: &str) {
    let (sent, heard) = both(from.write_line(line), to.read_line());
    sent.unwrap();
    assert_eq!(heard.unwrap().as_deref(), Some(line.as_bytes()));
}

/// Sends a line each way.
#[track_caller]
pub(crate) fn talk(left: &mut Conn, right: &mut Conn) {
    say(left, right, "from the left");
    say(right, left, "from the right");
}

/// Answers `STARTTLS` and `STOPTLS`, and every other line with itself, until the peer closes.
pub(crate) async fn answer<IO>(conn: &mut Connection<IO>) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(line) = conn.read_line().await? {
        match &line[..] {
            b"STARTTLS" => {
                conn.write_line("GO AHEAD").await?;
                conn.start_tls(server()).await?;
            }
            b"STOPTLS" => {
                conn.write_line("SO LONG").await?;
                conn.stop_with(Stop::new().after_peer(Stop::GRACE)).await?;
            }
            _ => conn.write_line(&line).await?,
        }
    }
    conn.close().await.map_err(|error| Error::of(&error).unwrap().clone())
}

/// Goes down to `depth` layers and up again, and talks at each depth.
pub(crate) async fn ask_to_depth<IO>(conn: &mut Connection<IO>, version: Version, depth: usize) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    echo(conn, "in clear").await?;
    for depth in 1..=depth {
        ask(conn, "STARTTLS", "GO AHEAD").await?;
        let facts = conn.start_tls(client(version)).await?;
        assert_eq!(facts.version_name(), if version == Version::Tls13 { "TLSv1.3" } else { "TLSv1.2" });
        assert_eq!(conn.depth(), depth);
        echo(conn, &format!("down to {depth}")).await?;
    }
    for depth in (0..depth).rev() {
        ask(conn, "STOPTLS", "SO LONG").await?;
        let stopped = conn.stop_tls().await?;
        assert_eq!(stopped.late, b"");
        assert_eq!(conn.depth(), depth);
        echo(conn, &format!("up to {depth}")).await?;
    }
    Ok(())
}

pub(crate) async fn echo<IO>(conn: &mut Connection<IO>, line: &str) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    ask(conn, line, line).await
}

pub(crate) async fn ask<IO>(conn: &mut Connection<IO>, line: &str, expected: &str) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    conn.write_line(line).await?;
    let answer = conn.read_line().await?.expect("an answer");
    assert_eq!(answer.escape_ascii().to_string(), expected);
    Ok(())
}

/// Bytes that differ from their neighbours, so that one too many or too few shows.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}
