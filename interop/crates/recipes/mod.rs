//! To be copied into a program.
//!
//! They belong to nobody's library: each implements a trait of one crate for a connection, and which version of that crate
//! is for the program to say.

pub(crate) mod postgres_tls;
pub(crate) mod tonic_io;
