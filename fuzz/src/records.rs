//! Records of TLS 1.3 behind the handshake, sealed by a peer that has the keys and follows no rule.

use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::oracle::{ALERT, Configs, DATA, Forger, HANDSHAKE, ROLES, providers};
use crate::{assert_bounded, drain, give_in_pieces, length};

/// What is read is what was sealed as data, in its order, up to the first thing that is wrong; nothing else ever is.
pub fn records(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let role = *input.choose(&ROLES).expect("there are two");
    let mut forger = Forger::connected(role, &CONFIGS);
    let mut history = History::default();
    while !input.is_empty() && history.step(&mut forger, &mut input).is_ok() {}
}

#[derive(Default)]
struct History {
    /// What has been sealed as data.
    said: Vec<u8>,
    /// How much of it was read.
    read: usize,
    counter: u8,
}

impl History {
    fn step(&mut self, forger: &mut Forger, input: &mut Unstructured<'_>) -> Result<()> {
        let wire = match input.int_in_range(0..=9_u8)? {
            0..=2 => {
                let count = length(input, 1 << 14);
                let content: Vec<u8> = (0..count).map(|_| self.next_byte()).collect();
                self.said.extend_from_slice(&content);
                let padding = length(input, 1 << 14).min((1 << 14) - count);
                forger.seal(DATA, &content, padding)
            }
            3 => forger.seal(HANDSHAKE, input.choose(&MESSAGES)?, 0),
            4 | 5 => {
                let count = length(input, 64);
                forger.seal(HANDSHAKE, input.bytes(count.min(input.len()))?, 0)
            }
            6 => {
                let count = input.int_in_range(0..=3)?;
                forger.seal(ALERT, input.bytes(count)?, 0)
            }
            7 => {
                let (content_type, count) = (input.arbitrary()?, length(input, 64));
                // No type at all is padding: then the content itself ends with the type, which may be that of data.
                if matches!(content_type, DATA | 0) {
                    return Ok(());
                }
                forger.seal(content_type, input.bytes(count.min(input.len()))?, 0)
            }
            8 => {
                let count = length(input, 64);
                input.bytes(count.min(input.len()))?.to_vec()
            }
            _ => {
                let now = forger.stack.now();
                let layer = forger.layer;
                // It may be too early or too late: then it is refused.
                let _ = match input.int_in_range(0..=2_u8)? {
                    0 => forger.stack.stack.stop(now, layer, onionskin::stack::Stop::new()),
                    1 => forger.stack.stack.finish(now, layer),
                    _ => forger.stack.stack.write(now, b"ours").map(drop),
                };
                return Ok(());
            }
        };
        let piece = length(input, wire.len().max(1));
        give_in_pieces(&mut forger.stack, &wire, if piece == 0 { wire.len() } else { piece });
        self.check(forger);
        Ok(())
    }

    fn check(&mut self, forger: &mut Forger) {
        let read = forger.stack.read();
        assert!(self.said[self.read..].starts_with(&read), "bytes are read that nobody has sealed");
        self.read += read.len();
        assert_bounded(&forger.stack);
        drain(&mut forger.stack);
    }

    /// No two places in what is said look alike.
    fn next_byte(&mut self) -> u8 {
        self.counter = self.counter.wrapping_mul(37).wrapping_add(11);
        self.counter
    }
}

/// Messages that mean something there: key updates, and the first bytes of a ticket.
const MESSAGES: [&[u8]; 4] = [&[24, 0, 0, 1, 0], &[24, 0, 0, 1, 1], &[24, 0, 0, 1, 2], &[4, 0, 1, 0, 0, 0]];

static CONFIGS: LazyLock<Configs> = LazyLock::new(|| Configs::new(&providers()[0].1));
