//! Receivers: protocols that get whole messages.
//!
//! A receiver has no buffer. It looks at the input of its transport, takes one message when it is all there, and hands
//! it over; what stands behind it stays in the stack. So when the callback starts TLS, stops it or changes the mode, the
//! very next byte already belongs to whatever is next.
//!
//! A limit is checked as soon as it can be known to be passed, before the message is there and before memory is taken.

mod lines;
mod strings;

pub use self::lines::{LineReceiver, Lines};
pub use self::strings::{StringReceiver, Strings};
