//! What comes byte by byte is not read anew with each byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onionskin::starttls::{Error, Exchange, Machine, Negotiate, Progress, StartTls};
use onionskin::testing::{Cut, Pair};

/// A protocol that says nothing and counts how often it is asked.
#[derive(Clone, Debug)]
struct Counting {
    asks: Ask,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Line,
    Message(usize),
    Whichever(usize),
    Nothing,
}

impl StartTls for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn client(&self) -> Box<dyn Machine> {
        Box::new(self.clone())
    }

    fn server(&self) -> Box<dyn Machine> {
        Box::new(self.clone())
    }
}

impl Machine for Counting {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let is_there = match self.asks {
            Ask::Line => exchange.line()?.is_some(),
            Ask::Message(len) => exchange.message(len)?.is_some(),
            Ask::Whichever(len) => exchange.message(len)?.is_some() || exchange.line()?.is_some(),
            Ask::Nothing => exchange.input().len() >= 100 && !exchange.take(100).is_empty(),
        };
        Ok(if is_there { Progress::Going } else { Progress::Waiting })
    }

    fn awaits(&self) -> &'static str {
        "more"
    }
}

/// How often it is asked while this comes in single bytes.
fn asked(asks: Ask, input: &[u8]) -> usize {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut pair = Pair::new(Cut::Bytes);
    pair.left.splice(Negotiate::without_tls(Counting { asks, asked: Arc::clone(&asked) }));
    pair.right.write(input);
    pair.run();
    assert!(pair.left.stack.lost().is_none());
    assert_eq!(pair.left.stack.inbound_len(), 0, "all of it is taken");
    asked.load(Ordering::Relaxed)
}

#[test]
fn a_negotiation_is_asked_again_when_what_it_asked_for_is_there() {
    let line = [&[b'x'; 7999][..], b"\n"].concat();
    let lines = line.repeat(3);
    // Once before anything has come, and then for each line and for what may be behind it.
    assert_eq!(asked(Ask::Line, &lines), 1 + 2 * 3);
    assert_eq!(asked(Ask::Message(4000), &lines), 1 + 2 * 6);
    // The message is there first, or the line.
    assert_eq!(asked(Ask::Whichever(4000), &lines), 1 + 2 * 6);
    assert_eq!(asked(Ask::Whichever(9000), &b"short\n".repeat(50)), 1 + 2 * 50);
    // The control: who looks for himself is asked with each byte.
    assert_eq!(asked(Ask::Nothing, &lines), 1 + lines.len() + lines.len() / 100);
}

#[test]
fn a_line_that_is_too_long_and_an_end_are_noticed_at_once() {
    for (input, is_error) in [(8191, false), (8192, true)] {
        let mut pair = Pair::new(Cut::Bytes);
        let asked = Arc::new(AtomicUsize::new(0));
        pair.left.splice(Negotiate::without_tls(Counting { asks: Ask::Line, asked: Arc::clone(&asked) }));
        pair.right.write(&vec![b'x'; input]);
        pair.run();
        assert_eq!(pair.left.stack.lost().is_some(), is_error);
        assert_eq!(asked.load(Ordering::Relaxed), 1 + usize::from(is_error));
        pair.left.end_input();
        pair.run();
        assert!(pair.left.stack.lost().is_some());
    }
}
