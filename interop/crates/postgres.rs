//! tokio-postgres: TLS of ours in its hook, over a connection that may have layers of its own already.

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::End;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, SimpleQueryMessage};

use crate::peers::{Conn, NAME, connected, run, tls};
use crate::recipes::postgres_tls::{PostgresConnect, PostgresTls};

#[test]
fn a_query_is_answered_inside_tls_that_the_hook_has_started() {
    for depth in 0..=2 {
        run(async {
            let (client, mut server) = connected(depth).await;
            let asker = async {
                let mut hook = PostgresTls(tls().0.clone());
                let connect: PostgresConnect = MakeTlsConnect::<Conn>::make_tls_connect(&mut hook, NAME).unwrap();
                let mut config = Config::new();
                config.user("somebody").ssl_mode(SslMode::Require);
                let (client, connection) = config.connect_raw(client, connect).await.unwrap();
                let query = async move {
                    let rows = client.simple_query("select a_long_text").await.unwrap();
                    let text = |message: &SimpleQueryMessage| match message {
                        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                        _ => None,
                    };
                    rows.iter().filter_map(text).collect::<Vec<_>>()
                };
                let (ended, texts) = join(connection, query).await;
                ended.unwrap();
                texts
            };
            let (texts, ()) = join(asker, answer(&mut server)).await;
            assert!(texts == [long_text()], "depth {depth}");
        });
    }
}

fn long_text() -> String {
    "long ".repeat(100_000)
}

/// As much of a server as it takes (the protocol's documentation, 53.7): TLS, no password, and one answer.
async fn answer(conn: &mut Conn) {
    let depth = conn.depth();
    let mut ssl_request = [0; 8];
    conn.read_exact(&mut ssl_request).await.unwrap();
    assert_eq!(ssl_request, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
    conn.send_all(b"S").await.unwrap();
    conn.start_tls(tls().1.accept().unwrap()).await.unwrap();
    assert_eq!(conn.depth(), depth + 1);
    let startup = body(conn).await;
    assert!(startup.windows(8).any(|word| word == b"somebody"));
    let ready = message(b'Z', b"I");
    conn.send_all(&[message(b'R', &[0; 4]), ready.clone()].concat()).await.unwrap();
    loop {
        let mut kind = [0];
        conn.read_exact(&mut kind).await.unwrap();
        let text = body(conn).await;
        match kind[0] {
            b'Q' => {
                assert_eq!(text, b"select a_long_text\0");
                // One column of the type text.
                let column = [
                    &b"\0\x01text\0"[..],
                    &[0; 6],
                    &25_u32.to_be_bytes(),
                    &(-1_i16).to_be_bytes(),
                    &[0xff; 4],
                    &[0; 2],
                ];
                let text = long_text();
                let row = [&b"\0\x01"[..], &(text.len() as u32).to_be_bytes(), text.as_bytes()];
                let answer = [
                    message(b'T', &column.concat()),
                    message(b'D', &row.concat()),
                    message(b'C', b"SELECT 1\0"),
                    ready.clone(),
                ];
                conn.send_all(&answer.concat()).await.unwrap();
            }
            b'X' => break,
            other => panic!("message {}", other.escape_ascii()),
        }
    }
    assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
    assert!(matches!(conn.end(), Some(End::Layer(_))), "with a close_notify");
    conn.close().await.unwrap();
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 4;
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

async fn body(conn: &mut Conn) -> Vec<u8> {
    let mut length = [0; 4];
    conn.read_exact(&mut length).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    conn.read_exact(&mut body).await.unwrap();
    body
}
