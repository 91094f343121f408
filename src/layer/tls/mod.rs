//! TLS as a layer: client and server, 1.2 and 1.3, started and stopped on a live connection.
//!
//! | file | idea |
//! |---|---|
//! | `client.rs`, `server.rs` | configurations, made once and shared, and layers made from them |
//! | `layer/` | the layer: what moves when, how it starts and stops |
//! | `handshake.rs`, `key_updates.rs`, `pace.rs` | what it keeps count of; its two halves are [`Halves`](super::Halves) |
//! | `engine.rs` | TLS without I/O: who does the records, before and after the handshake |
//! | `unbuffered.rs`, `driven.rs` | the connection of rustls, what rustls leaves to us, and how it is driven |
//! | `records.rs`, `keys.rs` | the records of TLS 1.3 once the handshake is done, and their keys |
//! | `exporter.rs`, `end_point.rs` | keys for others out of a handshake, and what its connection is called by |
//! | `overheard.rs` | the handshake of others, followed by who passes it on |
//! | `record.rs`, `alert.rs`, `agreed.rs`, `hello.rs`, `server_hello.rs` | what those have in common: a record, an alert, what was agreed, what a client asks for and a server says |
//! | `depths.rs` | what a client offers to resume, told apart by how deep its layer lies |
//! | `peer_identity.rs` | who a peer is, by its certificate |
//! | `facts_serde.rs` | the facts of a layer for programs |
//! | `facts.rs`, `failure.rs` | what can be said about a layer, and about its end |
//! | `certificate.rs` | what a certificate says of itself |
//! | `tickets.rs`, `ticket_keys.rs` | what a server gives its clients to resume with, and where that is good |
//! | `policy.rs`, `verify.rs`, `path.rs`, `pins.rs` | what is verified of a certificate, and how: names, a chain to a trust anchor, keys that are known |
//! | `aside.rs` | what rustls says aside, in the middle of a handshake |
//! | `common.rs`, `agreement.rs`, `config.rs`, `config_error.rs`, `fault.rs`, `revocation.rs`, `pin.rs` | what both sides need for that: trust, identity, a provider, what may be agreed on; and what is wrong with a certificate that is not accepted |
//! | `options.rs` | what can be chosen for each layer |
//! | `words.rs`, `pem.rs`, `x509.rs`, `algorithm.rs`, `der.rs`, `primitives.rs` | what an error, a file, a certificate or a key is, for people and for what rustls leaves |
//!
//! A line uses those below it, and no two files use each other.

mod agreed;
mod agreement;
mod alert;
mod algorithm;
mod aside;
#[cfg(feature = "x509")]
mod certificate;
mod client;
mod common;
mod config;
mod config_error;
mod depths;
mod der;
mod driven;
mod end_point;
mod engine;
mod exporter;
mod facts;
#[cfg(feature = "serde")]
mod facts_serde;
mod failure;
mod fault;
mod handshake;
mod hello;
mod key_updates;
mod keys;
mod layer;
mod options;
mod overheard;
mod pace;
mod path;
mod peer_identity;
mod pem;
mod pin;
mod pins;
mod policy;
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod primitives;
mod record;
mod records;
mod revocation;
mod server;
mod server_hello;
mod ticket_keys;
mod tickets;
mod unbuffered;
mod verify;
mod words;
mod x509;

pub use self::agreement::{Group, KeyShares, Suite, UnknownName};
#[cfg(feature = "x509")]
pub use self::certificate::{CertificateFacts, CertificateKey};
pub use self::client::{TlsClient, TlsClientBuilder};
pub use self::config::{Identity, Roots, Version, default_provider};
pub use self::config_error::{ConfigError, ConfigErrorKind};
pub use self::exporter::ChannelBinding;
pub use self::facts::{Role, TlsFacts, Traffic};
pub use self::fault::CertificateFault;
pub use self::layer::TlsLayer;
pub use self::options::{OnFailure, OnPeerClose};
pub(crate) use self::overheard::{Eavesdropper, Overheard};
pub use self::peer_identity::{PeerIdentity, SubjectName};
pub use self::pin::Pin;
pub use self::policy::{Names, Verify};
pub use self::revocation::RevocationLists;
pub use self::server::{TlsServer, TlsServerBuilder};
pub use self::ticket_keys::TicketKeys;
pub(crate) use self::words::alert as alert_meaning;
