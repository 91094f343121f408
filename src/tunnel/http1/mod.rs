//! CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6; RFC 9112), client and server.
//!
//! ```text
//! C: CONNECT mail.example:993 HTTP/1.1        S: HTTP/1.1 200 Connection Established
//!    Host: mail.example:993                      Proxy-Status: onionskin
//!
//!    ═══════════ from the byte behind the empty line on, both ways, the tunnel ═══════════
//! ```
//!
//! Both are negotiations ([`Opening`](crate::layer::opening::Opening)) that leave at that byte. The client sends nothing of the
//! tunnel before the answer is there: a proxy that refuses would take it for another request (RFC 9112, section 11.2). Nor
//! does the server read on behind a request that it has refused, and says so by closing.
//!
//! | file | idea |
//! |---|---|
//! | `client.rs` | asks, and tries again with a user and a password if it is challenged |
//! | `server.rs` | is asked |
//! | `head.rs` | a request or an answer up to its empty line, within limits |
//! | `body.rs` | the end of an answer that is no tunnel |

mod body;
mod client;
mod head;
mod server;

pub use self::client::Connect;
pub use self::server::ConnectServer;
