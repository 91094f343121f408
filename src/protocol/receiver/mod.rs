//! Receivers: protocols that get whole messages.
//!
//! A receiver has no buffer. It looks at the input of its transport, takes one message when it is all there, and hands
//! it over; what stands behind it stays in the stack. So when the callback starts TLS, stops it, changes the mode or
//! goes on with another receiver, the very next byte already belongs to whatever is next.
//!
//! One call hands over one message, and the session calls again while something was taken. So there is no loop here that
//! a message could make endless, and between two messages everything else has its turn: a pause, a close, a peer
//! that does not read its answers.
//!
//! A limit is checked as soon as it can be known to be passed, before the message is there and before memory is taken.
//!
//! # Those who know Twisted
//!
//! find six receivers in two traits:
//!
//! | there | here |
//! |---|---|
//! | `LineReceiver` | [`LineReceiver`] |
//! | `LineOnlyReceiver` | [`LineReceiver`] that never calls [`Lines::set_raw_mode`] |
//! | `NetstringReceiver` | [`StringReceiver`] with [`Strings::netstring`] |
//! | `Int8StringReceiver` | [`StringReceiver`] with [`Strings::int8`] |
//! | `Int16StringReceiver` | [`StringReceiver`] with [`Strings::int16`] |
//! | `Int32StringReceiver` | [`StringReceiver`] with [`Strings::int32`] |

mod lines;
mod strings;

pub use self::lines::{LineReceiver, Lines};
pub use self::strings::{StringReceiver, Strings};
