//! One side of one cell: a process of its own, as a server or as a client.
//!
//! A peer says how to put one more layer over a stream, and where its futures run ([`Layering`]). All the work is
//! written once over that, in [`work`], so that everybody does the same.

mod bare;
mod blocking;
mod home;
mod in_memory;
mod meter;
mod nested;
#[cfg(feature = "openssl")]
mod openssl;
mod ours;
mod tls;
mod work;

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures::io::{AsyncRead, AsyncWrite};
use onionskin::runtime::{AsyncStd, Smol, Tokio};

use self::blocking::Mode;
use self::home::Home;
use self::tls::Configuration;
use crate::plan::{Kind, Peer, Work};

pub(crate) use self::meter::Report;
pub(crate) use self::tls::{NAME, Provider};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a side is told, in the order in which every peer takes it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Orders {
    peer: Peer,
    provider: Provider,
    role: Role,
    kind: Kind,
    depth: usize,
    amount: u64,
    warm_up: u64,
    connections: usize,
    /// Of the server, for the client.
    port: u16,
    /// Where `certificate.pem` and `key.pem` are.
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Server,
    Client,
    /// Both in one process.
    Alone,
}

impl Orders {
    fn work(&self) -> Work {
        Work { amount: self.amount, warm_up: self.warm_up, connections: self.connections }
    }
}

/// How a peer nests TLS.
pub(crate) trait Layering: Clone + Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn home(&self) -> Home;

    /// A connection without layers.
    fn clear(&self, socket: TcpStream) -> Result<Self::Stream>;

    /// One more layer.
    fn start(&self, stream: Self::Stream, role: Role) -> impl Future<Output = Result<Self::Stream>> + Send;

    /// One layer less, with the connection open.
    fn stop(&self, _stream: Self::Stream) -> impl Future<Output = Result<Self::Stream>> + Send {
        async { Err("cannot stop TLS".into()) }
    }

    /// Gives back what is not needed while nothing happens, where that does not happen by itself.
    fn rest(&self, _stream: &mut Self::Stream) {}
}

/// Does what it is told, and prints what it took.
pub(crate) fn run(orders: &Orders) -> Result<()> {
    let configuration = Configuration::read(&orders.folder, orders.provider, orders.kind == Kind::Resume)?;
    // A connection that has to write and to read at once must not block in one of them.
    let mode = if orders.kind == Kind::Both { Mode::Polling } else { Mode::Blocking };
    let report = match (orders.peer, orders.role) {
        (_, Role::Alone) => in_memory::run(orders, &configuration)?,
        (Peer::Tcp, _) => work::run(blocking::Plain { mode }, orders)?,
        (Peer::OursAsyncStd, _) => work::run(ours::Ours::new(&AsyncStd, &configuration)?, orders)?,
        (Peer::OursSmol, _) => work::run(ours::Ours::new(&Smol, &configuration)?, orders)?,
        (Peer::OursTokio, _) => work::run(ours::Ours::new(&Tokio, &configuration)?, orders)?,
        (Peer::OursBlocking, _) => {
            work::run(blocking::Blocking { mode, chains: ours::Stacks::new(&configuration)? }, orders)?
        }
        (Peer::FuturesRustls, _) => work::run(nested::FuturesRustls::new(&configuration), orders)?,
        (Peer::TokioRustls, _) => work::run(nested::TokioRustls::new(&configuration), orders)?,
        #[cfg(feature = "openssl")]
        (Peer::Openssl, _) => {
            work::run(blocking::Blocking { mode, chains: openssl::Contexts::read(&orders.folder)? }, orders)?
        }
        (peer, _) => return Err(format!("{peer} is not built in").into()),
    };
    print_line(&serde_json::to_string(&report)?)
}

fn print_line(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Bytes in one write, and in one read.
const CHUNK: usize = 64 * 1024;
