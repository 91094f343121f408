//! What is asked of an error has the same answer through a tunnel of each language as without one.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use futures::io::AsyncReadExt;
use onionskin::connection::Error;
use onionskin::tls::TlsClient;

use super::*;
use crate::common::Authority;
use crate::relay::{Files, Layers, block_on, dial};

/// The questions to which this error says yes.
fn answers(error: &Error) -> Vec<&'static str> {
    let asked = [
        ("not spoken", error.is_not_spoken()),
        ("certificate", error.is_certificate()),
        ("refused", error.is_refused()),
        ("client certificate", error.is_client_certificate()),
        ("truncated", error.is_truncated()),
        ("timeout", error.is_timeout()),
    ];
    asked.into_iter().filter(|(_, says_yes)| *says_yes).map(|(question, _)| question).collect()
}

/// What TLS to the end of this endpoint fails with, or a read behind the handshake.
fn failure(endpoint: &str, authority: &Authority) -> Vec<&'static str> {
    let client = TlsClient::builder(authority.roots()).build().unwrap().to("localhost").unwrap();
    block_on(async {
        let mut conn = dial(endpoint).await.unwrap();
        match conn.start_tls(client.handshake_timeout(Some(Duration::from_secs(1)))).await {
            Err(error) => answers(&error),
            Ok(_) => answers(Error::of(&conn.read(&mut [0]).await.unwrap_err()).unwrap()),
        }
    })
}

/// Each way to this target fails as the direct one does.
#[track_caller]
fn fails_alike(proxy: &Relay, target: SocketAddr, authority: &Authority, expected: &[&str]) {
    assert_eq!(failure(&format!("tcp:{target}"), authority), expected, "without a tunnel");
    for (step, keys) in [("socks5", ""), ("socks4a", ""), ("connect", ":version=1"), ("connect", ":version=2")] {
        let endpoint = format!("{}+{step}:{target}{keys}", proxy.endpoint);
        assert_eq!(failure(&endpoint, authority), expected, "{step}{keys}");
    }
}

/// Does the same with each client, on threads of their own.
fn target_that(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let (listener, address) = target();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (serve, client) = (serve.clone(), client.unwrap());
            thread::spawn(move || serve(client));
        }
    });
    address
}

fn address(server: &Relay) -> SocketAddr {
    server.endpoint.strip_prefix("tcp:").unwrap().parse().unwrap()
}

#[test]
fn the_certificate_of_the_target_and_what_it_wants_of_ours() {
    let (files, proxy) = (Files::new(), proxy(LOOPBACK));
    let server = proxy_at(&format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls)), &[]);
    fails_alike(&proxy, address(&server), &Authority::new(), &["certificate"]);
    let ca = files.directory.file("ca.pem");
    let picky = proxy_at(&format!("tcp:127.0.0.1:0{}:client-ca={ca}", files.server(Layers::Tls)), &[]);
    fails_alike(&proxy, address(&picky), &files.authority, &["refused", "client certificate"]);
}

#[test]
fn a_target_that_speaks_no_tls_is_cut_off_or_says_nothing() {
    let (authority, proxy) = (Authority::new(), proxy(LOOPBACK));
    let speaks_first = target_that(|mut client| {
        client.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    });
    fails_alike(&proxy, speaks_first, &authority, &["not spoken"]);
    let ends = target_that(|mut client| {
        client.read_exact(&mut [0; 5]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    });
    fails_alike(&proxy, ends, &authority, &["truncated"]);
    let silent = target_that(|mut client| drop(client.read_to_end(&mut Vec::new())));
    fails_alike(&proxy, silent, &authority, &["timeout"]);
}
