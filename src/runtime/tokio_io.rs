//! tokio's I/O traits, which need no runtime, under a name for the rest of the crate: a connection has them, and h2 asks for them.

#[cfg(feature = "tokio")]
pub(crate) use tokio::io::AsyncBufRead;
pub(crate) use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
