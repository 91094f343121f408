//! A tree of stacks: one connection that carries tunnels, and what stands on each of them.
//!
//! A connection knows what is below it, since it owns that. What carries tunnels does not own the connections over them: these
//! are the application's, and may be in any task. So each tunnel has a name plate, which both sides have. The connection over
//! the tunnel writes on it whenever its layers change, and never else; who draws reads it.
//!
//! ```text
//!     Connection ── writes ──▶ Plate ◀── has ── Trunk (many tunnels) ──▶ Connection
//!                                └────── of which it is a tunnel ──▶ ┘      └── writes ──▶ Plate of the one that carries it
//! ```
//!
//! Who draws climbs down to the trunk that nobody carries, and from there looks at one after the other. It holds one lock at a time,
//! so it may be asked for from anywhere but inside a trunk.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Connection;
use crate::runtime::{Address, Socket};
use crate::stack::{Entry, PIPE, Stack, drawn};

/// A connection that carries tunnels with all of them and all that they carry in turn, at one moment: see
/// [`Connection::tree`] and [`Tunnels::tree`](crate::tunnel::http2::Tunnels::tree).
///
/// Shown as one line it is the connection at the bottom of all: `tcp proxy.example:443 ─ tls1.3 AES_256_GCM client
/// "proxy.example" ─ http2 client, 3 of at most 100 tunnels`. With `{:#}` it is a drawing, without an end of line at its end:
///
/// ```text
///         [ tls #1 ]        tls1.3 AES_256_GCM client "mail.example"
///     ┌── [ http2#1 ]       tcp mail.example:993  open  bytes 3912 in, 1503 out
///     ├── [ http2#3 ]       tcp news.example:119  half-closed (local)  bytes 36 in, 24 out
///     │
/// [ http2 ]                 client  2 of at most 100 tunnels
///     │
/// [ tls #1 ]                client "proxy.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519  alpn h2
///     │                     1 certificate  handshake 0.4 ms  bytes 4630 in, 2041 out
///     │
/// wire                      tcp proxy.example:443
/// ```
///
/// Seen from a tunnel, that one is marked, and below it all stand the proxies by which it is reached.
///
/// Each tunnel is the wire of a stack of its own, whose layers stand above it. One that carries tunnels in turn has these above its
/// layers, and they say by which way they are reached: `[http2#1, http2#3]`.
///
/// A tunnel is `waiting` for its answer, `open`, `half-closed` by one side (RFC 9113, section 5.1), `done`, or `lost`. Of each
/// connection ten tunnels are drawn, of all together forty; how many others there are, and in which state, is a line.
///
/// There are no credentials in it.
#[derive(Clone, Debug)]
pub struct Tree {
    line: String,
    drawing: String,
}

impl Connection<Socket> {
    /// The tree in which this connection stands, if it is a tunnel in one that carries many: with all others in it, and this one
    /// marked. Otherwise it is the connection alone, as [`layers`](Self::layers) has it.
    pub fn tree(&self) -> Tree {
        let Some(plate) = self.plate() else { return self.alone() };
        let Some(trunk) = plate.trunk.upgrade() else { return self.alone() };
        let mut path = vec![Arc::clone(plate)];
        let mut own = self.stack.entries();
        // The tunnel is drawn in the place of the wire.
        own.pop();
        own.retain(|entry| entry.left != PIPE || !entry.facts.is_empty());
        let root = root_of(trunk, &mut path);
        Tree::of_root(&*root, Some(Mark { path, own, hops: self.draw_route_from(0) }))
    }

    /// What the tunnel shows that this connection stands on, if it is one of many.
    pub(crate) fn plate(&self) -> Option<&Arc<Plate>> {
        self.get_ref().known()
    }

    fn alone(&self) -> Tree {
        Tree { line: self.to_string(), drawing: format!("{self:#}") }
    }

    /// Writes on the plate whenever there is something new.
    pub(super) fn write_plate(socket: &Socket, stack: &Stack) {
        if let Some(plate) = socket.known::<Arc<Plate>>() {
            plate.lock().stack = stack.outline();
        }
    }
}

impl Tree {
    /// The tree in which this trunk stands.
    pub(crate) fn of(trunk: Arc<dyn Trunk>) -> Self {
        Self::of_root(&*root_of(trunk, &mut Vec::new()), None)
    }

