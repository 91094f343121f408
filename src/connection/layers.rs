//! The layers of a connection, as a value to look at and to print.

use std::fmt;

use crate::stack::{Described, LayerId, Stack};
use crate::tls::{TlsFacts, TlsLayer};

/// The layers of a connection at one moment, from the wire inwards.
///
/// Shown as one line: `tcp 127.0.0.1:25 ─ tls1.3 AES_256_GCM client "a" ─ tls1.3 AES_256_GCM client "b"`.
#[derive(Clone, Debug)]
pub struct Layers {
    wire: String,
    layers: Vec<LayerView>,
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
    /// What is known of it, if it is TLS.
    pub tls: Option<TlsFacts>,
}

impl Layers {
    pub(crate) fn of(wire: &str, stack: &Stack) -> Self {
        let view = |(id, layer)| LayerView::of(id, layer);
        Self { wire: wire.to_owned(), layers: stack.layers().map(view).collect() }
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
    pub(crate) fn of(id: LayerId, layer: &dyn crate::stack::Layer) -> Self {
        let any: &dyn std::any::Any = layer;
        let tls = any.downcast_ref::<TlsLayer>().map(|layer| layer.facts(id));
        Self { id, name: layer.name(), description: Described(layer).to_string(), tls }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wire)?;
        self.layers.iter().try_for_each(|layer| write!(f, " ─ {}", layer.description))
    }
}
