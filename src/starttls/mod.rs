//! STARTTLS: how each application protocol asks for TLS on a connection that began without it.
//!
//! ```no_run
//! use onionskin::Connection;
//! use onionskin::starttls::Smtp;
//! use onionskin::tls::{Roots, TlsClient};
//!
//! # async fn example<IO>(mut conn: Connection<IO>) -> Result<(), Box<dyn std::error::Error>>
//! # where IO: futures::io::AsyncRead + futures::io::AsyncWrite + Unpin {
//! let client = TlsClient::new(Roots::system()?)?;
//! conn.start_tls_as(Smtp::new(), client.to("mail.example")?).await?;
//! conn.write_line("EHLO client.example").await?; // inside TLS, from the start
//! # Ok(())
//! # }
//! ```
//!
//! # TLS is required
//!
//! Whoever sits between two peers can take the word STARTTLS out of a greeting, answer with a refusal, answer before it is
//! asked, or claim that it is too late for TLS. All of these are errors here ([`Error`]), and the connection is lost before
//! anything that the application wrote was said on it: that waits in the stack until TLS is there. To go on without TLS
//! must be asked for by name, [`start_tls_opportunistic`](crate::Connection::start_tls_opportunistic), and the result says
//! what happened.
//!
//! # What was said before TLS is forgotten
//!
//! The greeting and the capabilities are read by the [`Machine`] alone, which is dropped when TLS begins. The
//! application starts anew inside TLS, as the RFCs demand (RFC 3207 section 4.2 and its like). Bytes that stand behind the
//! go-ahead go into TLS and fail there, and so does a command that was put behind the request: neither is ever seen as if it
//! had come through TLS. A ClientHello behind the request is just what TLS waits for.
//!
//! There are two exceptions. The server of [`Mysql`] does not say again inside TLS what a login is computed from, and what
//! [`Tds`] has agreed on before TLS holds in it.
//!
//! # TLS can end again
//!
//! [`stop_tls`](crate::Connection::stop_tls) ends it as on any connection, and the socket stays open. FTP has CCC for it
//! ([`ftp::clear_control`] for a client, [`ftp::Protection`] for a server); TDS drops TLS behind the login if both sides want
//! that ([`Tds::login_only`]). To start again where a server has greeted already: [`Smtp::greeted`] and its like.
//!
//! # What a peer can make it hold
//!
//! What it can in any negotiation ([`layer::opening`](crate::layer::opening)): a peer that talks and does not read is answered
//! once more at most, and its input waits below, where the limits of the stack hold. A command that must not come before TLS is
//! refused twenty times, and then the client is turned away ([`TurnedAway`](ErrorKind::TurnedAway)). All in all a peer may
//! say 64 KiB, and has thirty seconds. These limits are options of [`Negotiate`].
//!
//! # The picture
//!
//! ```text
//!   application          application             application
//!   ───────────          ───────────             ───────────
//!                        [ starttls ] becomes    [ tls ]
//!   ───────────          ───────────             ───────────
//!   wire                 wire                    wire
//! ```
//!
//! [`StartTls`] is a kind of protocol, and makes the two sides of its [`Machine`]: a small state machine that sees what was
//! received, takes what it has parsed, and says what to send. [`Negotiate`] is the layer that drives one, an
//! [`Opening`](crate::layer::opening::Opening): it gives nothing to the application, holds back what that writes, keeps a
//! deadline and a limit, and becomes the TLS layer at the very byte behind the go-ahead. So async code and callbacks, clients
//! and servers, run the same code, and a further protocol is a file with one type and two machines.

// | file | idea |
// |---|---|
// | `negotiate.rs` | the machines of a protocol as a layer |
// | `connection.rs`, `secured.rs` | STARTTLS in async code, and around a protocol of the callback side |
// | `imap.rs`, `pop3.rs`, `smtp.rs`, `lmtp.rs`, `nntp.rs`, `sieve.rs`, `irc.rs`, `ftp/`, `xmpp/`, `ldap.rs`, `postgres.rs`, `mysql/`, `tds/` | the protocols |
// | `known.rs` | all of them by name |
// | `preamble.rs`, `greeting.rs`, `reply.rs`, `own_name.rs`, `ber.rs` | what several of them have in common |
// | `error.rs` | why TLS was not started |

mod ber;
mod connection;
mod error;
pub mod ftp;
mod greeting;
mod imap;
mod irc;
mod known;
mod ldap;
mod lmtp;
mod mysql;
mod negotiate;
mod nntp;
mod own_name;
mod pop3;
mod postgres;
mod preamble;
mod reply;
mod secured;
mod sieve;
mod smtp;
mod tds;
#[cfg(feature = "xmpp")]
mod xmpp;

use std::fmt;

