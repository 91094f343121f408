//! What has been asked in the onion line protocol and is not yet answered.
//!
//! Without lockstep nobody waits at an answer, so what the peer says is read along: only then is it known, when the input has
//! ended, whether anything is still to come.

use std::collections::VecDeque;

use crate::input::Expected;
use crate::protocol::{Command, LINE_LIMIT};

/// The requests that wait for an answer, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    waiting: VecDeque<Expected>,
    /// The line so far, as much of it as matters.
    line: Vec<u8>,
    /// How many bytes of a bulk are still to come.
    data: u64,
}

impl Answers {
    pub(crate) fn expect(&mut self, expected: Expected) {
        self.waiting.push_back(expected);
    }

    /// How many requests have no answer.
    pub(crate) fn missing(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that was asked has been answered.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the peer said.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.waiting.is_empty() {
            let taken = if self.data > 0 { self.take_data(bytes) } else { self.take_line(bytes) };
            bytes = &bytes[taken..];
        }
    }

    fn take_data(&mut self, bytes: &[u8]) -> usize {
        let taken = usize::try_from(self.data).map_or(bytes.len(), |data| data.min(bytes.len()));
        self.data -= taken as u64;
        if self.data == 0 {
            self.waiting.pop_front();
        }
        taken
    }

    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let room = (LINE_LIMIT + b"\r\n".len()).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..taken.min(room)]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            self.end_line(text.strip_suffix(b"\r").unwrap_or(text));
        }
        taken
    }

    fn end_line(&mut self, line: &[u8]) {
        match (self.waiting.pop_front(), Command::parse(line)) {
            (Some(Expected::Bulk), Ok(Command::Bulk(count @ 1..))) => {
                self.data = count;
                self.waiting.push_front(Expected::Bulk);
            }
            (Some(Expected::Glue), _) if line == Command::Glue(Vec::new()).agreement(0).line() => {
                // Another line follows, one layer further out.
                self.waiting.push_front(Expected::Line);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_wherever_the_stream_is_cut() {
        let said = b"ECHO a\r\nBULK 5\r\nx\ny\nzOK GLUE\r\nGLUED b\r\nERR no layer to stop\nBULK 0\n";
        let asked = [Expected::Line, Expected::Bulk, Expected::Glue, Expected::Glue, Expected::Bulk, Expected::Line];
        let left_after = |count: usize, cut: usize| {
            let mut answers = Answers::default();
            asked.iter().cloned().for_each(|expected| answers.expect(expected));
            said[..count].chunks(cut).for_each(|piece| answers.hear(piece));
            answers.missing()
        };
        for cut in 1..=said.len() {
            let ends =
                [(0, 6), (7, 6), (8, 5), (20, 5), (21, 4), (30, 4), (39, 3), (said.len() - 7, 2), (said.len(), 1)];
            for (count, left) in ends {
                assert_eq!(left_after(count, cut), left, "after {count} bytes, cut into {cut}");
            }
        }
    }
}
