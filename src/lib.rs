//! TLS that starts, nests and stops on a live connection.

pub mod layer;
pub mod stack;
pub mod testing;

pub use layer::tls;
pub use rustls;
