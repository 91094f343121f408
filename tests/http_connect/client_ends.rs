//! A proxy that ends, dies or is silent, at every byte of what it says.

use std::time::Duration;

use onionskin::testing::Cut;
use onionskin::tunnel::ErrorKind;

use crate::peer::{Dialogue, connect};

const GRANTED: &str = "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nVia: 1.1 a\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno!\r\n";

#[test]
fn h11_an_end_at_any_byte_before_the_answer_is_named_as_what_it_is() {
    for is_reset in [false, true] {
        for at in 0..=GRANTED.len() {
            let mut dialogue = Dialogue::new(Cut::Whole, connect());
            dialogue.proxy.hears();
            dialogue.proxy.says(&GRANTED[..at]);
            dialogue.run();
            if is_reset {
                dialogue.proxy.resets();
            } else {
                dialogue.proxy.ends();
            }
            if at == GRANTED.len() {
                // The control: behind the answer it is the tunnel that ends.
                assert!(is_reset || dialogue.outcome().unwrap().opened.is_ok());
                continue;
            }
            let error = dialogue.error();
            assert_eq!(error.kind(), &ErrorKind::Ended("the answer of the proxy"), "{at} {is_reset}: {error}");
            assert!(error.to_string().contains("proxy.example:3128"), "{error}");
        }
    }
}

#[test]
fn h8_an_end_at_any_byte_of_the_body_leaves_the_refusal() {
    let head = REFUSED.find("no!").unwrap();
    for is_reset in [false, true] {
        for at in head..=REFUSED.len() {
            let mut dialogue = Dialogue::new(Cut::Whole, connect());
            dialogue.proxy.hears();
            dialogue.proxy.says(&REFUSED[..at]);
            dialogue.run();
            if is_reset {
                dialogue.proxy.resets();
            } else {
                dialogue.proxy.ends();
            }
            let error = dialogue.error();
            let ErrorKind::Refused { code, body, .. } = error.kind() else { panic!("{at} {is_reset}: {error}") };
            assert_eq!((*code, &body[..]), (403, &REFUSED.as_bytes()[head..at]), "{is_reset}");
        }
    }
}

#[test]
fn h10_silence_at_any_byte_ends_with_the_deadline() {
    for said in [GRANTED, REFUSED] {
        for at in 0..said.len() {
            let mut dialogue = Dialogue::new(Cut::Whole, connect());
            dialogue.proxy.says(&said[..at]);
            dialogue.run();
            dialogue.clock.advance(Duration::from_secs(29));
            assert!(dialogue.outcome().is_none(), "{at}");
            dialogue.clock.advance(Duration::from_secs(2));
            let error = dialogue.error();
            match error.kind() {
                ErrorKind::TimedOut(_) => assert!(error.is_timeout()),
                // What came of a refusal is one.
                ErrorKind::Refused { code: 403, .. } => assert!(said == REFUSED && at >= said.find("no!").unwrap()),
                _ => panic!("{at}: {error}"),
            }
        }
    }
}

#[test]
fn h10_a_byte_a_second_does_not_move_the_deadline() {
    let mut dialogue = Dialogue::new(Cut::Whole, connect());
    for (second, byte) in GRANTED.as_bytes().iter().enumerate() {
        dialogue.proxy.says([*byte]);
        if let Some(outcome) = dialogue.outcome() {
            assert!(matches!(outcome.opened.unwrap_err().kind(), ErrorKind::TimedOut(_)));
            assert_eq!(second, 30);
            return;
        }
        dialogue.clock.advance(Duration::from_secs(1));
    }
    panic!("the deadline has not come");
}
