//! What CONNECT of both versions of HTTP has in common.
//!
//! | file | idea |
//! |---|---|
//! | `scanner.rs` | the small pieces that fields are made of: tokens, quoted strings |
//! | `challenge.rs`, `basic.rs` | what a proxy challenges with (RFC 9110, section 11), and the answer that we have (RFC 7617) |
//! | `proxy_status.rs` | who has refused and why (RFC 9209) |
//! | `fields.rs` | what an application adds to its request |
//! | `refused.rs`, `refusing.rs` | what a client makes of an answer that is no tunnel, and what a server answers then |

pub(crate) mod basic;
mod challenge;
pub(crate) mod fields;
mod proxy_status;
pub(crate) mod refused;
pub(crate) mod refusing;
mod scanner;

pub use self::challenge::{Challenge, Challenges};
pub use self::proxy_status::ProxyStatus;

/// A name in lower case, and the value as it came.
pub(crate) type Field = (String, Vec<u8>);

/// All fields of this name, which is in lower case.
pub(crate) fn all<'a>(fields: &'a [Field], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
}
