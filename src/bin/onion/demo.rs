//! `onion demo`: a client and a server in one process, and all that the library does between them.
//!
//! They are two tasks with a loopback socket between them, and speak the onion line protocol: the server is the one
//! of `onion serve`. Every layer has a certificate of its own, from an authority that is made in memory, and the
//! versions of TLS alternate. What the client says at each depth must come back byte for byte.

use std::sync::Arc;

use clap::Args;
use futures::FutureExt;
use futures::channel::oneshot;
use onionskin::Connection;
use onionskin::endpoint::Listener;
use onionskin::printable::Printable;
use onionskin::runtime::{Address, Runtime, Socket};
use onionskin::stack::Stop;
use onionskin::tls::{Roots, TlsClient, TlsFacts, TlsServer, Version};

use crate::authority::Authority;
use crate::drawing::{Drawing, Frame};
use crate::failure::Failure;
use crate::key_log::KeyLog;
use crate::leave::leave;
use crate::meter::Meter;
use crate::open;
use crate::protocol::{Answer, Command};
use crate::session::{Service, Session};
use crate::signals;

/// Show layers of TLS that start, nest and stop on one socket
///
/// A line in clear, then layer inside layer with a line at each depth, then stop after stop, and a line in clear
/// again. The exit status is 0 only if every byte came back.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many layers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    depth: u8,
    #[command(flatten)]
    key_log: KeyLog,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let depth = usize::from(options.depth);
    let key_log = options.key_log.wanted()?;
    let authority = Authority::new()?;
    let service = Service { server: Some(server(&authority, depth, key_log)?), client: None };

    let listener = open::listen(runtime, &open::parse("tcp:127.0.0.1:0")?).await?;
    let address = listener.local_address().as_tcp().expect("a listener of TCP has an address of TCP");
    let (tell, outcome) = oneshot::channel();
    runtime.spawn(answer(listener, service).map(|result| tell.send(result).unwrap_or(())).boxed());

    let socket = runtime.connect_tcp(address).await?;
    let mut asker = Asker::new(runtime, socket, authority.roots()?, depth, key_log);
    asker.show().await?;
    let local = asker.tally()?;
    leave(asker.conn).await;
    match outcome.await {
        Ok(Ok(peer)) if peer == local.to_string() => Ok(()),
        Ok(Ok(peer)) => Err(Failure::new(format_args!("the server talked to {peer} and not to {local}"))),
        Ok(Err(failure)) => Err(failure.at("server")),
        Err(oneshot::Canceled) => Err(Failure::new("the server ended without a word")),
    }
}

/// A server with one certificate for each layer, chosen by SNI.
fn server(authority: &Authority, depth: usize, key_log: bool) -> Result<TlsServer, Failure> {
    let mut builder = TlsServer::builder(authority.identity(&["localhost"])?);
    for layer in 1..=depth {
        let name = layer_name(layer);
        builder = builder.name(name.as_str(), authority.identity(&[&name])?);
    }
    Ok(builder.key_log(key_log).build()?)
}

/// The server's task: one connection. Returns whom it talked to.
async fn answer(listener: Listener, service: Service) -> Result<String, Failure> {
    let incoming = listener.accept().await?;
    let peer = incoming.addresses().to_string();
    let mut session = Session::new(incoming.ready().await?, Arc::new(service), signals::never());
    let result = session.run().await;
    leave(session.into_connection()).await;
    result?;
    Ok(peer)
}

/// The client, with what it draws and counts.
struct Asker {
    conn: Connection<Meter<Socket>>,
    roots: Roots,
    depth: usize,
    key_log: bool,
    drawing: Drawing,
    said: Count,
    heard: Count,
    handshakes: u64,
    stops: u64,
}

#[derive(Clone, Copy, Default)]
struct Count {
    lines: u64,
    bytes: u64,
}

impl Asker {
    fn new(runtime: &'static dyn Runtime, socket: Socket, roots: Roots, depth: usize, key_log: bool) -> Self {
        let label = socket.peer_address().to_string();
        let conn = Connection::with_timer(Meter::new(socket), Arc::new(runtime)).named(label);
        let (said, heard) = (Count::default(), Count::default());
        Self { conn, roots, depth, key_log, drawing: Drawing::new(depth), said, heard, handshakes: 0, stops: 0 }
    }

