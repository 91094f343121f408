//! The picture of `onion demo`: time runs downwards, and every layer is a box around what is said inside it.
//!
//! ```text
//! a line in clear
//! ╭─ 1 layer-1.example ─ TLSv1.3 ─╮      a box opens with the handshake,
//! │ a line inside                 │
//! │ ╔═ 2 layer-2.example ═ 1.2 ═╗ │      TLS 1.2 has double lines,
//! │ ║ deeper                    ║ │
//! │ ╚═══════════════════════════╝ │      and it closes with close_notify both ways.
//! ╰───────────────────────────────╯
//! in clear again
//! ```
//!
//! Because the layers that start last stop first, the transcript nests by itself. On a terminal each layer has a
//! colour, from the skin of the onion to its heart; elsewhere, and with `NO_COLOR`, the same picture is plain.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::{Ansi256Color, Style};

/// Draws on standard output, line by line.
#[derive(Debug)]
pub(crate) struct Drawing {
    colour: Colour,
    layout: Layout,
    /// The boxes that are open, the outermost first.
    open: Vec<Frame>,
}

/// How the border of a box is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Single,
    Double,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Shown,
    Plain,
}

#[derive(Clone, Copy, Debug)]
struct Layout {
    /// The width of the outermost line.
    width: usize,
    /// What stands between a border and its content.
    gap: &'static str,
}

impl Drawing {
    /// A drawing with room for `depth` boxes.
    pub(crate) fn new(depth: usize) -> Self {
        let colour = if is_colour_wanted() { Colour::Shown } else { Colour::Plain };
        Self { colour, layout: Layout::for_depth(depth), open: Vec::new() }
    }

    /// A headline, outside every box.
    pub(crate) fn title(&self, title: &str, detail: impl Display) -> io::Result<()> {
        let title = self.paint(Style::new().bold(), title);
        self.print(format_args!("{title}  {}\n", self.dim(detail)))
    }

    /// A line inside the boxes that are open: what was said, and a remark at the right.
    pub(crate) fn line(&self, said: &str, remark: &str) -> io::Result<()> {
        // Without a gap at every border there is still one around the text.
        let pad = if self.open.is_empty() || !self.layout.gap.is_empty() { "" } else { " " };
        let width = self.inner_width() - 2 * pad.len();
        let remark = cut(remark, width);
        let said = cut(said, width.saturating_sub(remark.chars().count() + 1));
        let space = " ".repeat(width.saturating_sub(said.chars().count() + remark.chars().count()));
        let style = self.open.len().checked_sub(1).map_or(Style::new(), layer_style);
        self.row(&format!("{pad}{}{space}{}{pad}", self.paint(style, &said), self.dim(&remark)))
    }

    /// Opens a box.
    pub(crate) fn open(&mut self, frame: Frame, label: &str) -> io::Result<()> {
        let border = self.border(frame.top(), frame, label);
        self.row(&border)?;
        self.open.push(frame);
        Ok(())
    }

