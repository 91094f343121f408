//! Sockets that come from the parent process: this test binary starts itself again, as a process with pipes or sockets
//! in the places that matter, and talks to it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::AsyncWriteExt;
use futures::io::AsyncReadExt;
use onionskin::Connection;
use onionskin::endpoint::{Connector, Listener};
use onionskin::runtime::{self, Runtime, Socket, Timer, block_on};

use crate::Files;

#[test]
fn tls_with_a_server_over_pipes() {
    let files = Files::new("stdio-server");
    for &runtime in runtime::all() {
        let mut child = Process::new("serve", runtime, &format!("stdio+tls:{}", files.identity("localhost")));
        let mut child = child.with_pipes();
        let ours = child.pump();
        block_on(runtime, async {
            let mut conn = over(runtime, ours);
            conn.start_tls(files.client().to("localhost").unwrap()).await.unwrap();
            ask(conn).await;
        });
        child.succeeds();
    }
}

#[test]
fn tls_with_a_client_over_pipes() {
    let files = Files::new("stdio-client");
    for &runtime in runtime::all() {
        let mut child = Process::new("ask", runtime, &format!("stdio+tls:sni=localhost:{}", files.ca()));
        let mut child = child.with_pipes();
        let ours = child.pump();
        block_on(runtime, async {
            let mut conn = over(runtime, ours);
            conn.start_tls(files.server("localhost").accept().unwrap()).await.unwrap();
            answer(conn).await;
        });
        child.succeeds();
    }
}

/// As inetd starts a server: standard input and output are the same connection.
#[test]
fn tls_with_a_server_over_a_socket_in_the_place_of_stdio() {
    let files = Files::new("stdio-socket");
    for &runtime in runtime::all() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut child = Process::new("serve", runtime, &format!("stdio+tls:{}", files.identity("localhost")));
        let child = child.with(theirs.try_clone().unwrap(), theirs);
        skip_to_mark(&mut ours);
        block_on(runtime, async {
            let mut conn = over(runtime, ours);
            conn.start_tls(files.client().to("localhost").unwrap()).await.unwrap();
            ask(conn).await;
        });
        child.succeeds();
    }
}

#[test]
fn a_closed_pipe_is_at_its_end_while_the_process_reads_on() {
    for &runtime in runtime::all() {
        let mut child = Process::new("close, then read", runtime, "stdio").with_pipes();
        let (mut input, mut output) = child.pipes();
        skip_to_mark(&mut output);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(said, "bye\r\n", "{runtime:?}");
        input.write_all(b"more\n").unwrap();
        drop(input);
        child.succeeds();
    }
}

#[test]
fn a_process_ends_though_nobody_closes_its_standard_input() {
    for &runtime in runtime::all() {
        let mut child = Process::new("leave", runtime, "stdio").with_pipes();
        let (_input, mut output) = child.pipes();
        skip_to_mark(&mut output);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(said, "bye\r\n", "{runtime:?}");
        child.succeeds();
    }
}

