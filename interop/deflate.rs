//! Compression against zlib, in a peer of Python's standard library (`deflate_peer.py`).

use std::process::Command;

use futures::{AsyncReadExt, AsyncWriteExt};
use onionskin::connection::End;
use onionskin::layer::Deflate;
use onionskin::stack::{PeerAnswer, Stop};
use onionskin::{Connection, connect};

use crate::Case;
use crate::bench::{Peer, run};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for flush in ["sync", "full", "partial"] {
        let mut add = |what: &str, run: fn(&str)| {
            let case = Case::new(format!("zlib, {flush} flush: {what}"), move |_| run(flush));
            cases.push(case.needs("python3", "--version"));
        };
        add("talk, stop, go on in clear", talk_and_stop);
        add("talk, and the peer hangs up", talk_until_hung_up);
    }
    cases
}

fn talk_and_stop(flush: &str) {
    let (peer, address) = start(flush);
    run(async {
        let mut conn = talk(&address, Deflate::new()).await;
        conn.write_line("STOP").await.unwrap();
        assert_eq!(conn.read_line().await.unwrap().unwrap(), b"STOPPING");
        assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
        let stopped = conn.stop_with(Stop::new().writes_at_once()).await.unwrap();
        assert_eq!((stopped.answer, stopped.late.len()), (PeerAnswer::CloseNotify, 0));
        conn.write_line("hello").await.unwrap();
        assert_eq!(conn.read_line().await.unwrap().unwrap(), b"CLEAR hello");
        assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(conn.end(), Some(End::Wire));
    });
    let (content, said) = peer.finish();
    assert!(content, "{said}");
}

fn talk_until_hung_up(flush: &str) {
    let (peer, address) = start(flush);
    run(async {
        // A partial flush does not end at a byte, so nothing marks the end of the last message.
        let layer = if flush == "partial" { Deflate::new().ends_anywhere() } else { Deflate::new() };
        let mut conn = talk(&address, layer).await;
        conn.write_line("BYE").await.unwrap();
        assert_eq!(conn.read_line().await.unwrap().unwrap(), b"BYE");
        assert_eq!(conn.read(&mut [0]).await.unwrap(), 0);
        assert!(matches!(conn.end(), Some(End::Layer(_))), "a clean end of the layer: {:?}", conn.end());
        conn.close().await.unwrap();
    });
    let (content, said) = peer.finish();
    assert!(content, "{said}");
}

async fn talk(address: &str, layer: Deflate) -> Connection<onionskin::runtime::Socket> {
    let mut conn = connect(address).await.unwrap();
    conn.open(layer).await.unwrap();
    for n in 0..20 {
        let line = format!("ECHO line {n} of {n}");
        conn.write_line(&line).await.unwrap();
        assert_eq!(conn.read_line().await.unwrap().unwrap(), line.as_bytes());
    }
    conn.write_line("BULK 200000").await.unwrap();
    let mut bulk = vec![0; 200_000];
    conn.read_exact(&mut bulk).await.unwrap();
    assert!(bulk.iter().enumerate().all(|(i, &byte)| usize::from(byte) == i * i % 251));
    conn
}

fn start(flush: &str) -> (Peer, String) {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/deflate_peer.py")).arg(flush);
    let mut peer = Peer::start(&mut command);
    let line = peer.expect("listening on ");
    (peer, format!("tcp:127.0.0.1:{}", line.rsplit(' ').next().unwrap_or_default()))
}
