//! Lines: limits, raw mode, pauses.

use onionskin::protocol::{ErrorKind, LineReceiver, Lines, Protocol, Result, Transport};
use onionskin::testing::StringTransport;

use super::{Format, Framer, Receiver, nothing, receive};

/// Lines of at most so many bytes.
fn at_most(bytes: usize) -> Framer {
    Framer::Lines(Lines::new().max_length(bytes))
}

fn received(framer: Framer, input: &[u8]) -> (Vec<String>, Option<ErrorKind>) {
    let transport = receive(framer, input);
    let kind = transport.reason().unwrap().error().map(onionskin::protocol::Error::kind);
    (transport.protocol().log.clone(), kind)
}

#[test]
fn a_line_at_the_limit_passes_and_one_byte_more_does_not() {
    let exactly = |limit| Framer::Lines(Lines::delimited_by("\r\n").max_length(limit));
    for framer in [at_most, exactly] {
        for limit in [0, 1, 16, 70_000] {
            let whole = "x".repeat(limit);
            let (log, error) = received(framer(limit), format!("{whole}\r\n").as_bytes());
            assert_eq!((log, error), (vec![format!("0 {whole}")], None));
            let (log, error) = received(framer(limit), format!("{whole}x\r\n").as_bytes());
            assert_eq!((log.len(), error), (0, Some(ErrorKind::TooLong)));
        }
    }
}

#[test]
fn a_part_of_a_delimiter_is_not_counted_until_it_is_none() {
    let mut transport = StringTransport::new(Receiver::new(at_most(4), nothing));
    transport.receive(b"four\r");
    assert!(transport.reason().is_none());
    transport.receive(b"\nfour\r");
    assert_eq!(transport.protocol().log, ["0 four"]);
    transport.receive(b"x");
    transport.end_of_input();
    assert!(transport.reason().unwrap().error().unwrap().is_too_long());
    assert_eq!(transport.protocol().log, ["0 four"]);
}

#[test]
fn a_limit_is_noticed_before_the_line_is_there() {
    let mut transport = StringTransport::new(Receiver::new(at_most(4), nothing));
    transport.receive(b"1234");
    assert!(!transport.act(|_, transport| transport.is_closing()));
    transport.receive(b"5");
    assert!(transport.act(|_, transport| transport.is_closing()));
}

#[test]
fn a_pause_in_the_callback_holds_the_next_line_back() {
    for format in super::FORMATS {
        let pause = |_: &mut Framer, transport: &mut Transport<'_>, message: &[u8]| {
            if message == b"pause" {
                transport.pause_producing();
            }
            Ok(())
        };
        let mut transport = StringTransport::new(Receiver::new(format.framer(), pause));
        transport.receive(&format.all_framed(&["one", "pause", "pause", "two"]));
        assert_eq!(transport.protocol().log[..], ["0 one", "0 pause"], "{format:?}");
        transport.receive(&format.framed("three"));
        assert_eq!(transport.protocol().log.len(), 2, "{format:?}");
        transport.act(|_, transport| transport.resume_producing());
        assert_eq!(transport.protocol().log[2..], ["0 pause"], "{format:?}");
        transport.act(|_, transport| transport.resume_producing());
        assert_eq!(transport.protocol().log[3..], ["0 two", "0 three"], "{format:?}");
    }
}

#[test]
fn a_pause_that_is_undone_in_the_same_callback_is_none() {
    for format in super::FORMATS {
        let pause = |_: &mut Framer, transport: &mut Transport<'_>, _: &[u8]| {
            transport.pause_producing();
            transport.resume_producing();
            Ok(())
        };
        let mut transport = StringTransport::new(Receiver::new(format.framer(), pause));
        transport.receive(&format.all_framed(&["one", "two", "three"]));
        assert_eq!(transport.protocol().log.len(), 3, "{format:?}");
    }
}

