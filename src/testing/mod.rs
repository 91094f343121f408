//! A kit for tests without sockets and without a clock: two stacks, a wire between them that cuts the stream as
//! the test wishes, time that passes when the test says so, and layers that misbehave on purpose.
//!
//! - [`StringTransport`] is for one [`Protocol`](crate::protocol::Protocol), with the test as its peer.
//! - [`Dialogue`] is for two protocols that talk to each other.
//! - [`Conformance`] is for a framer: it must report the same whatever is done to its stream.
//! - [`Pair`] is for stacks without I/O.
//! - [`wire`] and [`Clock`] are a socket and a timer for a [`Connection`](crate::Connection), or for whatever else is async.
//! - [`Fault`] is a layer for any of them.
//! - [`Mux`] has many stacks run over one.
//! - [`MemoryWire`] is the wire of one stack, for drivers of your own.
//!
//! # Hold and release
//!
//! [`Peer::hold`] and [`WireEnd::hold`] stop what is on the way to one side, so that a test can have two messages cross, or
//! meet in one segment, or look at what is on the wire before it arrives. Each direction is held by itself: the side that
//! is named receives nothing, and goes on sending. What piles up arrives when it is released, in its order, and end of
//! file behind it:
//!
//! ```
//! use onionskin::stack::Readable;
//! use onionskin::testing::{Cut, Pair};
//!
//! let mut pair = Pair::new(Cut::Whole);
//! pair.right.hold(true);
//! pair.left.write(b"one ");
//! pair.run();
//! pair.left.write(b"segment");
//! let now = pair.now();
//! pair.left.stack.close(now);
//! pair.run();
//! assert_eq!(pair.right.read(), b"", "nothing arrives");
//! pair.right.write(b"hello");
//! pair.run();
//! assert_eq!(pair.left.read(), b"hello", "the other direction is open");
//!
//! pair.right.hold(false);
//! pair.run();
//! assert_eq!(pair.right.read(), b"one segment");
//! assert!(matches!(pair.right.stack.readable(), Readable::EndOfInput));
//! ```

// | file | idea |
// |---|---|
// | `pair.rs`, `dialogue.rs`, `string_transport.rs` | two stacks, two protocols, or one protocol, with no socket between |
// | `wire.rs` | a wire in memory for async code; that of one stack by itself is in `driver/` |
// | `mux/` | many stacks over one: the model of a tunnel |
// | `fault.rs`, `envelope.rs` | a layer that misbehaves on purpose, and the simplest one that ends |
// | `conformance.rs` | what must hold for every framer |
// | `cut.rs`, `clock.rs` | how a wire hands over what was sent, and time that a test lets pass |

mod clock;
mod conformance;
mod cut;
mod dialogue;
mod envelope;
mod fault;
mod mux;
mod pair;
mod string_transport;
mod wire;

pub use self::clock::Clock;
pub use self::conformance::{Conformance, Witness};
pub use self::cut::{Cut, Dice};
pub use self::dialogue::Dialogue;
pub use self::fault::Fault;
pub use self::mux::{Mux, StreamId};
pub use self::pair::{Pair, Peer};
pub use self::string_transport::StringTransport;
pub use self::wire::{WireEnd, wire};
pub use crate::driver::MemoryWire;
