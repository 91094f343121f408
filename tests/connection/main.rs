//! `Connection`: TLS that starts, nests and stops over sockets, in async code.
//!
//! Most tests run over a wire in memory, on an executor of their own that notices when nobody makes progress any more,
//! so a lost waker is a failed test and not a test that hangs. What only real sockets can show is in `sockets.rs`.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

#[path = "../common/mod.rs"]
#[allow(clippy::needless_pass_by_value, reason = "shared with other test binaries, which are as they are")]
mod common;
mod executor;
mod peers;

mod auto_traits;
mod bridge;
mod cancel;
mod classes;
mod deadlines;
mod errors;
mod faults;
mod ftp;
mod halves;
mod leave;
mod lines;
mod open;
mod oracle;
mod sockets;
mod start;
mod starttls;
mod stop;
#[cfg(feature = "tokio")]
mod tokio_traits;
mod truncation;
mod tunnel;
mod vectored;
#[cfg(unix)]
mod zero_copy;
