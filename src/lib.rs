//! TLS that starts, nests and stops on a live connection.

pub mod connection;
pub mod endpoint;
pub mod layer;
pub mod runtime;
pub mod stack;
pub mod testing;

pub use connection::Connection;
pub use endpoint::{connect, listen};
pub use layer::tls;
pub use rustls;
