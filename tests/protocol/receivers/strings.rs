//! Strings that tell their length: limits, malformed frames, what is sent.

use onionskin::protocol::{Error, ErrorKind, Protocol, Result, StringReceiver, Strings, Transport};
use onionskin::testing::StringTransport;

use super::{Format, Framer, Receiver, nothing, receive};

const STRINGS: [(Format, fn() -> Strings); 4] = [
    (Format::Netstring, Strings::netstring),
    (Format::Int8, Strings::int8),
    (Format::Int16, Strings::int16),
    (Format::Int32, Strings::int32),
];

fn received(strings: Strings, input: impl AsRef<[u8]>) -> (Vec<String>, Option<ErrorKind>) {
    let transport = receive(Framer::Strings(strings), input.as_ref());
    (transport.protocol().log.clone(), transport.reason().unwrap().error().map(Error::kind))
}

#[test]
fn a_string_at_the_limit_passes_and_one_byte_more_does_not() {
    for (format, strings) in STRINGS {
        for limit in [0, 1, 9, 10, 99, 100, 254] {
            let whole = "x".repeat(limit);
            let result = received(strings().max_length(limit), format.framed(&whole));
            assert_eq!(result, (vec![format!("0 {whole}")], None), "{format:?}");
            let (log, error) = received(strings().max_length(limit), format.framed(&format!("{whole}x")));
            assert_eq!(log, [format!("{} is too long", limit + 1)], "{format:?}");
            assert_eq!(error, Some(ErrorKind::TooLong), "{format:?}");
        }
    }
}

#[test]
fn a_limit_above_the_usual_room_for_input_is_kept() {
    for (format, strings) in [STRINGS[0], STRINGS[3]] {
        let (log, error) = received(strings(), format.framed(&"x".repeat(99_999)));
        assert_eq!((log.len(), error), (1, None), "{format:?}");
        let (log, error) = received(strings().max_length(1 << 20), format.framed(&"x".repeat(1 << 20)));
        assert_eq!((log.len(), error), (1, None), "{format:?}");
        let (log, error) = received(strings(), format.framed(&"x".repeat(100_000)));
        assert_eq!((log, error), (vec!["100000 is too long".to_owned()], Some(ErrorKind::TooLong)), "{format:?}");
    }
}

#[test]
fn a_string_that_is_too_long_is_refused_when_its_length_is_there() {
    for (format, strings) in STRINGS {
        let head = |length: usize| {
            let mut framed = format.framed(&"x".repeat(length));
            framed.truncate(framed.len() - length - usize::from(format == Format::Netstring));
            framed
        };
        let mut transport = StringTransport::new(Receiver::new(Framer::Strings(strings().max_length(10)), nothing));
        transport.receive(&head(10));
        assert!(!transport.act(|_, transport| transport.is_closing()), "{format:?}");
        let mut transport = StringTransport::new(Receiver::new(Framer::Strings(strings().max_length(10)), nothing));
        transport.receive(&head(11));
        assert!(transport.act(|_, transport| transport.is_closing()), "{format:?}");
    }
}

#[test]
fn what_follows_a_refused_string_is_never_received() {
    for (format, strings) in STRINGS {
        let stream = format.all_framed(&["one", "too long", "two"]);
        let (log, _) = received(strings().max_length(4), &stream);
        assert_eq!(log, ["0 one", "8 is too long"], "{format:?}");
        let (log, _) = received(strings().max_length(8), &stream);
        assert_eq!(log, ["0 one", "0 too long", "0 two"], "{format:?}");
    }
}

#[test]
fn a_malformed_netstring_closes_the_connection() {
    let netstrings = [
        "00:,", "01:a,", "1:a;", "1:ab", "0:;", ":,", "1;a,", "a:a,", "-1:a,", "+1:a,", " 1:a,", "1 :a,", "0x1:a,",
        "\n", ",",
    ];
    for netstring in netstrings {
        let (log, error) = received(Strings::netstring(), netstring);
        assert_eq!((log.len(), error), (0, Some(ErrorKind::Malformed)), "{netstring}");
    }
    for (netstring, expected) in [("0:,", "0 "), ("1:a,", "0 a"), ("10:0123456789,", "0 0123456789")] {
        assert_eq!(received(Strings::netstring(), netstring), (vec![expected.to_owned()], None));
    }
}