    /// Closes the innermost box.
    pub(crate) fn close(&mut self, label: &str) -> io::Result<()> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let border = self.border(frame.bottom(), frame, label);
        self.row(&border)
    }

    /// One line of the tally.
    pub(crate) fn tally(&self, word: &str, counts: impl Display) -> io::Result<()> {
        self.print(format_args!("{} {counts}\n", self.paint(Style::new().bold(), &format!("{word:>9}"))))
    }

    /// Space between the parts.
    pub(crate) fn gap(&self) -> io::Result<()> {
        self.print("\n")
    }

    /// A horizontal border, in the colour of the box that it opens or closes.
    fn border(&self, corners: [char; 2], frame: Frame, label: &str) -> String {
        let bar = frame.horizontal();
        let width = self.inner_width();
        // Corner, bar and space on both sides of the label.
        let label = cut(label, width.saturating_sub(6));
        let rest = bar.to_string().repeat(width.saturating_sub(5 + label.chars().count()));
        let style = layer_style(self.open.len());
        let left = self.paint(style, &format!("{}{bar}", corners[0]));
        let right = self.paint(style, &format!("{rest}{}", corners[1]));
        format!("{left} {} {right}", self.paint(style.bold(), &label))
    }

    /// Prints `content` between the sides of the boxes that are open.
    fn row(&self, content: &str) -> io::Result<()> {
        let gap = self.layout.gap;
        let side = |(index, frame): (usize, &Frame)| self.paint(layer_style(index), frame.vertical());
        let left: String = self.open.iter().enumerate().map(side).map(|side| side + gap).collect();
        let right: String = self.open.iter().enumerate().rev().map(side).map(|side| gap.to_owned() + &side).collect();
        self.print(format_args!("{left}{content}{right}\n"))
    }

    fn inner_width(&self) -> usize {
        self.layout.width - self.open.len() * self.layout.cost()
    }

    fn dim(&self, text: impl Display) -> String {
        self.paint(Style::new().dimmed(), &text.to_string())
    }

    fn paint(&self, style: Style, text: &str) -> String {
        match self.colour {
            Colour::Shown => format!("{style}{text}{style:#}"),
            Colour::Plain => text.to_owned(),
        }
    }

    fn print(&self, text: impl Display) -> io::Result<()> {
        let mut output = io::stdout().lock();
        write!(output, "{text}")?;
        output.flush()
    }
}

impl Layout {
    /// Within 80 columns as long as the depth allows.
    fn for_depth(depth: usize) -> Self {
        let gap = if depth <= 4 { " " } else { "" };
        let layout = Self { width: 0, gap };
        Self { width: TEXT_WIDTH + depth * layout.cost(), gap }
    }

    /// What one box takes of the width.
    fn cost(self) -> usize {
        2 * (1 + self.gap.len())
    }
}

impl Frame {
    fn top(self) -> [char; 2] {
        match self {
            Self::Single => ['╭', '╮'],
            Self::Double => ['╔', '╗'],
        }
    }

    fn bottom(self) -> [char; 2] {
        match self {
            Self::Single => ['╰', '╯'],
            Self::Double => ['╚', '╝'],
        }
    }

    fn horizontal(self) -> char {
        match self {
            Self::Single => '─',
            Self::Double => '═',
        }
    }

    fn vertical(self) -> &'static str {
        match self {
            Self::Single => "│",
            Self::Double => "║",
        }
    }
}

/// At most `width` characters of `text`.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn layer_style(index: usize) -> Style {
    Style::new().fg_color(Some(Ansi256Color(SKINS[index % SKINS.len()]).into()))
}

/// See <https://no-color.org>.
fn is_colour_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Colours of the 256, from the brown skin of an onion over its reds to the green of its heart.
const SKINS: [u8; 16] = [130, 172, 214, 221, 215, 209, 203, 168, 169, 134, 140, 147, 117, 116, 114, 149];

/// The room for text in the innermost box.
const TEXT_WIDTH: usize = 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_by_characters() {
        assert_eq!(cut("zwölf", 5), "zwölf");
        assert_eq!(cut("zwölf", 4), "zwö…");
    }

    #[test]
    fn every_line_is_equally_wide_at_any_depth() {
        let plain = |depth: usize, open: usize| Drawing {
            colour: Colour::Plain,
            layout: Layout::for_depth(depth),
            open: vec![Frame::Single; open],
        };
        for depth in 1..=16 {
            for open in 0..depth {
                let drawing = plain(depth, open);
                let border = drawing.border(Frame::Double.top(), Frame::Double, "a label");
                assert_eq!(border.chars().count(), drawing.inner_width(), "depth {depth}, {open} open");
            }
            assert_eq!(plain(depth, depth).inner_width(), TEXT_WIDTH);
        }
    }
}
