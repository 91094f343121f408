//! A protocol is asked, and answers at once, later, from elsewhere, or not at all.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use onionskin::layer::opening::Opening;
use onionskin::layer::{Counter, IdleTimeout};
use onionskin::protocol::{Answer, EndReason, HandleError, LayerView, PeerAnswer, Protocol, Result, Transport};
use onionskin::testing::StringTransport;

use crate::async_code::ThenCounted;
use crate::operator::{Dial, Operator, Target, dial, operator};

type Kept = Arc<Mutex<Option<Answer<Operator>>>>;

/// What the protocol does when it is asked.
#[derive(Clone)]
enum Does {
    Grant,
    Refuse(u16),
    /// The answer is to be found there.
    Keep(Kept),
    Nothing,
}

struct Exchange {
    does: Does,
    log: Vec<String>,
}

impl Protocol for Exchange {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.splice(operator())?;
        Ok(())
    }

    fn layer_asked(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        let Target(target) = transport.question::<Operator>(layer.id).unwrap().clone();
        self.log.push(format!("{} asks for {target}", layer.name));
        match &self.does {
            Does::Grant => transport.grant::<Operator>(layer.id, "10.0.0.1".to_owned())?,
            Does::Refuse(code) => transport.refuse::<Operator>(layer.id, *code)?,
            Does::Keep(kept) => *kept.lock().unwrap() = Some(transport.answer_later(layer.id)?),
            Does::Nothing => {}
        }
        Ok(())
    }

    fn layer_ready(&mut self, _: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.log.push(format!("{} is ready", layer.name));
        Ok(())
    }

    fn layer_stopped(&mut self, _: &mut Transport<'_>, _: onionskin::protocol::LayerId, _: PeerAnswer) -> Result {
        self.log.push("it has left".to_owned());
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        let data = transport.take_all();
        self.log.push(format!("data {}", String::from_utf8_lossy(&data)));
        Ok(())
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        self.log.push(format!("lost: {reason}"));
    }
}

fn exchange(does: Does) -> StringTransport<Exchange> {
    let mut transport = StringTransport::new(Exchange { does, log: Vec::new() });
    assert_eq!(transport.sent(), b"HELLO\n");
    transport.receive(b"DIAL a.example\nbehind");
    transport
}

fn kept() -> (StringTransport<Exchange>, Answer<Operator>) {
    let kept = Kept::default();
    let transport = exchange(Does::Keep(Arc::clone(&kept)));
    let answer = kept.lock().unwrap().take().unwrap();
    assert_eq!(transport.protocol().log, ["operator asks for a.example"]);
    (transport, answer)
}

const ASKED: &str = "operator asks for a.example";

#[test]
fn it_is_granted_at_once() {
    let mut transport = exchange(Does::Grant);
    assert_eq!(transport.sent(), b"OK 10.0.0.1\n");
    assert_eq!(transport.protocol().log, [ASKED, "operator is ready", "it has left", "data behind"]);
}

#[test]
fn it_is_refused_at_once_and_the_client_may_ask_again() {
    let mut transport = exchange(Does::Refuse(404));
    transport.receive(b" me\nDIAL b.example\n");
    assert_eq!(transport.sent(), b"NO 404\nWHAT\nNO 404\n");
    assert_eq!(transport.protocol().log, [ASKED, "operator asks for b.example"]);
    let mut transport = exchange(Does::Refuse(502));
    assert_eq!(transport.sent(), b"NO 502\n");
    let [asked, lost] = &transport.protocol().log[..] else { panic!("{:?}", transport.protocol().log) };
    assert!(asked == ASKED && lost.ends_with("refused with 502"), "{lost}");
}

#[test]
fn it_is_granted_later_from_another_thread() {
    let (mut transport, answer) = kept();
    assert_eq!(transport.sent(), b"");
    thread::spawn(move || answer.grant("10.0.0.1".to_owned()).unwrap()).join().unwrap();
    transport.run();
    assert_eq!(transport.sent(), b"OK 10.0.0.1\n");
    assert_eq!(transport.protocol().log, [ASKED, "operator is ready", "it has left", "data behind"]);
}

