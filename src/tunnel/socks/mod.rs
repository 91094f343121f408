//! SOCKS5 (RFC 1928, RFC 1929) and SOCKS4a, client and server.
//!
//! ```text
//!   SOCKS5      C: 05 methods               SOCKS4a     C: 04 01 port 0.0.0.1 user 00 name 00
//!               S: 05 method                            S: 00 code port address
//!               C: 01 user password     if the method is 2
//!               S: 01 status                            ══════ the tunnel ══════
//!               C: 05 01 00 target
//!               S: 05 reply 00 address
//!               ══════ the tunnel ══════
//! ```
//!
//! Each side is a [`Negotiation`](crate::layer::opening::Negotiation). The messages have no line ends and say their own
//! length piece by piece, so they are taken piece by piece, and never a byte more: in a tenth of all connections through
//! `ssh -D` the first words of the target come in one segment with the reply. A message is one write, and none is sent before
//! the answer to the one before it has come: some servers lose what they get too early.
//!
//! # What is left out
//!
//! Streams only: BIND and UDP ASSOCIATE are refused by the server, and there is no client for them. GSSAPI (RFC 1961), which
//! RFC 1928 wants everybody to have, is neither offered nor taken, as in nearly every other implementation. SOCKS4 without a
//! name is what a SOCKS4a client says of an IPv4 address.
//!
//! | file | idea |
//! |---|---|
//! | `client.rs` | SOCKS5, who asks |
//! | `client4.rs` | SOCKS4a, who asks |
//! | `server.rs` | both, who is asked |
//! | `server4.rs` | what a client of SOCKS4a asks, and how it is answered |
//! | `address.rs` | a host and a port, as SOCKS5 writes them, and which can be asked for |
//! | `reply.rs` | what the codes of a refusal mean, and what is no SOCKS at all |

mod address;
mod client;
mod client4;
mod reply;
mod server;
mod server4;

pub use self::client::{Offer, Socks5};
pub use self::client4::Socks4a;
pub use self::server::SocksServer;
