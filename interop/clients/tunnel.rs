//! Clients that fetch a page over TLS through a proxy. The page is that of [`Origin`](crate::tunnels::origin::Origin).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Ended, client, run};
use crate::bench::{Bench, Peer};
use crate::servers::place::free_port;

/// curl, with its own options for the proxies, such as `--proxy http://127.0.0.1:3128`.
pub(crate) fn curl_through(bench: &Bench, options: &[&str], target: &str) -> Ended {
    let mut command = client("curl");
    command.args(["--disable", "--silent", "--show-error", "--verbose", "--max-time", "20", "--noproxy", ""]);
    command.arg("--cacert").arg(bench.ca()).arg("--proxy-cacert").arg(bench.ca());
    run(command.args(options).arg(format!("https://{target}/")), "")
}

/// `openssl s_client -proxy`, which knows HTTP alone.
pub(crate) fn s_client_through(bench: &Bench, options: &[&str], proxy: &str, target: &str) -> Ended {
    let mut command = client("openssl");
    command.args(["s_client", "-proxy", proxy, "-connect", target, "-verify_return_error", "-quiet", "-CAfile"]);
    run(command.arg(bench.ca()).args(["-verify_hostname", "localhost"]).args(options), GET)
}

/// Nmap's `ncat` with TLS in the tunnel, whose `kind` is `http`, `socks4` or `socks5`. It has asked for the page, and as it does
/// not end by itself what it hears is to be waited for.
pub(crate) fn ncat_through(bench: &Bench, kind: &str, options: &[&str], proxy: &str, target: &str) -> Peer {
    let (host, port) = target.rsplit_once(':').expect("a target has a port");
    let mut command = client("ncat");
    command.args(["--proxy", proxy, "--proxy-type", kind]).args(options);
    command.args(["--ssl-verify", "--ssl-trustfile"]).arg(bench.ca());
    let mut ncat = Peer::start(command.args([host, port]));
    ncat.say(GET);
    ncat
}

/// A client in Python, as the script `tunnel.py` knows them: `http.client`, `pysocks-socks5`, `pysocks-socks4a`,
/// `pysocks-http`, and `h2` and `h2c` with two tunnels on one connection.
pub(crate) fn python_through(bench: &Bench, what: &str, proxy: &str, target: &str, login: &[&str]) -> Ended {
    // Debian's packages serve Debian's Python.
    let mut command = client(PYTHON);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/clients/tunnel.py"));
    run(command.args([what, proxy, target]).arg(bench.ca()).args(login), "")
}

/// A client in Node, as the script `tunnel.mjs` knows them: `https-proxy-agent`, `undici`, and `http2` with two tunnels on one
/// connection. The proxy is a URL.
pub(crate) fn node_through(bench: &Bench, what: &str, proxy: &str, target: &str) -> Ended {
    let mut command = client("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/clients/tunnel.mjs"));
    run(command.args([what, proxy, target]).arg(bench.ca()), "")
}

/// stunnel's `protocol = connect`: what it takes in clear goes over TLS through the proxy. Says the answer of the origin.
pub(crate) fn stunnel_through(bench: &Bench, proxy: &str, target: &str) -> String {
    let listen = format!("127.0.0.1:{}", free_port());
    let settings = format!(
        "foreground = yes
pid =
[out]
client = yes
accept = {listen}
connect = {proxy}
protocol = connect
protocolHost = {target}
CAfile = {}
verifyChain = yes
checkHost = localhost
",
        bench.ca().display()
    );
    // The port is given to nobody else.
    let file = bench.directory().join(format!("stunnel-{listen}.conf"));
    std::fs::write(&file, settings).expect("a file can be written");
    let mut stunnel = client("stunnel4");
    let mut stunnel = Peer::start(stunnel.arg(file));
    stunnel.expect("Configuration successful");
    let mut answer = String::new();
    // It listens before it says so or soon after.
    let mut clear = (0..1000).find_map(|_| {
        let socket = TcpStream::connect(&listen).ok();
        if socket.is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        socket
    });
    let clear = clear.as_mut().expect("stunnel listens");
    clear.set_read_timeout(Some(Duration::from_secs(20))).expect("it is not zero");
    clear.write_all(GET.as_bytes()).expect("stunnel takes it");
    let read = clear.read_to_string(&mut answer);
    if read.is_err() || answer.is_empty() {
        stunnel.expect("(nothing was answered)");
    }
    answer
}

pub(crate) const PYTHON: &str = "/usr/bin/python3";
pub(crate) const PYTHON_H2: &str = "/usr/lib/python3/dist-packages/h2/connection.py";
pub(crate) const PYSOCKS: &str = "/usr/lib/python3/dist-packages/socks.py";
pub(crate) const UNDICI: &str = "/opt/onionskin-peers/npm/node_modules/undici/package.json";
pub(crate) const HTTPS_PROXY_AGENT: &str = "/opt/onionskin-peers/npm/node_modules/https-proxy-agent/package.json";

const GET: &str = "GET / HTTP/1.0\r\n\r\n";
