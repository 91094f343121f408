//! TLS that starts and stops inside the callback of a message: the next byte already belongs to whatever is next.

use std::time::Duration;

use onionskin::protocol::{
    EndReason, EndReasonKind, Error, ErrorKind, LayerId, PeerAnswer, Protocol, Result, Transport,
};
use onionskin::stack::LayerError;
use onionskin::testing::{Cut, Dialogue, StringTransport};
use onionskin::tls::{TlsClient, TlsLayer, TlsServer, Version};

use super::{Act, CUTS, FORMATS, Format, Framer, Receiver, nothing};
use crate::common::layers::{FirstLine, PassThrough};
use crate::common::link::NAME;
use crate::common::{Authority, BOTH};

/// Starts and stops TLS when a message says so.
struct Upgrade {
    tls: Role,
}

#[derive(Clone)]
enum Role {
    Client(TlsClient),
    Server(TlsServer),
}

impl Role {
    fn layer(&self) -> TlsLayer {
        match self {
            Self::Client(client) => client.to(NAME).unwrap(),
            Self::Server(server) => server.accept().unwrap(),
        }
    }
}

impl Act for Upgrade {
    fn act(&mut self, _: &mut Framer, transport: &mut Transport<'_>, message: &[u8]) -> Result {
        match message {
            b"START" => transport.start_tls(self.tls.layer()).map(|_| ())?,
            b"STOP" => transport.stop_tls().map(|_| ())?,
            _ => {}
        }
        Ok(())
    }
}

/// The peer: the test writes for it. What it says when a layer has ended goes right behind its answer to that, and then
/// it may start another.
#[derive(Default)]
struct Peer {
    behind_answer: Vec<u8>,
    next: Option<(TlsLayer, Vec<u8>)>,
}

impl Protocol for Peer {
    fn layer_ended(&mut self, transport: &mut Transport<'_>, _layer: LayerId) -> Result {
        transport.stop_tls()?;
        transport.write(&self.behind_answer)
    }

