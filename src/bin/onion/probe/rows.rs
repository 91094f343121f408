//! The lines of a report for people.

use std::fmt::{self, Display};

use onionskin::printable::Printable;

/// One line, whatever a certificate or a server has put into it.
pub(super) fn row(f: &mut fmt::Formatter<'_>, label: &str, text: impl Display) -> fmt::Result {
    let text = text.to_string();
    writeln!(f, "{label:<20} {}", Printable::new(text.trim_end()).limit(MAX_ROW_LENGTH))
}

pub(super) fn count(number: i64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// So that all of it stays one screen; the JSON has no such limit.
const MAX_ROW_LENGTH: usize = 400;
