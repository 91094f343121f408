//! Why a connection was lost.
//!
//! A connection may run over another one: in a tunnel, or over a [`Connection`](crate::Connection) in the place of a socket.
//! What is lost below is lost above too, and a reason keeps the whole way: the first cause, which stack had it, and what it
//! did to the layers of each stack above.
//!
//! ```text
//!   Reason  "tunnel 2"        layer #1 (tls): ...      layer #2 (tls): ...
//!     │ below
//!     ▼
//!   Reason  "tcp proxy:443"   layer #1 (tls): the stream below ended without a close_notify      the first cause
//! ```
//!
//! So who asks what it was (a truncation, a certificate, a reset) is answered from the bottom, whatever stands above it; and
//! the text names the stack of each layer, because every stack has a layer #1.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::{LayerError, LayerId, with_chain};
use crate::printable::Printable;

/// Why a connection was lost: one first cause, and what it did to each layer.
///
/// Over a connection that runs over another one, the first cause may be below: [`below`](Self::below) is the reason there.
/// The questions are answered by the first cause, wherever it was.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Reason(Arc<Cause>);

#[derive(Clone)]
struct Cause {
    first: FirstCause,
    extent: Extent,
    layers: Vec<LayerLoss>,
    /// How the wire of the stack is called, if it has a name.
    wire: Option<Arc<str>>,
}

#[derive(Clone)]
enum FirstCause {
    Layer,
    Wire(Arc<io::Error>),
    Aborted,
    /// The connection that the wire runs over is lost.
    Below(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Both directions.
    Both,
    /// The peer's; what we write still leaves.
    Inbound,
}

/// What the loss of the connection meant to one layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerLoss {
    /// The layer.
    pub layer: LayerId,
    /// Its [`name`](super::Layer::name) or fuller description.
    pub description: String,
    /// What went wrong for it.
    pub error: LayerError,
}

impl Reason {
    pub(crate) fn layer(loss: LayerLoss) -> Self {
        Self::new(FirstCause::Layer, vec![loss])
    }

    pub(crate) fn wire(error: io::Error) -> Self {
        Self::new(FirstCause::Wire(Arc::new(error)), Vec::new())
    }

    pub(crate) fn aborted() -> Self {
        Self::new(FirstCause::Aborted, Vec::new())
    }

    /// Of a stack whose wire runs over a connection that is lost.
    pub(super) fn over(below: Self) -> Self {
        Self::new(FirstCause::Below(below), Vec::new())
    }

    fn new(first: FirstCause, layers: Vec<LayerLoss>) -> Self {
        Self(Arc::new(Cause { first, extent: Extent::Both, layers, wire: None }))
    }

