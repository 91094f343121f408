//! Streams: where a connection leads to, and all that belongs to it, lives in a policy beside the program.
//!
//! ```text
//!     the program          asks for a stream by its name
//!         │
//!     policy               a JSON text, or values that a program puts together
//!         │
//!     endpoint             route, layers of TLS, trust: made ready for one attempt
//! ```
//!
//! Where a stream leads to, over which proxies and layers, whom it trusts, which protocol is spoken, and how often it is tried
//! again, stands in a [`Policy`](policy::Policy) and can be changed without the program. The keys are those of the Secure Streams
//! of libwebsockets, and more; `docs/policy-keys.md` lists them all.
//!
//! [`Destinations`](policy::Destinations) makes a [`Connector`](crate::endpoint::Connector) of a stream, with all that the policy
//! says of the way, the layers and the trust. What it says of delays, queues and messages is there as values, for who speaks the
//! protocol and tries again: the program.
//!
//! `policy` knows no connection until it is asked for an endpoint, and nothing below it knows JSON.

pub mod policy;
