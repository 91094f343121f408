//! A chat: every client at a depth of its own, in clear or under as many layers of TLS as it likes.
//!
//! ```text
//! cargo run --example chat -- tcp:127.0.0.1:4434 /tmp/ca.pem
//! cargo run --features cli -- connect tcp:127.0.0.1:4434 --ca /tmp/ca.pem
//! ```
//!
//! The second in as many terminals as you have friends. There, `/nick NAME`, `/who` and `/quit` are commands, so are
//! `\starttls localhost` and `\stoptls`, and every other line is said to all. What is said while a client changes its
//! depth reaches it at the new depth.
//!
//! A client that does not read is dropped when 256 KiB wait for it, so the memory that it takes has a bound.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onionskin::protocol::{
    Addresses, EndReason, Factory, Handle, HandleError, LayerId, LayerView, LimitConnections, LineReceiver, Lines,
    PeerAnswer, Protocol, Result, Transport,
};
use onionskin::tls::{Identity, TlsServer};
use onionskin::{listen_with, runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "tcp:127.0.0.1:4434".to_owned());
    let tls = self_signed(&arguments.next().unwrap_or_else(|| "/tmp/ca.pem".to_owned()))?;
    let room = LimitConnections::new(Room { tls, members: Arc::default() }).total(100);
    runtime::block_on(runtime::preferred().ok_or("built without a runtime")?, async {
        let mut server = listen_with(&endpoint, room).await?;
        println!("listening on {}", server.endpoint().transport);
        server.wait().await;
        Ok(())
    })
}

/// Makes the guests, who share the list of members.
struct Room {
    tls: TlsServer,
    members: Arc<Mutex<Members>>,
}

impl Factory for Room {
    type Protocol = Guest;

    fn build(&self, _: &Addresses) -> Option<Guest> {
        let (tls, members) = (self.tls.clone(), Arc::clone(&self.members));
        Some(Guest { lines: Lines::new().max_length(MAX_LINE_LENGTH), tls, members, number: 0 })
    }
}

/// Those who are there, by number.
#[derive(Default)]
struct Members {
    present: BTreeMap<usize, Member>,
    last: usize,
}

struct Member {
    nick: String,
    depth: usize,
    handle: Handle,
}

impl Members {
    fn enter(&mut self, handle: Handle) -> usize {
        self.last += 1;
        let nick = format!("guest{}", self.last);
        self.tell(&format!("* {nick} has come"));
        self.present.insert(self.last, Member { nick, depth: 0, handle });
        self.last
    }

    /// Says something in the name of a member.
    fn say(&self, number: usize, text: &str) {
        if let Some(Member { nick, depth, .. }) = self.present.get(&number) {
            self.tell(&format!("<{nick}/{depth}> {text}"));
        }
    }

    fn rename(&mut self, number: usize, nick: &str) -> Result<(), &'static str> {
        if nick.is_empty() || nick.len() > MAX_NICK_LENGTH || !nick.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("a nick name has up to 20 letters and digits");
        }
        if self.present.values().any(|member| member.nick == nick) {
            return Err("that nick name is taken");
        }
        if let Some(member) = self.present.get_mut(&number) {
            let before = std::mem::replace(&mut member.nick, nick.to_owned());
            self.tell(&format!("* {before} is now {nick}"));
        }
        Ok(())
    }

    fn move_to(&mut self, number: usize, depth: usize) {
        if let Some(member) = self.present.get_mut(&number) {
            member.depth = depth;
            let news = format!("* {} is now at depth {depth}", member.nick);
            self.tell(&news);
        }
    }

    fn leave(&mut self, number: usize) {
        if let Some(member) = self.present.remove(&number) {
            self.tell(&format!("* {} has gone", member.nick));
        }
    }

    fn list(&self) -> String {
        self.present.values().fold("* here are:".to_owned(), |mut list, Member { nick, depth, .. }| {
            let _ = write!(list, " {nick}/{depth}");
            list
        })
    }

    /// Every connection sends it in its own time, at its own depth.
    fn tell(&self, line: &str) {
        for member in self.present.values() {
            if member.handle.write(format!("{line}\r\n")) == Err(HandleError::Full) {
                member.handle.abort(); // it does not read
            }
        }
    }
}

/// One client.
struct Guest {
    lines: Lines,
    tls: TlsServer,
    members: Arc<Mutex<Members>>,
    /// As which it is among the members.
    number: usize,
}

impl Guest {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Protocol for Guest {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.set_write_limit(MAX_WAITING);
        self.send_line(transport, "* welcome")?;
        let number = self.members().enter(transport.handle());
        self.number = number;
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, _: &LayerView) -> Result {
        self.members().move_to(self.number, transport.depth());
        Ok(())
    }

    /// The client has stopped TLS unasked.
    fn layer_ended(&mut self, transport: &mut Transport<'_>, _: LayerId) -> Result {
        transport.stop_tls()?;
        Ok(())
    }

    fn layer_stopped(&mut self, transport: &mut Transport<'_>, _: LayerId, _: PeerAnswer) -> Result {
        self.members().move_to(self.number, transport.depth());
        Ok(())
    }

    fn connection_ended(&mut self, _: &EndReason) {
        self.members().leave(self.number);
    }
}

impl LineReceiver for Guest {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        let line = std::str::from_utf8(line)?;
        let depth = transport.depth();
        match line.split_once(' ').unwrap_or((line, "")) {
            ("STARTTLS", _) => {
                self.send_line(transport, format!("OK STARTTLS {}", depth + 1))?;
                transport.start_tls(self.tls.accept()?)?;
            }
            ("STOPTLS", "") if depth > 0 => {
                self.send_line(transport, format!("OK STOPTLS {}", depth - 1))?;
                transport.stop_tls()?;
            }
            ("STOPTLS", "") => self.send_line(transport, "ERR no layer to stop")?,
            ("QUIT" | "/quit", "") => {
                self.send_line(transport, "BYE")?;
                transport.close();
            }
            ("/who", "") => {
                let list = self.members().list();
                self.send_line(transport, list)?;
            }
            ("/nick", nick) => {
                let renamed = self.members().rename(self.number, nick);
                if let Err(why) = renamed {
                    self.send_line(transport, format!("* {why}"))?;
                }
            }
            _ => self.members().say(self.number, line),
        }
        Ok(())
    }
}

fn self_signed(trust: &str) -> Result<TlsServer, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(trust, made.cert.pem())?;
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())?;
    Ok(TlsServer::new(identity)?)
}

const MAX_LINE_LENGTH: usize = 1000;

const MAX_NICK_LENGTH: usize = 20;

/// For each client, in bytes.
const MAX_WAITING: usize = 256 * 1024;
