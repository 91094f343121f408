//! TLS that starts, nests and stops on a live connection.

pub mod endpoint;
pub mod runtime;
