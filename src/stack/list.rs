//! The doubly linked list of layers, kept in a slab.
//!
//! ```text
//!   wire ◄──► layer ◄──► layer ◄──► layer          (application)
//!   node 0    node 3     node 1     node 2 = innermost
//! ```
//!
//! Every node owns the boundary *above* it, so a list of n layers has n + 1 boundaries and the innermost one
//! is the application's. Links are slab indices. The slab gives an index out again after a peel; a [`LayerId`]
//! therefore carries a serial number too, which is never given out twice, and [`List::find`] compares both. That every
//! link is answered by one the other way is the invariant of this file.

use slab::Slab;

use super::patience::Clock;
use super::{Boundary, CommandErrorKind, Layer, LayerId};

#[derive(Debug)]
pub(crate) struct List {
    nodes: Slab<Node>,
    innermost: usize,
    next_serial: u64,
    /// How many layers are woken.
    awake: usize,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) layer: Box<dyn Layer>,
    pub(crate) above: Boundary,
    pub(crate) state: NodeState,
    /// While the layer waits for its peer; most do not, and so it takes no room in the list.
    pub(crate) clock: Option<Box<Clock>>,
    woken: bool,
    /// [`Ends::unit`](super::Ends::unit) of this layer.
    pub(crate) unit: usize,
    serial: u64,
    next_below: usize,
    next_above: Option<usize>,
}

/// How far a layer's life has come, as the stack sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    Live,
    Finished,
    Stopping,
    Failed,
}

impl List {
    pub(crate) fn new(limit: usize) -> Self {
        // For the wire and one layer, which is what most connections have.
        let mut nodes = Slab::with_capacity(2);
        let wire = Node {
            layer: Box::new(Wire),
            above: Boundary::new(limit),
            state: NodeState::Live,
            clock: None,
            woken: false,
            unit: usize::MAX,
            serial: 0,
            next_below: WIRE,
            next_above: None,
        };
        assert_eq!(nodes.insert(wire), WIRE);
        Self { nodes, innermost: WIRE, next_serial: 1, awake: 0 }
    }

    /// The number of layers.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    /// The index of the innermost layer, or [`WIRE`].
    pub(crate) fn innermost(&self) -> usize {
        self.innermost
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    pub(crate) fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        self.nodes.contains(index)
    }

    /// The index of the neighbour towards the wire; of the wire itself for the wire.
    pub(crate) fn below(&self, index: usize) -> usize {
        self.nodes[index].next_below
    }

    /// The index of the neighbour towards the application, if there is one.
    pub(crate) fn above(&self, index: usize) -> Option<usize> {
        self.nodes[index].next_above
    }

    /// Notes that this layer is to be called. The wire never is.
    pub(crate) fn wake(&mut self, index: usize) {
        if index != WIRE && !std::mem::replace(&mut self.nodes[index].woken, true) {
            self.awake += 1;
        }
    }

    /// Whether this layer is to be called, and no longer that it is.
    pub(crate) fn take_woken(&mut self, index: usize) -> bool {
        let woken = std::mem::take(&mut self.nodes[index].woken);
        self.awake -= usize::from(woken);
        woken
    }

    pub(crate) fn is_woken(&self, index: usize) -> bool {
        self.nodes[index].woken
    }

    /// Whether any layer is to be called.
    pub(crate) fn is_awake(&self) -> bool {
        self.awake > 0
    }

    /// A node and its neighbour below, to be changed together.
    pub(crate) fn with_below(&mut self, index: usize) -> (&mut Node, &mut Node) {
        let below = self.below(index);
        self.nodes.get2_mut(index, below).expect("a layer is linked to a neighbour that is not itself")
    }

    pub(crate) fn id(&self, index: usize) -> LayerId {
        LayerId { index, serial: self.nodes[index].serial }
    }

    pub(crate) fn find(&self, id: LayerId) -> Result<usize, CommandErrorKind> {
        match self.nodes.get(id.index) {
            Some(node) if node.serial == id.serial && id.index != WIRE => Ok(id.index),
            _ => Err(CommandErrorKind::NoSuchLayer(id)),
        }
    }