#[test]
fn nothing_is_received_after_the_connection_was_left() {
    type Leave = fn(&mut Transport<'_>) -> Result;
    let ways: [Leave; 3] = [
        |transport| {
            transport.close();
            Ok(())
        },
        |transport| {
            transport.abort();
            Ok(())
        },
        |_| Err("enough".into()),
    ];
    for format in super::FORMATS {
        for leave in ways {
            let act = move |_: &mut Framer, transport: &mut Transport<'_>, _: &[u8]| leave(transport);
            let mut transport = StringTransport::new(Receiver::new(format.framer(), act));
            transport.receive(&format.all_framed(&["one", "two"]));
            transport.receive(&format.framed("three"));
            assert_eq!(transport.protocol().log[..], ["0 one"], "{format:?}");
        }
    }
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_asked_for_no_more_questions() {
    for format in super::FORMATS {
        let answer = |_: &mut Framer, transport: &mut Transport<'_>, _: &[u8]| transport.write(&[b'x'; 1000]);
        let mut transport = StringTransport::new(Receiver::new(format.framer(), answer));
        transport.hold(true);
        let questions = ["?"; 200];
        transport.receive(&format.all_framed(&questions));
        // The high water mark is at 65,536 bytes, so that the 66th answer is the last.
        assert_eq!(transport.protocol().log.len(), 66, "{format:?}");
        transport.hold(false);
        assert_eq!(transport.protocol().log.len(), 200, "{format:?}");
        assert_eq!(transport.sent().len(), 200_000, "{format:?}");
    }
}

#[test]
fn one_who_reads_while_full_gets_them_all() {
    let answer = |_: &mut Framer, transport: &mut Transport<'_>, _: &[u8]| {
        transport.read_while_full(true);
        transport.write(&[b'x'; 1000])
    };
    let mut transport = StringTransport::new(Receiver::new(Format::Lines.framer(), answer));
    transport.hold(true);
    transport.receive(&Format::Lines.all_framed(&["?"; 200]));
    assert_eq!(transport.protocol().log.len(), 200);
}

/// Goes on behind a line that is too long.
struct Patient {
    lines: Lines,
    log: Vec<String>,
    /// What it does with such a line.
    exceeded: fn(&mut Lines),
    /// And with raw input.
    raw: fn(&mut Lines, &mut Transport<'_>) -> Vec<u8>,
}

impl Patient {
    fn new(lines: Lines, exceeded: fn(&mut Lines)) -> Self {
        Self { lines, log: Vec::new(), exceeded, raw: |_, transport| transport.take_all() }
    }
}

impl Protocol for Patient {
    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receive_lines(transport)
    }
}

impl LineReceiver for Patient {
    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    fn line_received(&mut self, _: &mut Transport<'_>, line: &[u8]) -> Result {
        self.log.push(line.escape_ascii().to_string());
        Ok(())
    }

    fn raw_data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        let raw = (self.raw)(&mut self.lines, transport);
        self.log.push(format!("raw {}", raw.escape_ascii()));
        Ok(())
    }

    fn line_length_exceeded(&mut self, _: &mut Transport<'_>) -> Result {
        self.log.push("too long".to_owned());
        (self.exceeded)(&mut self.lines);
        Ok(())
    }
}

#[test]
fn long_lines_can_be_dropped_and_the_next_ones_received() {
    let stream = b"one\r\n12345\r\n\r\n1234567\r\n12345\r\r\ntwo\r\n";
    let expected = ["one", "too long", "", "too long", "too long", "two"];
    for piece in 1..=stream.len() {
        for lines in [Lines::new(), Lines::delimited_by("\r\n")] {
            // Line mode is what it is in already.
            for exceeded in [|_: &mut Lines| {}, Lines::set_line_mode] {
                let mut transport = StringTransport::new(Patient::new(lines.clone().max_length(4), exceeded));
                stream.chunks(piece).for_each(|piece| transport.receive(piece));
                assert_eq!(transport.protocol().log, expected, "in pieces of {piece}");
            }
        }
    }
}

#[test]
fn a_long_line_can_be_taken_raw_from_its_first_byte() {
    let lines = Lines::new().max_length(4);
    let mut transport = StringTransport::new(Patient::new(lines.clone(), Lines::set_raw_mode));
    transport.receive(b"one\r\n12345");
    assert_eq!(transport.protocol().log, ["one", "too long", "raw 12345"]);
    transport.receive(b"\r\n");
    assert_eq!(transport.protocol().log[3..], ["raw \\r\\n"]);
    transport.protocol_mut().lines.set_line_mode();
    transport.receive(b"two\r\n");
    assert_eq!(transport.protocol().log[4..], ["two"]);
}

#[test]
fn a_mode_that_changes_without_end_over_the_same_bytes_comes_to_rest() {
    let mut protocol = Patient::new(Lines::new().max_length(4), Lines::set_raw_mode);
    protocol.raw = |lines, _| {
        lines.set_line_mode();
        Vec::new()
    };
    let mut transport = StringTransport::new(protocol);
    transport.receive(b"one\n12345");
    let count = transport.protocol().log.len();
    assert!((2..10).contains(&count), "{:?}", transport.protocol().log);
    assert!(transport.reason().is_none());
}

