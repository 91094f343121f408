//! FTP: AUTH TLS (RFC 4217), and the security commands that follow it (RFC 2228).
//!
//! ```text
//! S: 220 ready
//! C: AUTH TLS
//! S: 234 begin
//!    ─── TLS ───                   Ftp
//! C: PBSZ 0                        protect, Protection
//! S: 200 PBSZ=0
//! C: PROT P                        data connections have TLS of their own
//! S: 200 fine
//! C: USER ... PASS ...
//! C: CCC                           clear_control, Protection
//! S: 200 in clear from here
//!    ─── TLS stops ───
//! C: EPSV                          for a firewall to read
//! S: 229 (|||40001|)               Passive
//! C: AUTH TLS                      from the beginning, if you like
//! ```
//!
//! [`Ftp`] is the start. What comes after it on the control connection is, for a server, [`Protection`]: a machine that
//! says what to answer and what to do. A client that is async code calls [`protect`] and [`clear_control`].
//!
//! # A client sends AUTH TLS without asking first
//!
//! FEAT tells what a server can do, but a server without FEAT may have TLS, and whoever can take AUTH out of the answer
//! to FEAT can forge a refusal of AUTH TLS as well. So the answer to AUTH TLS is the only one that counts, and everything
//! but 234 is an error.
//!
//! # Clearing the control connection
//!
//! Peers differ in who stops TLS first after CCC, and some never send a close_notify. The server's [`Stop`] of
//! [`Protection`] goes along with all of them. What stands behind the close_notify, or in place of it, is in clear: nobody
//! vouches for it, not even for the first byte. A command that a client sent through TLS behind CCC is carried out, and
//! answered in clear.
//!
//! # Data connections
//!
//! With PROT P each is a TLS session of its own, in which the FTP client is the TLS client, whoever connected. Some servers
//! (ProFTPD, unless it is told otherwise) take it only if it resumes the session of the control connection, which proves
//! that it is the same client: use the same [`TlsClient`](crate::tls::TlsClient) and the same name for both, and read each
//! to its end, as that is where the ticket for the next one may be. The address is where the control connection goes,
//! whatever the server says: see [`Passive`].
//!
//! [`Stop`]: crate::stack::Stop

mod control;
mod data;
mod error;
mod negotiation;
mod protection;
mod reply;

pub use self::control::{clear_control, command, protect, read_reply};
pub use self::data::{Passive, active_address};
pub use self::error::{Error, ErrorKind};
pub use self::negotiation::Ftp;
pub use self::protection::{Change, Level, Protection, ProtectionReply};
pub use self::reply::Reply;