    fn of_root(root: &dyn Trunk, mark: Option<Mark>) -> Self {
        let mut drawing = Drawing { entries: Vec::new(), mark, left: MOST_OF_ALL };
        let section = drawing.draw(root, "");
        let line = format!("{} ─ http2 {}", section.line, section.facts.join(", "));
        let hops = drawing.mark.map_or(section.hops, |mark| mark.hops);
        Self { line, drawing: drawn(&drawing.entries) + &hops + &section.chain }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { &self.drawing } else { &self.line })
    }
}

/// A look at a connection that carries tunnels, for somebody who does not have it. It holds nothing open. Clones see the same.
#[derive(Clone)]
pub struct View(Weak<dyn Trunk>);

impl View {
    pub(crate) fn new(trunk: Weak<dyn Trunk>) -> Self {
        Self(trunk)
    }

    /// The tree as it is now; `None` when the connection and all its tunnels are gone.
    #[must_use]
    pub fn tree(&self) -> Option<Tree> {
        self.0.upgrade().map(Tree::of)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("is_gone", &(self.0.strong_count() == 0)).finish()
    }
}

impl Section {
    /// The part of the connection itself.
    pub(crate) fn of(connection: &Connection<Socket>) -> Self {
        Self {
            line: connection.to_string(),
            stack: connection.stack.entries(),
            hops: connection.draw_route(),
            chain: connection.draw_chain(true),
            ..Self::closed()
        }
    }

    /// Where there is no connection any more.
    pub(crate) fn closed() -> Self {
        Self {
            line: "closed".to_owned(),
            stack: vec![Entry::new("wire", vec!["closed".to_owned()])],
            hops: String::new(),
            chain: String::new(),
            facts: Vec::new(),
            branches: Vec::new(),
            others: BTreeMap::new(),
        }
    }
}

/// One connection that carries tunnels.
pub(crate) trait Trunk: Send + Sync {
    /// The plate of the tunnel that it stands on itself, if it does.
    fn stands_on(&self) -> Option<Arc<Plate>>;

    /// What there is to be seen: so many tunnels, and besides those whose plates are wanted.
    fn look(&self, most: usize, wanted: &[Arc<Plate>]) -> Section;
}

/// What is seen of one connection that carries tunnels.
pub(crate) struct Section {
    /// The connection, on one line.
    pub(crate) line: String,
    /// Its layers, with the wire as the last.
    pub(crate) stack: Vec<Entry>,
    /// The proxies that lead to its target, as lines, and what it runs over.
    pub(crate) hops: String,
    pub(crate) chain: String,
    /// What is known of all its tunnels together.
    pub(crate) facts: Vec<String>,
    pub(crate) branches: Vec<Branch>,
    /// How many others there are in each state.
    pub(crate) others: BTreeMap<&'static str, usize>,
}

/// What is seen of one tunnel.
pub(crate) struct Branch {
    pub(crate) stream: u32,
    pub(crate) plate: Option<Arc<Plate>>,
    pub(crate) facts: Vec<String>,
}

/// What a tunnel shows of itself, and of what stands on it.
pub(crate) struct Plate {
    target: Address,
    /// The way by which it is reached, from the socket on.
    way: Vec<String>,
    trunk: Weak<dyn Trunk>,
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    stack: Vec<Entry>,
    /// Where the connection over the tunnel carries tunnels itself.
    trunk: Option<Weak<dyn Trunk>>,
}

impl Plate {
    pub(crate) fn new(target: Address, way: Vec<String>, trunk: Weak<dyn Trunk>) -> Arc<Self> {
        Arc::new(Self { target, way, trunk, standing: Mutex::default() })
    }

    /// The connection over the tunnel carries tunnels itself.
    pub(crate) fn carries(&self, trunk: Weak<dyn Trunk>) {
        self.lock().trunk = Some(trunk);
    }

    /// Those of all tunnels that carry this one, and its own.
    pub(crate) fn way(&self) -> &[String] {
        &self.way
    }

    pub(crate) fn target(&self) -> &Address {
        &self.target
    }