#[test]
fn a_length_of_many_digits_is_too_long_and_never_a_number_that_wraps() {
    // The last two are 2^64 + 1 and 2^128 + 1.
    for length in ["100000", "18446744073709551617", "340282366920938463463374607431768211457", &"9".repeat(100_000)] {
        for end in ["", ":a,"] {
            let (log, error) = received(Strings::netstring(), format!("{length}{end}"));
            assert_eq!(error, Some(ErrorKind::TooLong), "{}", &length[..6]);
            assert_eq!(log.len(), 1);
            assert!(log[0].ends_with(" is too long"), "{log:?}");
        }
        let (_, error) = received(Strings::netstring(), format!("0{length}:a,"));
        assert_eq!(error, Some(ErrorKind::Malformed));
    }
}

#[test]
fn a_limit_as_large_as_can_be_does_not_overflow() {
    let most = usize::MAX.to_string();
    for length in [&*most, "18446744073709551616", "99999999999999999999"] {
        let (log, error) = received(Strings::netstring().max_length(usize::MAX), format!("{length}:a,"));
        assert_eq!((log.len(), error), (0, None), "{length}");
    }
    let (log, error) = received(Strings::int32().max_length(usize::MAX), b"\xff\xff\xff\xffa");
    assert_eq!((log.len(), error), (0, None));
}

#[test]
fn netstrings_nest() {
    struct Nested {
        outer: Strings,
        log: Vec<String>,
    }
    impl Protocol for Nested {
        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.receive_strings(transport)
        }
    }
    impl StringReceiver for Nested {
        fn strings(&mut self) -> &mut Strings {
            &mut self.outer
        }
        fn string_received(&mut self, _: &mut Transport<'_>, string: &[u8]) -> Result {
            let mut inner = StringTransport::new(Receiver::new(Format::Netstring.framer(), nothing));
            inner.receive(string);
            self.log.extend(inner.protocol().log.iter().cloned());
            Ok(())
        }
    }
    let mut transport = StringTransport::new(Nested { outer: Strings::netstring(), log: Vec::new() });
    transport.receive(b"12:1:a,2:bc,0:,,4:1:d,,");
    assert_eq!(transport.protocol().log, ["0 a", "0 bc", "0 ", "0 d"]);
}

#[test]
fn the_framer_can_change_behind_any_string() {
    let formats = [Format::Netstring, Format::Int8, Format::Int16, Format::Int32, Format::Lines];
    let mut next = formats.into_iter().cycle().skip(1);
    let change = move |framer: &mut Framer, _: &mut Transport<'_>, _: &[u8]| {
        *framer = next.next().unwrap().framer();
        Ok(())
    };
    let stream: Vec<u8> = formats.into_iter().cycle().take(50).flat_map(|format| format.framed("1:a,")).collect();
    for piece in [1, 2, 3, 7, stream.len()] {
        let mut transport = StringTransport::new(Receiver::new(Format::Netstring.framer(), change.clone()));
        stream.chunks(piece).for_each(|piece| transport.receive(piece));
        assert_eq!(transport.protocol().log, ["0 1:a,"; 50]);
    }
}

#[test]
fn a_string_is_sent_in_its_frame() {
    for (format, strings) in STRINGS {
        for string in ["", "a", "twelve bytes", &"x".repeat(255)] {
            let mut transport = StringTransport::new(Receiver::new(Framer::Strings(strings()), nothing));
            transport.act(|receiver, transport| receiver.send_string(transport, string.as_bytes())).unwrap();
            assert_eq!(transport.sent(), format.framed(string), "{format:?}");
        }
    }
}

#[test]
fn a_string_that_its_frame_cannot_tell_is_not_sent() {
    for (strings, most) in [(Strings::int8(), 255), (Strings::int16(), 65_535)] {
        let mut transport = StringTransport::new(Receiver::new(Framer::Strings(strings), nothing));
        let mut send = |length| {
            transport
                .act(|receiver, transport| receiver.send_string(transport, vec![b'x'; length]))
                .map(|()| transport.sent().len())
        };
        assert!(send(most).unwrap() > most);
        assert!(send(most + 1).unwrap_err().is_too_long());
        assert_eq!(transport.sent(), b"");
    }
}
