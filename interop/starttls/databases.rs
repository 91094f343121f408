//! Database clients of others with our server, which knows as much of a database as they need to be content.

use std::future::Future;
use std::thread;

use futures::io::AsyncReadExt;
use onionskin::Connection;
use onionskin::connection::Stop;
use onionskin::endpoint::Listener;
use onionskin::runtime::Socket;
use onionskin::starttls::{Mysql, Tds, TdsEncryption};
use onionskin::tls::{TlsServer, Version};

use crate::Case;
use crate::bench::{Bench, run, runtime};
use crate::clients::{Encryption, mariadb, tsql};
use crate::servers::NAME;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("our server with mariadb: a query", |bench| {
            let (server, address) = serve(bench, &[Version::Tls13], serve_mysql);
            mariadb(bench, &address, "DO 1").with("");
            assert_eq!(server.join().expect("the server was content"), ["DO 1"]);
        })
        .uses("mariadb"),
    ];
    for (encryption, agreed) in [
        (Encryption::Require, TdsEncryption::Everything),
        // What tsql asks for without more ado.
        (Encryption::Request, TdsEncryption::LoginOnly),
    ] {
        let name = format!("our server with tsql: a log-in and a query, {agreed:?}");
        let case = Case::new(name, move |bench| {
            let serve_tds = move |conn, tls| serve_tds(conn, tls, agreed);
            let (server, address) = serve(bench, &[Version::Tls12], serve_tds);
            tsql(bench, &address, encryption, "SELECT 1\ngo\nexit\n").with("1>");
            let said = server.join().expect("the server was content");
            assert!(said.iter().any(|batch| batch.contains("SELECT 1")), "{said:?}");
        });
        cases.push(case.uses("tsql"));
    }
    cases
}

/// Takes one connection, and gives back what was asked on it.
fn serve<F, S>(bench: &Bench, versions: &[Version], session: S) -> (thread::JoinHandle<Vec<String>>, String)
where
    F: Future<Output = Vec<String>>,
    S: FnOnce(Connection<Socket>, TlsServer) -> F + Send + 'static,
{
    let tls = TlsServer::builder(bench.identity(NAME)).versions(versions).build().expect("the certificate is good");
    let listener =
        run(Listener::new(runtime(), &"tcp:127.0.0.1:0".parse().expect("it is one"))).expect("a port is free");
    let address = listener.local_address().as_tcp().expect("it is TCP").to_string();
    let server = thread::spawn(move || {
        run(async move {
            let conn = listener.accept().await.expect("a client comes").ready().await.expect("there are no layers");
            session(conn, tls).await
        })
    });
    (server, address)
}

/// Lets everybody in, and says yes to every query.
async fn serve_mysql(mut conn: Connection<Socket>, tls: TlsServer) -> Vec<String> {
    let mysql = Mysql::new().version("8.0.0-onion").auth_plugin("mysql_native_password");
    conn.start_tls_as(&mysql, tls.accept().unwrap()).await.unwrap();
    let (number, log_in) = mysql_packet(&mut conn).await;
    assert!(log_in.windows(6).any(|part| part == b"onion\0"), "{}", log_in.escape_ascii());
    conn.send_all(&mysql_ok(number + 1)).await.unwrap();
    let mut queries = Vec::new();
    loop {
        let (number, command) = mysql_packet(&mut conn).await;
        match command.split_first() {
            Some((3, query)) => queries.push(String::from_utf8_lossy(query).into_owned()),
            _ => return queries,
        }
        answer(&mut conn, &mysql_ok(number + 1)).await;
    }
}

/// A client that has its answer may hang up before the write is told to be done.
async fn answer(conn: &mut Connection<Socket>, bytes: &[u8]) {
    let _ = conn.send_all(bytes).await;
}

async fn mysql_packet(conn: &mut Connection<Socket>) -> (u8, Vec<u8>) {
    let mut header = [0; 4];
    conn.read_exact(&mut header).await.unwrap();
    let [low, middle, high, number] = header;
    let mut payload = vec![0; u32::from_le_bytes([low, middle, high, 0]) as usize];
    conn.read_exact(&mut payload).await.unwrap();
    (number, payload)
}

/// OK, no rows, autocommit.
fn mysql_ok(number: u8) -> [u8; 11] {
    [7, 0, 0, number, 0, 0, 0, 2, 0, 0, 0]
}

/// Lets everybody in, and says that every batch is done.
async fn serve_tds(mut conn: Connection<Socket>, tls: TlsServer, expected: TdsEncryption) -> Vec<String> {
    let tds = Tds::new().login_only();
    conn.start_tls_as(&tds, tls.accept().unwrap()).await.unwrap();
    let agreed = tds.agreed().encryption();
    assert_eq!(agreed, Some(expected));
    let (kind, _) = tds_message(&mut conn).await.expect("a log-in comes");
    assert_eq!(kind, LOGIN7);
    if agreed == Some(TdsEncryption::LoginOnly) {
        conn.stop_with(Stop::new().abandon()).await.unwrap();
        assert_eq!(conn.depth(), 0, "the answer is in clear");
    }
    conn.send_all(&tds_reply(&[&LOGIN_ACK[..], &DONE].concat())).await.unwrap();
    let mut batches = Vec::new();
    while let Some((_, message)) = tds_message(&mut conn).await {
        batches.push(String::from_utf8_lossy(&message).replace('\0', ""));
        answer(&mut conn, &tds_reply(&DONE)).await;
    }
    batches
}

/// A message of one or more packets: its type, and what is in it.
async fn tds_message(conn: &mut Connection<Socket>) -> Option<(u8, Vec<u8>)> {
    let mut message = Vec::new();
    loop {
        let mut header = [0; 8];
        // The client hangs up without a close_notify.
        conn.read_exact(&mut header).await.ok()?;
        let [kind, status, high, low, ..] = header;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low])) - header.len()];
        conn.read_exact(&mut payload).await.ok()?;
        message.extend(payload);
        if status & END_OF_MESSAGE != 0 {
            return Some((kind, message));
        }
    }
}

fn tds_reply(tokens: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(tokens.len() + 8).expect("it is short").to_be_bytes();
    [&[TABULAR_RESULT, END_OF_MESSAGE, high, low, 0, 0, 1, 0], tokens].concat()
}

/// MS-TDS 2.2.3.1.1: the types of packets.
const TABULAR_RESULT: u8 = 4;
const LOGIN7: u8 = 16;

const END_OF_MESSAGE: u8 = 1;

/// MS-TDS 2.2.7.14: interface 1, version 7.4, a program of one letter, version 15.0.0.
const LOGIN_ACK: [u8; 15] = [0xad, 12, 0, 1, 0x74, 0, 0, 4, 1, b'o', 0, 15, 0, 0, 0];

/// MS-TDS 2.2.7.6: final, no count.
const DONE: [u8; 13] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