    fn title(&self) -> String {
        match &self.way[..] {
            [] | [_] => self.target.to_string(),
            way => format!("{} [{}]", self.target, way.join(", ")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

/// The trunk that nobody carries, and on the way there the plates of those that are carried.
fn root_of(mut trunk: Arc<dyn Trunk>, path: &mut Vec<Arc<Plate>>) -> Arc<dyn Trunk> {
    while let Some(plate) = trunk.stands_on()
        && let Some(below) = plate.trunk.upgrade()
    {
        path.push(plate);
        trunk = below;
    }
    trunk
}

/// The connection from which the tree is looked at.
struct Mark {
    /// Its own plate, and those of what carries it.
    path: Vec<Arc<Plate>>,
    /// Its layers as they are now.
    own: Vec<Entry>,
    /// The proxies that lead to its target, as lines.
    hops: String,
}

struct Drawing {
    entries: Vec<Entry>,
    mark: Option<Mark>,
    /// So many tunnels may still be drawn.
    left: usize,
}

impl Drawing {
    /// Draws a trunk with all that stands on it, behind `margin`.
    fn draw(&mut self, trunk: &dyn Trunk, margin: &str) -> Section {
        let wanted = self.mark.as_ref().map_or(&[][..], |mark| &mark.path[..]);
        let section = trunk.look(MOST.min(self.left), wanted);
        self.left = self.left.saturating_sub(section.branches.len());
        for (index, branch) in section.branches.iter().enumerate() {
            self.draw_branch(branch, margin, index == 0);
        }
        let others: usize = section.others.values().sum();
        let pipe = format!("{margin}{PIPE}");
        if others > 0 {
            let states = section.others.iter().map(|(state, count)| format!("{count} {state}")).collect();
            let and = if section.branches.is_empty() { "" } else { "and " };
            let more = if section.branches.is_empty() { "tunnels" } else { "more" };
            self.push(format!("{pipe}   {and}{others} {more}"), &pipe, states);
        }
        if others > 0 || !section.branches.is_empty() {
            self.push(pipe.clone(), &pipe, Vec::new());
        }
        self.push(format!("{margin}{BOX}"), &pipe, section.facts.clone());
        let (wire, layers) = section.stack.split_last().map_or((None, &[][..]), |(wire, layers)| (Some(wire), layers));
        for entry in layers {
            // Of one that is carried only what is rare.
            if margin.is_empty() || entry.left != PIPE || !entry.facts.is_empty() {
                self.push(format!("{margin}{}", entry.left), &pipe, entry.facts.clone());
            }
        }
        if margin.is_empty() {
            self.entries.extend(wire.cloned());
        }
        section
    }

    /// Draws a tunnel, and above it what stands on it.
    fn draw_branch(&mut self, branch: &Branch, margin: &str, is_first: bool) {
        let above = format!("{margin}{}", if is_first { "        " } else { "    │   " });
        let mut facts: Vec<String> = branch.plate.iter().map(|plate| plate.title()).collect();
        facts.extend_from_slice(&branch.facts);
        if let Some(plate) = &branch.plate {
            let own = self.mark.as_ref().filter(|mark| mark.path.first().is_some_and(|own| Arc::ptr_eq(own, plate)));
            let (stack, trunk) = match own {
                Some(mark) => {
                    facts.push(HERE.to_owned());
                    (mark.own.clone(), None)
                }
                None => {
                    let standing = plate.lock();
                    (standing.stack.clone(), standing.trunk.as_ref().and_then(Weak::upgrade))
                }
            };
            match trunk {
                Some(trunk) => drop(self.draw(&*trunk, &above)),
                None => {
                    for Entry { left, facts, .. } in stack {
                        self.push(format!("{above}{left}"), &format!("{above}{PIPE}"), facts);
                    }
                }
            }
        }
        let fork = if is_first { "    ┌── " } else { "    ├── " };
        self.push(format!("{margin}{fork}[ http2#{} ]", branch.stream), &format!("{margin}{PIPE}"), facts);
    }

    fn push(&mut self, left: String, under: &str, facts: Vec<String>) {
        self.entries.push(Entry { left, under: under.to_owned(), facts });
    }
}

/// The end of many tunnels, where a connection has its application.
const BOX: &str = "[ http2 ]";

/// Marks the connection from which the tree is looked at.
const HERE: &str = "◀ this one";

/// So many tunnels of one connection are drawn.
const MOST: usize = 10;

/// So many tunnels are drawn at most.
const MOST_OF_ALL: usize = 40;
