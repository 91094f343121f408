//! A [`Stack`] over a socket, for async code.
//!
//! ```no_run
//! use onionskin::Connection;
//! use onionskin::tls::{Roots, TlsClient};
//!
//! # async fn session(socket: impl futures::io::AsyncRead + futures::io::AsyncWrite + Unpin)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! let client = TlsClient::new(Roots::system()?)?;
//! # #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
//! let mut conn = Connection::new(socket);
//! # #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))] {
//! conn.write_line("STARTTLS").await?;
//! conn.read_line().await?;
//! let facts = conn.start_tls(client.to("mail.example")?).await?;
//! println!("{facts}");
//! conn.write_line("hello").await?;
//! conn.stop_tls().await?; // the socket stays open
//! conn.write_line("in clear again").await?;
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # A server, and a peer that stops unasked
//!
//! Where the peer has stopped TLS, reads end, and [`Connection::end`] tells it from the end of the connection.
//! [`Connection::stop`] answers and continues on the layer below:
//!
//! ```
//! use futures::io::{AsyncRead, AsyncWrite};
//! use onionskin::Connection;
//! use onionskin::connection::{End, Error};
//! use onionskin::tls::TlsServer;
//!
//! async fn serve<IO>(mut conn: Connection<IO>, server: TlsServer) -> Result<(), Error>
//! where
//!     IO: AsyncRead + AsyncWrite + Unpin,
//! {
//!     loop {
//!         match conn.read_line().await? {
//!             Some(line) if line == b"STARTTLS" => {
//!                 conn.write_line("220 go ahead").await?; // the last line outside
//!                 conn.start_tls(server.accept()?).await?;
//!             }
//!             Some(_) => conn.write_line("250 fine").await?,
//!             None if matches!(conn.end(), Some(End::Layer(_))) => {
//!                 conn.stop_tls().await?;
//!             }
//!             None => return Ok(()),
//!         }
//!     }
//! }
//! ```

// | file | idea |
// |---|---|
// | `open.rs`, `asked.rs`, `start.rs`, `proxy_header.rs` | a layer is opened and says what it has to say, or asks; the short names for that |
// | `stop.rs`, `leave.rs` | a layer is stopped, and the connection left such that what was said last arrives |
// | `peel.rs` | outer TLS that is taken off once there is TLS inside |
// | `io.rs`, `tokio_io.rs`, `line.rs` | reading and writing: the traits of two makers, and lines |
// | `socket.rs`, `bridge.rs` | a connection over a socket, as the socket of another, and behind a local socket |
// | `zero_copy.rs` | bytes that the system moves from one connection to another |
// | `drive.rs`, `quiet.rs` | who polls the connection drives all of it, and whether anything stirs where nobody does |
// | `addresses.rs`, `hop.rs`, `timing.rs` | who talks to whom, and through whom; and how long it took to get there |
// | `layers.rs`, `tree.rs`, `error.rs` | the layers to be printed, also those of many tunnels, and what can go wrong |

mod addresses;
mod asked;
mod bridge;
mod drive;
mod error;
pub(crate) mod hop;
mod io;
mod layers;
mod leave;
mod line;
mod open;
mod peel;
mod proxy_header;
mod quiet;
mod socket;
mod start;
mod stop;
mod timing;
#[cfg(feature = "tokio")]
mod tokio_io;
#[cfg(feature = "http2")]
pub(crate) mod tree;
mod zero_copy;

use std::fmt;
use std::sync::Arc;

use self::line::LineSearch;
#[cfg(feature = "http2")]
use crate::driver::Alarm;
use crate::driver::{Wakers, Wire};
use crate::runtime::Timer;
use crate::stack::{Layer, Readable, Remains, Stack};

pub use self::addresses::Addresses;
pub use self::asked::Asked;
pub use self::bridge::{BridgeError, Bridged};
pub use self::error::{Error, ErrorKind};
pub use self::hop::Hop;
pub use self::layers::{LayerView, Layers};
pub use self::peel::OuterPeel;
pub use self::quiet::Disturbance;
pub(crate) use self::stop::RECORD;
pub use self::stop::Stopped;
pub use self::timing::Timing;
#[cfg(feature = "http2")]
pub use self::tree::{Tree, View};
pub use self::zero_copy::ZeroCopy;
#[doc(no_inline)]
pub use crate::stack::{End, LayerId, Limits, OnTimeout, PeerAnswer, Stop};

