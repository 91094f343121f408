//! The sans-I/O heart: a list of layers between a socket and an application, a state machine that a driver feeds and drains.
//!
//! ```text
//!    application      write / consume / stop / splice ...      tail
//!    ─────────────────────────────────────────────────
//!        ▲ inbound        ▼ outbound       boundary (the application's)
//!     [ layer ]                            splice puts the next one HERE, above this
//!        ▲                ▼                boundary
//!     [ layer ]
//!        ▲                ▼                boundary (the wire's)
//!    ─────────────────────────────────────────────────
//!    wire             handle_input / poll_output               head
//! ```
//!
//! The rules that make starting and stopping safe are invariants of this picture, not properties of any layer:
//!
//! - **Every byte has one owner.** It rests in exactly one [`Queue`], and is taken only by who has parsed it.
//! - **A splice moves no byte.** What the application had not consumed is below the new layer from then on, so
//!   plaintext that somebody put behind a STARTTLS goes into TLS and fails there; what it had written is below
//!   too, so it leaves in clear, first.
//! - **A peel joins two boundaries.** What the layer had not taken belongs to the layer below.
//! - **Marks keep order.** The end of a layer's stream and the order to stop one stand *in* the queues
//!   ([`End`], [`Order`]), so no flag can be seen before the bytes in front of it.
//! - **No recursion.** Layers do not call each other. The stack runs a work loop over those that have been given
//!   something.
//!
//! # In the logs
//!
//! A layer that becomes ready, ends, is peeled or fails makes a line at the level `debug`, and so does the loss of the
//! connection, each with the whole stack after it. The target is `onionskin::stack`:
//!
//! ```text
//! layer #2 is ready; now tcp 127.0.0.1:25 ─ tls1.3 AES_256_GCM client "a" ─ tls1.3 AES_256_GCM client "b"
//! ```
//!
//! At the level `trace` a drawing follows, the one that `{:#}` makes of a [`Stack`]: facts of each layer, and the bytes
//! and marks that wait between them.

// | file | idea |
// |---|---|
// | `layer.rs`, `stop.rs`, `opens.rs`, `patience.rs` | the contract with a layer: its ends, how it is stopped, what it has to say, how long its peer may take |
// | `commands.rs`, `handle.rs`, `poll.rs`, `facts.rs` | the four families of methods |
// | `pump.rs` | the work loop: who is called when, and what becomes of what they say |
// | `boundary.rs`, `spare.rs` | where bytes rest, and large buffers between two uses |
// | `list.rs`, `id.rs`, `departed.rs`, `remains.rs` | the layers that there are, their names, those that are gone, and what is left in the end |
// | `event.rs`, `drawing.rs` | what the stack tells, and how it looks |
// | `fate.rs`, `reason.rs`, `error.rs` | what has become of the connection, why, and what can go wrong |

mod boundary;
mod commands;
mod departed;
mod drawing;
mod error;
mod event;
mod facts;
mod fate;
mod handle;
mod id;
mod layer;
mod list;
mod opens;
mod patience;
mod poll;
mod pump;
mod reason;
mod remains;
mod spare;
mod stop;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use self::boundary::Boundary;
use self::departed::Departed;
use self::fate::Fate;
use self::layer::Waiting;
use self::list::List;
use self::pump::Unfinished;

pub(crate) use self::boundary::{COPY_CHUNK, COPY_THRESHOLD, copy_to_slice};
pub use self::boundary::{End, Order, Queue};
#[cfg(feature = "http2")]
pub(crate) use self::boundary::{extend, move_front};
pub use self::departed::Departure;
pub(crate) use self::drawing::Described;
#[cfg(feature = "http2")]
pub(crate) use self::drawing::{Entry, PIPE, bytes, drawn};
pub(crate) use self::error::with_chain;
pub use self::error::{CommandError, CommandErrorKind, LayerError, LayerErrorKind, Progress};
pub use self::event::{Event, Output, Readable};
pub use self::id::LayerId;
pub use self::layer::{Ends, Failure, Framing, Layer, Report, Way, Ways};
pub use self::opens::{Facts, Opens};
pub use self::patience::{Overdue, Patience};
pub use self::reason::{LayerLoss, Reason};
pub use self::remains::Remains;
#[cfg(feature = "http2")]
pub(crate) use self::spare::keep as keep_spare;
pub use self::stop::{GoesFirst, OnTimeout, PeerAnswer, Stop};

