//! Runs an example that listens.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use onionskin::Connection;
use onionskin::runtime::Socket;
use onionskin::tls::{Roots, TlsClient};

/// A running example; killed when dropped.
#[derive(Debug)]
pub(crate) struct Example {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Where it listens, as an endpoint: `tcp:127.0.0.1:40001`.
    pub(crate) endpoint: String,
}

impl Example {
    /// Started, and listening.
    pub(crate) fn start<'a>(name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let program = program(name);
        let mut command = Command::new(&program);
        command.args(arguments).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `cargo build --examples` makes it", program.display()));
        let mut first = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut first).unwrap();
        let Some(endpoint) = first.strip_prefix("listening on ") else { panic!("no endpoint: {first:?}") };
        Self { child, output, endpoint: endpoint.trim_end().to_owned() }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// One that writes down whom to trust for its certificate.
    pub(crate) fn self_signed(name: &str) -> (Self, TlsClient) {
        let directory = Directory::new();
        let trust = directory.path("ca.pem");
        let example = Self::start(name, ["tcp:127.0.0.1:0", &trust]);
        (example, TlsClient::new(Roots::from_pem_file(trust).unwrap()).unwrap())
    }

    /// A client of it.
    pub(crate) async fn connect(&self) -> Connection<Socket> {
        onionskin::connect(&self.endpoint).await.unwrap()
    }
}

/// The executable of an example.
pub(crate) fn program(name: &str) -> PathBuf {
    // cargo puts this test into `deps`, and the examples beside that.
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("examples").join(name)
}

impl Drop for Example {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A directory for the files of one test. It goes when this does.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("onionskin-examples-{}-{serial}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sends a line, and waits for the next one.
pub(crate) async fn ask(conn: &mut Connection<Socket>, line: &str) -> String {
    conn.write_line(line).await.unwrap();
    hear(conn).await
}

pub(crate) async fn hear(conn: &mut Connection<Socket>) -> String {
    let line = conn.read_line().await.unwrap().expect("a line, and not the end");
    String::from_utf8(line).unwrap()
}

/// Runs a test on the runtime that the examples run on too.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    onionskin::runtime::block_on(onionskin::runtime::preferred().unwrap(), test);
}
