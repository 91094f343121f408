//! The proxy of one's own.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::process::Example;

fn ask(proxy: &Example, target: &str, behind: &str) -> TcpStream {
    let mut client = TcpStream::connect(proxy.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
    client.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{behind}").as_bytes()).unwrap();
    client
}

fn text(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn it_reaches_whom_it_may_and_refuses_the_others() {
    let proxy = Example::start("own_proxy", ["tcp:127.0.0.1:0", "127.0.0.0/8"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = ask(&proxy, &listener.local_addr().unwrap().to_string(), "ask");
    client.shutdown(Shutdown::Write).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    assert_eq!(text(far.try_clone().unwrap()), "ask");
    far.write_all(b"answer").unwrap();
    drop(far);
    let said = text(client);
    assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("\r\n\r\nanswer"), "{said}");
    assert!(text(ask(&proxy, "a.forbidden.example:443", "")).starts_with("HTTP/1.1 403 "));
    assert!(text(ask(&proxy, "10.0.0.1:443", "")).contains("destination_ip_prohibited"));
}
