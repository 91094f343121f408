//! A kit for tests without sockets and without a clock: two stacks, a wire between them that cuts the stream as
//! the test wishes, and time that passes when the test says so.
//!
//! [`Pair`] is for stacks without I/O. [`wire`] and [`Clock`] are a socket and a timer for a
//! [`Connection`](crate::Connection), or for whatever else is async.

mod clock;
mod cut;
mod pair;
mod wire;

pub use self::clock::Clock;
pub use self::cut::{Cut, Dice};
pub use self::pair::{Pair, Peer};
pub use self::wire::{WireEnd, wire};
