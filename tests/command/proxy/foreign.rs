//! Clients of others.

use std::process::Command;
use std::thread;

use super::*;
use crate::relay::{Files, Layers};

#[test]
fn curl_in_every_language_in_clear_and_behind_tls() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let (listener, address) = target();
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            head(&mut client);
            client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\npeel\n").unwrap();
        }
    });
    let files = Files::new();
    let (clear, tls) = (proxy(LOOPBACK), proxy_at(&format!("tcp:127.0.0.1:0{}", files.server(Layers::Tls)), LOOPBACK));
    let port = |proxy: &Relay| proxy.endpoint.rsplit_once(':').unwrap().1.to_owned();
    let (clear, tls) = (port(&clear), port(&tls));
    let ca = files.directory.file("ca.pem");
    for proxy in [
        format!("http://127.0.0.1:{clear}"),
        format!("socks4a://127.0.0.1:{clear}"),
        format!("socks5://127.0.0.1:{clear}"),
        format!("socks5h://127.0.0.1:{clear}"),
        format!("https://localhost:{tls}"),
    ] {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--proxytunnel",
            "--proxy",
            &proxy,
            "--proxy-cacert",
            &ca,
        ]);
        let output = curl.arg(format!("http://localhost:{}/", address.port())).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "peel\n", "{proxy}: {error}");
    }
}
