//! TLS that starts, nests and stops on a live connection.

pub mod runtime;
