//! HTTP at the far end: a client of [`hyper`] over any [`Connection`], whatever layers and proxies there are below.
//!
//! | file | idea |
//! |---|---|
//! | `client.rs` | HTTP/1.1 or HTTP/2, as ALPN has agreed |
//! | `io.rs` | the I/O traits of hyper over a connection |
//!
//! hyper has its own I/O traits and no runtime: what it wants to run in the background is given to the one of the connection.

mod client;
mod io;

pub use ::http;
pub use hyper;

#[cfg(feature = "streams")]
pub(crate) use self::client::{Background, drive};
pub use self::client::{Client, connection_error};
pub use self::io::HyperIo;
#[doc(no_inline)]
pub use crate::Connection;
