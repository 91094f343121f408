//! HTTP/2 as a connection of many tunnels (RFC 9113, section 8.5), client and server.
//!
//! | file | idea |
//! |---|---|
//! | `port.rs` | h2 over byte queues: no socket, no runtime |

#[allow(dead_code, reason = "both sides are built on it next")]
mod port;
