//! Where a server lives: a folder of its own, and a process that does not outlive the run.
//!
//! A server is a tree of processes, and a run can end in many ways: all cases done, a panic, a case that hangs and is
//! left behind, a signal. So each server has a keeper in its process group: a shell that reads a pipe from the runner.
//! Whatever ends the runner closes the pipe; then the keeper ends the server, clears the folder, and kills what is left
//! of the group.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::NAME;
use crate::bench::Bench;

/// The folder of one server, with the certificate in it.
pub(crate) struct Place {
    server: &'static str,
    directory: PathBuf,
}

impl Place {
    pub(crate) fn new(server: &'static str, bench: &Bench) -> Self {
        let directory = bench.directory().join(server);
        fs::create_dir(&directory).expect("a folder can be made");
        let place = Self { server, directory };
        fs::copy(bench.ca(), place.ca()).expect("a file can be copied");
        place.write("certificate.pem", &fs::read_to_string(bench.certificate(NAME)).expect("the bench wrote it"));
        place.write_secret("key.pem", &fs::read_to_string(bench.key(NAME)).expect("the bench wrote it"));
        place
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("certificate.pem")
    }

    /// The private key, in a file that its owner alone can read.
    pub(crate) fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    /// Where a program that insists on a file writes its log. The output of the server goes there anyway.
    pub(crate) fn log(&self) -> PathBuf {
        self.path("log")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }

    pub(crate) fn write_secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
        path
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        path
    }

    /// Makes a system user the owner of everything here. Without root, all stays ours, and so do the processes.
    pub(crate) fn give_to(&self, user: &str) {
        if is_root() {
            self.must(Command::new("chown").arg("-R").arg(format!("{user}:")).arg(&self.directory));
        }
    }

    /// Runs a program that prepares something, to its end.
    pub(crate) fn must(&self, command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).current_dir(&self.directory).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command:?} failed:\n{said}");
        said
    }

    /// Starts the server, in the foreground, with its output in the log.
    pub(crate) fn launch(self, command: &Command) -> Running {
        self.launch_stopped_by("TERM", command)
    }

    /// As [`launch`](Self::launch), for a server that another signal than TERM ends at once.
    pub(crate) fn launch_stopped_by(self, signal: &str, command: &Command) -> Running {
        let log = || File::options().create(true).append(true).open(self.log()).expect("a log can be written");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper", signal]).arg(&self.directory);
        keeper.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            keeper.env(name, value.unwrap_or_default());
        }
        keeper.current_dir(&self.directory).process_group(0);
        let child = keeper.stdin(Stdio::piped()).stdout(log()).stderr(log()).spawn().expect("a shell starts");
        Running { place: self, child, ports: Vec::new() }
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Running {
    place: Place,
    /// The server itself. The other end of its input is in the keeper's hand.
    child: Child,
    ports: Vec<(&'static str, u16)>,
}

impl Running {
    /// Waits until a service is ready: it takes a connection, is told `said`, and what it answers has `answer` in it.
    pub(crate) fn ready(mut self, service: &'static str, port: u16, said: &[u8], answer: &str) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = match hear(port, said, answer, deadline) {
                Ok(()) => break,
                Err(heard) => heard,
            };
            let ended = self.child.try_wait().expect("a child can be asked");
            if ended.is_some() || Instant::now() > deadline {
                let how = ended.map_or_else(|| format!("not ready after {PATIENCE:?}"), |status| format!("{status}"));
                panic!("{service} of {}: {how}; {heard}; its log:\n{}", self.place.server, self.log());
            }
            thread::sleep(PAUSE);
        }
        self.ports.push((service, port));
        self
    }

    /// Lets the keeper end it, without waiting.
    pub(super) fn end(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends the server a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} can be sent");
    }

    /// Where a service listens, as `127.0.0.1:port`.
    pub(crate) fn address(&self, service: &str) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port(service))
    }

    pub(crate) fn port(&self, service: &str) -> u16 {
        let found = self.ports.iter().find(|(name, _)| *name == service);
        found.unwrap_or_else(|| panic!("{} has no {service}, but {:?}", self.place.server, self.ports)).1
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Waits until a file that the server writes has `text` in it.
    pub(crate) fn await_file(&self, path: &Path, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
            assert!(Instant::now() < deadline, "no {text:?} in {}", path.display());
            thread::sleep(PAUSE);
        }
    }

    /// The last of what it has logged.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.place.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        // The keeper is still there, or has done the same.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.place.directory());
    }
}

/// Whether a service gives the answer; if not, what it gave instead.
fn hear(port: u16, said: &[u8], answer: &str, deadline: Instant) -> Result<(), String> {
    let mut heard = Vec::new();
    let mut converse = || {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(deadline.saturating_duration_since(Instant::now()).max(PAUSE)))?;
        socket.write_all(said)?;
        let mut part = [0; 1024];
        while !String::from_utf8_lossy(&heard).contains(answer) {
            match socket.read(&mut part)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => heard.extend_from_slice(&part[..count]),
            }
        }
        Ok(())
    };
    let outcome: std::io::Result<()> = converse();
    outcome.map_err(|error| format!("{error}, after {:?}", String::from_utf8_lossy(&heard)))
}

/// A command that runs as a system user. Without root it runs as ourselves.
pub(crate) fn as_user(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--init-groups", "--"]).arg(program);
    command
}

pub(crate) fn is_root() -> bool {
    // The owner of our own process, without a call that is not in the standard library.
    fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

/// A port that nobody listens at. It lies below those that the system gives to outgoing connections, so that none of
/// them takes it before the server does; and none is given out twice.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs at the same time begin at different places.
    let begin = (std::process::id().wrapping_mul(61) % u32::from(PORTS)) as u16;
    (0..PORTS)
        .map(|_| FIRST_PORT + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of so many ports is free")
}

/// Becomes the server, with the keeper in its process group. The arguments: the signal that ends the server, its folder,
/// its command.
const KEEPER: &str = r#"
signal=$1 folder=$2
shift 2
exec 3<&0
{
    trap '' TERM INT QUIT
    cat <&3 >/dev/null
    kill -s "$signal" $$
    patience=50
    while [ $patience -gt 0 ] && kill -s 0 $$; do
        patience=$((patience - 1))
        sleep 0.1
    done
    rm -rf "$folder"
    kill -s KILL 0
} 2>/dev/null &
exec "$@" </dev/null 3<&-
"#;

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
const LOG_LINES: usize = 60;
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;
