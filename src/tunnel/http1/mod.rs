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
//!
//! | file | idea |
//! |---|---|
//! | `client.rs` | asks, and tries again with a user and a password if it is challenged |
//! | `head.rs` | a request or an answer up to its empty line, within limits |
//! | `body.rs` | the end of an answer that is no tunnel |

mod body;
mod client;
mod head;

pub use self::client::Connect;
