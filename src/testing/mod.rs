//! A kit for tests without sockets and without a clock: two stacks, a wire between them that cuts the stream as
//! the test wishes, and time that passes when the test says so.
//!
//! - [`StringTransport`] is for one [`Protocol`](crate::protocol::Protocol), with the test as its peer.
//! - [`Dialogue`] is for two protocols that talk to each other.
//! - [`Conformance`] is for a framer: it must report the same whatever is done to its stream.
//! - [`Pair`] is for stacks without I/O.
//! - [`wire`] and [`Clock`] are a socket and a timer for a [`Connection`](crate::Connection), or for whatever else is async.

mod clock;
mod conformance;
mod cut;
mod dialogue;
mod envelope;
mod pair;
mod string_transport;
mod wire;

pub use self::clock::Clock;
pub use self::conformance::{Conformance, Witness};
pub use self::cut::{Cut, Dice};
pub use self::dialogue::Dialogue;
pub use self::pair::{Pair, Peer};
pub use self::string_transport::StringTransport;
pub use self::wire::{WireEnd, wire};
