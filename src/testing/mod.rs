//! A kit for tests without sockets and without a clock: two stacks, a wire between them that cuts the stream as
//! the test wishes, and time that passes when the test says so.

mod cut;
mod pair;

pub use self::cut::{Cut, Dice};
pub use self::pair::{Pair, Peer};
