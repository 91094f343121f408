//! TLS that starts, nests and stops on a live connection.
//!
//! ```text
//!    application    your code: read / write / start_tls / stop_tls, or a Protocol with its callbacks
//!    ────────────────────────────────────────────────────────────── tail
//!         ▲ │
//!         │ ▼   boundary: bytes going up, bytes going down
//!      [ tls #2  client "inner.example" ]   start_tls splices the next layer in HERE, above this one
//!         ▲ │
//!         │ ▼   boundary
//!      [ tls #1  client "outer.example" ]
//!         ▲ │
//!         │ ▼   boundary
//!    ────────────────────────────────────────────────────────────── head
//!    wire           one socket: TCP, Unix, or any AsyncRead + AsyncWrite
//! ```
//!
//! # The one rule
//!
//! Take exactly what you have parsed. A reader with a buffer of its own, put on a [`Connection`] before a layer starts
//! or stops, holds bytes that no layer can get back. A `Connection` is itself a buffered reader, so none is needed.
//!
//! # The map
//!
//! | module | what lives there | what it may use |
//! |---|---|---|
//! | [`stack`] | the list of layers, the boundaries between them, the work loop: no I/O, no clock, no TLS | nothing of ours |
//! | [`layer`] | what can be put into a stack: [`tls`], compression, the PROXY header, and layers that count, log, slow down or time out | `stack` |
//! | [`runtime`] | sockets, timers and tasks of async-std, smol and tokio | nothing of ours |
//! | [`connection`] | a stack over a socket, for async code | `stack`, `layer`, `runtime` |
//! | [`protocol`] | the callback side: protocols, receivers, flow control, factories | `connection` and what that uses |
//! | [`starttls`] | how each application protocol asks for TLS, client and server | `protocol`, `connection` and what those use |
//! | [`tunnel`] | SOCKS and CONNECT, client and server: somebody else is asked to reach the target | `protocol`, `connection` and what those use |
//! | [`route`] | what lies between a socket and the target: the legs of a route, and whom TLS verifies | `starttls`, `tunnel`, `connection` and what those use |
//! | [`endpoint`] | strings that name where to connect or listen, and with which layers | all of these |
//! | [`peer`] | what a failure means for whoever has to go on: its class, and whether to try again | `endpoint` and what that uses |
//! | [`pool`] | connections that are used again, with all their layers | `peer`, `endpoint` and what those use |
//! | `http` | HTTP at the far end: a client of hyper over any connection | `connection` and what that uses |
//! | `streams` | connections that live in a policy: what it says, what is spoken, and how often it is tried again | `http`, `pool`, `peer`, `endpoint` and what those use |
//! | [`proxy`] | whom the clients of a proxy may reach, and how they are reached | `endpoint` and what that uses |
//! | [`testing`] | peers, wires and clocks for tests | all of these |
//! | [`printable`] | what a peer has said, escaped so that it can be shown | nothing, and all of these show by it |
//!
//! `docs/glossary.md` has the terms of this crate beside those of the field, and `docs/design.md` the words for ending (half-close,
//! graceful close, abort and the others) side by side.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `async-std` (default), `smol`, `tokio` | a runtime; with none, [`Connection::with_timer`] takes your own clock, with several see [`runtime::preferred`] |
//! | `aws-lc-rs` (default), `ring` | a provider of cryptography; with none, install or pass one, with both see [`tls::default_provider`] |
//! | `system-roots` (default), `webpki-roots` | trust anchors: those of the operating system, those that are compiled in |
//! | `deflate` | compression, the layer [`Deflate`](layer::Deflate) |
//! | `http` | HTTP at the far end: a client of hyper over any connection |
//! | `http2` | many tunnels over one connection: CONNECT of HTTP/2, both sides |
//! | `xmpp` | STARTTLS of XMPP |
//! | `x509` | what a certificate says of itself: `tls::CertificateFacts` |
//! | `serde` | the facts of a layer for programs: `Serialize` of [`tls::TlsFacts`] |
//! | `streams` | connections that live in a policy: `onionskin::streams` |
//! | `testing` | the test kit [`testing`], for a dev-dependency |
//! | `cli` | the command `onion`, and what only it needs |
//!
//! A runtime brings sockets and timers; the futures may be polled by any executor. Under tokio, the features
//! `tokio`, `aws-lc-rs` and `system-roots` without the default ones leave async-std out, and nothing else. `tokio` also gives a
//! [`Connection`] tokio's own I/O traits.

pub mod connection;
mod driver;
pub mod endpoint;
#[cfg(feature = "http")]
pub mod http;
pub mod layer;
pub mod peer;
pub mod pool;
pub mod printable;
pub mod protocol;
pub mod proxy;
pub mod route;
pub mod runtime;
pub mod stack;
pub mod starttls;
#[cfg(feature = "streams")]
pub mod streams;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tunnel;

pub use connection::Connection;
pub use endpoint::{connect, connect_with, listen, listen_with};
pub use layer::tls;
pub use rustls;

/// The programs in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The programs in the guide, run.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

/// The programs on the page of STARTTLS, run.
#[cfg(doctest)]
#[doc = include_str!("../docs/starttls.md")]
struct StartTls;

/// The programs on the page of tunnels, run.
#[cfg(doctest)]
#[doc = include_str!("../docs/tunnels.md")]
struct Tunnels;

/// The programs for those who come from Twisted, run.
#[cfg(doctest)]
#[doc = include_str!("../docs/from-twisted.md")]
struct FromTwisted;

/// The programs on the page of certificates, run.
#[cfg(doctest)]
#[doc = include_str!("../docs/certificates.md")]
struct Certificates;

/// The programs on the page of peers, run.
#[cfg(doctest)]
#[doc = include_str!("../docs/peers.md")]
struct Peers;

/// The programs on the page of streams, run.
#[cfg(all(doctest, feature = "streams"))]
#[doc = include_str!("../docs/streams.md")]
struct Streams;