#[test]
fn sockets_of_systemd_by_place_and_by_name() {
    let files = Files::new("systemd");
    let path = files.path("socket");
    for &runtime in runtime::all() {
        for (endpoint, is_tcp) in
            [("systemd:0", true), ("systemd:1", false), ("systemd:name=web", true), (r"systemd:name=a\+b", false)]
        {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let unix = UnixListener::bind(&path).unwrap();
            let address = tcp.local_addr().unwrap();
            let real = if is_tcp { format!("tcp:{address}") } else { format!("unix:{path}") };
            let endpoint = format!("{endpoint}+tls:{}", files.identity("localhost"));
            let mut child = Process::new("serve", runtime, &endpoint);
            child.0.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "web:a+b").env("REAL", &real);
            let child = child.with(tcp, unix);
            let client = format!("{real}+tls:sni=localhost:{}", files.ca());
            block_on(runtime, async {
                let connector = Connector::new(runtime, &client.parse().unwrap()).unwrap();
                ask(connector.connect().await.unwrap()).await;
            });
            child.succeeds();
            // The file is the parent's.
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn what_systemd_did_not_pass_is_named() {
    for &runtime in runtime::all() {
        let mut child = Process::new("systemd mistakes", runtime, "systemd:0");
        child.0.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "web:other");
        child.with(TcpListener::bind("127.0.0.1:0").unwrap(), nothing()).succeeds();
        // Variables that are another process's are no promise to this one.
        let mut child = Process::new("no systemd", runtime, "systemd:0");
        child.0.env("LISTEN_FDS", "2").env("OF_ANOTHER", "1");
        child.with(TcpListener::bind("127.0.0.1:0").unwrap(), nothing()).succeeds();
    }
}

#[test]
fn a_socket_by_its_number() {
    let files = Files::new("descriptor");
    let step = format!("tls:{}", files.identity("localhost"));
    for &runtime in runtime::all() {
        for number in [0, 3] {
            if number > 2 && !block_on(runtime, can_copy_descriptors(runtime)) {
                continue;
            }
            // One that listens.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let real = format!("tcp:{}", listener.local_addr().unwrap());
            let mut child = Process::new("serve", runtime, &format!("fd:{number}+{step}"));
            child.0.env("REAL", &real);
            let child = child.with(listener, nothing());
            block_on(runtime, async {
                let client = format!("{real}+tls:sni=localhost:{}", files.ca());
                let connector = Connector::new(runtime, &client.parse().unwrap()).unwrap();
                ask(connector.connect().await.unwrap()).await;
            });
            child.succeeds();

            // One that is connected, on either side.
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut child = Process::new("serve", runtime, &format!("fd:{number}+{step}"));
            let child = child.with(theirs, nothing());
            block_on(runtime, async {
                let mut conn = over(runtime, ours);
                conn.start_tls(files.client().to("localhost").unwrap()).await.unwrap();
                ask(conn).await;
            });
            child.succeeds();

            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut child = Process::new("ask", runtime, &format!("fd:{number}+tls:sni=localhost:{}", files.ca()));
            let child = child.with(theirs, nothing());
            block_on(runtime, async {
                let mut conn = over(runtime, ours);
                conn.start_tls(files.server("localhost").accept().unwrap()).await.unwrap();
                answer(conn).await;
            });
            child.succeeds();
        }
    }
}

#[test]
fn a_dropped_connection_ends_though_the_descriptor_stays_open() {
    for &runtime in runtime::all() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (mut control, its_control) = UnixStream::pair().unwrap();
        let mut child = Process::new("drop, then wait", runtime, "fd:0");
        child.0.stderr(OwnedFd::from(its_control));
        let child = child.with(theirs, nothing());
        let mut said = Vec::new();
        ours.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"", "{runtime:?}");
        // The process is still there, and so is the descriptor.
        control.write_all(b"go\n").unwrap();
        child.succeeds();
    }
}

#[test]
fn a_descriptor_that_is_no_socket_is_named() {
    for &runtime in runtime::all() {
        let mut child = Process::new("descriptor mistakes", runtime, "fd:0");
        child.with(nothing(), nothing()).succeeds();
    }
}