#[test]
fn raw_input_that_turns_out_to_be_lines_is_received_as_such_at_once() {
    let mut protocol = Patient::new(Lines::new().raw(), |_| {});
    protocol.raw = |lines, transport| {
        if transport.input().starts_with(b"x") {
            return transport.take(1);
        }
        lines.set_line_mode();
        Vec::new()
    };
    let mut transport = StringTransport::new(protocol);
    transport.receive(b"xxone\ntwo\n");
    assert_eq!(transport.protocol().log, ["raw x", "raw x", "raw ", "one", "two"]);
}

#[test]
fn lines_and_raw_bytes_can_change_places_thousands_of_times_in_one_read() {
    let mut protocol = Patient::new(Lines::new(), |_| {});
    protocol.raw = |lines, transport| {
        lines.set_line_mode();
        transport.take(1)
    };
    /// Raw mode behind each line.
    struct Flips(Patient);
    impl Protocol for Flips {
        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.receive_lines(transport)
        }
    }
    impl LineReceiver for Flips {
        fn lines(&mut self) -> &mut Lines {
            self.0.lines()
        }
        fn line_received(&mut self, transport: &mut Transport<'_>, line: &[u8]) -> Result {
            self.0.line_received(transport, line)?;
            self.lines().set_raw_mode();
            Ok(())
        }
        fn raw_data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.0.raw_data_received(transport)
        }
    }
    let mut transport = StringTransport::new(Flips(protocol));
    transport.receive(&b"a\r\n\n".repeat(4_500));
    let log = &transport.protocol().0.log;
    assert_eq!(log.len(), 9_000);
    assert!(log.chunks(2).all(|pair| pair == ["a", "raw \\n"]));
}

#[test]
fn what_is_dropped_of_a_long_line_ends_with_its_layer() {
    use onionskin::testing::{Cut, Dialogue};

    use crate::common::link::NAME;
    use crate::common::{Authority, BOTH};

    struct Silent;
    impl Protocol for Silent {}

    /// Patient, with an answer to the end of a layer.
    struct Answers(Patient);
    impl Protocol for Answers {
        fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
            Some(&mut self.0)
        }
        fn layer_ended(&mut self, transport: &mut Transport<'_>, _: onionskin::protocol::LayerId) -> Result {
            transport.stop_tls()?;
            Ok(())
        }
    }

    let authority = Authority::new();
    let (client, server) = (authority.client(BOTH), authority.server(NAME, BOTH));
    let patient = Patient::new(Lines::new().max_length(4), |_| {});
    let mut dialogue = Dialogue::new(Cut::Whole, Silent, Answers(patient));
    dialogue.with_left(|_, transport| transport.start_tls(client.to(NAME).unwrap()).map(|_| ()).unwrap());
    dialogue.with_right(|_, transport| transport.start_tls(server.accept().unwrap()).map(|_| ()).unwrap());
    dialogue.with_left(|_, transport| transport.write(b"one\r\n1234567").unwrap());
    dialogue.run();
    assert_eq!(dialogue.right().0.log, ["one", "too long"]);
    dialogue.with_left(|_, transport| {
        transport.stop_tls().unwrap();
        transport.write(b"two\r\n").unwrap();
    });
    dialogue.run();
    assert_eq!(dialogue.right().0.log[2..], ["two"]);
}

#[test]
fn a_line_is_sent_with_its_delimiter() {
    let send = |framer: Framer| {
        let mut transport = StringTransport::new(Receiver::new(framer, nothing));
        transport.act(|receiver, transport| receiver.send_line(transport, b"a line")).unwrap();
        transport.sent()
    };
    assert_eq!(send(Format::Lines.framer()), b"a line\r\n");
    assert_eq!(send(Format::OddLines.framer()), b"a line||>");
}

#[test]
fn a_line_that_the_peer_would_take_for_two_is_not_sent() {
    let sent = |lines: Lines, line: &str| {
        let mut transport = StringTransport::new(Receiver::new(Framer::Lines(lines), nothing));
        let result = transport.act(|receiver, transport| receiver.send_line(transport, line));
        (result.is_ok(), transport.sent())
    };
    assert_eq!(sent(Lines::new(), "RCPT TO:<a>"), (true, b"RCPT TO:<a>\r\n".to_vec()));
    assert_eq!(sent(Lines::new(), "a\rb\r"), (true, b"a\rb\r\r\n".to_vec()));
    assert_eq!(sent(Lines::new(), "a>\nQUIT"), (false, Vec::new()));
    assert_eq!(sent(Lines::delimited_by("\0"), "a\nb"), (true, b"a\nb\0".to_vec()));
    assert_eq!(sent(Lines::delimited_by("\0"), "a\0b"), (false, Vec::new()));
    assert_eq!(sent(Lines::delimited_by("--"), "a-"), (false, Vec::new()), "its end would be sought too early");
}
