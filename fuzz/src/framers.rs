//! Lines, netstrings, and strings with a length before them.

use libfuzzer_sys::arbitrary::Unstructured;
use onionskin::protocol::{LineReceiver, Lines, Protocol, Result, StringReceiver, Strings, Transport};
use onionskin::testing::StringTransport;

/// What is reported is the same however the stream is cut, is never longer than the limit, and no more is kept than that.
pub fn framers(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let format = input.int_in_range(0..=6_u8).unwrap_or(0);
    let limit = usize::from(input.arbitrary::<u8>().unwrap_or(0));
    let piece = usize::from(input.int_in_range(1..=9_u8).unwrap_or(1));
    let stream = input.take_rest();
    let whole = run(format, limit, stream, stream.len());
    assert_eq!(run(format, limit, stream, piece), whole);
    assert_eq!(run(format, limit, stream, 1), whole);
    assert!(whole.0.iter().all(|message| message.len() <= limit), "a message is longer than {limit}");
}

/// The messages, and the reason for the end.
fn run(format: u8, limit: usize, stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let framer = match format {
        0 => Framer::Lines(Lines::new().max_length(limit)),
        1 => Framer::Lines(Lines::delimited_by("\r\n").max_length(limit)),
        2 => Framer::Lines(Lines::delimited_by("||>").max_length(limit)),
        3 => Framer::Strings(Strings::netstring().max_length(limit)),
        4 => Framer::Strings(Strings::int8().max_length(limit)),
        5 => Framer::Strings(Strings::int16().max_length(limit)),
        _ => Framer::Strings(Strings::int32().max_length(limit)),
    };
    let mut transport = StringTransport::new(Receiver { framer, messages: Vec::new() });
    for piece in stream.chunks(piece.max(1)) {
        transport.receive(piece);
        assert!(transport.stack().inbound_len() <= limit + piece.len() + HEADER, "too much is kept");
    }
    transport.end_of_input();
    let reason = transport.reason().map(ToString::to_string);
    (transport.protocol().messages.clone(), reason)
}

enum Framer {
    Lines(Lines),
    Strings(Strings),
}

struct Receiver {
    framer: Framer,
    messages: Vec<Vec<u8>>,
}

impl Protocol for Receiver {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.framer {
            Framer::Lines(_) => self.receive_lines(transport),
            Framer::Strings(_) => self.receive_strings(transport),
        }
    }
}

impl LineReceiver for Receiver {
    fn lines(&mut self) -> &mut Lines {
        match &mut self.framer {
            Framer::Lines(lines) => lines,
            Framer::Strings(_) => unreachable!("these are strings"),
        }
    }

    fn line_received(&mut self, _transport: &mut Transport<'_>, line: &[u8]) -> Result {
        self.messages.push(line.to_vec());
        Ok(())
    }
}

impl StringReceiver for Receiver {
    fn strings(&mut self) -> &mut Strings {
        match &mut self.framer {
            Framer::Strings(strings) => strings,
            Framer::Lines(_) => unreachable!("these are lines"),
        }
    }

    fn string_received(&mut self, _transport: &mut Transport<'_>, string: &[u8]) -> Result {
        self.messages.push(string.to_vec());
        Ok(())
    }
}

/// The longest thing around a message: the digits of a netstring, a delimiter.
const HEADER: usize = 32;
