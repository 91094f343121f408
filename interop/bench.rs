//! What the cases work with: certificates in files, programs as children, and our side over TCP.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use onionskin::runtime::{self, Runtime};
use onionskin::tls::Identity;
use rcgen::CertificateParams;

use crate::common::Authority;
use crate::servers::place::Running;
use crate::servers::{self, Server, Servers};

/// A certificate authority whose files lie in a directory of their own.
#[derive(Clone)]
pub(crate) struct Bench(Arc<Files>);

struct Files {
    /// Before the directory: they end first.
    servers: Servers,
    directory: Directory,
    authority: Authority,
}

/// A directory that is gone when this is dropped.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("onionskin-interop-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory can be made");
        let authority = Authority::new();
        std::fs::write(directory.join("ca.pem"), authority.pem()).expect("a file can be written");
        let bench = Self(Arc::new(Files { servers: Servers::new(), directory: Directory(directory), authority }));
        for name in NAMES {
            let mut names = vec![name.to_owned()];
            if name == servers::NAME {
                // For programs that verify what they have connected to.
                names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
            }
            let params = CertificateParams::new(names).expect("these are names");
            let (chain, key) = bench.authority().issue(&params);
            std::fs::write(bench.certificate(name), chain).expect("a file can be written");
            std::fs::write(bench.key(name), key).expect("a file can be written");
        }
        bench
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0.directory.0
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// The certificate of one of [`NAMES`].
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.pem"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.key"))
    }

    /// The certificate and the key of one of [`NAMES`], for a server of ours.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let read = |file: PathBuf| std::fs::read(file).expect("a file of ours can be read");
        Identity::from_pem(&read(self.certificate(name)), &read(self.key(name))).expect("we issued it")
    }

    /// A server of somebody else; it is started by the first who asks, and serves all.
    pub(crate) fn server(&self, server: &Server) -> &Running {
        self.0.servers.running(server, self).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts a server without waiting for it. Whether it runs, [`server`](Self::server) tells.
    pub(crate) fn start(&self, server: &'static Server) {
        let bench = self.clone();
        thread::spawn(move || {
            let _ = bench.0.servers.running(server, &bench);
        });
    }

    /// In a line, why a server that is installed does not run.
    pub(crate) fn why_not(&self, server: &Server) -> Option<String> {
        let why = self.0.servers.running(server, self).err()?;
        // What happened, and the last that the server itself had to say.
        let mut lines = why.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        Some(lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first} {last}")))
    }

    /// What a server has logged, if it runs.
    pub(crate) fn log(&self, server: &Server) -> Option<String> {
        self.0.servers.log(server)
    }
}

/// The names there are certificates for; the first is what servers have unless they choose by name.
pub(crate) const NAMES: [&str; 5] = ["localhost", "outer.example", "inner.example", "client.example", servers::NAME];

/// A child process whose output is read line by line. It is killed when dropped.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Peer {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        for output in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut output = BufReader::new(output);
                let mut line = Vec::new();
                while matches!(output.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                    let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                    line.clear();
                }
            });
        }
        let input = child.stdin.take();
        Self { child, input, lines, seen: Vec::new() }
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("waited for {text:?}; the peer said:\n{}", self.seen.join("\n")),
            }
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("the input was not closed");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("the peer reads its input");
    }

    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends it a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} can be sent");
    }

    /// Ends it without ceremony; its sockets are closed by the system.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; whether it was content, and all it said.
    pub(crate) fn finish(mut self) -> (bool, String) {
        self.input = None;
        let status = self.child.wait().expect("a child can be waited for");
        self.seen.extend(self.lines.iter());
        (status.success(), self.seen.join("\n"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The runtime that our side runs on.
pub(crate) fn runtime() -> &'static dyn Runtime {
    runtime::preferred().expect("a runtime is compiled in")
}

/// Runs our side of a case.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    runtime::block_on(runtime(), future)
}

const PATIENCE: Duration = Duration::from_secs(20);