/// What the other process does.
#[test]
#[ignore = "is the other process, which the other tests of this file start"]
fn child() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let name = variable("RUNTIME");
    let runtime = *runtime::all().iter().find(|runtime| runtime.name() == name).unwrap();
    let endpoint = variable("ENDPOINT").parse().unwrap();
    let refused = async |text: &str, as_client: bool, part: &str| {
        let error = match as_client {
            true => Connector::new(runtime, &text.parse().unwrap()).unwrap().connect().await.map(drop),
            false => Listener::new(runtime, &text.parse().unwrap()).await.map(drop),
        };
        let error = error.unwrap_err();
        assert!(error.is_io() && error.to_string().contains(part), "{text}: {error} should tell of {part}");
    };
    let connect = async || Connector::new(runtime, &endpoint).unwrap().connect().await.unwrap();
    // What has been printed goes out before; there is no end of line, so it is in the buffer still.
    io::stdout().write_all(MARK).unwrap();
    block_on(runtime, async {
        match variable("ROLE").as_str() {
            "serve" => {
                let listener = Listener::new(runtime, &endpoint).await.unwrap();
                if let Ok(real) = std::env::var("REAL") {
                    assert_eq!(listener.endpoint().transport.to_string(), real);
                    assert_eq!(listener.endpoint().steps, endpoint.steps);
                }
                // Nothing may come between the bytes of the connection.
                io::stdout().write_all(b"stray\n").unwrap();
                let conn = listener.accept().await.unwrap().ready().await.unwrap();
                assert!(!listener.has_ended());
                answer(conn).await;
                if std::env::var("REAL").is_err() {
                    assert!(listener.has_ended());
                    assert_eq!(listener.accept().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
                }
            }
            "ask" => {
                let conn = connect().await;
                io::stdout().write_all(b"stray\n").unwrap();
                ask(conn).await;
            }
            "close, then read" => {
                let mut conn = connect().await;
                conn.write_line("bye").await.unwrap();
                conn.close().await.unwrap();
                assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"more"[..]));
                assert_eq!(conn.read_line().await.unwrap(), None);
            }
            "leave" => {
                let mut conn = connect().await;
                // The thread that reads is in the middle of it when the process ends.
                let reading = conn.read_line();
                let sleep = runtime.sleep_until(runtime.now() + Duration::from_millis(1));
                let either = futures::future::select(Box::pin(reading), sleep).await;
                assert!(matches!(either, futures::future::Either::Right(_)));
                drop(either);
                conn.write_line("bye").await.unwrap();
                conn.close().await.unwrap();
            }
            "drop, then wait" => {
                drop(connect().await);
                let control = Connector::new(runtime, &"fd:2".parse().unwrap()).unwrap();
                let mut control = control.connect().await.unwrap();
                assert_eq!(control.read_line().await.unwrap().as_deref(), Some(&b"go"[..]));
            }
            "systemd mistakes" => {
                refused("systemd:2", false, "systemd passed 2").await;
                refused("systemd:name=wob", false, "web, other").await;
                refused("systemd:1", false, "not a socket").await;
                refused("systemd:name=other", false, "not a socket").await;
                let listener = Listener::new(runtime, &endpoint).await.unwrap();
                refused("systemd:0", false, "taken already").await;
                refused("systemd:name=web", false, "taken already").await;
                drop(listener);
            }
            "no systemd" => refused("systemd:0", false, "LISTEN_FDS").await,
            "descriptor mistakes" => {
                refused("fd:0", false, "no stream socket").await;
                refused("fd:0", true, "no stream socket").await;
                if can_copy_descriptors(runtime).await {
                    refused("fd:999", true, "no descriptor 999").await;
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    refused(&format!("fd:{}", listener.as_raw_fd()), true, "listens").await;
                    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                    let number = connected.as_raw_fd();
                    Connector::new(runtime, &format!("fd:{number}").parse().unwrap()).unwrap().connect().await.unwrap();
                }
                Connector::new(runtime, &"stdio".parse().unwrap()).unwrap().connect().await.unwrap();
                refused("stdio", true, "a process has them once").await;
            }
            role => panic!("{role}"),
        }
    });
}

/// Says a line, hears it again, and ends.
async fn ask(mut conn: Connection<Socket>) {
    conn.write_line("hello").await.unwrap();
    assert_eq!(conn.read_line().await.unwrap().as_deref(), Some(&b"hello"[..]));
    conn.close().await.unwrap();
    assert_eq!(conn.read_line().await.unwrap(), None);
}

/// Says every line again, until the other has ended.
async fn answer(mut conn: Connection<Socket>) {
    while let Some(line) = conn.read_line().await.unwrap() {
        conn.write_line(line).await.unwrap();
    }
    conn.close().await.unwrap();
    // The peer may be gone by now.
    let _ = conn.read(&mut [0]).await;
}