    /// `index`, and the layers above it, in sequence.
    pub(crate) fn upwards(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(index), |&index| self.above(index))
    }

    pub(crate) fn outer_to_inner(&self) -> impl Iterator<Item = usize> + '_ {
        self.upwards(WIRE).skip(1)
    }

    pub(crate) fn inner_to_outer(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(self.innermost), |&index| Some(self.below(index))).take_while(|&index| index != WIRE)
    }

    /// All boundaries, in no order.
    pub(crate) fn boundaries_mut(&mut self) -> impl Iterator<Item = &mut Boundary> {
        self.nodes.iter_mut().map(|(_, node)| &mut node.above)
    }

    /// Links a layer in next to the application, with a boundary of this limit above it.
    pub(crate) fn splice(&mut self, layer: Box<dyn Layer>, limit: usize) -> usize {
        self.link(layer, limit, self.innermost, None)
    }

    /// Links a layer in below another one. The boundary that was between that one and its neighbour below is now between
    /// the new layer and that neighbour.
    pub(crate) fn insert_below(&mut self, index: usize, layer: Box<dyn Layer>, limit: usize) -> usize {
        self.link(layer, limit, self.below(index), Some(index))
    }

    fn link(&mut self, layer: Box<dyn Layer>, limit: usize, next_below: usize, next_above: Option<usize>) -> usize {
        let serial = self.next_serial;
        self.next_serial += 1;
        let index = self.nodes.insert(Node {
            layer,
            above: Boundary::new(limit),
            state: NodeState::Live,
            clock: None,
            woken: false,
            unit: usize::MAX,
            serial,
            next_below,
            next_above,
        });
        self.wake(index);
        self.nodes[next_below].next_above = Some(index);
        match next_above {
            Some(above) => self.nodes[above].next_below = index,
            None => self.innermost = index,
        }
        index
    }

    /// Unlinks a layer and joins the two boundaries it stood between.
    pub(crate) fn peel(&mut self, index: usize) -> Box<dyn Layer> {
        assert_ne!(index, WIRE, "the wire is no layer");
        self.take_woken(index);
        let mut node = self.nodes.remove(index);
        match node.next_above {
            Some(above) => self.nodes[above].next_below = node.next_below,
            None => self.innermost = node.next_below,
        }
        let below = &mut self.nodes[node.next_below];
        below.next_above = node.next_above;
        below.above.join(&mut node.above);
        node.layer
    }
}

/// The head sentinel. It is never called: the stack itself moves the bytes of its boundary.
#[derive(Debug)]
struct Wire;

impl Layer for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }
}

/// The index of the head sentinel.
pub(crate) const WIRE: usize = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn splice(list: &mut List) -> usize {
        list.splice(Box::new(Wire), 8)
    }

    #[test]
    fn layers_are_listed_in_both_directions() {
        let mut list = List::new(8);
        let (a, b, c) = (splice(&mut list), splice(&mut list), splice(&mut list));
        assert_eq!(list.outer_to_inner().collect::<Vec<_>>(), [a, b, c]);
        assert_eq!(list.inner_to_outer().collect::<Vec<_>>(), [c, b, a]);
        list.peel(b);
        assert_eq!(list.outer_to_inner().collect::<Vec<_>>(), [a, c]);
        assert_eq!(list.inner_to_outer().collect::<Vec<_>>(), [c, a]);
        list.peel(c);
        assert_eq!(list.innermost(), a);
        list.peel(a);
        assert_eq!((list.innermost(), list.len()), (WIRE, 0));
    }

    #[test]
    fn a_layer_can_be_linked_in_below_another_one() {
        let mut list = List::new(8);
        let (a, b) = (splice(&mut list), splice(&mut list));
        let between = list.insert_below(b, Box::new(Wire), 8);
        let outermost = list.insert_below(a, Box::new(Wire), 8);
        assert_eq!(list.outer_to_inner().collect::<Vec<_>>(), [outermost, a, between, b]);
        assert_eq!(list.inner_to_outer().collect::<Vec<_>>(), [b, between, a, outermost]);
        assert_eq!(list.innermost(), b);
    }

    #[test]
    fn a_stale_id_never_names_the_layer_that_took_its_place() {
        let mut list = List::new(8);
        let first = splice(&mut list);
        let stale = list.id(first);
        list.peel(first);
        let second = splice(&mut list);
        assert_eq!(first, second, "the slab is expected to give the index out again");
        assert!(matches!(list.find(stale), Err(CommandErrorKind::NoSuchLayer(id)) if id == stale));
        let live = list.id(second);
        assert_eq!(list.find(live).ok(), Some(second));
        assert_ne!(stale, live);
    }

    #[test]
    fn the_wire_has_no_id_that_can_be_used() {
        let list = List::new(8);
        assert!(list.find(list.id(WIRE)).is_err());
    }
}
