//! `onion relay` between real clients and real servers, in clear and inside TLS.

mod config;
mod deploy;
mod ending;
mod ftp;
mod limits;
mod log;
mod losses;
mod many;
#[cfg(target_os = "linux")]
mod notify;
mod passing;
mod peel;
mod peers;
mod reload;
mod starttls;
mod status;
mod truncation;

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::endpoint::{Connector, Listener, OpenError};
use onionskin::runtime::{self, Runtime, Socket};

use crate::common::Authority;
use crate::onion::{Directory, onion, signal};

/// A running `onion relay`, or another that listens; killed when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    /// Where it listens, as an endpoint: `tcp:127.0.0.1:40001`.
    pub(crate) endpoint: String,
    /// What it says on standard output behind that.
    places: mpsc::Receiver<String>,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Relay {
    fn start(listen: &str, connect: &str, options: &[&str]) -> Self {
        Self::started(onion(["relay", listen, connect].into_iter().chain(options.iter().copied())))
    }

    /// With a line for each step of a connection.
    fn talkative(listen: &str, connect: &str, options: &[&str]) -> Self {
        let mut command = onion(["relay", listen, connect].into_iter().chain(options.iter().copied()));
        command.env("RUST_LOG", "warn,onion::relay=debug");
        Self::started(command)
    }

    pub(crate) fn started(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = lines_of(child.stderr.take().unwrap());
        let places = lines_of(child.stdout.take().unwrap());
        let first = places.recv().unwrap_or_default();
        let Some(endpoint) = first.strip_prefix("listening on ") else {
            panic!("no endpoint: {first:?} {:?}", lines.iter().collect::<Vec<_>>());
        };
        Self { endpoint: endpoint.to_owned(), places, child, lines, seen: Vec::new() }
    }

    /// The next line on standard output, without what it begins with.
    #[track_caller]
    pub(crate) fn place(&self, begins: &str) -> String {
        let line = self.places.recv_timeout(HANGING).expect("a line on standard output");
        line.strip_prefix(begins).unwrap_or_else(|| panic!("not {begins:?}: {line:?}")).to_owned()
    }

    /// Waits until there is a line in the log with all of `parts`, and returns the first.
    #[track_caller]
    pub(crate) fn hears(&mut self, parts: &[&str]) -> String {
        let has_all = |line: &String| parts.iter().all(|part| line.contains(part));
        if let Some(line) = self.seen.iter().find(|line| has_all(line)) {
            return line.clone();
        }
        while let Ok(line) = self.lines.recv_timeout(HANGING) {
            self.seen.push(line.clone());
            if has_all(&line) {
                return line;
            }
        }
        panic!("no line with {parts:?} in {:#?}", self.seen);
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits for the end: the status, and the whole log.
    pub(crate) fn finish(mut self) -> (Option<i32>, Vec<String>) {
        loop {
            match self.lines.recv_timeout(HANGING) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the relay hangs: {:#?}", self.seen),
            }
        }
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.seen))
    }
}

/// Reads on whether or not anybody wants to know.
fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
    });
    lines
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates in files, and the steps that name them.
pub(crate) struct Files {
    pub(crate) directory: Directory,
    pub(crate) authority: Authority,
}

/// What stands on top of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layers {
    None,
    Tls,
    TlsInTls,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { directory: Directory::new(), authority: Authority::new() };
        files.directory.write("ca.pem", files.authority.pem());
        files.issue(&files.authority);
        files
    }

    /// A new certificate from `authority` in the place of the one that was there.
    fn issue(&self, authority: &Authority) {
        let (chain, key) = authority.pem_identity("localhost");
        self.directory.write("chain.pem", chain);
        self.directory.write("key.pem", key);
    }

    pub(crate) fn server(&self, layers: Layers) -> String {
        let file = |name| self.directory.file(name);
        layers.steps(&format!("+tls:cert={}:key={}", file("chain.pem"), file("key.pem")))
    }

    pub(crate) fn client(&self, layers: Layers) -> String {
        layers.steps(&format!("+tls:sni=localhost:ca={}", self.directory.file("ca.pem")))
    }
}

impl Layers {
    fn steps(self, step: &str) -> String {
        step.repeat(match self {
            Self::None => 0,
            Self::Tls => 1,
            Self::TlsInTls => 2,
        })
    }
}

/// A relay and what is behind it: a server of ours.
struct Path {
    relay: Relay,
    far: Listener,
    /// What a client of the relay connects to.
    client: String,
}

impl Path {
    fn new(files: &Files, near: Layers, far: Layers, options: &[&str]) -> Self {
        let listener = listen(&format!("tcp:127.0.0.1:0{}", files.server(far)));
        let connect = format!("{}{}", listener.endpoint().transport, files.client(far));
        let listen = format!("tcp:127.0.0.1:0{}", files.server(near));
        let relay = Relay::start(&listen, &connect, options);
        let client = format!("{}{}", relay.endpoint, files.client(near));
        Self { relay, far: listener, client }
    }

    /// A client, and the server that it is joined to.
    async fn join(&self) -> (Connection<Socket>, Connection<Socket>) {
        let (client, server) = join(dial(&self.client), async { self.far.accept().await.unwrap().ready().await }).await;
        (client.unwrap(), server.unwrap())
    }
}

fn runtime() -> &'static dyn Runtime {
    runtime::preferred().unwrap()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime::block_on(runtime(), future)
}

fn listen(endpoint: &str) -> Listener {
    block_on(Listener::new(runtime(), &endpoint.parse().unwrap())).unwrap()
}

pub(crate) async fn dial(endpoint: &str) -> Result<Connection<Socket>, OpenError> {
    Connector::new(runtime(), &endpoint.parse().unwrap())?.connect().await
}

async fn read_all(conn: &mut Connection<Socket>) -> (Vec<u8>, std::io::Result<()>) {
    let mut read = Vec::new();
    let result = conn.read_to_end(&mut read).await;
    (read, result.map(drop))
}

/// Sends one byte to the other, so that whoever waits for it knows that the two are joined.
async fn greet(from: &mut Connection<Socket>, to: &mut Connection<Socket>) {
    from.write_all(b"!").await.unwrap();
    from.flush().await.unwrap();
    let mut byte = [0];
    to.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"!");
}

/// A client in clear is reset, which it may hear before its own connect is done.
#[track_caller]
fn expect_reset(relay: &Relay, meanwhile: impl FnOnce()) {
    let address = relay.endpoint.strip_prefix("tcp:").unwrap().to_owned();
    let client = thread::spawn(move || TcpStream::connect(address).and_then(|mut client| client.read(&mut [0])));
    meanwhile();
    assert_eq!(client.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Bytes that show when one is lost or out of its place.
pub(crate) fn pattern(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u8) ^ ((at >> 8) as u8) ^ ((at >> 16) as u8).wrapping_mul(31) ^ seed).collect()
}

/// Nobody listens at the port of tcpmux, and no other test can be given it.
const NOBODY: &str = "tcp:127.0.0.1:1";

pub(crate) const HANGING: Duration = Duration::from_secs(60);
