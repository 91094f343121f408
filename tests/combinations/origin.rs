//! Who is at the far end, and what is said to it: HTTP of both versions by hand, so that nothing of the library's is on both sides.

use futures::FutureExt;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::endpoint::Listener;
use onionskin::runtime::Socket;

use crate::{Kind, Origin, World};

/// Listens, for ever; the port.
pub(crate) async fn open(world: &World, kind: &Kind<Origin>) -> u16 {
    let runtime = world.runtime;
    let listener = Listener::new(runtime, &world.listens(kind).parse().unwrap()).await.unwrap();
    let port = listener.local_address().port().unwrap();
    let speaks = kind.speaks;
    runtime.spawn(Box::pin(async move {
        loop {
            let incoming = listener.accept().await.unwrap();
            // What goes wrong here, the client tells.
            let serving = async move {
                let Ok(mut client) = incoming.ready().await else { return };
                let _ = serve(&mut client, speaks).await;
                let _ = client.close().await;
            };
            runtime.spawn(serving.boxed());
        }
    }));
    port
}

pub(crate) type Io = std::io::Result<()>;

/// Answers one client until it ends.
pub(crate) async fn serve(client: &mut Connection<Socket>, speaks: Origin) -> Io {
    match speaks {
        Origin::Echo => {
            let mut bytes = vec![0; 4096];
            loop {
                let count = client.read(&mut bytes).await?;
                if count == 0 {
                    return Ok(());
                }
                client.write_all(&bytes[..count]).await?;
                client.flush().await?;
            }
        }
        Origin::Http1 => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).await?;
                head.push(byte[0]);
            }
            let status: &[u8] =
                if head.starts_with(b"GET /proxied HTTP/1.1\r\n") { b"200 OK" } else { b"404 Not Found" };
            let head = [&b"HTTP/1.1 "[..], status, b"\r\nContent-Length: 15\r\n\r\n", BODY].concat();
            client.write_all(&head).await?;
            client.flush().await
        }
        Origin::Http2 => {
            let mut preface = [0; PREFACE.len()];
            client.read_exact(&mut preface).await?;
            if preface != *PREFACE {
                return Ok(());
            }
            client.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
            loop {
                let (kind, flags, payload) = read_frame(client).await?;
                match kind {
                    SETTINGS if flags & ACK == 0 => client.write_all(&frame(SETTINGS, ACK, 0, b"")).await?,
                    HEADERS => {
                        // Indexed in the static table (RFC 7541, appendix A): 8 is a status of 200, 13 one of 404.
                        let status =
                            if payload == request("http") || payload == request("https") { 0x88 } else { 0x8d };
                        client.write_all(&frame(HEADERS, END_HEADERS, 1, &[status])).await?;
                        client.write_all(&frame(DATA, END_STREAM, 1, BODY)).await?;
                        client.flush().await?;
                    }
                    _ => {}
                }
                client.flush().await?;
            }
        }
    }
}

/// Asks an origin of this kind, and hears what it has to say.
pub(crate) async fn talk(origin: &mut Connection<Socket>, kind: &Kind<Origin>) {
    match kind.speaks {
        Origin::Echo => {
            origin.write_all(b"Hello world!").await.unwrap();
            origin.flush().await.unwrap();
            let mut heard = [0; 12];
            origin.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"Hello world!");
        }
        Origin::Http1 => {
            origin.write_all(b"GET /proxied HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            origin.flush().await.unwrap();
            let whole = [&b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"[..], BODY].concat();
            let mut heard = vec![0; whole.len()];
            origin.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, whole);
        }
        Origin::Http2 => {
            let scheme = if kind.tls.is_some() { "https" } else { "http" };
            let headers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(scheme));
            let said = [&PREFACE[..], &frame(SETTINGS, 0, 0, b""), &headers].concat();
            origin.write_all(&said).await.unwrap();
            origin.flush().await.unwrap();
            let mut status = None;
            loop {
                let (kind, flags, payload) = read_frame(origin).await.unwrap();
                match kind {
                    HEADERS => status = payload.first().copied(),
                    SETTINGS if flags & ACK == 0 => {
                        origin.write_all(&frame(SETTINGS, ACK, 0, b"")).await.unwrap();
                        origin.flush().await.unwrap();
                    }
                    DATA => {
                        assert_eq!((status, flags, &payload[..]), (Some(0x88), END_STREAM, BODY));
                        return;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// `GET /proxied`, from the static table where that has it (RFC 7541, appendix A), and in clear where not.
fn request(scheme: &str) -> Vec<u8> {
    let scheme = if scheme == "https" { 0x87 } else { 0x86 };
    let literal = |index: u8, text: &str| [&[index, text.len() as u8], text.as_bytes()].concat();
    [vec![0x82, scheme], literal(4, "/proxied"), literal(1, "localhost")].concat()
}

/// RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn read_frame(connection: &mut Connection<Socket>) -> std::io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    connection.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    connection.read_exact(&mut payload).await?;
    Ok((head[3], head[4], payload))
}

const BODY: &[u8] = b"from the origin";

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
