//! Replies of several lines (RFC 959 section 4.2).

use crate::starttls::reply::Line;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<Vec<u8>>,
}

impl Reply {
    /// A reply of one line, which is without its end. `None` if it is none, or the first of several lines.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<Self> {
        let parsed = Line::parse(line).filter(|line| !line.more)?;
        Some(Self { code: parsed.code, lines: vec![line.to_vec()] })
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// All lines as they came, without their ends. There is at least one.
    #[must_use]
    pub fn lines(&self) -> &[Vec<u8>] {
        &self.lines
    }

    /// What the last line says behind the code.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        let last = self.lines.last().map_or(&[][..], Vec::as_slice);
        last.get(4..).unwrap_or_default()
    }

    /// Whether the command was carried out (2yz).
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// Finds the ends of replies.
///
/// The lines between the first and the last may have any form, also that of another reply.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The code of the reply whose last line has not come.
    open: Option<u16>,
}

/// Where a line stands in its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// More lines of the same reply follow.
    Inside,
    /// It is the last line, of a reply with this code.
    End(u16),
    /// It is no line of a reply.
    Nowhere,
}

impl Replies {
    pub(super) fn place(&mut self, line: &[u8]) -> Place {
        let parsed = Line::parse(line).map(|line| (line.code, line.more));
        match (self.open, parsed) {
            (Some(open), Some((code, false))) if open == code => {
                self.open = None;
                Place::End(code)
            }
            (Some(_), _) => Place::Inside,
            (None, Some((code, true))) => {
                self.open = Some(code);
                Place::Inside
            }
            (None, Some((code, false))) => Place::End(code),
            (None, None) => Place::Nowhere,
        }
    }
}