#[test]
fn it_is_refused_later_from_another_thread() {
    let (mut transport, answer) = kept();
    thread::spawn(move || answer.refuse(404).unwrap()).join().unwrap();
    transport.run();
    assert_eq!(transport.sent(), b"NO 404\n");
    assert_eq!(transport.protocol().log, [ASKED]);
    // The client may go on.
    transport.receive(b"\nDIAL b.example\n");
    assert_eq!(transport.protocol().log, [ASKED, "operator asks for b.example"]);
}

#[test]
fn an_answer_that_is_dropped_says_no() {
    let (mut transport, answer) = kept();
    drop(answer);
    transport.run();
    assert_eq!(transport.sent(), b"NO 503\n");
    assert!(transport.reason().is_some());
}

#[test]
fn a_protocol_that_knows_of_no_questions_says_no() {
    struct Ignorant;

    impl Protocol for Ignorant {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.splice(operator())?;
            transport.write(b"for whoever is there in the end")
        }
    }

    struct Around(Box<dyn Protocol>);

    impl Protocol for Around {
        fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
            Some(&mut *self.0)
        }
    }

    for protocol in [Around(Box::new(Ignorant)), Around(Box::new(Exchange { does: Does::Grant, log: Vec::new() }))] {
        let mut transport = StringTransport::new(protocol);
        transport.receive(b"DIAL a.example\n");
        let sent = transport.sent();
        // The control: one that does is asked through a wrapper too.
        assert!([&b"HELLO\nNO 503\n"[..], b"HELLO\nOK 10.0.0.1\n"].contains(&&sent[..]), "{sent:?}");
        assert_eq!(transport.reason().is_some(), sent.ends_with(b"NO 503\n"));
    }
}

#[test]
fn an_answer_whose_peer_is_gone_goes_nowhere() {
    let (mut transport, answer) = kept();
    transport.break_with(io::ErrorKind::ConnectionReset.into());
    let [asked, lost] = &transport.protocol().log[..] else { panic!("{:?}", transport.protocol().log) };
    assert!(asked == ASKED && lost.contains("connection reset"), "{lost}");
    assert_eq!(answer.grant("10.0.0.1".to_owned()), Err(HandleError::Over));
    assert_eq!(transport.sent(), b"");
}

#[test]
fn a_peer_that_has_ended_its_side_gets_its_answer() {
    let (mut transport, answer) = kept();
    transport.end_of_input();
    assert!(transport.reason().is_none());
    answer.grant("10.0.0.1".to_owned()).unwrap();
    transport.run();
    assert_eq!(transport.sent(), b"OK 10.0.0.1\n");
    assert_eq!(transport.protocol().log[..4], [ASKED, "operator is ready", "it has left", "data behind"]);
    assert!(transport.reason().unwrap().is_closed());
}

#[test]
fn a_connection_that_is_closed_meanwhile_says_no() {
    let (mut transport, answer) = kept();
    transport.act(|_, transport| transport.close());
    transport.run();
    assert_eq!(transport.sent(), b"NO 503\n");
    let _ = answer.grant("10.0.0.1".to_owned());
    transport.run();
    assert_eq!(transport.sent(), b"");
}

#[test]
fn an_answer_is_owed_to_a_question_only() {
    let mut transport = exchange(Does::Nothing);
    let layer = transport.stack().layers().next().unwrap().0;
    transport.act(|_, transport| {
        transport.refuse::<Operator>(layer, 404).unwrap();
        assert!(transport.refuse::<Operator>(layer, 404).is_err());
        assert!(transport.answer_later::<Operator>(layer).is_err());
        assert!(transport.decline(layer).is_err());
    });
    assert_eq!(transport.sent(), b"NO 404\n");
}

