//! Streams: connections that live in a policy.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

mod destinations;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod http;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod http2;
mod keys;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod mqtt;
mod policies;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod raw;
mod rules;
mod texts;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod websocket;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod world;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod ws;
