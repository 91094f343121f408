//! Text that somebody else has chosen, escaped so that it can be shown.
//!
//! A server's greeting, a client's name for it, the path in a PROXY header: sooner or later they stand on a terminal or in
//! a log, and whoever chose them chose the bytes. An ESC repaints the screen, a line feed begins a line of the log that
//! nobody wrote, U+202E has the rest of the line read backwards, and ten megabytes bury everything else.
//!
//! So whatever a peer says is shown through [`Printable`], and through nothing else: by this crate in its errors, logs and
//! drawings, and by programs that show what this crate tells them. What people can read stays as it is, in every script;
//! what would do something else than be read becomes an escape.

use std::fmt;

/// Bytes of others on their way to a terminal or a log: on one line, of bounded length.
///
/// | in the text | shown as |
/// |---|---|
/// | what can be read, with the combining marks behind it | itself |
/// | line feed, carriage return, tab | `\n`, `\r`, `\t` |
/// | other control characters of ASCII, and bytes that are no UTF-8 | `\x1b`, `\xff` |
/// | control characters beyond, those that set the direction of text or join it, separators, what is not assigned | `\u{202e}` |
/// | what stands behind the limit | `...` |
///
/// Shown twice it is the same as shown once, so an error may go through here although a part of it did before. That is
/// why a backslash stays as it is; where it matters who wrote it, [`quoted`](Self::quoted) tells.
///
/// ```
/// use onionskin::printable::Printable;
///
/// let greeting = b"220 caf\xc3\xa9 \x1b[2J\xff\r\n250 mine";
/// assert_eq!(Printable::new(greeting).to_string(), r"220 café \x1b[2J\xff\r\n250 mine");
/// assert_eq!(Printable::new("a \"word\"").quoted().to_string(), r#""a \"word\"""#);
/// assert_eq!(Printable::new("no end of it").limit(6).to_string(), "no end...");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a> {
    text: &'a [u8],
    limit: usize,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bare,
    Quoted,
}

impl<'a> Printable<'a> {
    /// `text`, or at most the first 4,096 bytes of it.
    pub fn new(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { text: text.as_ref(), limit: LIMIT, form: Form::Bare }
    }

    /// Between quotation marks, which the text cannot leave: those in it have a backslash before them, as backslashes do.
    #[must_use]
    pub fn quoted(mut self) -> Self {
        self.form = Form::Quoted;
        self
    }

    /// Shows at most so many bytes of the text, and says with an ellipsis that there were more. Escapes make it longer, up
    /// to four times.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The front of the text, cut between two characters.
    fn shown(&self) -> &'a [u8] {
        if self.text.len() <= self.limit {
            return self.text;
        }
        let inside = |at: usize| self.text[at] & 0b1100_0000 == 0b1000_0000;
        let end = (self.limit.saturating_sub(3)..=self.limit).rev().find(|&at| !inside(at));
        &self.text[..end.unwrap_or(self.limit)]
    }

    /// In as few calls as there are escapes: who prints to something without a buffer pays for each.
    fn write(&self, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = text;
        while let Some((at, character)) = rest.char_indices().find(|&(_, character)| !self.shows_as_itself(character)) {
            f.write_str(&rest[..at])?;
            match character {
                '"' | '\\' => write!(f, "\\{character}"),
                '\n' => f.write_str("\\n"),
                '\r' => f.write_str("\\r"),
                '\t' => f.write_str("\\t"),
                _ if character.is_ascii() => write!(f, "\\x{:02x}", u32::from(character)),
                _ => write!(f, "{}", character.escape_unicode()),
            }?;
            rest = &rest[at + character.len_utf8()..];
        }
        f.write_str(rest)
    }

    fn shows_as_itself(&self, character: char) -> bool {
        match character {
            '"' | '\\' => self.form != Form::Quoted,
            _ => is_printable(character),
        }
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.form == Form::Quoted { "\"" } else { "" };
        let shown = self.shown();
        f.write_str(mark)?;
        for chunk in shown.utf8_chunks() {
            self.write(chunk.valid(), f)?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        if shown.len() < self.text.len() {
            f.write_str("...")?;
        }
        f.write_str(mark)
    }
}

/// Whether a character shows as itself and does nothing else: no control character, none that sets the direction of text,
/// none that is invisible but for the space.
#[must_use]
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // The standard library knows what can be printed. It takes a combining mark for such only behind another character.
    let mut pair = [b'a'; 5];
    let len = 1 + character.encode_utf8(&mut pair[1..]).len();
    let pair = std::str::from_utf8(&pair[..len]).unwrap_or_default();
    pair.escape_debug().nth(1) == Some(character)
}

/// Longer than a line that anybody reads, and than a path can be.
const LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: impl AsRef<[u8]>) -> String {
        Printable::new(text.as_ref()).to_string()
    }

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        for text in ["mail.example", "Grüße, Владимир 東京 שלום café", "cafe\u{301}", "a\\b \"c\" 'd' 100 %", ""]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn whatever_does_something_else_than_be_read_becomes_an_escape() {
        for (text, escaped) in [
            (&b"a\nb"[..], r"a\nb"),
            (b"a\rb\tc", r"a\rb\tc"),
            (b"\x1b[2J", r"\x1b[2J"),
            (b"\0\x07\x7f", r"\x00\x07\x7f"),
            // CSI in one character, as terminals take it too.
            ("\u{9b}2J".as_bytes(), r"\u{9b}2J"),
            ("\u{85}".as_bytes(), r"\u{85}"),
            ("a\u{202e}b\u{2066}c\u{200f}".as_bytes(), r"a\u{202e}b\u{2066}c\u{200f}"),
            ("\u{2028}\u{feff}\u{200b}\u{ad}\u{e0041}".as_bytes(), r"\u{2028}\u{feff}\u{200b}\u{ad}\u{e0041}"),
            (b"\xff\xc3", r"\xff\xc3"),
            // Too long for what it stands for, and half of a pair.
            (b"\xc0\x8a\xed\xa0\x80", r"\xc0\x8a\xed\xa0\x80"),
        ] {
            assert_eq!(shown(text), escaped);
        }
    }

    #[test]
    fn quotation_marks_hold() {
        assert_eq!(Printable::new(r#"no" more \n"#).quoted().to_string(), r#""no\" more \\n""#);
    }

    #[test]
    fn the_limit_falls_between_characters_and_an_ellipsis_says_so() {
        let limited = |text: &[u8], bytes| Printable::new(text).limit(bytes).to_string();
        assert_eq!(limited("ééé".as_bytes(), 3), "é...");
        assert_eq!(limited("ééé".as_bytes(), 6), "ééé");
        assert_eq!(limited("東".as_bytes(), 0), "...");
        assert_eq!(limited(&[0x80; 9], 6), r"\x80\x80\x80\x80\x80\x80...");
        assert_eq!(Printable::new("long").quoted().limit(2).to_string(), "\"lo...\"");
        assert_eq!(shown(vec![b'x'; 1_000_000]).len(), LIMIT + 3);
    }

    #[test]
    fn no_byte_and_no_character_gets_through_and_twice_is_once() {
        let every_character = (0..=0x10_ffff).filter_map(char::from_u32).map(|c| c.to_string().into_bytes());
        let every_pair = (0..=u16::MAX).map(|pair| pair.to_be_bytes().to_vec());
        for text in every_character.chain(every_pair) {
            let once = shown(&text);
            assert!(!once.chars().any(char::is_control), "{text:x?}");
            assert_eq!(shown(&once), once, "{text:x?}");
        }
    }
}