#[test]
fn an_answer_is_to_its_own_question() {
    // The control answers the second question by an answer of its own.
    for is_dropped in [false, true] {
        for is_late in [false, true] {
            let answers = Kept::default();
            let mut transport = exchange(Does::Keep(Arc::clone(&answers)));
            let first = answers.lock().unwrap().take().unwrap();
            let layer = first.layer();
            transport.act(|_, transport| transport.refuse::<Operator>(layer, 404).unwrap());
            transport.receive(b"\nDIAL b.example\n");
            assert_eq!(transport.protocol().log, [ASKED, "operator asks for b.example"]);
            let second = answers.lock().unwrap().take().unwrap();
            let answer = if is_late { first } else { second };
            match is_dropped {
                true => drop(answer),
                false => answer.grant("10.0.0.1".to_owned()).unwrap(),
            }
            transport.run();
            let answered = if is_dropped { "NO 503\n" } else { "OK 10.0.0.1\n" };
            let sent = String::from_utf8(transport.sent()).unwrap();
            assert_eq!(sent, format!("NO 404\nWHAT\n{}", if is_late { "" } else { answered }));
        }
    }
}

/// What a client has heard of the layer that it opened.
#[derive(Default)]
struct Client(Vec<String>);

impl Protocol for Client {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.open(dial("a.example"))?;
        transport.write(b"behind it")
    }

    fn layer_ready(&mut self, transport: &mut Transport<'_>, layer: &LayerView) -> Result {
        self.0.push(layer.facts::<Opening<Dial>>().unwrap().clone());
        transport.write(b", and more")
    }
}

#[test]
fn a_client_is_told_the_facts() {
    let mut transport = StringTransport::new(Client::default());
    transport.receive(b"HELLO\n");
    assert_eq!(transport.sent(), b"DIAL a.example\n");
    transport.receive(b"OK 10.0.0.1\n");
    assert_eq!(transport.sent(), b"behind it, and more");
    assert_eq!(transport.protocol().0, ["10.0.0.1"]);
}

#[test]
fn one_that_becomes_a_layer_that_is_ready_at_once_is_told_to_be_ready() {
    #[derive(Default)]
    struct Counting(Vec<&'static str>);

    impl Protocol for Counting {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.open(Opening::of(ThenCounted))?;
            Ok(())
        }

        fn layer_ready(&mut self, _: &mut Transport<'_>, layer: &LayerView) -> Result {
            assert!(layer.facts::<Opening<ThenCounted>>().is_some());
            self.0.push(layer.name);
            Ok(())
        }
    }

    let mut transport = StringTransport::new(Counting::default());
    assert!(transport.protocol().0.is_empty());
    transport.receive(b"a line\nand what is counted");
    assert_eq!(transport.protocol().0, ["counter"]);
}

#[test]
fn a_loss_is_told_over_all_that_the_peer_sent_behind_its_question() {
    /// Behind a layer that has no room for all that the peer sends.
    struct Slow(Vec<String>);

    impl Protocol for Slow {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.splice(IdleTimeout::new(Duration::from_secs(10)))?;
            transport.splice(Counter::new())?;
            transport.splice(operator())?;
            Ok(())
        }

        fn layer_asked(&mut self, _: &mut Transport<'_>, layer: &LayerView) -> Result {
            self.0.push(format!("{} asks", layer.name));
            Ok(())
        }

        fn connection_ended(&mut self, reason: &EndReason) {
            self.0.push(reason.to_string());
        }
    }

    for behind in [0, 1024 * 1024] {
        let mut transport = StringTransport::new(Slow(Vec::new()));
        transport.receive(b"DIAL a.example\n");
        transport.receive(&vec![b'a'; behind]);
        transport.advance(Duration::from_secs(9));
        assert_eq!(transport.protocol().0, ["operator asks"]);
        transport.advance(Duration::from_secs(60));
        let [_, lost] = &transport.protocol().0[..] else { panic!("{behind}: {:?}", transport.protocol().0) };
        assert!(lost.contains("idle") || lost.contains("silent"), "{lost}");
    }
}
