//! What a failure means for whoever has to go on: its [`Class`], and whether it is safe to try again.
//!
//! A connection can fail in many places: a name that nobody knows, a port where nobody listens, a proxy that refuses, a handshake
//! in one of several layers. Each of these places has an error type of its own, whose text says all there is to say. To *decide*,
//! a program needs less and needs it in one shape:
//!
//! ```text
//!   ConfigError  ParseError ──┐
//!   stack::Reason  LayerError ┤
//!   connection::Error ────────┤
//!   tunnel::Error  HopError ──┼──► class() ──► Class { kind, hop, layer } ──► retry()
//!   starttls::Error ──────────┤
//!   RouteError  OpenError ────┤
//!   protocol::EndReason ──────┘
//! ```
//!
//! A class is no error: it is what an error is about, and is made of the error when it is asked for. So there is no second
//! list of failures to keep in step, and nothing is lost on the way: whoever wants the details still has the error.
//!
//! ```
//! use onionskin::peer::{Advice, ClassKind};
//!
//! # fn decide(error: &onionskin::endpoint::OpenError) {
//! let class = error.class();
//! match class.kind() {
//!     ClassKind::ClientCertificateRefused { .. } => eprintln!("show another certificate"),
//!     ClassKind::Certificate(fault) => eprintln!("not to be trusted: {fault}"),
//!     _ if class.retry().advice != Advice::No => eprintln!("later perhaps: {error}"),
//!     _ => eprintln!("{error}"),
//! }
//! # }
//! ```

// | file | idea |
// |---|---|
// | `class.rs` | what a failure is about, and where |
// | `classify.rs` | from each error to its class |
// | `retry.rs` | whether it is safe to try again, and why |

mod class;
mod classify;
mod retry;

pub use self::class::{Class, ClassKind, ConnectFault, ResolveFault};
pub use self::retry::{Advice, Retry};