    async fn show(&mut self) -> Result<(), Failure> {
        let socket = self.conn.get_ref().stream();
        let ends = format!("{} → {}", socket.local_address(), socket.peer_address());
        self.drawing.title("onion", ends)?;
        self.drawing.gap()?;
        self.echo("in clear: the wire shows everything").await?;
        for layer in 1..=self.depth {
            self.start(layer).await?;
            self.echo(&format!("inside {}", counted(layer as u64, "skin"))).await?;
        }
        for layer in (1..=self.depth).rev() {
            self.stop(layer).await?;
            match layer - 1 {
                0 => self.echo("in clear again, on the same socket").await?,
                left => self.echo(&format!("peeled: {} left", counted(left as u64, "skin"))).await?,
            }
        }
        self.ask(&Command::Quit).await
    }

    /// Says a line and has it back.
    async fn echo(&mut self, text: &str) -> Result<(), Failure> {
        let echo = Command::Echo(text.as_bytes().to_vec());
        let before = self.conn.get_ref().sent();
        self.exchange(&echo.line(), &echo.line()).await?;
        let wire = self.conn.get_ref().sent() - before;
        let plain = echo.line().len() + LINE_END;
        Ok(self.drawing.line(text, &format!("{plain} bytes, {wire} on the wire ✓"))?)
    }

    async fn start(&mut self, layer: usize) -> Result<(), Failure> {
        let name = layer_name(layer);
        let (version, frame) = match layer % 2 {
            1 => (Version::Tls13, Frame::Single),
            _ => (Version::Tls12, Frame::Double),
        };
        let client = TlsClient::builder(self.roots.clone()).versions(&[version]).key_log(self.key_log).build()?;
        self.ask(&Command::Start(Some(name.clone()))).await?;
        let facts = self.conn.start_tls(client.to(&name)?).await?;
        self.handshakes += 1;
        Ok(self.drawing.open(frame, &label(layer, &facts))?)
    }

    /// Stops the innermost layer. Who goes first alternates.
    async fn stop(&mut self, layer: usize) -> Result<(), Failure> {
        let (command, stop, who) = match layer % 2 {
            1 => (Command::Stop, Stop::new().after_peer(Stop::GRACE), "server first"),
            _ => (Command::StopAsker, Stop::new(), "client first"),
        };
        self.ask(&command).await?;
        let stopped = self.conn.stop_with(stop).await?;
        if !stopped.late.is_empty() {
            return Err(Failure::new(format_args!("{} bytes came behind the stop", stopped.late.len())));
        }
        self.stops += 1;
        Ok(self.drawing.close(&format!("close_notify both ways, {who}"))?)
    }

    /// Asks for a change and has it agreed to.
    async fn ask(&mut self, command: &Command) -> Result<(), Failure> {
        let agreement: Answer<'_> = command.agreement(self.conn.depth());
        self.exchange(&command.line(), &agreement.line()).await
    }

    async fn exchange(&mut self, asked: &[u8], expected: &[u8]) -> Result<(), Failure> {
        self.conn.write_line(asked).await?;
        self.said.add(asked);
        let answer = self.conn.read_line().await?;
        let answer = answer.ok_or_else(|| Failure::new("the server ended instead of an answer"))?;
        self.heard.add(&answer);
        if answer != expected {
            let [expected, answer] = [expected, &answer].map(|line| Printable::new(line).quoted());
            return Err(Failure::new(format_args!("{expected} was to come back, and {answer} did")));
        }
        Ok(())
    }

    /// Draws the end, and returns our address as it is now.
    fn tally(&self) -> Result<Address, Failure> {
        let meter = self.conn.get_ref();
        let local = meter.stream().local_address().clone();
        let port = local.as_tcp().map(|address| address.port()).unwrap_or_default();
        let drawing = &self.drawing;
        drawing.gap()?;
        drawing.tally("said", format_args!("{} lines, {} bytes", self.said.lines, self.said.bytes))?;
        drawing.tally(
            "heard",
            format_args!("{} lines, {} bytes, every one as expected", self.heard.lines, self.heard.bytes),
        )?;
        drawing.tally("wire", format_args!("{} bytes out, {} bytes in", meter.sent(), meter.received()))?;
        drawing.tally(
            "layers",
            format_args!("{}, {}", counted(self.handshakes, "handshake"), counted(self.stops, "stop")),
        )?;
        drawing.tally("socket", format_args!("local port {port} from the first line to the last"))?;
        Ok(local)
    }
}

impl Count {
    fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.bytes += (line.len() + LINE_END) as u64;
    }
}

fn layer_name(layer: usize) -> String {
    format!("layer-{layer}.example")
}

fn label(layer: usize, facts: &TlsFacts) -> String {
    let name = facts.server_name.as_deref().unwrap_or_default();
    let took = facts.handshake_time.unwrap_or_default().as_secs_f64() * 1000.0;
    format!("{layer} {name} · {} · handshake {took:.1} ms", facts.version_name())
}

/// `1 skin`, `2 skins`
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// CR and LF.
const LINE_END: usize = 2;
