//! One client: its control connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::io::{AllowStdIo, AsyncRead, AsyncWriteExt, Cursor};
use onionskin::Connection;
use onionskin::runtime::{Runtime, Socket};
use onionskin::starttls::Ftp;
use onionskin::starttls::ftp::{Change, Level, Protection, active_address};
use onionskin::tls::TlsServer;

use crate::data::{Rendezvous, within};
use crate::tree::Tree;

pub(crate) struct Session {
    runtime: &'static dyn Runtime,
    control: Connection<Socket>,
    local: SocketAddr,
    peer: SocketAddr,
    tls: TlsServer,
    protection: Protection,
    tree: Arc<Tree>,
    user: User,
    /// Where the client is, from the root on, with a slash in front.
    place: String,
    /// Where the next data connection will be.
    rendezvous: Option<Rendezvous>,
    /// Where in the file the next transfer begins.
    offset: u64,
    /// Commands that came through TLS behind CCC.
    late: VecDeque<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq)]
enum User {
    Stranger,
    Named,
    Guest,
}

type Reply = String;

impl Session {
    pub(crate) fn new(
        runtime: &'static dyn Runtime,
        control: Connection<Socket>,
        tls: TlsServer,
        tree: Arc<Tree>,
    ) -> io::Result<Self> {
        let socket = control.get_ref();
        let (Some(local), Some(peer)) = (socket.local_address().as_tcp(), socket.peer_address().as_tcp()) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "FTP needs TCP"));
        };
        Ok(Self {
            runtime,
            control,
            local,
            peer,
            tls,
            protection: Protection::in_tls(),
            tree,
            user: User::Stranger,
            place: "/".to_owned(),
            rendezvous: None,
            offset: 0,
            late: VecDeque::new(),
        })
    }

    /// Greets, waits for AUTH TLS, and answers one command after the other.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        self.control.start_tls_as(Ftp::new(), self.tls.accept()?).await?;
        while let Some(line) = self.next_line().await? {
            if let Some(answer) = self.protection.command(&line) {
                self.say(answer.reply()).await?;
                self.change(answer.change()).await?;
                continue;
            }
            let is_last = line.eq_ignore_ascii_case(b"QUIT");
            let reply = match std::str::from_utf8(&line) {
                Ok(line) => self.command(line).await?,
                Err(_) => "501 that is not UTF-8".to_owned(),
            };
            self.say(&reply).await?;
            if is_last {
                self.control.close().await?;
                break;
            }
        }
        Ok(())
    }

    async fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.late.pop_front() {
            return Ok(Some(line));
        }
        within(self.runtime, PATIENCE, async { Ok(self.control.read_line().await?) }).await
    }

    /// A client that does not read must not keep its seat.
    async fn say(&mut self, reply: &str) -> io::Result<()> {
        let lines = async {
            for line in reply.split("\r\n") {
                self.control.write_line(line).await?;
            }
            Ok(())
        };
        within(self.runtime, PATIENCE, lines).await
    }

    async fn change(&mut self, change: Change) -> io::Result<()> {
        match change {
            Change::Nothing => {}
            Change::StartTls => _ = self.control.start_tls(self.tls.accept()?).await?,
            Change::StopTls(stop) => {
                let late = self.control.stop_with(stop).await?.late;
                let mut lines: VecDeque<_> = late.split(|&byte| byte == b'\n').map(Vec::from).collect();
                lines.pop_back(); // behind the last line feed there is no command
                lines.iter_mut().for_each(|line| _ = line.pop_if(|last| *last == b'\r'));
                self.late.append(&mut lines);
            }
        }
        Ok(())
    }

    async fn command(&mut self, line: &str) -> io::Result<Reply> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let fixed = match (verb.as_str(), argument) {
            ("USER", "anonymous" | "ftp") => {
                self.user = User::Named;
                "331 your name, please, or anything"
            }
            ("USER", _) => "530 only anonymous is known here",
            ("PASS", _) if self.user == User::Named => {
                self.user = User::Guest;
                "230 welcome"
            }
            ("PASS", _) => "503 USER first",
            ("QUIT", _) => "221 bye",
            ("NOOP", _) => "200 fine",
            ("SYST", _) => "215 UNIX Type: L8",
            ("FEAT", _) => FEATURES,
            ("OPTS", _) if argument.eq_ignore_ascii_case("UTF8 ON") => "200 always",
            _ if self.user != User::Guest => "530 log in first",
            ("PWD" | "XPWD", _) => return Ok(format!("257 \"{}\"", self.place.replace('"', "\"\""))),
            ("CWD" | "XCWD", _) => self.enter(argument),
            ("CDUP" | "XCUP", _) => self.enter(".."),
            // What is sent is always the file as it is.
            ("TYPE", "I" | "i" | "A" | "a" | "L 8") | ("MODE", "S" | "s") | ("STRU", "F" | "f") => "200 fine",
            ("TYPE" | "MODE" | "STRU", _) => "504 not that one",
            ("SIZE", _) => return Ok(self.size(argument)),
            ("REST", _) => return Ok(self.restart(argument)),
            ("PASV" | "EPSV", _) => return self.await_client(&verb).await,
            ("PORT" | "EPRT", _) => self.call_client(line),
            ("RETR", _) => match self.tree.open(&self.place, argument, std::mem::take(&mut self.offset)) {
                Ok(file) => return self.send(AllowStdIo::new(file)).await,
                Err(error) => return Ok(refusal(&error)),
            },
            ("LIST" | "NLST", _) => match self.tree.list(&self.place, argument, verb == "LIST") {
                Ok(listing) => return self.send(Cursor::new(listing)).await,
                Err(error) => return Ok(refusal(&error)),
            },
            ("STOR" | "STOU" | "APPE" | "DELE" | "MKD" | "RMD" | "RNFR" | "RNTO", _) => "550 this is for reading only",
            _ => "502 not here",
        };
        Ok(fixed.to_owned())
    }

    fn enter(&mut self, path: &str) -> &'static str {
        match self.tree.directory(&self.place, path) {
            Ok(place) => {
                self.place = place;
                "250 there you are"
            }
            Err(_) => "550 no such directory",
        }
    }

    fn size(&self, path: &str) -> Reply {
        match self.tree.size(&self.place, path) {
            Ok(size) => format!("213 {size}"),
            Err(error) => refusal(&error),
        }
    }

    fn restart(&mut self, offset: &str) -> Reply {
        match offset.parse() {
            Ok(offset) => {
                self.offset = offset;
                format!("350 from byte {offset} on")
            }
            Err(_) => "501 a number is needed".to_owned(),
        }
    }

    /// PASV and EPSV: the client is to come to us, at the address that it has come to before.
    async fn await_client(&mut self, verb: &str) -> io::Result<Reply> {
        let at = SocketAddr::new(self.local.ip(), 0);
        let listener = self.runtime.listen_tcp(at).await?;
        let port = listener.local_address().as_tcp().map_or(0, |address| address.port());
        let reply = match (verb, self.local) {
            ("EPSV", _) => format!("229 come to (|||{port}|)"),
            (_, SocketAddr::V4(local)) => {
                let ([a, b, c, d], [high, low]) = (local.ip().octets(), port.to_be_bytes());
                format!("227 come to ({a},{b},{c},{d},{high},{low})")
            }
            (_, SocketAddr::V6(_)) => return Ok("522 EPSV, please".to_owned()),
        };
        self.rendezvous = Some(Rendezvous::Here(listener));
        Ok(reply)
    }

    /// PORT and EPRT: we are to come to the client, and to nobody else (RFC 2577 section 3).
    fn call_client(&mut self, line: &str) -> &'static str {
        match active_address(line.as_bytes()) {
            Some(address) if address.ip() == self.peer.ip() && address.port() >= FIRST_FREE_PORT => {
                self.rendezvous = Some(Rendezvous::There(address));
                "200 fine"
            }
            Some(_) => "504 only to yourself",
            None => "501 that is no address",
        }
    }

    /// Sends something over the data connection. Whatever happens to that, the control connection goes on.
    async fn send(&mut self, content: impl AsyncRead + Unpin) -> io::Result<Reply> {
        let Some(rendezvous) = self.rendezvous.take() else { return Ok("425 PASV or EPSV first".to_owned()) };
        self.say("150 here it comes").await?;
        let tls = match self.protection.data() {
            Level::Private => Some(self.tls.accept()?),
            Level::Clear => None,
        };
        match rendezvous.send(self.runtime, self.peer.ip(), tls, content).await {
            Ok(()) => Ok("226 that was all".to_owned()),
            Err(error) => Ok(format!("426 {}", error.to_string().replace('\n', " "))),
        }
    }
}

fn refusal(error: &io::Error) -> Reply {
    match error.kind() {
        io::ErrorKind::NotFound => "550 no such file".to_owned(),
        _ => "550 not that one".to_owned(),
    }
}

const FEATURES: &str = "211-Features\r\n AUTH TLS\r\n CCC\r\n EPRT\r\n EPSV\r\n PBSZ\r\n PROT\r\n REST STREAM\r\n SIZE\r\n UTF8\r\n211 End";

/// How long a client may think.
const PATIENCE: Duration = Duration::from_secs(300);

const FIRST_FREE_PORT: u16 = 1024;
