//! A stack made visible: one line, or a drawing for somebody who wonders why nothing moves. The same in the logs.
//!
//! ```text
//! application
//!     │
//! [ tls #3 stopping ]   client "inner.example"  TLSv1.3  TLS13_AES_256_GCM_SHA384  X25519
//!     │                 1 certificate  handshake 0.4 ms  bytes 36 in, 24 out  close_notify sent
//!     │
//! [ layer #2 ]
//!     │                 ▼ waiting: 43 bytes
//! [ tls #1 ]            client "outer.example"  handshaking
//!     │
//! wire                  tcp 127.0.0.1:25
//! ```
//!
//! Boxes on the left, facts on the right. The row over a box is the boundary there: what waits in it on its way up (▲) and
//! down (▼), marks too. Whatever a peer sends, a fact does not break out of its place.

use std::fmt;

use super::list::{NodeState, WIRE};
use super::{Boundary, End, Layer, Order, Queue, Side, Stack};
use crate::printable::Printable;

impl fmt::Display for Stack {
    /// The layers from the wire inwards, in one line; with `{:#}`, as a drawing of at most 100 columns with the facts of
    /// each layer and what waits between them, the application at the top.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.draw(f) } else { self.draw_line(f) }
    }
}

impl Stack {
    /// Logs a change with the stack after it.
    pub(super) fn log_change(&mut self, change: fmt::Arguments<'_>) {
        self.has_changed = true;
        log::debug!(target: LOG, "{change}; now {self}");
        log::trace!(target: LOG, "{change}; now\n{self:#}");
    }

    fn draw_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean(self.label.as_deref().unwrap_or(WIRE_NAME)))?;
        for index in self.list.outer_to_inner() {
            let node = self.list.node(index);
            write!(f, " ─ {}", clean(&Described(&*node.layer).to_string()))?;
            if let Some(state) = node.state.word() {
                write!(f, " ({state})")?;
            }
        }
        Ok(())
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries = vec![Entry::new(APPLICATION, self.facts_of_application())];
        entries.extend(self.entries());
        f.write_str(&drawn(&entries))
    }

    /// All that lies below the application, the wire last.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for index in self.list.inner_to_outer() {
            let node = self.list.node(index);
            entries.extend([Entry::between(&node.above), Entry::new(self.box_of(index), facts_of(&*node.layer))]);
        }
        let wire = Entry { under: String::new(), ..Entry::new(WIRE_NAME, self.facts_of_wire()) };
        entries.extend([Entry::between(&self.list.node(WIRE).above), wire]);
        entries
    }

    /// The layers alone, the innermost first, each with what stays as it is while bytes pass through it.
    #[cfg(feature = "http2")]
    pub(crate) fn outline(&self) -> Vec<Entry> {
        let outlined = |index| {
            let layer = &*self.list.node(index).layer;
            let description = Described(layer).to_string();
            let facts = if description == layer.name() { Vec::new() } else { vec![description] };
            Entry::new(self.box_of(index), facts)
        };
        self.list.inner_to_outer().map(outlined).collect()
    }

    fn box_of(&self, index: usize) -> String {
        let node = self.list.node(index);
        let (name, id) = (cut(&clean(node.layer.name()), MAX_NAME_LENGTH), self.list.id(index));
        match node.state.word() {
            Some(state) => format!("[ {name} {id} {state} ]"),
            None => format!("[ {name} {id} ]"),
        }
    }

    fn facts_of_application(&self) -> Vec<String> {
        let (lost, truncated) = (self.lost().is_some(), self.truncated().is_some());
        let facts = [
            lost.then_some("the connection is lost"),
            (truncated && !lost).then_some("the peer's direction was cut off"),
            (self.application != Side::Open && !lost).then_some("closed for writing"),
        ];
        facts.into_iter().flatten().map(str::to_owned).collect()
    }

    fn facts_of_wire(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if let Some(label) = &self.label {
            facts.push(cut(&clean(label), MAX_LABEL_LENGTH));
        }
        if self.wire_input != Side::Open && self.lost().is_none() {
            facts.push("end of file received".to_owned());
        }
        if self.wire_output == Side::Closed {
            facts.push("closed for writing".to_owned());
        }
        facts
    }
}

impl NodeState {
    /// What is to be said of a layer in this state, if anything is.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Live => None,
            Self::Finished => Some("finished"),
            Self::Stopping => Some("stopping"),
            Self::Failed => Some("failed"),
        }
    }
}

/// A layer as [`Layer::describe`] shows it.
#[derive(Debug)]
pub(crate) struct Described<'a>(pub(crate) &'a dyn Layer);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

/// The details of a layer, or its description if that says more than its name.
fn facts_of(layer: &dyn Layer) -> Vec<String> {
    let facts = layer.details();
    if !facts.is_empty() {
        return facts;
    }
    let description = Described(layer).to_string();
    if description == layer.name() { Vec::new() } else { vec![description] }
}

