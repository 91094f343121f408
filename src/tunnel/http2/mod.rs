//! HTTP/2 as a connection of many tunnels (RFC 9113, section 8.5), client and server.
//!
//! ```text
//!    Connection     Connection     Connection        one for each tunnel, with layers of its own
//!        │              │              │
//!     Tunnel 1       Tunnel 3       Tunnel 5         the socket of each
//!        └──────────────┼──────────────┘
//!                    Shared                          who polls any of them drives all
//!                  ┌────┴─────┐
//!               Session   Connection                 frames and streams, without I/O; and what carries them
//! ```
//!
//! The frames are h2's: this crate speaks no HTTP/2 of its own. What h2 does not do right for tunnels is an error with its name:
//! see [`Tunnels::open`].
//!
//! | file | idea |
//! |---|---|
//! | `client.rs` | the side that asks for tunnels |
//! | `server/` | the side that is asked |
//! | `tunnel.rs`, `shared.rs` | one tunnel as a socket, and all of them over one connection |
//! | `session.rs`, `stream.rs`, `inbound.rs`, `ask.rs` | one connection of HTTP/2 without any I/O, its streams, what has come of one, and a question until it is answered |
//! | `settings.rs`, `fault.rs` | what can be set, and why something is over |
//! | `role.rs`, `port.rs` | h2 of either role, over byte queues without a runtime |
//! | `frames.rs` | what h2 keeps to itself, of what comes and of what it writes |

mod ask;
mod client;
mod fault;
mod frames;
mod inbound;
mod port;
mod role;
mod server;
mod session;
mod settings;
mod shared;
mod stream;
mod tunnel;

pub use self::client::{Connect, Tunnels};
pub use self::server::{PendingTunnel, PendingTunnels};
pub use self::settings::Settings;