    /// In a stack whose wire is called so.
    pub(super) fn on(mut self, wire: Option<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.0).wire = wire;
        self
    }

    pub(super) fn of_inbound_only(mut self) -> Self {
        Arc::make_mut(&mut self.0).extent = Extent::Inbound;
        self
    }

    pub(super) fn of_both_directions(mut self) -> Self {
        Arc::make_mut(&mut self.0).extent = Extent::Both;
        self
    }

    /// This loss, and what another one of the same stack meant to its layers.
    pub(super) fn and(mut self, other: &Self) -> Self {
        Arc::make_mut(&mut self.0).layers.extend_from_slice(other.layers());
        self
    }

    /// Whether this layer is among those that failed.
    pub(super) fn names(&self, layer: LayerId) -> bool {
        self.layers().iter().any(|loss| loss.layer == layer)
    }

    /// The layers that failed, from the first cause inwards. Those of the stack that was lost, and not of one
    /// [`below`](Self::below).
    #[must_use]
    pub fn layers(&self) -> &[LayerLoss] {
        &self.0.layers
    }

    /// Why the connection is lost that this one runs over, if that was the first cause.
    #[must_use]
    pub fn below(&self) -> Option<&Self> {
        match &self.0.first {
            FirstCause::Below(below) => Some(below),
            _ => None,
        }
    }

    /// The reason at the bottom, of the connection that was lost first: this one, if nothing was lost below it.
    #[must_use]
    pub fn first(&self) -> &Self {
        std::iter::successors(Some(self), |reason| reason.below()).last().unwrap_or(self)
    }

    /// How the wire of the stack is called, if it was named ([`Stack::name_wire`](super::Stack::name_wire)).
    #[must_use]
    pub fn wire_name(&self) -> Option<&str> {
        self.0.wire.as_deref()
    }

    /// Whether only what the peer sends was cut off: what we write still leaves ([`Stack::truncated`](super::Stack::truncated)).
    #[must_use]
    pub fn is_inbound_only(&self) -> bool {
        self.0.extent == Extent::Inbound
    }

    /// The error of the layer that failed first, if it was a layer; that may be one of a connection below.
    #[must_use]
    pub fn layer_error(&self) -> Option<&LayerError> {
        let first = &self.first().0;
        match first.first {
            FirstCause::Layer => first.layers.first().map(|loss| &loss.error),
            _ => None,
        }
    }

    /// The error of the socket, if that came first; it may be the one below a connection that this one runs over.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.first().0.first {
            FirstCause::Wire(error) => Some(error),
            _ => None,
        }
    }

    /// Whether we aborted the connection ourselves, or the one below.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self.first().0.first, FirstCause::Aborted)
    }

    /// Whether the first cause is that the peer does not speak a layer's protocol.
    #[must_use]
    pub fn is_not_spoken(&self) -> bool {
        self.is_layer(LayerError::is_not_spoken)
    }

    /// Whether the first cause is that the peer's certificate was not accepted.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        self.is_layer(LayerError::is_certificate)
    }

    /// Whether the first cause is that the peer refused us.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_layer(LayerError::is_refused)
    }

    /// Whether the first cause is that the peer refused the certificate that we have shown as its client, or our having none.
    #[must_use]
    pub fn is_client_certificate(&self) -> bool {
        self.is_layer(LayerError::is_client_certificate)
    }

    /// Whether the first cause is that the stream below a layer ended before the layer did.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_layer(LayerError::is_truncated)
    }

    /// Whether the first cause is that a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.is_layer(LayerError::is_timeout)
    }

    fn is_layer(&self, question: impl Fn(&LayerError) -> bool) -> bool {
        self.layer_error().is_some_and(question)
    }

    /// What is to be said of this stack alone.
    fn own_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "; ";
        match &self.0.first {
            FirstCause::Wire(error) => write!(f, "the socket failed: {}", Printable::new(&error.to_string()))?,
            FirstCause::Aborted => f.write_str("the connection was aborted")?,
            FirstCause::Layer | FirstCause::Below(_) => separator = "",
        }
        for loss in self.layers() {
            write!(f, "{separator}{loss}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    /// The first cause, and then what it did to each layer. Where connections run over each other, all of them are named,
    /// from the first cause inwards.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain: Vec<&Self> = std::iter::successors(Some(self), |reason| reason.below()).collect();
        chain.reverse();
        let [first, above @ ..] = &chain[..] else { return Ok(()) };
        if above.is_empty() {
            return self.own_words(f);
        }
        write!(f, "{}: ", name_in(&chain, 0))?;
        first.own_words(f)?;
        for (reason, at) in above.iter().zip(1..) {
            write!(f, "; with it {}", name_in(&chain, at))?;
            if !reason.layers().is_empty() {
                f.write_str(": ")?;
                reason.own_words(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for Reason {
    /// What stands behind the first cause, which is in the text: [`layer_error`](Self::layer_error) and
    /// [`io_error`](Self::io_error) have it.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.io_error() {
            Some(error) => error.source(),
            None => self.layer_error()?.source(),
        }
    }
}

impl fmt::Display for LayerLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {} ({}): {}", self.layer, Printable::new(&self.description), self.error)
    }
}

/// What one of several connections is called, such that no other of them is: by its wire, or else by its place.
fn name_in(chain: &[&Reason], at: usize) -> String {
    let name = chain[at].wire_name();
    let is_its_own = chain.iter().filter(|reason| reason.wire_name() == name).count() == 1;
    match (name.filter(|_| is_its_own), chain.len() - 1 - at) {
        (Some(name), _) => Printable::new(name).to_string(),
        (None, 0) => "this connection".to_owned(),
        (None, 1) => "the connection below".to_owned(),
        (None, levels) => format!("the connection {levels} below"),
    }
}
