//! Tunnels: somebody else is asked to reach the target, and from then on passes on what comes.
//!
//! ```text
//!   we ───────────── the proxy ───────────── the target
//!        "to mail.example:993, please"
//!        "done"
//!      ════════════ from here on theirs to speak ══════════
//! ```
//!
//! Four languages have words for it: SOCKS5 (RFC 1928 and 1929), SOCKS4a, CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6) and that
//! of HTTP/2 (RFC 9113, section 8.5). In the first three the whole connection becomes the tunnel, so what is said before is a
//! negotiation ([`Opening`](crate::layer::opening::Opening)) that leaves the stack at the very byte behind its last one. In HTTP/2
//! a tunnel is a stream of a connection that carries many, and the wire of a stack of its own.
//!
//! Both sides are here, and none of them dials: who asks is connected to the proxy already, and who is asked tells its
//! application, which finds out whether the target can be reached and then grants or refuses.
//!
//! | file | idea |
//! |---|---|
//! | `socks/` | SOCKS5 and SOCKS4a, client and server |
//! | `http1/` | CONNECT of HTTP/1.1, client and server |
//! | `http2/` | HTTP/2 as a connection of many tunnels, client and server |
//! | `http/` | what both versions of HTTP have in common: challenges, who has refused and why |
//! | `accept.rs` | whoever connects to the port of a proxy, in whatever language |
//! | `authority.rs` | how HTTP writes a target |
//! | `error.rs` | why a client has got no tunnel; what was said of one that it has got is an [`Answer`], which [`Connection::route`](crate::Connection::route) lists |
//! | `request.rs`, `refusal.rs` | what a server is asked, and what it refuses with: one reason in three languages |
//! | `credentials.rs` | a user and a password, which nothing shows |

mod accept;
pub(crate) mod authority;
mod credentials;
mod error;
mod http;
pub mod http1;
#[cfg(feature = "http2")]
pub mod http2;
mod refusal;
mod request;
pub mod socks;

pub use self::accept::{Accepted, Acceptor, Pending};
pub use self::credentials::{Credentials, CredentialsError};
pub(crate) use self::error::Inside;
pub use self::error::{Ender, Error, ErrorKind};
pub use self::http::{Challenge, Challenges, ProxyStatus};
pub use self::refusal::{Reason, Refusal};
pub use self::request::{Grant, Question, Request};
pub use crate::connection::hop::{Answer, TunnelProtocol};
