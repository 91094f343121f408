//! The proxies, and how each is started: on loopback, for everybody, with no more than it needs for that.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use super::Result;
use super::client::Language;
use super::process::Group;

/// A proxy, and the language in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    OnionSocks5,
    Microsocks,
    Dante,
    OnionHttp1,
    Squid,
    Tinyproxy,
    Privoxy,
    OnionHttp2,
    /// With a Squid behind it: it makes no connections itself. What it uses is what both use.
    Nghttpx,
}

impl Peer {
    pub(crate) fn language(self) -> Language {
        match self {
            Self::OnionSocks5 | Self::Microsocks | Self::Dante => Language::Socks5,
            Self::OnionHttp1 | Self::Squid | Self::Tinyproxy | Self::Privoxy => Language::Http1,
            Self::OnionHttp2 | Self::Nghttpx => Language::Http2,
        }
    }

    /// The program that it needs and that is not there.
    pub(crate) fn missing(self, onion: &Path) -> Option<String> {
        let programs: &[&str] = match self {
            Self::OnionSocks5 | Self::OnionHttp1 | Self::OnionHttp2 => {
                return (!onion.exists()).then(|| onion.display().to_string());
            }
            Self::Microsocks => &["microsocks"],
            Self::Dante => &["danted"],
            Self::Squid => &["squid"],
            Self::Tinyproxy => &["tinyproxy"],
            Self::Privoxy => &["privoxy"],
            Self::Nghttpx => &["nghttpx", "squid"],
        };
        programs.iter().find(|name| program(name).is_none()).map(|name| (*name).to_owned())
    }

    pub(crate) fn start(self, onion: &Path, folder: &Folder) -> Result<Running> {
        let port = free_port()?;
        let command = match self {
            Self::OnionSocks5 | Self::OnionHttp1 | Self::OnionHttp2 => return self.start_ours(onion),
            Self::Microsocks => command("microsocks", ["-i", "127.0.0.1", "-p", &port.to_string()])?,
            Self::Dante => {
                let file = folder.write("dante.conf", &dante(port))?;
                let pid = folder.0.join("pid");
                command("danted", ["-f", text(&file)?, "-p", text(&pid)?])?
            }
            Self::Squid => command("squid", ["-N", "-f", text(&folder.write("squid.conf", &squid(folder, port))?)?])?,
            Self::Tinyproxy => {
                let settings = format!(
                    "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 4000\nLogLevel Error\n"
                );
                command("tinyproxy", ["-d", "-c", text(&folder.write("tinyproxy.conf", &settings)?)?])?
            }
            Self::Privoxy => {
                let settings = format!("listen-address 127.0.0.1:{port}\ntoggle 0\nmax-client-connections 4000\n");
                command("privoxy", ["--no-daemon", text(&folder.write("privoxy.conf", &settings)?)?])?
            }
            Self::Nghttpx => {
                let behind = free_port()?;
                let file = folder.write("squid.conf", &squid(folder, behind))?;
                let script = format!(
                    "squid -N -f {} & exec nghttpx --conf=/dev/null --http2-proxy --workers=1 --no-ocsp \
                     --frontend='127.0.0.1,{port};no-tls' --backend=127.0.0.1,{behind} --errorlog-file=/dev/null \
                     --backend-connections-per-host=4000 --frontend-http2-max-concurrent-streams=4000",
                    text(&file)?
                );
                let mut shell = command("sh", ["-c", &script])?;
                shell.env("PATH", PATH);
                let running =
                    Running::new(shell, SocketAddr::from(([127, 0, 0, 1], port)), self.language(), Stdio::null())?;
                Running::await_port(behind)?;
                return running.ready();
            }
        };
        Running::new(command, SocketAddr::from(([127, 0, 0, 1], port)), self.language(), Stdio::null())?.ready()
    }

    /// Ours says where it listens.
    fn start_ours(self, onion: &Path) -> Result<Running> {
        let mut command = Command::new(onion);
        command.args(["proxy", "tcp:127.0.0.1:0", "--allow", "127.0.0.0/8"]);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut running = Running::new(command, nowhere, self.language(), Stdio::piped())?;
        let output = running.child.stdout.take().ok_or("standard output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output.take(1024)).read_line(&mut line)?;
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        running.address.set_port(port.ok_or_else(|| format!("no port in {line:?}"))?);
        Ok(running)
    }
}

/// A proxy that was started. Dropping it ends all of its processes.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) language: Language,
}

impl Running {
    fn new(mut command: Command, address: SocketAddr, language: Language, output: Stdio) -> Result<Self> {
        command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, address, language })
    }

    fn ready(self) -> Result<Self> {
        Self::await_port(self.address.port())?;
        Ok(self)
    }

    fn await_port(port: u16) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err("it does not listen".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn group(&self) -> Group {
        Group(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A folder for what a proxy reads and writes, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("onionskin-proxies-{}-{number}", std::process::id()));
        fs::create_dir(&folder)?;
        // Some change to a user of their own.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        Ok(Self(folder))
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let file = self.0.join(name);
        fs::write(&file, content)?;
        Ok(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn dante(port: u16) -> String {
    format!(
        "internal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nclientmethod: none\nsocksmethod: none\nlogoutput: /dev/null\n\
         client pass {{ from: 127.0.0.1/32 to: 0.0.0.0/0 }}\nsocks pass {{ from: 127.0.0.1/32 to: 0.0.0.0/0 }}\n"
    )
}

fn squid(folder: &Folder, port: u16) -> String {
    let folder = folder.0.display();
    format!(
        "http_port 127.0.0.1:{port}\nhttp_access allow all\npid_filename {folder}/pid\ncache_log /dev/null\naccess_log none\n\
         cache deny all\nnetdb_filename none\npinger_enable off\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\n\
         max_filedescriptors 8192\nvisible_hostname proxies.test\n"
    )
}

fn command<'a>(name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let mut command = Command::new(program(name).ok_or_else(|| format!("{name} is not there"))?);
    command.args(arguments);
    Ok(command)
}

/// Servers lie where the path of a user does not always lead.
fn program(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.exists())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "the folder for temporary files has a name that is no text".into())
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PATIENCE: Duration = Duration::from_secs(20);
