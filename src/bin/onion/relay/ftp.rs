//! FTP whose TLS ends here: the control connection line by line, and the data connections that are agreed on there.
//!
//! ```text
//!                 ┌ PBSZ, PROT, CCC, PORT, EPRT and their like: answered here
//!   client ─TLS─▶ │ PASV, EPSV: the server's answer names a port of ours instead
//!                 └ all else ───────────────────────────────────────────────────▶ server
//!   client ─TLS─▶ that port ────────────────────────────────────────────────────▶ the server's port
//! ```
//!
//! The server behind has no TLS and knows nothing of it. Commands may come faster than replies, and a reply belongs to the
//! oldest command that has none: so we remember what the server owes, and answer by ourselves only when it owes nothing. A client
//! that ends behind its commands still gets the replies to them.
//!
//! Data connections go where the server is, whatever address it names, and come from where the client is (RFC 2577). In active
//! mode the server would connect to the client: that is refused, and clients use the other mode then. So are rarer commands (LPRT,
//! LPSV, CPSV, SPSV) that would open one past us.

mod data;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, join, pending, select};
use onionskin::connection::Error;
use onionskin::endpoint::{BaseTransport, Endpoint, Listener, Step};
use onionskin::runtime::Runtime;
use onionskin::starttls::KnownProtocol;
use onionskin::starttls::ftp::{Level, Passive, Protection, Reply};
use onionskin::tls::TlsServer;

use self::data::{Channels, Wanted};
use super::passage::Passages;
use super::plan::Route;
use crate::join::{
    Delivered, End, Loss, Outcome, PassOn, Side, Tally, Unfinished, break_off, is_end_without_close_notify,
};
use crate::leave::leave;

/// Whether a relay between these two is made whole like this: clients bring TLS, and the server has none.
pub(super) fn is_whole(listen: &Endpoint, connect: &Endpoint) -> bool {
    let ends = matches!(listen.steps.last(), Some(Step::StartTls(step)) if step.protocol == KnownProtocol::Ftp);
    let is_clear = connect.steps.iter().all(|step| matches!(step, Step::ProxyHeader(_)));
    ends && is_clear && matches!(connect.transport, BaseTransport::Tcp { .. })
}

/// The control connection, joined, and its data connections.
pub(super) struct Session {
    runtime: &'static dyn Runtime,
    tally: Arc<Tally>,
    near: Unfinished,
    far: Unfinished,
    protection: Protection,
    /// What the server owes replies to, the oldest first.
    owed: VecDeque<Asked>,
    /// The code of a reply of which more lines are to come.
    open: Option<[u8; 3]>,
    /// A command that is answered here, once the server owes nothing.
    held: Option<Vec<u8>>,
    /// How the client has ended, if it has: it may still wait for replies.
    ended: Option<Result<(), End>>,
    truncated: PassOn,
    route: Arc<Route>,
    channels: Channels,
    there: u64,
    back: u64,
}

/// What a reply is awaited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Passive,
    Features,
    Other,
}

/// What came from either side.
enum Heard {
    Command(Result<Option<Vec<u8>>, Error>),
    Reply(Result<Option<Vec<u8>>, Error>),
}

impl Session {
    /// `tls` is for data connections.
    pub(super) fn new(passages: &Passages, (near, far): (Unfinished, Unfinished), tls: TlsServer) -> Self {
        let Passages { runtime, route, tally, .. } = passages;
        Self {
            runtime: *runtime,
            near,
            far,
            protection: Protection::in_tls().refuse_clear_control(),
            owed: VecDeque::new(),
            open: None,
            held: None,
            ended: None,
            truncated: passages.truncated,
            route: Arc::clone(route),
            channels: Channels::new(passages, tls),
            tally: Arc::clone(tally),
            there: 0,
            back: 0,
        }
    }