/// One socket with layers over it, any `AsyncRead + AsyncWrite` below and itself one above.
///
/// The traits are those of [`futures::io`]. A socket of tokio gets them from `tokio_util::compat`, and any executor may
/// poll the futures. With the feature `tokio` a connection itself also has tokio's traits (`tokio::io::AsyncRead`,
/// `AsyncBufRead` and `AsyncWrite`), for the crates that ask for these; see [below](#two-families-of-traits).
///
/// It is `Send` and `Sync` if the socket is.
///
/// # Reading and writing
///
/// It is [`AsyncRead`](futures::io::AsyncRead), [`AsyncBufRead`](futures::io::AsyncBufRead) and
/// [`AsyncWrite`](futures::io::AsyncWrite); all of them see the innermost
/// layer. Where a layer ends, reads return 0, again and again, until [`stop`](Self::stop) continues below it:
/// a read never returns bytes from two sides of a layer change. When the connection is lost, what came before is read
/// first and then the reads fail.
///
/// A peer that ends TCP without a close_notify, as most clients do, has ended its own direction only. Reads fail behind what
/// it sent ([`Error::is_truncated`]; [`end`](Self::end) is [`End::Truncated`]), because nothing proves that this was all;
/// what is written still leaves, and the connection can be closed gracefully.
///
/// What is written is sent at once as far as the socket takes it; [`flush`](futures::io::AsyncWriteExt::flush) waits for the
/// rest. A vectored write takes as many slices as there is room for, and puts them into the same records as if they were one.
/// [`close`](futures::io::AsyncWriteExt::close) sends close_notify on every layer, from the inside out, and then closes the
/// write side of the socket, a graceful close of our direction; after it, reads see the rest of the innermost layer and no
/// further. It fails if any of that could not leave, and not over what the peer sends or leaves out. Dropping the connection
/// sends nothing; and where something lies unread in the socket, such as the tickets of a TLS 1.3 server that its client has
/// never read, it is a reset, which overtakes what was written last. [`leave`](Self::leave) closes such that it arrives.
///
/// [`futures::io::AsyncReadExt::split`] gives a reader and a writer for two tasks.
///
/// # Cancellation
///
/// Every future here may be dropped at any await. All state is in the stack, so the connection stays what it was:
/// a handshake or a stop that was begun goes on whenever anything is polled, and no record is ever half written.
///
/// # Deadlines
///
/// They fire while something is polled.
///
/// # Two families of traits
///
/// Methods that `futures` and tokio have by the same name (`read`, `write_all`, `flush` of their `Ext` traits) are ambiguous
/// where both are imported (E0034). Import one family only, or say which: `futures::io::AsyncReadExt::read(&mut conn, ..)`.
/// The adapter `compat()` of tokio-util has two such traits as well; a connection does not need it with this feature.
/// Methods of `Connection` itself come before both.
pub struct Connection<IO> {
    stack: Stack,
    wire: Wire<IO>,
    wakers: Wakers,
    /// Layers that have left as soon as they were ready, and that nobody has asked about yet.
    left: Vec<LayerView>,
    late_limit: usize,
    line_limit: usize,
    line_search: LineSearch,
    addresses: Addresses,
    route: Vec<Hop>,
    /// So many of them are those of the connection that carries this one.
    hops_of_carrier: usize,
    /// The innermost layer that leads to one of those hops: the layers behind it lead further.
    innermost_known: Option<LayerId>,
    timing: Timing,
    /// What the socket runs over, if it is itself no socket of the system's: on one line, or as a drawing.
    chain: fn(&IO, bool) -> Option<String>,
}

impl<IO> Connection<IO> {
    /// A connection without layers over `io`, with the clock of the preferred runtime.
    #[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
    pub fn new(io: IO) -> Self {
        Self::with_timer(io, crate::runtime::preferred_timer())
    }

    /// A connection without layers over `io`, with this clock.
    pub fn with_timer(io: IO, timer: Arc<dyn Timer>) -> Self {
        Self::with_limits(io, timer, Limits::default())
    }

    /// A connection without layers over `io`, with this clock and these limits.
    pub fn with_limits(io: IO, timer: Arc<dyn Timer>, limits: Limits) -> Self {
        Self {
            stack: Stack::new(limits),
            wire: Wire::new(io, timer, Error::loss_in),
            wakers: Wakers::new(),
            left: Vec::new(),
            late_limit: LATE_LIMIT,
            line_limit: LINE_LIMIT,
            line_search: LineSearch::default(),
            addresses: Addresses::default(),
            route: Vec::new(),
            hops_of_carrier: 0,
            innermost_known: None,
            timing: Timing::default(),
            chain: |_, _| None,
        }
    }

    /// Names the wire, as it shows in [`layers`](Self::layers) and in the logs: `tcp 127.0.0.1:25`.
    #[must_use]
    pub fn named(mut self, label: impl Into<String>) -> Self {
        self.stack.name_wire(label);
        self
    }

