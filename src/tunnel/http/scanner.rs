//! The pieces that fields are made of.

/// Reads a field from its front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a>(pub(super) &'a [u8]);

impl<'a> Scanner<'a> {
    pub(super) fn is_at_end(self) -> bool {
        self.0.is_empty()
    }

    /// Passes this byte, if it is next.
    pub(super) fn pass(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Passes blanks; whether there were any.
    pub(super) fn pass_blanks(&mut self) -> bool {
        !self.take_while(|byte| matches!(byte, b' ' | b'\t')).is_empty()
    }

    /// Passes what stands between two parts of a list.
    pub(super) fn pass_commas(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
    }

    pub(super) fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_part(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// A token, if one is next.
    pub(super) fn token(&mut self) -> Option<String> {
        text(self.take_while(is_token))
    }

    /// A quoted string, if a whole one is next, without its quotes and escapes.
    pub(super) fn quoted(&mut self) -> Option<String> {
        let mut rest = self.0.strip_prefix(b"\"")?.iter();
        let mut content = Vec::new();
        loop {
            match *rest.next()? {
                b'"' => break,
                b'\\' => content.push(*rest.next()?),
                byte => content.push(byte),
            }
        }
        self.0 = rest.as_slice();
        Some(String::from_utf8_lossy(&content).into_owned())
    }
}

/// A byte of a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// ASCII, and some of it.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let is_text = !bytes.is_empty() && bytes.is_ascii();
    is_text.then(|| String::from_utf8_lossy(bytes).into_owned())
}
