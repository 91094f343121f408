//! The callback side: a [`Protocol`] is told what happens on a connection, and acts through its [`Transport`].
//!
//! ```
//! use onionskin::protocol::{LineReceiver, Lines, Protocol, Result, Transport};
//! use onionskin::tls::TlsServer;
//!
//! struct Greeter {
//!     lines: Lines,
//!     tls: TlsServer,
//! }
//!
//! impl Protocol for Greeter {
//!     fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
//!         self.receive_lines(transport)
//!     }
//! }
//!
//! impl LineReceiver for Greeter {
//!     fn lines(&mut self) -> &mut Lines {
//!         &mut self.lines
//!     }
//!
//!     fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
//!         match line {
//!             b"STARTTLS" => {
//!                 self.send_line(transport, b"OK")?; // the last line outside
//!                 transport.start_tls(self.tls.accept()?)?; // what stands behind the line goes into TLS
//!             }
//!             b"STOPTLS" => {
//!                 self.send_line(transport, b"OK")?; // the last line inside
//!                 transport.stop_tls()?;
//!             }
//!             name => self.send_line(transport, &[b"hello, ", name].concat())?,
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! # Where the bytes are
//!
//! A protocol is the application end of a [`Stack`]: it reads from the stack's own boundary. [`Protocol::data_received`]
//! says that there is something to read, and the protocol takes just what it has parsed. So a `start_tls` takes effect at
//! the very byte behind the line that asked for it, and a receiver ([`LineReceiver`], [`StringReceiver`]) needs no buffer
//! of its own.
//!
//! # What is called when
//!
//! ```text
//! connection_made
//!    │   data_received · layer_asked · layer_ready · layer_ended · layer_stopped · layer_failed      in the order of the bytes
//!    │   writing_paused · writing_resumed · timed_out · stop_requested
//!    │   end_of_input · input_truncated
//! connection_ended     exactly once, and nothing after it
//! ```
//!
//! Callbacks do not nest: whatever a callback asks of its transport, the next one comes after it has returned. All of the
//! transport may be used in all of them. An error that a callback returns closes the connection, after what was written
//! has left, and is the reason given to [`Protocol::connection_ended`].
//!
//! # Drivers
//!
//! A [`Session`] ties a protocol to a stack without any I/O. [`run`] drives it over a [`Connection`](crate::Connection);
//! [`connect_with`](crate::connect_with) and [`listen_with`](crate::listen_with) do that for an endpoint, and
//! [`testing`](crate::testing) without a socket.

// | file | idea |
// |---|---|
// | `run.rs`, `session/` | a protocol over a connection: what happened is turned into callbacks |
// | `transport.rs`, `handle.rs`, `answer.rs` | the connection as callbacks, other tasks, and those who were asked see it |
// | `receiver/` | protocols that get whole messages |
// | `flow.rs`, `limit.rs`, `factory.rs` | who writes how much (backpressure), how many connections there may be, and a protocol for each |
// | `reason.rs`, `error.rs` | why a connection is over, and why a protocol gives up on it |

mod answer;
mod error;
mod factory;
mod flow;
mod handle;
mod limit;
mod reason;
mod receiver;
mod run;
mod session;
mod transport;

pub use self::answer::Answer;
pub use self::error::{Error, ErrorKind, Result};
pub use self::factory::Factory;
pub use self::flow::{Producer, ProducerError, Streaming};
pub use self::handle::{Handle, HandleError};
pub use self::limit::LimitConnections;
pub use self::reason::{EndReason, EndReasonKind};
pub use self::receiver::{LineReceiver, Lines, StringReceiver, Strings};
pub use self::run::{Finished, Running, run};
pub use self::session::Session;
pub use self::transport::Transport;
#[doc(no_inline)]
pub use crate::connection::{Addresses, LayerId, LayerView, Layers, PeerAnswer, Stop};
use crate::stack::LayerError;
#[cfg(doc)]
use crate::stack::Stack;