    /// How to ask the socket what the system still holds of what was written, so that layers can tell a peer that reads
    /// slowly from one that does not read ([`Ends::unsent`](crate::stack::Ends::unsent)). It is asked when a deadline has
    /// passed. Unless set, nothing is known; connections of endpoints have it set.
    #[must_use]
    pub fn asking_backlog(mut self, backlog: fn(&IO) -> Option<usize>) -> Self {
        self.wire.ask_backlog(backlog);
        self
    }

    /// The most bytes that [`stop`](Self::stop) keeps as late; 1 MiB unless set.
    pub fn set_late_limit(&mut self, bytes: usize) {
        self.late_limit = bytes;
    }

    /// The longest line that [`read_line`](Self::read_line) takes, with its end; 8,192 bytes unless set.
    pub fn set_line_limit(&mut self, bytes: usize) {
        self.line_limit = bytes;
    }

    /// The layers as they stand.
    pub fn layers(&self) -> Layers {
        Layers::of(&self.stack).through(&self.draw_route()).over(|drawing| (self.chain)(self.get_ref(), drawing))
    }

    /// What the socket runs over, as a drawing or a line has it below the wire.
    fn draw_chain(&self, drawing: bool) -> String {
        let chain = (self.chain)(self.get_ref(), drawing);
        chain.map(|chain| layers::below(&chain, drawing)).unwrap_or_default()
    }

    /// The number of layers.
    pub fn depth(&self) -> usize {
        self.stack.depth()
    }

    /// The end that is next to read, if one is: what a read that returned 0 has met.
    pub fn end(&self) -> Option<End> {
        match self.stack.readable() {
            Readable::Ended(id) => Some(End::Layer(id)),
            Readable::EndOfInput => Some(End::Wire),
            Readable::Lost(_) => self.stack.end_ahead().copied(),
            Readable::Nothing | Readable::Bytes(_) => None,
        }
    }

    /// The socket. Reading from it or writing to it goes past all layers.
    pub fn get_ref(&self) -> &IO {
        &self.wire.io
    }

    /// The stack below this connection, to look at.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Puts any layer between the innermost one and the application; see [`Stack::splice`].
    ///
    /// # Errors
    ///
    /// As [`Stack::splice`].
    pub fn splice(&mut self, layer: impl Layer) -> Result<LayerId, Error> {
        self.line_search.restart();
        Ok(self.stack.splice(self.wire.now(), Box::new(layer))?)
    }

    /// An alarm on the clock of the connection, for whoever has it inside.
    #[cfg(feature = "http2")]
    pub(crate) fn alarm(&self) -> Alarm {
        self.wire.alarm()
    }

    /// What a protocol needs to take over: the stack and the socket.
    pub(crate) fn into_driven(self) -> (Stack, Wire<IO>) {
        (self.stack, self.wire)
    }

    /// Takes a layer out that has no end of its own, such as a counter, wherever it stands; see [`Stack::remove`].
    ///
    /// # Errors
    ///
    /// As [`Stack::remove`].
    pub fn remove(&mut self, id: LayerId) -> Result<(), Error> {
        Ok(self.stack.remove(self.wire.now(), id)?)
    }

    /// Changes a layer of a known type, such as the rate of a throttle, and lets it act on that at once; see
    /// [`Stack::with_layer`]. What it then has to send leaves when anything is polled.
    ///
    /// # Errors
    ///
    /// As [`Stack::with_layer`].
    pub fn with_layer<L: Layer, R>(&mut self, id: LayerId, change: impl FnOnce(&mut L) -> R) -> Result<R, Error> {
        Ok(self.stack.with_layer(self.wire.now(), id, change)?)
    }

    /// Gives up the layers and returns the socket with every byte that was not yet read or sent.
    pub fn into_inner(self) -> Parts<IO> {
        Parts { io: self.wire.io, remains: self.stack.into_remains() }
    }
}

/// What a [`Connection`] was made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<IO> {
    /// The socket.
    pub io: IO,
    /// For each boundary, the application's first and the wire's last, what it held.
    pub remains: Vec<Remains>,
}

impl<IO> Parts<IO> {
    /// What the application had not yet read. Without layers, that is all that was received.
    pub fn unread(&self) -> &[u8] {
        self.remains.first().map_or(&[], |remains| &remains.inbound)
    }
}

impl<IO> fmt::Display for Connection<IO> {
    /// The layers from the wire inwards, in one line; with `{:#}`, a drawing: see [`Layers`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stack.fmt(f)?;
        if f.alternate() {
            f.write_str(&self.draw_route())?;
        }
        f.write_str(&self.draw_chain(f.alternate()))
    }
}

impl<IO> fmt::Debug for Connection<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("layers", &self.to_string()).finish_non_exhaustive()
    }
}

const LATE_LIMIT: usize = 1024 * 1024;

const LINE_LIMIT: usize = 8192;
