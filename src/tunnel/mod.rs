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
//! | `authority.rs` | how HTTP writes a target |
//! | `answer.rs`, `error.rs` | what a client has got from its proxy: a tunnel and what was said of it, or none |
//! | `request.rs`, `refusal.rs` | what a server is asked, and what it refuses with: one reason in three languages |
//! | `credentials.rs` | a user and a password, which nothing shows |

mod answer;
pub(crate) mod authority;
mod credentials;
mod error;
pub mod http1;
#[cfg(feature = "http2")]
pub mod http2;
mod refusal;
mod request;
pub mod socks;

use std::fmt;

pub use self::answer::Answer;
pub use self::credentials::{Credentials, CredentialsError};
pub use self::error::{Ender, Error, ErrorKind};
pub use self::refusal::{Reason, Refusal};
pub use self::request::{Grant, Question, Request};

/// How a proxy is asked for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TunnelProtocol {
    /// CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6).
    Http1,
    /// CONNECT of HTTP/2 (RFC 9113, section 8.5).
    Http2,
    /// SOCKS5 (RFC 1928).
    Socks5,
    /// SOCKS4a, which has the proxy resolve the name.
    Socks4a,
}

impl TunnelProtocol {
    /// As it stands in errors, logs and drawings: `http1`, `http2`, `socks5`, `socks4a`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Socks5 => "socks5",
            Self::Socks4a => "socks4a",
        }
    }
}

impl fmt::Display for TunnelProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