    fn layer_stopped(&mut self, transport: &mut Transport<'_>, _: LayerId, _: PeerAnswer) -> Result {
        if let Some((layer, inside)) = self.next.take() {
            transport.start_tls(layer)?;
            transport.write(&inside)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "a case is printed when it fails")]
struct Case {
    format: Format,
    cut: Cut,
    version: Version,
    /// Whether the receiver's side is the TLS client.
    is_client: bool,
}

/// For every format, cut, version and role: the peer's TLS, and the two in conversation.
fn each(test: impl Fn(Case, Role, Dialogue<Peer, Receiver<Upgrade>>)) {
    let authority = Authority::new();
    for &version in BOTH {
        let client = Role::Client(authority.client(&[version]));
        let server = Role::Server(authority.server(NAME, &[version]));
        for (format, cut, is_client) in FORMATS
            .into_iter()
            .flat_map(|format| CUTS.map(|cut| (format, cut)))
            .flat_map(|(format, cut)| [false, true].map(|is_client| (format, cut, is_client)))
        {
            let (peer, own) = if is_client { (&server, &client) } else { (&client, &server) };
            let receiver = Receiver::new(format.framer(), Upgrade { tls: own.clone() });
            let dialogue = Dialogue::new(cut, Peer::default(), receiver);
            test(Case { format, cut, version, is_client }, peer.clone(), dialogue);
        }
    }
}

fn layer_error(dialogue: &Dialogue<Peer, Receiver<Upgrade>>) -> &LayerError {
    let reason = dialogue.right_reason().expect("the connection is over");
    let EndReasonKind::Lost(loss) = reason.kind() else { panic!("it is not lost: {reason}") };
    loss.layer_error().expect("a layer has failed")
}

#[test]
fn a_handshake_behind_the_message_works() {
    each(|case, peer, mut dialogue| {
        let outside = case.format.all_framed(&["first", "START"]);
        let inside = case.format.all_framed(&["inside", ""]);
        dialogue.with_left(|_, transport| {
            transport.write(&outside).unwrap();
            transport.start_tls(peer.layer()).unwrap();
            transport.write(&inside).unwrap();
        });
        dialogue.run();
        let log = &dialogue.right().log;
        assert_eq!(log[..], ["0 first", "0 START", "ready", "1 inside", "1 "], "{case:?}");
    });
}

#[test]
fn plaintext_behind_the_message_fails_in_the_handshake() {
    each(|case, peer, mut dialogue| {
        let outside = case.format.framed("START");
        // A message of 22 bytes has, with some lengths, the first byte of a TLS record.
        for smuggled in ["RSET", "a message of 22 bytes!"] {
            let receiver = Receiver::new(case.format.framer(), Upgrade { tls: dialogue.right().act.tls.clone() });
            dialogue = Dialogue::new(case.cut, Peer::default(), receiver);
            let plaintext = case.format.all_framed(&[smuggled, "QUIT"]);
            dialogue.with_left(|_, transport| {
                transport.write(&[&*outside, &*plaintext].concat()).unwrap();
                transport.start_tls(peer.layer()).unwrap();
            });
            dialogue.run();
            assert_eq!(dialogue.right().log[..], ["0 START"], "{case:?}");
            let error = layer_error(&dialogue);
            if smuggled == "RSET" {
                assert!(error.is_not_spoken(), "{case:?}: {error}");
            }
        }
    });
}

#[test]
fn plaintext_that_comes_after_the_start_fails_too() {
    each(|case, _, mut dialogue| {
        dialogue.with_left(|_, transport| transport.write(&case.format.framed("START")).unwrap());
        dialogue.run();
        assert_eq!(dialogue.right().log[..], ["0 START"], "{case:?}");
        dialogue.with_left(|_, transport| transport.write(&case.format.framed("RSET")).unwrap());
        dialogue.run();
        assert_eq!(dialogue.right().log[..], ["0 START"], "{case:?}");
        assert!(layer_error(&dialogue).is_not_spoken(), "{case:?}");
    });
}

#[test]
fn a_message_of_which_a_part_came_outside_is_not_completed_inside() {
    each(|case, peer, mut dialogue| {
        let outside = case.format.framed("START");
        let message = case.format.framed("SECRET");
        let (begun, rest) = message.split_at(message.len() - 1);
        dialogue.with_left(|_, transport| {
            transport.write(&[&*outside, begun].concat()).unwrap();
            transport.start_tls(peer.layer()).unwrap();
            transport.write(rest).unwrap();
        });
        dialogue.run();
        assert_eq!(dialogue.right().log[..], ["0 START"], "{case:?}");
        assert!(layer_error(&dialogue).is_not_spoken(), "{case:?}");
    });
}

#[test]
fn plaintext_behind_the_close_notify_is_the_next_message_outside() {
    each(|case, peer, mut dialogue| {
        let format = case.format;
        dialogue.with_left(|left, transport| {
            left.behind_answer = format.all_framed(&["outside", "START"]);
            left.next = Some((peer.layer(), format.framed("again")));
            transport.write(&format.framed("START")).unwrap();
            transport.start_tls(peer.layer()).unwrap();
            transport.write(&format.all_framed(&["inside", "STOP"])).unwrap();
        });
        dialogue.run();
        let log = &dialogue.right().log;
        assert_eq!(log[..6], ["0 START", "ready", "1 inside", "1 STOP", "stopped", "0 outside"], "{case:?}");
        assert_eq!(log[6..], ["0 START", "ready", "1 again"], "{case:?}");
    });
}

#[test]
fn the_close_notify_and_the_plaintext_can_be_one_segment() {
    each(|case, peer, mut dialogue| {
        let format = case.format;
        let outside = format.framed("outside");
        dialogue.with_left(|left, transport| {
            left.behind_answer.clone_from(&outside);
            transport.write(&format.framed("START")).unwrap();
            transport.start_tls(peer.layer()).unwrap();
        });
        dialogue.run();
        dialogue.with_left(|_, transport| transport.write(&format.framed("STOP")).unwrap());
        while dialogue.right().log.last().unwrap() != "1 STOP" {
            assert!(dialogue.step(), "{case:?}");
        }
        dialogue.pair.right.hold(true);
        dialogue.run();
        let segment = dialogue.pair.right.intercept();
        assert!(segment.len() > outside.len() && segment.ends_with(&outside), "{case:?}");
        dialogue.pair.right.hold(false);
        dialogue.pair.right.inject(&segment);
        dialogue.run();
        assert_eq!(dialogue.right().log[2..], ["1 STOP", "stopped", "0 outside"], "{case:?}");
    });
}

#[test]
fn a_peer_that_stops_first_goes_on_outside() {
    each(|case, peer, mut dialogue| {
        let format = case.format;
        dialogue.with_left(|_, transport| {
            transport.write(&format.framed("START")).unwrap();
            transport.start_tls(peer.layer()).unwrap();
            transport.write(&format.framed("inside")).unwrap();
        });
        dialogue.run();
        dialogue.with_left(|_, transport| {
            transport.write(&format.framed("last")).unwrap();
            transport.stop_tls().unwrap();
            transport.write(&format.framed("outside")).unwrap();
        });
        dialogue.run();
        let log = &dialogue.right().log;
        assert_eq!(log[..], ["0 START", "ready", "1 inside", "1 last", "ended", "stopped", "0 outside"], "{case:?}");
    });
}

#[test]
fn a_message_is_not_completed_outside_the_layer_that_it_began_in() {
    each(|case, peer, mut dialogue| {
        let format = case.format;
        let message = format.framed("SECRET");
        let (begun, rest) = message.split_at(message.len() - 1);
        dialogue.with_left(|_, transport| {
            transport.write(&format.framed("START")).unwrap();
            transport.start_tls(peer.layer()).unwrap();
            transport.write(begun).unwrap();
        });
        dialogue.run();
        dialogue.with_left(|_, transport| {
            transport.stop_tls().unwrap();
            transport.write(rest).unwrap();
        });
        dialogue.run();
        // The end of the wire stands behind the rest of the message, which nobody reads any more.
        dialogue.advance(Duration::from_secs(5));
        assert_eq!(dialogue.right().log[..], ["0 START", "ready"], "{case:?}");
        let reason = dialogue.right_reason();
        let kind = reason.and_then(EndReason::error).map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::Unfinished), "{case:?}: {reason:?}");
    });
}

