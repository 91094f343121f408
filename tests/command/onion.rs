//! Runs the binary: once to its end, or as a server in the background.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    /// The one line on standard error of a process that failed with `status`.
    #[track_caller]
    pub(crate) fn failed(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{self:?}");
        let lines: Vec<_> = self.stderr.lines().collect();
        assert!(matches!(lines[..], [line] if line.starts_with("error: ")), "not one line: {self:?}");
        self.stderr
    }

    /// The lines on standard output.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

pub(crate) fn onion<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onion"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary to its end.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>, input: impl AsRef<[u8]>) -> Outcome {
    let mut child = onion(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    let feeder = thread::spawn(move || {
        // A process that fails early reads no input.
        let _ = stdin.write_all(&input);
    });
    let outcome = finish(child);
    feeder.join().unwrap();
    outcome
}

/// Waits for the end of `child`, and kills it when that takes so long that it must be hanging.
pub(crate) fn finish(mut child: Child) -> Outcome {
    let stderr = collect(child.stderr.take());
    finish_heard(child, stderr)
}

/// The same for one whose standard error is being read.
fn finish_heard(mut child: Child, stderr: thread::JoinHandle<String>) -> Outcome {
    let stdout = collect(child.stdout.take());
    let id = child.id();
    let (tell, answer) = mpsc::channel();
    let waiter = thread::spawn(move || tell.send(child.wait().unwrap()).unwrap());
    let Ok(status) = answer.recv_timeout(HANGING) else {
        signal("KILL", id);
        panic!("the process hangs; stderr: {}", stderr.join().unwrap());
    };
    waiter.join().unwrap();
    Outcome { status: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status().unwrap();
    assert!(sent.success());
}

fn collect(output: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut output) = output {
            output.read_to_end(&mut text).unwrap();
        }
        String::from_utf8(text).unwrap()
    })
}

/// A running `onion serve`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// With what it says on standard error: it would wait for somebody to read that.
    child: Option<(Child, thread::JoinHandle<String>)>,
    /// Where it listens, as an endpoint: `tcp:127.0.0.1:40001`.
    pub(crate) endpoint: String,
    /// Open for as long as the server runs.
    _stdin: ChildStdin,
}

impl Server {
    pub(crate) fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut child = onion(["serve"].into_iter().chain(arguments)).spawn().unwrap();
        let mut first = String::new();
        // The reader may hold nothing back: there is only the one line.
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let Some(address) = first.strip_prefix("listening on ") else {
            panic!("no address: {first:?} {:?}", finish(child));
        };
        let endpoint = address.trim_end().to_owned();
        let stdin = child.stdin.take().unwrap();
        let stderr = collect(child.stderr.take());
        Self { child: Some((child, stderr)), endpoint, _stdin: stdin }
    }

    /// With an authority and a certificate made in `directory`.
    pub(crate) fn self_signed(directory: &Directory) -> Self {
        Self::start(["tcp:127.0.0.1:0", "--self-signed", &directory.text()])
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().0.id()
    }

    /// Sends the signal and waits for the end.
    pub(crate) fn stop(self, name: &str) -> Outcome {
        signal(name, self.id());
        self.finish()
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Outcome {
        let (child, stderr) = self.child.take().unwrap();
        finish_heard(child, stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A directory of one test; removed when dropped.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("onion-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Not below the build: the path of a Unix socket must be short.
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.file(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HANGING: Duration = Duration::from_secs(60);
