//! Every format, through the public check: every cut, every layer change, with a simple layer and with TLS.

use onionskin::protocol::{ErrorKind, LineReceiver, Lines, Protocol, Result, StringReceiver, Strings, Transport};
use onionskin::testing::{Conformance, Witness};
use onionskin::tls::Version;

use super::{Act, FORMATS, Format, Framer, Receiver};
use crate::common::Authority;
use crate::common::link::NAME;

impl Act for Witness {
    fn act(&mut self, _: &mut Framer, transport: &mut Transport<'_>, message: &[u8]) -> Result {
        self.saw(transport, message)
    }
}

fn failing(framer: fn() -> Framer) -> Conformance<Receiver<Witness>> {
    Conformance::of(move |witness| Receiver::new(framer(), witness))
}

/// One stream of this format, with whatever is likely to confuse it.
fn check_of(format: Format) -> Conformance<Receiver<Witness>> {
    let check = Conformance::of(move |witness| Receiver::new(format.framer(), witness));
    let messages = ["one", "", "5:hello,", "a\rb|c", "||", "\u{16}\u{3}\u{1}", "x: ,"];
    messages.into_iter().fold(check, |check, message| check.message(format.framed(message), message))
}

#[test]
fn every_format_is_the_same_for_every_cut_and_layer_change() {
    for format in FORMATS {
        check_of(format).check();
    }
}

#[test]
fn every_format_fails_at_the_same_message_for_every_cut_and_layer_change() {
    failing(|| Framer::Lines(Lines::new().max_length(4)))
        .message("four\r\n", "four")
        .message("\r\n", "")
        .message("\r\r\r\r\n", "\r\r\r")
        .failure("12345\r\n1\r\n", ErrorKind::TooLong)
        .check();
    failing(|| Framer::Lines(Lines::delimited_by("||>").max_length(4)))
        .message("four||>", "four")
        .message("||||||>", "||||")
        .failure("1234||1||>", ErrorKind::TooLong)
        .check();
    failing(|| Framer::Strings(Strings::netstring().max_length(12)))
        .message("12:123456789012,", "123456789012")
        .message("0:,", "")
        .failure("13:", ErrorKind::TooLong)
        .check();
    for malformed in ["01:a,", "1:a;", ":a,", "1;a,", "a", "-1:a,", " 1:a,", "+1:a,"] {
        failing(|| Framer::Strings(Strings::netstring()))
            .message("1:a,", "a")
            .failure(malformed, ErrorKind::Malformed)
            .check();
    }
    failing(|| Framer::Strings(Strings::int8().max_length(4)))
        .message(b"\x04four", "four")
        .failure(b"\x0512345", ErrorKind::TooLong)
        .check();
    failing(|| Framer::Strings(Strings::int16().max_length(4)))
        .message(b"\0\x04four", "four")
        .failure(b"\x01\x04four", ErrorKind::TooLong)
        .check();
    failing(|| Framer::Strings(Strings::int32().max_length(4)))
        .message(b"\0\0\0\x04four", "four")
        .failure(b"\x80\0\0\x04four", ErrorKind::TooLong)
        .check();
}

#[test]
fn every_format_is_the_same_when_the_layers_are_tls() {
    let authority = Authority::new();
    for (version, is_turned) in [(Version::Tls13, false), (Version::Tls13, true), (Version::Tls12, false)] {
        for format in FORMATS {
            let (client, server) = (authority.client(&[version]), authority.server(NAME, &[version]));
            let check = Conformance::of(move |witness| Receiver::new(format.framer(), witness));
            let messages = ["one", "", "\u{16}\u{3}\u{1}", "four"];
            let check =
                messages.into_iter().fold(check, |check, message| check.message(format.framed(message), message));
            let layers = move || {
                let (client, server) = (client.to(NAME).unwrap(), server.accept().unwrap());
                if is_turned { (server, client) } else { (client, server) }
            };
            check.layers(layers).check();
        }
    }
}

#[test]
fn a_line_may_end_in_a_line_feed_alone() {
    Conformance::of(|witness| Receiver::new(Format::Lines.framer(), witness))
        .message("one\n", "one")
        .message("\n", "")
        .message("two\r\n", "two")
        .message("\r\n", "")
        .message("three\r\r\n", "three\r")
        .check();
}