/// What stands on the left once, beside as many lines of facts as it takes.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) left: String,
    /// What stands there from the second line on.
    pub(crate) under: String,
    pub(crate) facts: Vec<String>,
}

impl Entry {
    pub(crate) fn new(left: impl Into<String>, facts: Vec<String>) -> Self {
        Self { left: left.into(), under: PIPE.to_owned(), facts }
    }

    /// What rests in a boundary.
    fn between(boundary: &Boundary) -> Self {
        let up = waiting("▲", &boundary.inbound, |end| match end {
            End::Layer(id) => format!("end of {id}"),
            End::Wire => "end of file".to_owned(),
            End::Truncated => "truncation".to_owned(),
            End::Lost => "loss".to_owned(),
        });
        let down = waiting("▼", &boundary.outbound, |order| match order {
            Order::Finish(id) => format!("finish of {id}"),
            Order::Stop(id) => format!("stop of {id}"),
            Order::Close => "close".to_owned(),
            Order::CloseWire => "close of the wire".to_owned(),
        });
        Self::new(PIPE, [up, down].into_iter().flatten().collect())
    }
}

/// The entries one below the other, their facts in a column, without an end of line at the end.
pub(crate) fn drawn(entries: &[Entry]) -> String {
    let widest = entries.iter().map(|entry| entry.left.chars().count()).max().unwrap_or_default();
    let page = Page { column: widest + GAP };
    let rows: Vec<String> = entries.iter().flat_map(|entry| page.rows(entry)).collect();
    rows.join("\n")
}

/// Where the right half of the drawing begins.
struct Page {
    column: usize,
}

impl Page {
    fn rows(&self, entry: &Entry) -> Vec<String> {
        let mut lines = self.lines(&entry.facts).into_iter();
        let first = self.row(&entry.left, &lines.next().unwrap_or_default());
        let others = lines.map(|line| self.row(&entry.under, &line));
        [first].into_iter().chain(others).collect()
    }

    fn row(&self, left: &str, right: &str) -> String {
        format!("{left:column$}{right}", column = self.column).trim_end().to_owned()
    }

    /// The facts, as many on a line as there is room for.
    fn lines(&self, facts: &[String]) -> Vec<String> {
        let width = WIDTH.saturating_sub(self.column).max(MIN_WIDTH);
        let mut lines: Vec<String> = Vec::new();
        for fact in facts.iter().map(|fact| cut(&clean(fact), width)) {
            match lines.last_mut() {
                Some(line) if line.chars().count() + SPACE.len() + fact.chars().count() <= width => {
                    line.push_str(SPACE);
                    line.push_str(&fact);
                }
                _ => lines.push(fact),
            }
        }
        lines
    }
}

/// What rests in a queue, if anything does.
fn waiting<M>(arrow: &str, queue: &Queue<M>, name: impl Fn(&M) -> String) -> Option<String> {
    let bytes = match queue.len() {
        0 => None,
        count => Some(bytes(count)),
    };
    let waiting: Vec<String> = bytes.into_iter().chain(queue.marks().map(name)).collect();
    (!waiting.is_empty()).then(|| format!("{arrow} waiting: {}", waiting.join(", ")))
}

pub(crate) fn bytes(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// On one line, whatever a peer has put into it.
fn clean(text: &str) -> String {
    Printable::new(text).to_string()
}

/// At most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// What stands for the wire in a drawing, and in a line of a stack whose wire has no name.
const WIRE_NAME: &str = "wire";

/// What the log lines are filed under, whichever file writes them.
const LOG: &str = "onionskin::stack";

const APPLICATION: &str = "application";

/// The pipe between boxes, below the middle of a short one.
pub(crate) const PIPE: &str = "    │";

/// Between the boxes and the facts.
const GAP: usize = 3;

/// Between two facts.
const SPACE: &str = "  ";

/// The widest line of a drawing.
const WIDTH: usize = 100;

/// The least room for facts, however wide the left half is.
const MIN_WIDTH: usize = 30;

/// So that the facts have their room whatever a layer is called.
const MAX_NAME_LENGTH: usize = 20;

/// So that the wire's name, which a peer or a route can make long, fits on its line.
const MAX_LABEL_LENGTH: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_side_by_side_as_far_as_they_fit() {
        let page = Page { column: WIDTH - MIN_WIDTH };
        let lines = |facts: &[&str]| page.lines(&facts.iter().map(|&fact| fact.to_owned()).collect::<Vec<_>>());
        assert_eq!(lines(&["12345678901234", "12345678901234", "1"]), ["12345678901234  12345678901234", "1"]);
        assert_eq!(lines(&["dreiunddreißig Zeichen lang, ja doch", "und"]), ["dreiunddreißig Zeichen lang, …", "und"]);
        assert_eq!(lines(&["a\nb\u{1b}"]), ["a\\nb\\x1b"]);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }
}
