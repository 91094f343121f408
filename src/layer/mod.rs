//! What can be put into a [`Stack`](crate::stack::Stack): one file or folder for each layer.
//!
//! | layer | what it does | how it leaves |
//! |---|---|---|
//! | [`tls`] | TLS 1.2 and 1.3, client and server | it is stopped |
//! | [`Opening`](opening::Opening) | says what comes first, as SOCKS and STARTTLS do, and may ask its application | by itself, or becomes another |
//! | [`Deflate`] | compresses, as IMAP does (RFC 4978); feature `deflate` | it is stopped |
//! | [`proxy_header`] | the PROXY protocol: a header in front of the stream, sent and accepted | by itself |
//! | [`Counter`] | counts bytes each way | it is taken out |
//! | [`IdleTimeout`] | ends the connection when no bytes pass | it is taken out |
//! | [`Throttle`] | so many bytes a second, each way | it is taken out |
//! | [`TrafficLog`] | writes down what passes | it is taken out |
//!
//! A layer that is *stopped* ends by an exchange with its peer ([`Stack::stop`](crate::stack::Stack::stop)). One that
//! is *taken out* changes no byte, so it can come and go on one side alone, anywhere in the list and while data flows
//! ([`Stack::remove`](crate::stack::Stack::remove)).
//!
//! What layers that are stopped have in common, also one of your own, is in [`Ending`] and [`Halves`].
//!
//! The contract that all of them keep is written on [`Layer`](crate::stack::Layer). A layer imports the stack and
//! nothing else of this crate.

mod counter;
#[cfg(feature = "deflate")]
mod deflate;
mod ending;
mod idle;
pub mod opening;
pub mod proxy_header;
mod throttle;
pub mod tls;
mod traffic;

pub use self::counter::{Counter, Counts};
#[cfg(feature = "deflate")]
pub use self::deflate::Deflate;
pub use self::ending::{Ending, Halves, ReadHalf, WriteHalf};
pub use self::idle::{IdleTimeout, Watch};
pub use self::throttle::{Rate, Throttle};
pub use self::traffic::{Form, TrafficLog};