fn over(runtime: &'static dyn Runtime, stream: UnixStream) -> Connection<Socket> {
    let timer: Arc<dyn Timer> = Arc::new(runtime);
    Connection::with_timer(runtime.adopt_unix(stream).unwrap(), timer)
}

/// Where a container forbids the call, the numbers above 2 cannot be tested.
async fn can_copy_descriptors(runtime: &'static dyn Runtime) -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    let error = Connector::new(runtime, &"fd:999".parse().unwrap()).unwrap().connect().await.unwrap_err();
    let can = !error.to_string().contains("pidfd_getfd");
    assert!(can || std::env::var_os("CI").is_none(), "{error}");
    if !can {
        eprintln!("skipped: {error}");
    }
    can
}

/// This binary, to be started again.
struct Process(Command);

impl Process {
    fn new(role: &str, runtime: &'static dyn Runtime, endpoint: &str) -> Self {
        // Sockets also become descriptors 3 and 4, and the variable has the id that the process will have.
        let script = r#"[ "$ENDPOINT" = "${ENDPOINT#stdio}" ] && exec 3<&0 4<&1 >/dev/null; [ "$OF_ANOTHER" ] || LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@""#;
        let mut command = Command::new("sh");
        command.env_remove("LISTEN_FDS").env_remove("REAL").env_remove("OF_ANOTHER").env("LISTEN_PID", "1");
        command.env("ROLE", role).env("RUNTIME", runtime.name()).env("ENDPOINT", endpoint);
        command.args(["-c", script]).arg(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "handed_down::child", "--nocapture"]);
        Self(command)
    }

    fn with_pipes(&mut self) -> Running {
        Running(self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Our own copies are closed.
    fn with(&mut self, input: impl Into<OwnedFd>, output: impl Into<OwnedFd>) -> Running {
        let child = self.0.stdin(input.into()).stdout(output.into()).spawn().unwrap();
        self.0 = Command::new("true");
        Running(child)
    }
}

fn nothing() -> File {
    File::options().read(true).write(true).open("/dev/null").unwrap()
}

struct Running(Child);

impl Running {
    fn pipes(&mut self) -> (std::process::ChildStdin, std::process::ChildStdout) {
        (self.0.stdin.take().unwrap(), self.0.stdout.take().unwrap())
    }

    /// The two pipes as one socket, by threads that copy.
    fn pump(&mut self) -> UnixStream {
        let (mut input, mut output) = self.pipes();
        skip_to_mark(&mut output);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut to_child = theirs.try_clone().unwrap();
        thread::spawn(move || {
            copy(&mut to_child, &mut input);
        });
        let mut from_child = theirs;
        thread::spawn(move || {
            copy(&mut output, &mut from_child);
            let _ = from_child.shutdown(std::net::Shutdown::Write);
        });
        ours
    }

    /// Waits for a good end, and kills it when that takes so long that it must be hanging.
    #[track_caller]
    fn succeeds(self) {
        let Self(mut child) = self;
        let id = child.id().to_string();
        let (tell, answer) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait().unwrap()));
        match answer.recv_timeout(HANGING) {
            Ok(status) => assert!(status.success(), "{status}"),
            Err(_) => {
                Command::new("kill").args(["-KILL", &id]).status().unwrap();
                panic!("the process hangs");
            }
        }
    }
}

/// Not by the standard library, which would have the kernel do it, and wait there for more than there is.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// What the test harness of the child prints comes before it.
#[track_caller]
fn skip_to_mark(output: &mut impl Read) {
    let mut before = Vec::new();
    while !before.ends_with(MARK) {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "no mark: {}", String::from_utf8_lossy(&before));
        before.push(byte[0]);
    }
}

const MARK: &[u8] = b"<here it begins>";

const HANGING: Duration = Duration::from_secs(60);