#[test]
fn a_delimiter_that_begins_twice_is_found() {
    Conformance::of(|witness| Receiver::new(Format::OddLines.framer(), witness))
        .message("a|||>", "a|")
        .message("|||||>", "|||")
        .message("||b||>", "||b")
        .message("||>", "")
        .check();
}

/// A line that announces so many raw bytes, and those; lines that announce strings, and back.
struct Mixed {
    lines: Lines,
    strings: Strings,
    raw: Raw,
    witness: Witness,
}

enum Raw {
    Bytes(usize),
    Strings,
}

impl Protocol for Mixed {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }
}

impl LineReceiver for Mixed {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
        if let Some(count) = line.strip_prefix(b"raw ") {
            self.raw = Raw::Bytes(std::str::from_utf8(count).unwrap().parse().unwrap());
            self.lines.set_raw_mode();
        }
        if line == b"strings" {
            self.raw = Raw::Strings;
            self.lines.set_raw_mode();
        }
        self.witness.saw(transport, line)
    }

    fn raw_data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        match self.raw {
            Raw::Bytes(count) if transport.input().len() >= count => {
                let raw = transport.take(count);
                self.lines.set_line_mode();
                self.witness.saw(transport, raw)
            }
            Raw::Bytes(_) => Ok(()),
            Raw::Strings => self.receive_strings(transport),
        }
    }
}

impl StringReceiver for Mixed {
    fn strings(&mut self) -> &mut Strings {
        &mut self.strings
    }

    fn string_received(&mut self, transport: &mut Transport<'_>, string: &[u8]) -> Result {
        if string == b"lines" {
            self.lines.set_line_mode();
        }
        self.witness.saw(transport, string)
    }
}

fn mixed(strings: fn() -> Strings) -> impl Fn(Witness) -> Mixed {
    move |witness| Mixed { lines: Lines::new(), strings: strings(), raw: Raw::Bytes(0), witness }
}

#[test]
fn lines_raw_bytes_and_strings_change_at_the_very_byte() {
    Conformance::of(mixed(Strings::netstring))
        .message("raw 6\r\n", "raw 6")
        .message("a\r\nb\r\n", "a\r\nb\r\n")
        .message("strings\r\n", "strings")
        .message("8:raw 99\r\n,", "raw 99\r\n")
        .message("5:lines,", "lines")
        .message("3:abc,\r\n", "3:abc,")
        .message("raw 0\r\n", "raw 0")
        .check();
    Conformance::of(mixed(Strings::int8))
        .message("strings\n", "strings")
        .message("\u{1}\n", "\n")
        .message("\u{5}lines", "lines")
        .message("\u{1}\n", "\u{1}")
        .check();
}

mod controls {
    //! The check finds what it is there to find.

    use super::*;

    /// Lines of which it takes all there are before it looks at the first.
    struct Greedy {
        buffer: Vec<u8>,
        witness: Witness,
    }

    impl Protocol for Greedy {
        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.buffer.extend(transport.take_all());
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                self.witness.saw(transport, &line[..end])?;
            }
            Ok(())
        }
    }

    fn greedy(witness: Witness) -> Greedy {
        Greedy { buffer: Vec::new(), witness }
    }

    #[test]
    fn a_buffer_of_its_own_does_no_harm_where_there_is_one_message() {
        Conformance::of(greedy).message("one\n", "one").check();
    }

    #[test]
    #[should_panic(expected = "cut Whole, layers behind the messages [Start]")]
    fn a_buffer_of_its_own_is_found_by_a_layer_that_starts() {
        Conformance::of(greedy).message("one\n", "one").message("two\n", "two").check();
    }

    #[test]
    #[should_panic(expected = "cut behind 0 and 1 bytes")]
    fn reads_that_are_taken_for_messages_are_found_by_a_cut() {
        struct Reads(Witness);

        impl Protocol for Reads {
            fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
                let read = transport.take_all();
                self.0.saw(transport, read)
            }
        }

        Conformance::of(Reads).message("one", "one").check();
    }

    #[test]
    #[should_panic(expected = "the end of the connection")]
    fn a_failure_that_does_not_come_is_found() {
        Conformance::of(|witness| Receiver::new(Format::Netstring.framer(), witness))
            .message("1:a,", "a")
            .failure("1:a", ErrorKind::Malformed)
            .check();
    }
}
