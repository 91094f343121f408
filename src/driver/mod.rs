//! How a stack is driven: whatever holds a [`Stack`] over a socket has these parts in it, and the rounds that they are polled in.
//!
//! ```text
//!    application     reads and writes, or a protocol, or the streams of a tunnel
//!    ────────────
//!    Stack           what is to be sent, what can be read, when something is due
//!    ────────────
//!    Wire            the socket: bytes go down and up ──┐
//!      Alarm         the clock: one deadline at a time ─┴─▶ Wakers: the tasks that wait for either
//! ```
//!
//! Whoever drives a stack without a socket, as the test kit does, has a `MemoryWire` in the place of the wire.
//!
//! Nothing here knows what the application is, and none of it is state that a future could take away when it is dropped: all
//! of that is in the stack.

mod alarm;
#[cfg(feature = "testing")]
mod memory_wire;
mod rounds;
mod wakers;
mod wire;

pub(crate) use self::alarm::Alarm;
#[cfg(feature = "testing")]
pub use self::memory_wire::MemoryWire;
pub(crate) use self::rounds::{MAX_ROUNDS, Rounds, Step};
pub(crate) use self::wakers::{Half, Wakers};
pub(crate) use self::wire::{Flushing, Wire};
#[cfg(doc)]
use crate::stack::Stack;
