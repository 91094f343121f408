//! What leaves in which send: the one thing that a client at the other end of a socket cannot see for sure.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::io::{AsyncRead, AsyncWrite};
use onionskin::Connection;
use onionskin::runtime::{self, Socket};
use onionskin::tls::{TlsClient, TlsServer, Version};

use super::{Service, Session};
use crate::authority::Authority;
use crate::signals;

/// A socket that remembers how much each send took.
struct Recorder {
    socket: Socket,
    sends: Sends,
}

type Sends = Arc<Mutex<Vec<usize>>>;

impl AsyncRead for Recorder {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Locked before the bytes leave, so that who has received them finds them here.
        let mut sends = this.sends.lock().unwrap();
        let count = ready!(Pin::new(&mut this.socket).poll_write(cx, bytes))?;
        sends.push(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

async fn ask(conn: &mut Connection<Socket>, line: &str) -> Option<Vec<u8>> {
    conn.write_line(line).await.unwrap();
    conn.read_line().await.unwrap()
}

/// A session and its client, with one layer of TLS 1.3 between them, and what the session has sent since.
async fn inside_one_layer() -> (Connection<Socket>, Sends) {
    let runtime = runtime::preferred().unwrap();
    let authority = Authority::new().unwrap();
    let server = TlsServer::new(authority.identity(&["localhost"]).unwrap()).unwrap();
    let client = TlsClient::builder(authority.roots().unwrap()).versions(&[Version::Tls13]).build().unwrap();

    let listener = runtime.listen_tcp((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    let mut conn = Connection::new(runtime.connect_tcp(address).await.unwrap());
    let sends = Sends::default();
    let recorder = Recorder { socket: listener.accept().await.unwrap(), sends: Arc::clone(&sends) };
    let service = Arc::new(Service { server: Some(server), client: None });
    let mut session = Session::new(Connection::new(recorder), service, signals::never());
    runtime.spawn(async move { session.run().await.unwrap() }.boxed());

    ask(&mut conn, "STARTTLS").await;
    conn.start_tls(client.to("localhost").unwrap()).await.unwrap();
    // Once this is answered, the tickets have been sent too.
    assert_eq!(ask(&mut conn, "DEPTH").await.unwrap(), b"DEPTH 1 TLSv1.3");
    sends.lock().unwrap().clear();
    (conn, sends)
}

fn block_on(future: impl Future<Output = ()>) {
    runtime::block_on(runtime::preferred().unwrap(), future);
}

#[test]
fn glue_leaves_in_a_single_send() {
    block_on(async {
        let (mut conn, sends) = inside_one_layer().await;
        assert_eq!(ask(&mut conn, "GLUE to the lid").await.unwrap(), b"OK GLUE");
        assert_eq!(conn.read_line().await.unwrap(), None);
        conn.stop_tls().await.unwrap();
        assert_eq!(conn.read_line().await.unwrap().unwrap(), b"GLUED to the lid");
        let answer = "OK GLUE\r\n".len() + RECORD;
        assert_eq!(*sends.lock().unwrap(), [answer + CLOSE_NOTIFY + "GLUED to the lid\r\n".len()]);
    });
}

#[test]
fn the_answer_to_stoptls_leaves_before_the_close_notify() {
    block_on(async {
        let (mut conn, sends) = inside_one_layer().await;
        assert_eq!(ask(&mut conn, "STOPTLS").await.unwrap(), b"OK STOPTLS 0");
        assert_eq!(conn.read_line().await.unwrap(), None);
        conn.stop_tls().await.unwrap();
        assert_eq!(ask(&mut conn, "DEPTH").await.unwrap(), b"DEPTH 0 -");
        let sends = sends.lock().unwrap();
        assert_eq!(sends[..], ["OK STOPTLS 0\r\n".len() + RECORD, CLOSE_NOTIFY, "DEPTH 0 -\r\n".len()]);
    });
}

#[test]
fn the_asker_closes_first_in_astoptls() {
    block_on(async {
        let (mut conn, sends) = inside_one_layer().await;
        assert_eq!(ask(&mut conn, "ASTOPTLS").await.unwrap(), b"OK ASTOPTLS 0");
        assert_eq!(sends.lock().unwrap().len(), 1, "no close_notify before ours");
        conn.stop_tls().await.unwrap();
        assert_eq!(sends.lock().unwrap()[1..], [CLOSE_NOTIFY]);
    });
}

/// What a record of TLS 1.3 adds: header, content type, tag.
const RECORD: usize = 5 + 1 + 16;

const CLOSE_NOTIFY: usize = 2 + RECORD;
