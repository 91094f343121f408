//! The layers of a connection, as a value to look at and to print.

use std::fmt;

use crate::stack::{Described, Facts, Layer, LayerId, Opens, Stack};
use crate::tls::{TlsFacts, TlsLayer};

/// The layers of a connection at one moment, from the wire inwards.
///
/// Shown as one line: `tcp 127.0.0.1:25 ─ tls1.3 AES_256_GCM client "a" ─ tls1.3 AES_256_GCM client "b"`. With `{:#}` it
/// is a drawing of at most 100 columns, without an end of line at its end:
///
/// ```text
/// application
///     │
/// [ tls #2 ]    client "b"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn h2  1 certificate
///     │         handshake 0.3 ms  bytes 36 in, 24 out
///     │
/// [ tls #1 ]    client "a"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  1 certificate
///     │         handshake 0.4 ms  bytes 3912 in, 1503 out
///     │         ▼ waiting: 128 bytes
/// wire          tcp 127.0.0.1:25
/// ```
///
/// Over a tunnel ([`Connection::into_socket`](super::Connection::into_socket)) the layers of what carries it stand below,
/// behind `over`; they are not among those that can be iterated, as they are not this connection's.
///
/// Proxies on the way ([`Connection::route`](super::Connection::route)) have a line each below the wire, the outermost first.
///
/// A layer says `handshaking` until it knows more, and `finished`, `stopping` or `failed` beside its id. What waits
/// between two layers on its way up (▲) and down (▼) shows where it does; when a connection is stuck, that is the place.
#[derive(Clone, Debug)]
pub struct Layers {
    line: String,
    drawing: String,
    layers: Vec<LayerView>,
}

/// What stands behind the layers of a connection whose socket is a connection too.
pub(super) fn below(chain: &str, drawing: bool) -> String {
    if !drawing {
        return format!(" over {chain}");
    }
    // The application of the one below is the wire of the one above.
    let chain = match chain.strip_prefix("application") {
        Some(rest) => format!("over{:7}{rest}", ""),
        None => chain.to_owned(),
    };
    format!("\n    │\n{}", chain.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// One layer of [`Layers`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerView {
    /// Its id.
    pub id: LayerId,
    /// Its name: `tls`.
    pub name: &'static str,
    /// One phrase for people.
    pub description: String,
    /// What the drawing shows beside it: [`Layer::details`].
    pub details: Vec<String>,
    /// What is known of it, if it is TLS; also before it is ready.
    pub tls: Option<TlsFacts>,
    facts: Option<Facts>,
}

impl Layers {
    pub(crate) fn of(stack: &Stack) -> Self {
        let view = |(id, layer)| LayerView::of(id, layer);
        Self { line: stack.to_string(), drawing: format!("{stack:#}"), layers: stack.layers().map(view).collect() }
    }

    /// The same with these lines for the proxies on the way.
    pub(super) fn through(mut self, hops: &str) -> Self {
        self.drawing += hops;
        self
    }

    /// The same over what the socket itself runs over, if that is a connection too.
    pub(super) fn over(mut self, chain: impl Fn(bool) -> Option<String>) -> Self {
        if let (Some(line), Some(drawing)) = (chain(false), chain(true)) {
            self.line += &below(&line, false);
            self.drawing += &below(&drawing, true);
        }
        self
    }

    /// From the wire inwards.
    pub fn iter(&self) -> std::slice::Iter<'_, LayerView> {
        self.layers.iter()
    }

    /// The TLS layers, from the wire inwards.
    pub fn tls(&self) -> impl DoubleEndedIterator<Item = &TlsFacts> {
        self.layers.iter().filter_map(|layer| layer.tls.as_ref())
    }

    /// The number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl<'a> IntoIterator for &'a Layers {
    type Item = &'a LayerView;
    type IntoIter = std::slice::Iter<'a, LayerView>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl LayerView {
    pub(crate) fn of(id: LayerId, layer: &dyn Layer) -> Self {
        let any: &dyn std::any::Any = layer;
        Self {
            id,
            name: layer.name(),
            description: Described(layer).to_string(),
            details: layer.details(),
            tls: any.downcast_ref::<TlsLayer>().map(|layer| layer.facts(id)),
            facts: layer.opened(id),
        }
    }

    /// What it has to say, if it is ready, and of this kind or of one that has the same facts.
    #[must_use]
    pub fn facts<L: Opens>(&self) -> Option<&L::Facts> {
        self.facts.as_ref()?.to::<L>()
    }

    /// Whether it is ready: for TLS, the handshake is done.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.facts.is_some()
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { &self.drawing } else { &self.line })
    }
}