    /// How many bytes were taken from each side, on the control connection.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.there, self.back)
    }

    /// Until the server has ended, or the client has and nothing is owed to it any more.
    pub(super) async fn run(&mut self) -> Result<(), End> {
        loop {
            if self.owed.is_empty() {
                if let Some(line) = self.held.take() {
                    self.answer(&line).await.map_err(lost)?;
                    continue;
                }
                if let Some(ended) = self.ended.take() {
                    return ended;
                }
            }
            match self.hear().await {
                Heard::Command(Ok(Some(line))) => self.command(line).await.map_err(lost)?,
                Heard::Reply(Ok(Some(line))) => self.reply(line).await.map_err(lost)?,
                Heard::Command(Ok(None)) => self.ended = Some(Ok(())),
                Heard::Reply(Ok(None)) => return self.ended.take().unwrap_or(Ok(())),
                Heard::Command(Err(error)) if is_end_without_close_notify(&self.near) => {
                    let end = Err(End::of(Outcome::Truncated, Loss::new(Side::Listen, error)));
                    match self.truncated {
                        PassOn::Fin => self.ended = Some(end),
                        PassOn::Reset => return end,
                    }
                }
                Heard::Command(Err(error)) => return Err(lost(Loss::new(Side::Listen, error))),
                Heard::Reply(Err(error)) => return Err(lost(Loss::new(Side::Connect, error))),
            }
        }
    }

    /// Closes both sides, the one that is not lost such that it can tell, and waits for the data connections that
    /// there are.
    pub(super) async fn leave(self, lost: Option<Side>) {
        let Self { runtime, near, far, channels, .. } = self;
        match lost {
            None => join(leave(near.finished()), leave(far.finished())).await,
            Some(Side::Listen) => join(leave(near.finished()), break_off(runtime, far, Delivered::Something)).await,
            Some(Side::Connect) => join(break_off(runtime, near, Delivered::Something), leave(far.finished())).await,
        };
        channels.finish().await;
    }

    /// A line from either side. Neither is lost if the other comes first.
    async fn hear(&mut self) -> Heard {
        let listens = self.ended.is_none() && self.held.is_none() && self.owed.len() < MAX_OWED_REPLIES;
        let (near, far) = (&mut self.near, &mut self.far);
        let command = async {
            match listens {
                true => near.read_line().await,
                false => pending().await,
            }
        };
        match select(pin!(command), pin!(far.read_line())).await {
            Either::Left((line, _)) => Heard::Command(line),
            Either::Right((line, _)) => Heard::Reply(line),
        }
    }

    async fn command(&mut self, line: Vec<u8>) -> Result<(), Loss> {
        self.there += line.len() as u64 + LINE_END;
        self.tally.add_bytes(Side::Listen, line.len() + LINE_END as usize);
        let asked = match &*verb(&line) {
            b"PBSZ" | b"PROT" | b"CCC" | b"AUTH" | b"PORT" | b"EPRT" | b"LPRT" | b"LPSV" | b"CPSV" | b"SPSV"
            | b"REIN" => {
                self.held = Some(line);
                return Ok(());
            }
            b"PASV" | b"EPSV" => Asked::Passive,
            b"FEAT" => Asked::Features,
            _ => Asked::Other,
        };
        self.owed.push_back(asked);
        self.far.write_line(&line).await.map_err(|error| Loss::new(Side::Connect, error))
    }

    /// Answers in place of the server.
    async fn answer(&mut self, line: &[u8]) -> Result<(), Loss> {
        let reply = match self.protection.command(line) {
            Some(answer) => answer.reply(),
            None if &*verb(line) == b"REIN" => "502 end the connection and begin anew",
            None => "502 use PASV or EPSV: no server connects to a client through here",
        };
        self.channels.protect(self.protection.data() == Level::Private);
        self.say(reply.as_bytes()).await
    }

    async fn reply(&mut self, line: Vec<u8>) -> Result<(), Loss> {
        self.back += line.len() as u64 + LINE_END;
        self.tally.add_bytes(Side::Connect, line.len() + LINE_END as usize);
        let is_inside = self.open.is_some();
        let Some(code) = self.ends_reply(&line) else { return self.say(&line).await };
        match (self.owed.front(), &code) {
            (Some(Asked::Passive), b"227" | b"229") => {
                let ours = self.open_channel(&line).await;
                self.say(ours.as_bytes()).await?;
            }
            (Some(Asked::Features), b"211") if is_inside => {
                self.say(b" PBSZ").await?;
                self.say(b" PROT").await?;
                self.say(&line).await?;
            }
            _ => self.say(&line).await?,
        }
        // A preliminary reply has another behind it.
        if code[0] != b'1' {
            self.owed.pop_front();
        }
        Ok(())
    }

    /// The code of the reply that this line is the end of, if it is one (RFC 959 section 4.2).
    fn ends_reply(&mut self, line: &[u8]) -> Option<[u8; 3]> {
        let code: [u8; 3] = *line.first_chunk()?;
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        match (self.open, line.get(3)) {
            (None, Some(b'-')) => {
                self.open = Some(code);
                None
            }
            (Some(open), Some(b' ') | None) if open == code => {
                self.open = None;
                Some(code)
            }
            (None, Some(b' ') | None) => Some(code),
            _ => None,
        }
    }

    /// A port of ours in the place of the server's, and the reply that names it.
    async fn open_channel(&mut self, line: &[u8]) -> String {
        let passive = Reply::of_line(line).and_then(|reply| Passive::of(&reply).ok());
        let (near, far) = (self.near.get_ref(), self.far.get_ref());
        let addresses = (near.local_address().as_tcp(), near.peer_address().as_tcp());
        let server = far.peer_address().as_tcp();
        let (Some(passive), (Some(local), Some(client)), Some(server)) = (passive, addresses, server) else {
            return "425 there is no way to open a data connection".to_owned();
        };
        if self.channels.is_full() {
            return "425 there are too many data connections already".to_owned();
        }
        let here = at(&self.route.listen.endpoint, SocketAddr::new(local.ip(), 0));
        let opened = Listener::new(self.runtime, &here).await.ok();
        let ours = opened.and_then(|listener| Some((listener.local_address().as_tcp()?.port(), listener)));
        let Some((port, listener)) = ours else { return "425 no port can be had for a data connection".to_owned() };
        let reply = match (line.starts_with(b"227"), local.ip().to_canonical()) {
            (false, _) => format!("229 Entering Extended Passive Mode (|||{port}|)"),
            (true, IpAddr::V4(host)) => {
                let [a, b, c, d] = host.octets();
                format!("227 Entering Passive Mode ({a},{b},{c},{d},{},{})", port >> 8, port & 0xff)
            }
            (true, IpAddr::V6(_)) => return "425 use EPSV: PASV has no room for the address".to_owned(),
        };
        let server = at(&self.route.connect.endpoint, passive.beside(server));
        self.channels.await_client(Wanted { listener, client: client.ip(), server });
        reply
    }

    async fn say(&mut self, line: &[u8]) -> Result<(), Loss> {
        self.near.write_line(line).await.map_err(|error| Loss::new(Side::Listen, error))
    }
}

fn lost(loss: Loss) -> End {
    End::of(Outcome::Lost, loss)
}

/// An endpoint with the limits of another one and without its steps, for data connections.
fn at(endpoint: &Endpoint, address: SocketAddr) -> Endpoint {
    let (new_host, new_port) = (address.ip().to_string(), address.port());
    let mut endpoint = endpoint.clone();
    endpoint.steps.clear();
    match &mut endpoint.transport {
        BaseTransport::Tcp { host, port, .. } => (*host, *port) = (new_host, new_port),
        // The socket of a listener may have been handed down.
        other => *other = BaseTransport::tcp(new_host, new_port),
    }
    endpoint
}

/// The first word, in capitals. Some clients put Telnet's signals before an ABOR.
fn verb(line: &[u8]) -> Vec<u8> {
    let start = line.iter().position(u8::is_ascii_alphabetic).unwrap_or(line.len());
    let word = line[start..].split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    word.to_ascii_uppercase()
}

/// More than any client says without waiting for replies.
const MAX_OWED_REPLIES: usize = 32;

const LINE_END: u64 = 2;
