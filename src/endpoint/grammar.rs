//! From a string to words and back. Knows the punctuation, and no kind or key.
//!
//! ```text
//! endpoint = step *( "+" step )
//! step     = word *( ":" argument )
//! argument = [ word "=" ] ( word / "[" bracketed "]" )
//! ```
//!
//! A word ends at the first mark that has a meaning where it stands. `=` has one only once in an
//! argument: in `key=a=b` the value is `a=b`.

use std::fmt::{self, Write};

use super::error::{ErrorKind, ParseError};

/// One step as written.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: Word,
    pub(super) arguments: Vec<Argument>,
    /// The byte behind the last one of the step.
    pub(super) end: usize,
}

/// `value`, or `key=value`.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) key: Option<Word>,
    pub(super) value: Word,
}

/// A piece of text between marks, without its backslashes and brackets.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    /// Where it begins, in bytes from the start of the endpoint string.
    pub(super) position: usize,
    pub(super) bracketed: bool,
    /// Whether a backslash has taken the meaning from the first character.
    pub(super) escaped: bool,
}

/// Splits an endpoint string into its steps: one or more, none of them without a kind.
pub(super) fn split(input: &str) -> Result<Vec<Step>, ParseError> {
    let mut scanner = Scanner { input, position: 0 };
    let mut steps = vec![scanner.step()?];
    while scanner.accept('+') {
        steps.push(scanner.step()?);
    }
    Ok(steps)
}

/// Prints text so that [`split`] reads it as one word.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.0.char_indices() {
            if MARKS.contains(&c) || (c == '[' && at == 0) {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        Ok(())
    }
}

struct Scanner<'a> {
    input: &'a str,
    position: usize,
}

impl Scanner<'_> {
    fn step(&mut self) -> Result<Step, ParseError> {
        let kind = self.plain_word(&[':', '+'])?;
        if kind.text.is_empty() {
            let message = "a step is empty: write KIND:ARGUMENT:... between the `+`";
            return Err(ParseError::new(ErrorKind::EmptyStep, kind.position, message));
        }
        let mut arguments = Vec::new();
        while self.accept(':') {
            arguments.push(self.argument()?);
        }
        Ok(Step { kind, arguments, end: self.position })
    }

    fn argument(&mut self) -> Result<Argument, ParseError> {
        if self.peek() == Some('[') {
            let value = self.bracketed_word()?;
            return Ok(Argument { key: None, value });
        }
        let word = self.plain_word(&[':', '=', '+'])?;
        if !self.accept('=') {
            return Ok(Argument { key: None, value: word });
        }
        let value = match self.peek() {
            Some('[') => self.bracketed_word()?,
            _ => self.plain_word(&[':', '+'])?,
        };
        Ok(Argument { key: Some(word), value })
    }

    fn plain_word(&mut self, ends: &[char]) -> Result<Word, ParseError> {
        let position = self.position;
        let escaped = self.peek() == Some('\\');
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if ends.contains(&c) {
                break;
            }
            self.position += c.len_utf8();
            text.push(if c == '\\' { self.escaped()? } else { c });
        }
        Ok(Word { text, position, bracketed: false, escaped })
    }

    /// The character behind a backslash, which has been read.
    fn escaped(&mut self) -> Result<char, ParseError> {
        match self.peek() {
            Some(c) if FIRST_MARKS.contains(&c) || MARKS.contains(&c) => {
                self.position += c.len_utf8();
                Ok(c)
            }
            _ => Err(ParseError::new(
                ErrorKind::BadEscape,
                self.position - 1,
                r"a backslash stands only before : = + \ [ @ (write \\ for a backslash)",
            )),
        }
    }

    fn bracketed_word(&mut self) -> Result<Word, ParseError> {
        let bad = |position, message| Err(ParseError::new(ErrorKind::BadBracket, position, message));
        let position = self.position;
        let Some((text, _)) = self.input[position + 1..].split_once(']') else {
            return bad(position, r"this bracket is never closed (write \[ for a plain one)");
        };
        self.position += text.len() + 2;
        if !matches!(self.peek(), None | Some(':' | '+')) {
            return bad(self.position, "behind a closing bracket goes `:`, `+` or the end");
        }
        Ok(Word { text: text.to_owned(), position, bracketed: true, escaped: false })
    }

    fn accept(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.position += mark.len_utf8();
        }
        found
    }

    fn peek(&self) -> Option<char> {
        self.input[self.position..].chars().next()
    }
}

/// The characters that mean something where a value begins: an address in brackets, and the name of an abstract socket.
const FIRST_MARKS: [char; 2] = ['[', '@'];

/// The characters that separate, and the one that takes their meaning away.
const MARKS: [char; 4] = [':', '=', '+', '\\'];