/// A line that is not there yet was looked at, and then a layer is put under it that takes just that.
#[test]
fn what_is_known_of_a_line_is_forgotten_when_a_layer_starts_below_it() {
    for format in [Format::Lines, Format::ExactLines, Format::OddLines] {
        for act_outside in [false, true] {
            let mut transport = StringTransport::new(Sniffer {
                receiver: Receiver::new(format.framer(), nothing),
                splices: !act_outside,
            });
            transport.receive(b"PROXY UNKNOWN");
            if act_outside {
                transport.act(|_, transport| transport.splice(FirstLine).map(|_| ()).unwrap());
            }
            transport.receive(b"\r\n");
            transport.receive(&format.all_framed(&["a", "b"]));
            assert_eq!(transport.protocol().receiver.log, ["stopped", "0 a", "0 b"], "{format:?}");
        }
    }
}

/// Puts a layer below, which takes the first line off, when its own framer has looked at the input and taken nothing.
struct Sniffer<A> {
    receiver: Receiver<A>,
    splices: bool,
}

impl<A: Act> Protocol for Sniffer<A> {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.receiver)
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        self.receiver.data_received(transport)?;
        if std::mem::take(&mut self.splices) {
            transport.splice(FirstLine)?;
        }
        Ok(())
    }
}

#[test]
fn a_layer_that_starts_without_a_byte_being_taken_lets_the_same_bytes_be_received() {
    struct Restart(Vec<usize>);

    impl Protocol for Restart {
        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            self.0.push(transport.depth());
            if transport.depth() == 0 {
                transport.splice(PassThrough)?;
            }
            Ok(())
        }
    }

    let mut transport = StringTransport::new(Restart(Vec::new()));
    transport.receive(b"four");
    assert_eq!(transport.protocol().0, [0, 1]);
    // And if nothing changes, not again.
    transport.receive(b"five");
    assert_eq!(transport.protocol().0, [0, 1, 1]);
}
