//! What the log says of what passes.

use std::sync::{Arc, Mutex};

use onionskin::layer::{Form, TrafficLog};
use onionskin::stack::Stop;
use onionskin::testing::{Cut, Pair};

use crate::common::link::{Link, each_version, pattern};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn log(&self) -> TrafficLog {
        let lines = self.clone();
        TrafficLog::to(move |line| lines.0.lock().unwrap().push(line.to_owned()))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn text_is_shown_line_by_line_with_escapes() {
    let (mut pair, lines) = (Pair::new(Cut::Whole), Lines::default());
    pair.left.splice(lines.log());
    pair.left.write(b"EHLO me\r\nQUIT\r\n\x1b[31m\xff\"");
    pair.run();
    pair.right.write(b"250 fine\n");
    pair.run();
    let expected = [r"#1 out EHLO me\r\n", r"#1 out QUIT\r\n", r#"#1 out \x1b[31m\xff\""#, r"#1 in  250 fine\n"];
    assert_eq!(lines.take(), expected);
}

#[test]
fn hexadecimal_lines_have_the_offset_in_their_direction_and_a_column_of_text() {
    let (mut pair, lines) = (Pair::new(Cut::Whole), Lines::default());
    pair.left.splice(lines.log().form(Form::Hex).label("a"));
    pair.left.write(b"0123456789abcdef\x00\xffz");
    pair.left.write(b"more");
    pair.run();
    pair.right.write(b"in");
    pair.run();
    let expected = [
        "a out 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|",
        "a out 00000010  00 ff 7a                                          |..z|",
        "a out 00000013  6d 6f 72 65                                       |more|",
        "a in  00000000  69 6e                                             |in|",
    ];
    assert_eq!(lines.take(), expected);
}

#[test]
fn no_line_is_long_and_none_loses_a_byte() {
    let (mut pair, lines) = (Pair::new(Cut::Whole), Lines::default());
    pair.left.splice(lines.log());
    let bytes = pattern(50_000);
    assert!(pair.left_to_right(&bytes) == bytes);
    let lines = lines.take();
    assert!(lines.iter().all(|line| line.len() <= "#1 out ".len() + 4 * 128));
    let shown: String = lines.iter().map(|line| line.strip_prefix("#1 out ").unwrap()).collect();
    assert!(shown == bytes.escape_ascii().to_string());
}

#[test]
fn marks_show_in_their_place() {
    each_version(1, |case| {
        let (mut link, lines) = (Link::connected(case), Lines::default());
        link.left.splice(lines.log());
        let tls = link.left.stack.innermost_stoppable().unwrap();
        link.left.write(b"last");
        link.left.stop(Stop::new()).unwrap();
        link.run();
        link.right.read();
        link.right.write(b"late");
        link.right_answers();
        link.run();
        link.left.read();
        link.left.pass_end().unwrap();
        let now = link.now();
        link.left.stack.close(now);
        link.left.end_input();
        link.run();
        let expected = [
            "#2 out last".to_owned(),
            format!("#2 out -- stop layer {tls}"),
            "#2 in  late".to_owned(),
            format!("#2 in  -- end of layer {tls}"),
            "#2 out -- close".to_owned(),
            "#2 in  -- end of file".to_owned(),
        ];
        assert_eq!(lines.take(), expected);
    });
}

#[test]
fn a_finish_a_truncation_and_a_loss_show_too() {
    for (is_loss, words) in [(false, "it in  -- cut off"), (true, "it in  -- connection lost")] {
        each_version(1, |case| {
            let (mut link, lines) = (Link::connected(case), Lines::default());
            link.left.splice(lines.log().label("it"));
            let (now, tls) = (link.now(), link.left.stack.innermost_stoppable().unwrap());
            link.left.stack.finish(now, tls).unwrap();
            match is_loss {
                true => link.left.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into()),
                false => link.left.end_input(),
            }
            link.run();
            assert_eq!(lines.take(), [format!("it out -- finish layer {tls}"), words.to_owned()]);
        });
    }
}

/// Keeps what is logged to the target of this layer by any test of this program.
struct Logger(Mutex<Vec<String>>);

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "onionskin::traffic"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

#[test]
fn the_crate_log_is_the_sink_unless_another_is_given() {
    let bytes = pattern(300_000);
    let mut pair = Pair::new(Cut::Random(1));
    pair.left.splice(TrafficLog::new().form(Form::Hex).label("crate log"));
    // No logger is set, so nothing is heard; what passes is the same, and is counted.
    assert!(pair.left_to_right(&bytes) == bytes);
    assert!(pair.right_to_left(&bytes) == bytes);
    log::set_logger(&LOGGER).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    pair.left.write(b"heard");
    let expected = "DEBUG crate log out 000493e0  68 65 61 72 64                                    |heard|";
    assert!(LOGGER.0.lock().unwrap().iter().any(|line| line == expected), "{:?}", LOGGER.0);
}