/// A list of protocol layers over one connection, without any I/O.
///
/// # Order of calls
///
/// The driver owns the socket and the clock. It calls, in any order:
///
/// - `handle_*` when something happened: bytes came in ([`handle_input`](Self::handle_input)), the peer closed
///   ([`handle_eof`](Self::handle_eof)), the socket failed ([`handle_error`](Self::handle_error)), what it runs over is
///   lost ([`handle_loss`](Self::handle_loss)), a deadline passed ([`handle_timeout`](Self::handle_timeout)), bytes were
///   sent ([`handle_sent`](Self::handle_sent));
/// - commands of the application: [`splice`](Self::splice), [`stop`](Self::stop), [`finish`](Self::finish),
///   [`remove`](Self::remove), [`write`](Self::write), [`consume`](Self::consume), [`pass_end`](Self::pass_end),
///   [`close`](Self::close), [`abort`](Self::abort).
///
/// After every such call it drains, in this order: [`poll_event`](Self::poll_event), [`readable`](Self::readable),
/// [`poll_output`](Self::poll_output), and asks [`poll_deadline`](Self::poll_deadline) when to come back. That may be at
/// once: what a call brings about is not always done when it returns ([`is_unfinished`](Self::is_unfinished)).
///
/// # Drawing it
///
/// `{}` shows the layers in one line, `{:#}` draws them with their facts:
///
/// ```
/// use onionskin::stack::{Limits, Stack};
///
/// let mut stack = Stack::new(Limits::default());
/// stack.name_wire("tcp 127.0.0.1:25");
/// assert_eq!(stack.to_string(), "tcp 127.0.0.1:25");
/// assert_eq!(format!("{stack:#}"), "application\n    │\nwire          tcp 127.0.0.1:25");
/// ```
#[derive(Debug)]
pub struct Stack {
    list: List,
    /// The layer to which the one called last has given something: it is called next.
    given: Option<usize>,
    /// How the wire is called, if it has a name.
    label: Option<Arc<str>>,
    /// How many layers there are in what carries the wire: the stacks of connections that are tunnels for this one.
    outside: usize,
    limits: Limits,
    write_limit: usize,
    events: VecDeque<Event>,
    /// Layers that are gone and of whom somebody has still to hear.
    departed: Departed,
    /// Layers that ended by themselves and that the application has not yet acknowledged. While there is
    /// one, writes are refused: they would leave in clear of a layer that the writer believes in.
    unacknowledged: Vec<LayerId>,
    fate: Fate,
    application: Side,
    wire_input: Side,
    wire_output: Side,
    /// Whether any layer waits for its peer.
    has_clocks: bool,
    /// While one does: since when the wire has taken nothing of what there is for it.
    untaken_since: Option<Instant>,
    /// Work that was put off.
    unfinished: Option<Unfinished>,
    /// What the system still holds of what was sent, as far as the driver has told.
    backlog: usize,
    /// For the layer that is called because its deadline has passed.
    waiting: Waiting,
    /// Up to where the application has looked at what it can read, and left it because it waits for more.
    looked_at: u64,
    /// Whether its layers are others, or in another state, than when this was last asked.
    has_changed: bool,
}

/// Limits of a [`Stack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes that one direction of one boundary holds. 128 KiB unless set, and never less than 40 KiB,
    /// so that two TLS records fit.
    pub buffer: usize,
    /// The most layers. 16 unless set.
    pub depth: usize,
}

impl Limits {
    /// Sets [`buffer`](Self::buffer).
    #[must_use]
    pub fn with_buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Sets [`depth`](Self::depth).
    #[must_use]
    pub fn with_depth(mut self, layers: usize) -> Self {
        self.depth = layers;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { buffer: 128 * 1024, depth: 16 }
    }
}

/// One direction of one end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Open,
    /// To be closed when all that stands before has gone.
    Closing,
    Closed,
}

impl Stack {
    /// A stack without layers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { buffer: limits.buffer.max(MIN_BUFFER), ..limits };
        Self {
            list: List::new(limits.buffer),
            given: None,
            label: None,
            outside: 0,
            limits,
            write_limit: limits.buffer,
            events: VecDeque::new(),
            departed: Departed::default(),
            unacknowledged: Vec::new(),
            fate: Fate::Whole,
            application: Side::Open,
            wire_input: Side::Open,
            wire_output: Side::Open,
            has_clocks: false,
            untaken_since: None,
            unfinished: None,
            backlog: 0,
            waiting: Waiting::default(),
            looked_at: 0,
            has_changed: false,
        }
    }

    /// Whether its layers are others, or in another state, than when this was last asked.
    pub(crate) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Its wire leads through connections that have so many layers.
    pub(crate) fn lie_inside(&mut self, layers: usize) {
        self.outside = layers;
    }

    /// How many layers there are between the application and the wire at the bottom of all.
    pub(crate) fn depth_in_all(&self) -> usize {
        self.outside + self.depth()
    }

    /// Names the wire, as it shows in drawings and logs: `tcp 127.0.0.1:25`. It is `wire` unless set.
    pub fn name_wire(&mut self, label: impl Into<String>) {
        self.label = Some(Arc::from(label.into()));
    }
}

/// Two records of the largest size and a little more.
const MIN_BUFFER: usize = 40 * 1024;