/// What is told about one connection.
///
/// Every method has a default, so a protocol implements what it cares about.
///
/// # Wrappers
///
/// A protocol that stands around another one implements [`wrapped`](Self::wrapped) and those methods in which it wants
/// to do something; all the others go to the protocol inside, by default. A wrapper that implements nothing else changes
/// nothing.
pub trait Protocol: Send + 'static {
    /// The protocol that this one stands around, if it does: the defaults of all methods call it.
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        None
    }

    /// The connection is there, with the layers of its endpoint ready. Called first, and once.
    ///
    /// # Errors
    ///
    /// An error, here as in all other methods, closes the connection, and is the reason for its loss.
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.wrapped().map_or(Ok(()), |inner| inner.connection_made(transport))
    }

    /// There is something to read: [`Transport::input`] shows it, and [`Transport::consume`] or [`Transport::take`]
    /// takes it.
    ///
    /// Take what is understood, and leave the rest: it stays first in line. This is called again at once if something
    /// was taken and there is more, and else when more has come. By default everything is dropped.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.wrapped() {
            Some(inner) => inner.data_received(transport),
            None => {
                transport.consume(transport.input().len());
                Ok(())
            }
        }
    }

    /// A layer is ready: for TLS, its handshake is done. Called before the first byte that came through the layer.
    ///
    /// `layer` shows the layer at this moment, with what it has to say ([`LayerView::facts`]). This comes once for each layer that
    /// was [opened](Transport::open), also for one that has left by then (a PROXY header), and for others that report it. One
    /// that [answers by itself](crate::tls::OnPeerClose::Peel) may be gone again, with its
    /// bytes and its end still to come.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.wrapped().map_or(Ok(()), |inner| inner.layer_ready(transport, layer))
    }

    /// A layer waits for an answer before it goes on: a server's negotiation that wants to know whether the client gets what it
    /// asks for. [`Transport::question`] has what that is; [`Transport::grant`] and [`Transport::refuse`] answer at once, and
    /// [`Transport::answer_later`] takes the answer to somebody who will know. Until then the peer waits, and what it sends is
    /// kept. By default nobody knows, and the layer says no ([`Transport::decline`]).
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn layer_asked(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        match self.wrapped() {
            Some(inner) => inner.layer_asked(transport, layer),
            None => Ok(transport.decline(layer.id)?),
        }
    }

    /// The peer has ended this layer, and everything that came through it has been read. Nothing more is read until
    /// [`Transport::stop`] answers, which peels the layer; by default the connection is closed instead.
    ///
    /// A layer that answers by itself ([`OnPeerClose::Peel`](crate::tls::OnPeerClose::Peel)) is reported too, and then
    /// [`layer_stopped`](Self::layer_stopped) follows; such a layer is the only one for which the default does not close
    /// the connection.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn layer_ended(&mut self, transport: &mut Transport<'_>, layer: LayerId) -> Result {
        if let Some(inner) = self.wrapped() {
            return inner.layer_ended(transport, layer);
        }
        if !transport.answers_by_itself(layer) {
            transport.close();
        }
        Ok(())
    }

    /// The layer is gone. What is read and written from now on belongs to the layer below it.
    ///
    /// Layers that leave by themselves, a PROXY header for one, show here with [`PeerAnswer::NotNeeded`].
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn layer_stopped(&mut self, transport: &mut Transport<'_>, layer: LayerId, answer: PeerAnswer) -> Result {
        self.wrapped().map_or(Ok(()), |inner| inner.layer_stopped(transport, layer, answer))
    }

    /// The layer failed and is gone, as its options asked ([`OnFailure::Peel`](crate::tls::OnFailure::Peel)); what was
    /// written through it was dropped. By default the connection is closed. Any other failure is a loss.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn layer_failed(&mut self, transport: &mut Transport<'_>, layer: LayerId, error: &LayerError) -> Result {
        match self.wrapped() {
            Some(inner) => inner.layer_failed(transport, layer, error),
            None => Err(error.clone().into()),
        }
    }

    /// The peer has closed its side of the connection, with all layers ended before it. What is written still leaves; by
    /// default the connection is closed.
    ///
    /// A message that the peer left unfinished is still in [`Transport::input`]; [`data_received`](Self::data_received) is
    /// not called for it any more.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn end_of_input(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.wrapped() {
            Some(inner) => inner.end_of_input(transport),
            None => {
                transport.close();
                Ok(())
            }
        }
    }

    /// What the peer sends was cut off, and all that came before has been offered: it ended the connection without a
    /// close_notify, or an outer layer below a live one. That proves nothing about what it had to say, but most TLS clients
    /// end so, and after their request they read on: what is written still leaves, and an answer that is not done can be
    /// finished. By default the connection is closed behind what was written, and behind the producer: one that goes on
    /// until the peer ends, such as the other side of a relay, has to be told here.
    ///
    /// However it is closed then, the reason for its loss is this one. A message that the peer left unfinished is still in
    /// [`Transport::input`]. A peer that is gone for good (a reset, a deadline) is told as a loss at once, without this.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn input_truncated(&mut self, transport: &mut Transport<'_>, reason: &crate::stack::Reason) -> Result {
        match self.wrapped() {
            Some(inner) => inner.input_truncated(transport, reason),
            None => {
                transport.close();
                Ok(())
            }
        }
    }

    /// More waits to be sent than the high water mark: whoever writes much should wait for
    /// [`writing_resumed`](Self::writing_resumed). See [`Transport::set_water_marks`].
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn writing_paused(&mut self, transport: &mut Transport<'_>) -> Result {
        self.wrapped().map_or(Ok(()), |inner| inner.writing_paused(transport))
    }

    /// What waits to be sent has sunk to the low water mark.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn writing_resumed(&mut self, transport: &mut Transport<'_>) -> Result {
        self.wrapped().map_or(Ok(()), |inner| inner.writing_resumed(transport))
    }

    /// The time that [`Transport::set_timeout`] gave is over. By default the connection is closed, with an error that
    /// says so.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn timed_out(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.wrapped() {
            Some(inner) => inner.timed_out(transport),
            None => Err(Error::new(ErrorKind::TimedOut, "the peer took too long")),
        }
    }

    /// The server is about to stop and waits for this connection to end. By default nothing happens: the connection
    /// ends when it ends, or when the patience of the server does.
    ///
    /// # Errors
    ///
    /// As [`connection_made`](Self::connection_made).
    fn stop_requested(&mut self, transport: &mut Transport<'_>) -> Result {
        self.wrapped().map_or(Ok(()), |inner| inner.stop_requested(transport))
    }

    /// The connection is over. Called last, and exactly once for each [`connection_made`](Self::connection_made), also
    /// when its driver is dropped, unless it is dropped by a panic.
    #[doc(alias = "connectionLost")]
    fn connection_ended(&mut self, reason: &EndReason) {
        if let Some(inner) = self.wrapped() {
            inner.connection_ended(reason);
        }
    }
}

impl Protocol for Box<dyn Protocol> {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut **self)
    }
}
