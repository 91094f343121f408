//! What is wrong with a policy: each mistake with its place.

use std::fmt;

use crate::printable::Printable;

/// Why a text is no policy, or a policy makes no sense: all mistakes, in the order in which they stand.
///
/// [`Display`](fmt::Display) says the first and how many more there are, `Debug` all, one a line.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Never empty.
    mistakes: Vec<Mistake>,
}

impl PolicyError {
    /// All of them, the first that was found in the text first. At most 1000.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// `Ok` if there are no mistakes.
    pub(super) fn unless_none(mut mistakes: Vec<Mistake>) -> Result<(), Self> {
        if mistakes.is_empty() {
            return Ok(());
        }
        mistakes.sort_by_key(|mistake| mistake.at);
        Err(Self { mistakes })
    }
}

impl From<Mistake> for PolicyError {
    fn from(mistake: Mistake) -> Self {
        Self { mistakes: vec![mistake] }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.mistakes.split_first() else { return Ok(()) };
        first.fmt(f)?;
        match others.len() {
            0 => Ok(()),
            1 => f.write_str(" (and one more mistake)"),
            more => write!(f, " (and {more} more mistakes)"),
        }
    }
}

impl fmt::Debug for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        self.mistakes.iter().skip(1).try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for PolicyError {}

/// One thing that is wrong, and where: `line 7: $.s[0].telemetry.retry: no table of delays is called "defualt"; did you mean "default"?`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    kind: MistakeKind,
    path: String,
    at: At,
    message: String,
}

impl Mistake {
    pub(super) fn new(kind: MistakeKind, path: impl Into<String>, at: At, message: impl Into<String>) -> Self {
        Self { kind, path: path.into(), at, message: message.into() }
    }

    /// What kind of mistake it is.
    pub fn kind(&self) -> MistakeKind {
        self.kind
    }

    /// Where it is, as a path of JSON: `$.s[0].telemetry.retry` (RFC 9535, where names need no quotes).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line of the text, from 1 up; `None` for a policy that a program has put together.
    pub fn line(&self) -> Option<usize> {
        (self.at.line > 0).then_some(self.at.line)
    }

    /// The character in that line, from 1 up.
    pub fn column(&self) -> Option<usize> {
        (self.at.line > 0).then_some(self.at.column)
    }

    pub(super) fn at(&self) -> At {
        self.at
    }

    /// Whether it stands in an overlay, whose lines are meant then.
    pub fn is_in_overlay(&self) -> bool {
        self.at.is_in_overlay
    }

    /// What was expected, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line() {
            write!(f, "{}line {line}: ", if self.is_in_overlay() { "overlay, " } else { "" })?;
        }
        write!(f, "{}: {}", Printable::new(&self.path), self.message)
    }
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MistakeKind {
    /// It is no JSON.
    Syntax,
    /// A key stands there twice.
    Duplicate,
    /// No key is called so.
    UnknownKey,
    /// Nothing is defined by this name.
    UnknownName,
    /// A text where a number should be, and the like.
    WrongType,
    /// A number that is too small or too large, or a text that is nothing for its key.
    WrongValue,
    /// A key that makes no sense here: with this protocol, on this side, or without another key.
    Misplaced,
    /// A key that has to be there is not.
    Missing,
    /// A template that names a value which is not declared.
    Undeclared,
    /// A key that has no effect here. No mistake, but told.
    WithoutEffect,
    /// Something that brokers or servers do not agree on. No mistake either.
    Doubtful,
}

impl MistakeKind {
    /// Whether a policy with it is refused; otherwise it is only told.
    pub fn is_mistake(self) -> bool {
        !matches!(self, Self::WithoutEffect | Self::Doubtful)
    }
}

/// A place in a text. Line 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) is_in_overlay: bool,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The name that was probably meant, as half a sentence.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let best = known.into_iter().map(|known| (distance(known), known)).min();
    match best {
        Some((distance, known)) if distance <= (name.chars().count() / 3).max(1) => {
            format!("; did you mean {}?", shown(known))
        }
        _ => String::new(),
    }
}

/// A name in quotes, short enough for a line.
pub(super) fn shown(name: &str) -> String {
    Printable::new(name).quoted().limit(100).to_string()
}

/// So many are told at most.
pub(super) const MAX_MISTAKES: usize = 1000;