pub use self::connection::Opportunity;
pub use self::error::{Error, ErrorKind};
pub use self::ftp::Ftp;
pub use self::greeting::greeting;
pub use self::imap::Imap;
pub use self::irc::Irc;
pub(crate) use self::known::XMPP_IS_A_FEATURE;
pub use self::known::{KnownProtocol, UnknownProtocol};
pub use self::ldap::Ldap;
pub use self::lmtp::Lmtp;
pub use self::mysql::{Mysql, MysqlGreeting, MysqlSeen};
pub use self::negotiate::{Negotiate, Start, TlsWanted};
pub use self::nntp::Nntp;
pub use self::own_name::own_name;
pub use self::pop3::Pop3;
pub use self::postgres::Postgres;
pub use self::secured::Secured;
pub use self::sieve::Sieve;
pub use self::smtp::Smtp;
pub use self::tds::{Tds, TdsAgreed, TdsEncryption};
#[cfg(feature = "xmpp")]
pub use self::xmpp::Xmpp;
#[doc(no_inline)]
pub use crate::layer::opening::Exchange;
use crate::stack::Layer;

/// An application protocol that can start TLS.
///
/// A value says how to be one of its peers: by which name to greet, for instance. It makes a new [`Machine`] for each
/// start.
pub trait StartTls: fmt::Debug + Send + Sync {
    /// The name of the protocol, as it shows in errors, drawings and endpoint strings: `smtp`.
    fn name(&self) -> &'static str;

    /// Whether and when a server greets. Once, unless the protocol says otherwise.
    fn greets(&self) -> Greets {
        Greets::Once
    }

    /// The side that asks for TLS.
    fn client(&self) -> Box<dyn Machine>;

    /// The side that is asked.
    ///
    /// Until TLS is there it answers what a client must be able to say before, and refuses everything else.
    fn server(&self) -> Box<dyn Machine>;
}

impl<T: StartTls + ?Sized> StartTls for &T {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn greets(&self) -> Greets {
        (**self).greets()
    }

    fn client(&self) -> Box<dyn Machine> {
        (**self).client()
    }

    fn server(&self) -> Box<dyn Machine> {
        (**self).server()
    }
}

/// Whether the first word is the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greets {
    /// No: the client speaks first.
    Never,
    /// Yes, and inside TLS the first word is the client's.
    Once,
    /// Yes, and again inside TLS.
    Again,
}

/// One side of what is said before TLS, without any I/O.
///
/// # Contract
///
/// - [`advance`](Self::advance) does *one* thing: it takes one message from the [`Exchange`], if a whole one is there, sends
///   what is to be answered, and says how far it has come. It is called again until it says [`Progress::Waiting`], and then
///   when the [`line`](Exchange::line) or the [`message`](Exchange::message) is there for which it has asked; if it has
///   asked for neither, when more has come.
/// - The first call comes before anything was received. A side that speaks first does so then.
/// - It takes nothing behind the message that it has parsed. What stands there may be TLS.
/// - It keeps no bytes of its own but those of a message with several lines, and of these no more than it needs.
/// - When it fails, nothing of the message it failed at is taken, and what it has sent is still sent. Only the answer to
///   what it has asked itself, if that comes down to no TLS, is taken all the same: it is for nobody else, and whoever goes on
///   in clear would take it for an answer to a question of his own. So a client takes all of such an answer before it fails.
pub trait Machine: fmt::Debug + Send + Sync {
    /// Does the next thing.
    ///
    /// # Errors
    ///
    /// When the peer refuses, does not offer TLS, or breaks the rules.
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error>;

    /// What the peer is to send next, for errors and drawings: `the greeting`.
    fn awaits(&self) -> &'static str;

    /// The peer was refused as often as it may be: says so, where the protocol has words for it. The connection is lost
    /// behind them.
    fn turn_away(&mut self, _exchange: &mut Exchange<'_>) {}

    /// The application of a server does not want TLS now ([`Negotiate::asking`]), and the go-ahead was not sent: says so, and
    /// whether the client may go on and ask again. By default nothing is said and it may not: the connection is lost.
    fn decline(&mut self, _exchange: &mut Exchange<'_>) -> bool {
        false
    }

    /// Whether the client may begin TLS in place of asking for it, as things stand: under the name of which application
    /// protocol it must do so (ALPN), as the protocol of the port would not be told from others otherwise.
    fn direct_tls(&self) -> Option<&'static str> {
        None
    }

    /// A layer that belongs between TLS and what is below, if the protocol needs one. Asked once, at the go-ahead,
    /// and not if no TLS follows.
    fn layer_below_tls(&mut self) -> Option<Box<dyn Layer>> {
        None
    }
}

/// How far a [`Machine`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More input is needed.
    Waiting,
    /// Something was done; there may be more to do.
    Going,
    /// As [`Going`](Self::Going), and the server's greeting has just been taken, all of it.
    Greeted,
    /// As [`Going`](Self::Going), and the request for TLS has just been sent.
    Asked,
    /// TLS begins behind what was taken and sent.
    GoAhead,
}
