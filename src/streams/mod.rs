//! Streams: the connection lives in a policy, and the program sends and receives.
//!
//! ```text
//!     the program          send, receive, events, by the name of a stream
//!         │
//!     states and retry     is there a connection, when is the next attempt, what is promised
//!         │
//!     protocol             raw, HTTP, WebSocket, MQTT: from messages to bytes and back
//!         │
//!     endpoint             route, layers of TLS, trust
//!         ▲
//!     policy               all of it as data: a JSON text, or values that a program puts together
//! ```
//!
//! Where a stream leads to, over which proxies and layers, whom it trusts, which protocol is spoken, and how often it is tried
//! again, stands in a [`Policy`](policy::Policy) and can be changed without the program. The keys are those of the Secure Streams
//! of libwebsockets, and more; `docs/policy-keys.md` lists them all.
//!
//! `policy` knows no connection until it is asked for an endpoint, and nothing below it knows JSON.

pub mod policy;
