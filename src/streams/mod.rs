//! Streams: where a connection leads to, and all that belongs to it, lives in a policy beside the program.
//!
//! ```text
//!     the program          asks for a stream by its name, sends and receives, and is told how it stands
//!         │
//!     Stream ◀──▶ mailbox ◀──▶ driver      one task a stream: attempts, delays, times
//!                                │
//!                              protocol    raw ...: over one connection after the other
//!                                │
//!     policy ─────────────────▶ endpoint   route, layers of TLS, trust: made ready for one attempt
//! ```
//!
//! Where a stream leads to, over which proxies and layers, whom it trusts, which protocol is spoken, and how often it is tried
//! again, stands in a [`Policy`](policy::Policy) and can be changed without the program. The keys are those of the Secure Streams
//! of libwebsockets, and more; `docs/policy-keys.md` lists them all.
//!
//! [`Streams`] has the streams of a policy; [`Stream`] is one of them. A program that wants only the connection takes
//! [`Destinations`](policy::Destinations), which makes a [`Connector`](crate::endpoint::Connector) of a stream.
//!
//! `policy` knows no connection until it is asked for an endpoint, and nothing below it knows JSON. `state` knows
//! nothing but a table of delays.

// | file | idea |
// |---|---|
// | `all.rs`, `shared.rs` | the streams of a program, and what they have in common |
// | `stream.rs` | one of them, as the program has it |
// | `message.rs`, `event.rs`, `error.rs` | what is sent, what happens, and what can go wrong |
// | `mailbox.rs` | what is between the program and the task of a stream |
// | `driver.rs` | that task |
// | `state/` | the state machine, and the delays |
// | `protocol/` | what is spoken |
// | `policy/` | policies: as text, as values, and made ready for a connection |
// | `random.rs` | where chance comes from |

mod all;
mod driver;
mod error;
mod event;
mod mailbox;
mod message;
pub mod policy;
mod protocol;
mod random;
mod shared;
mod state;
mod stream;

pub use self::all::Streams;
pub use self::error::{Error, ErrorKind};
pub use self::event::Event;
pub use self::message::{Delivery, Message, MessageId};
use self::random::Random;
pub use self::state::State;
pub use self::stream::{Events, Sending, Stream};
