//! `onion proxy` between clients that say their bytes one by one and targets of this machine.

mod answers;
mod ending;
mod foreign;
mod http2;
mod limits;
mod questions;
mod users;
mod via;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::onion::onion;
use crate::relay::{HANGING, Relay};

/// A proxy in clear on a free port.
fn proxy(options: &[&str]) -> Relay {
    proxy_at("tcp:127.0.0.1:0", options)
}

fn proxy_at(listen: &str, options: &[&str]) -> Relay {
    Relay::started(onion(["proxy", listen].into_iter().chain(options.iter().copied())))
}

/// What a test on loopback needs.
const LOOPBACK: &[&str] = &["--allow", "127.0.0.0/8"];

fn target() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Nobody listens there.
fn closed_port() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

fn connect(proxy: &Relay) -> TcpStream {
    patient(TcpStream::connect(proxy.endpoint.strip_prefix("tcp:").unwrap()).unwrap())
}

fn accept(listener: &TcpListener) -> TcpStream {
    patient(listener.accept().unwrap().0)
}

/// A test that hangs fails.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(HANGING)).unwrap();
    stream
}

/// Reads as many bytes as `expected` has.
#[track_caller]
fn finds(stream: &mut TcpStream, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(found, expected);
}

/// Reads to the end.
fn rest(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut found = Vec::new();
    stream.read_to_end(&mut found).map(|_| found)
}

/// Reads a head of HTTP, and nothing behind it.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Asks for a tunnel by CONNECT, with what else there is in the head and behind it.
fn ask_http(proxy: &Relay, target: impl std::fmt::Display, more: &str) -> TcpStream {
    let mut client = connect(proxy);
    client.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}").as_bytes()).unwrap();
    client
}

/// The answer to a CONNECT that is all of a head.
fn answer_http(proxy: &Relay, target: impl std::fmt::Display) -> (TcpStream, String) {
    let mut client = ask_http(proxy, target, "\r\n");
    let head = head(&mut client);
    (client, head)
}

/// Asks for a tunnel by SOCKS5, without a password.
fn ask_socks(proxy: &Relay, command: u8, target: SocketAddr) -> TcpStream {
    let mut client = connect(proxy);
    client.write_all(&[5, 1, 0]).unwrap();
    finds(&mut client, &[5, 0]);
    client.write_all(&socks_request(command, target)).unwrap();
    client
}

fn socks_request(command: u8, target: SocketAddr) -> Vec<u8> {
    let std::net::IpAddr::V4(ip) = target.ip() else { panic!("it is IPv4") };
    [&[5, command, 0, 1], &ip.octets()[..], &target.port().to_be_bytes()].concat()
}

/// A reply of SOCKS5 with an IPv4 address.
fn reply(stream: &mut TcpStream) -> (u8, SocketAddr) {
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).unwrap();
    let [5, code, 0, 1, a, b, c, d, high, low] = reply else { panic!("no reply: {reply:?}") };
    (code, SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}

/// A tunnel by SOCKS5, and the target's end of it.
fn tunnel(proxy: &Relay) -> (TcpStream, TcpStream) {
    let (listener, address) = target();
    let mut client = ask_socks(proxy, 1, address);
    let far = accept(&listener);
    assert_eq!(reply(&mut client).0, 0);
    (client, far)
}
