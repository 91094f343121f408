//! Starting and stopping TLS from inside callbacks.

use std::collections::VecDeque;

use onionskin::protocol::{Protocol, Result, Stop, Transport};
use onionskin::stack::LayerErrorKind;
use onionskin::testing::Dialogue;
use onionskin::tls::{OnFailure, OnPeerClose, TlsClient, TlsServer};

use crate::common::link::{Case, Link, NAME, each, each_version};
use crate::record::{Callback, Log, Recorder, by_default, dialogue, over};

/// Obeys one-letter commands, each a message: `s` starts TLS as a server, `x` stops it, `b` closes; anything else is
/// answered in capitals. Commands and answers go through the layers of their time.
fn server(tls: TlsServer) -> Recorder {
    Recorder::reacting(move |transport, callback, log| match callback {
        Callback::Data => {
            // One message, and not a byte more.
            let command = transport.take(1);
            log.add_data(&command);
            match command[0] {
                b's' => transport.start_tls(tls.accept()?).map(|_| ())?,
                b'x' => transport.stop_tls().map(|_| ())?,
                other => transport.write(&[other.to_ascii_uppercase()])?,
            }
            Ok(())
        }
        Callback::Ended => transport.stop_tls().map(|_| ()).map_err(Into::into),
        _ => by_default(transport, callback, log),
    })
}

/// Sends its commands one after the other: the next one when the last one's answer, layer or stop is there.
fn client(tls: TlsClient, script: &str) -> Recorder {
    let mut script: VecDeque<u8> = script.bytes().collect();
    Recorder::reacting(move |transport, callback, log| {
        match callback {
            Callback::Data => log.add_data(&transport.take_all()),
            Callback::Ended => return transport.stop_tls().map(|_| ()).map_err(Into::into),
            Callback::Made | Callback::Ready(_) | Callback::Stopped(..) => {}
            _ => return by_default(transport, callback, log),
        }
        let Some(command) = script.pop_front() else {
            transport.close();
            return Ok(());
        };
        transport.write(&[command])?;
        if command == b's' {
            transport.start_tls(tls.to(NAME)?)?;
        }
        Ok(())
    })
}

fn talk(case: Case, script: &str) -> (Dialogue<Recorder, Recorder>, Log, Log) {
    let link = Link::new(case);
    let (client, server) = (client(link.client.clone(), script), server(link.server.clone()));
    over(link, client, server)
}

#[test]
fn a_script_of_starts_and_stops_is_told_in_the_order_of_the_bytes() {
    each_version(0, |case| {
        let version = if case.version == onionskin::tls::Version::Tls13 { "TLSv1.3" } else { "TLSv1.2" };
        let (_, left, right) = talk(case, "asbscxdxe");
        let expected = format!(
            "made | data A | ready {version} | data B | ready {version} | data C | ended | stopped CloseNotify | data D | \
             ended | stopped CloseNotify | data E | lost: the connection was closed"
        );
        assert_eq!(left.joined(), expected);
        let expected = format!(
            "made | data as | ready {version} | data bs | ready {version} | data cx | stopped CloseNotify | data dx | \
             stopped CloseNotify | data e | end of input | lost: the connection was closed"
        );
        assert_eq!(right.joined(), expected);
    });
}

#[test]
fn the_order_is_the_same_for_every_cut() {
    let whole = {
        let (_, left, right) = talk(Case { cut: onionskin::testing::Cut::Whole, ..first_case() }, "asbscxdxsescxxe");
        (left.joined(), right.joined())
    };
    each(0..=0, |case| {
        if case.version == first_case().version {
            let (_, left, right) = talk(case, "asbscxdxsescxxe");
            assert_eq!((left.joined(), right.joined()), whole);
        }
    });
}

fn first_case() -> Case {
    Case { cut: onionskin::testing::Cut::Whole, version: onionskin::tls::Version::Tls13, depth: 0, padded: false }
}

#[test]
fn two_layers_may_be_started_in_one_callback() {
    each(0..=2, |case| {
        let link = Link::connected(case);
        let (client, server) = (link.client.clone(), link.server.clone());
        let left = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                transport.write(b"!")?;
                transport.start_tls(client.to(NAME)?)?;
                transport.start_tls(client.to(NAME)?)?;
                transport.write(b"from the inside")
            }
            _ => by_default(transport, callback, log),
        });
        let right = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Data if transport.input().starts_with(b"!") => {
                transport.consume(1);
                transport.start_tls(server.accept()?)?;
                transport.start_tls(server.accept()?)?;
                Ok(())
            }
            _ => by_default(transport, callback, log),
        });
        let (dialogue, left, right) = over(link, left, right);
        assert_eq!(left.count("ready"), 2);
        assert_eq!(right.all()[3], "data from the inside", "{right:?}");
        assert_eq!(
            dialogue.pair.right.stack.layers().filter(|(_, layer)| layer.name() == "tls").count(),
            case.depth + 2
        );
    });
}

#[test]
fn tls_may_be_stopped_as_soon_as_it_is_ready() {
    each(1..=3, |case| {
        let link = Link::outer(case);
        let (client, server) = (link.client.clone(), link.server.clone());
        let left = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => transport.start_tls(client.to(NAME)?).map(|_| ()).map_err(Into::into),
            Callback::Ready(_) => {
                transport.write(b"inside")?;
                transport.stop_tls()?;
                transport.write(b"outside")
            }
            _ => by_default(transport, callback, log),
        });
        let right = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => transport.start_tls(server.accept()?).map(|_| ()).map_err(Into::into),
            Callback::Ended => transport.stop_tls().map(|_| ()).map_err(Into::into),
            _ => by_default(transport, callback, log),
        });
        let (_dialogue, left, right) = over(link, left, right);
        assert!(left.joined().contains("| stopped CloseNotify"), "{left:?}");
        assert!(right.joined().ends_with("| data inside | ended | stopped CloseNotify | data outside"), "{right:?}");
    });
}

#[test]
fn what_is_on_its_way_while_tls_stops_is_told_before_the_stop() {
    each(1..=3, |case| {
        let answers = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Ended => {
                transport.write(b"in flight")?;
                transport.stop_tls()?;
                transport.write(b"below")
            }
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, _) = dialogue(case, Recorder::new(), answers);
        dialogue.with_left(|_, transport| transport.stop_tls().map(|_| ()).unwrap());
        dialogue.run();
        assert_eq!(left.joined(), "made | data in flight | stopped CloseNotify | data below");
    });
}

#[test]
fn nothing_is_read_below_a_layer_that_the_peer_ended_until_it_is_stopped() {
    each(1..=3, |case| {
        let holds = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Ended => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, _, right) = dialogue(case, Recorder::new(), holds);
        dialogue.with_left(|_, transport| {
            transport.write(b"inside").unwrap();
            transport.stop_tls().unwrap();
        });
        dialogue.run();
        let now = dialogue.pair.now();
        assert_eq!(right.joined(), "made | data inside | ended", "held at {now:?}");
        dialogue.with_right(|_, transport| transport.stop_tls().map(|_| ()).unwrap());
        dialogue.with_left(|_, transport| transport.write(b"outside").unwrap());
        dialogue.run();
        assert_eq!(right.joined(), "made | data inside | ended | stopped CloseNotify | data outside");
    });
}

#[test]
fn a_layer_that_answers_by_itself_is_told_of_and_the_connection_goes_on() {
    each(1..=3, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        let layer = link.server_layer().on_peer_close(OnPeerClose::Peel);
        link.right_splices(layer);
        link.run();
        let by_trait = Recorder::reacting(|transport, callback, log| match callback {
            // What the default of the trait does is a matter of its own: see `Silent`.
            Callback::Ended => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, _, right) = over(link, Recorder::new(), by_trait);
        dialogue.with_left(|_, transport| {
            transport.write(b"inside").unwrap();
            transport.stop_tls().unwrap();
            transport.write(b"outside").unwrap();
        });
        dialogue.run();
        assert_eq!(right.joined(), "made | data inside | ended | stopped CloseNotify | data outside");
    });
}

#[test]
fn the_default_goes_on_below_a_layer_that_answers_by_itself_and_closes_below_one_that_holds() {
    struct Silent;
    impl Protocol for Silent {}
    for (on_peer_close, goes_on) in [(OnPeerClose::Peel, true), (OnPeerClose::Hold, false)] {
        each(1..=2, |case| {
            let mut link = Link::outer(case);
            link.left_starts();
            let layer = link.server_layer().on_peer_close(on_peer_close);
            link.right_splices(layer);
            link.run();
            let mut dialogue = Dialogue::over(link.pair, Recorder::new(), Silent);
            dialogue.run();
            dialogue.with_left(|_, transport| transport.stop_tls().map(|_| ()).unwrap());
            dialogue.run();
            assert_eq!(dialogue.right_reason().is_none(), goes_on);
        });
    }
}

#[test]
fn plaintext_behind_the_line_that_announced_tls_fails_in_the_handshake() {
    each(1..=3, |case| {
        let link = Link::outer(case);
        let (mut dialogue, _, right) = over(link, Recorder::new(), server(Link::new(case).server));
        dialogue.with_left(|_, transport| transport.write(b"as secret command").unwrap());
        dialogue.run();
        let reason = dialogue.right_reason().unwrap();
        let error = reason.loss().unwrap().layer_error().unwrap();
        assert_eq!(error.kind(), LayerErrorKind::NotSpoken, "{reason}");
        assert_eq!(right.all()[1], "data as", "nothing behind the command was understood");
        assert_eq!(right.count("lost"), 1);
    });
}

#[test]
fn a_failure_that_peels_is_told_and_the_connection_goes_on() {
    each(1..=3, |case| {
        let link = Link::outer(case);
        let tls = link.server.clone();
        let lenient = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Data if transport.input().starts_with(b"s") => {
                transport.consume(1);
                transport.start_tls(tls.accept()?.on_failure(OnFailure::Peel)).map(|_| ()).map_err(Into::into)
            }
            Callback::Failed(..) => {
                transport.write(b"no")?;
                Ok(())
            }
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, right) = over(link, Recorder::new(), lenient);
        dialogue.with_left(|_, transport| transport.write(b"splain").unwrap());
        dialogue.run();
        assert!(right.joined().starts_with("made | failed NotSpoken"), "{right:?}");
        assert!(left.joined().ends_with("no"), "{left:?}");
        assert_eq!(right.count("lost"), 0);
    });
}

#[test]
fn the_same_protocols_talk_below_a_callback_that_writes_in_layer_ready() -> Result {
    each(1..=2, |case| {
        let link = Link::outer(case);
        let (client, server) = (link.client.clone(), link.server.clone());
        let left = Recorder::reacting(move |transport: &mut Transport<'_>, callback, log| match callback {
            Callback::Made => {
                transport.start_tls(client.to(NAME)?)?;
                transport.write(b"1")
            }
            Callback::Ready(_) => transport.write(b"2"),
            _ => by_default(transport, callback, log),
        });
        let right = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => transport.start_tls(server.accept()?).map(|_| ()).map_err(Into::into),
            _ => by_default(transport, callback, log),
        });
        let (_dialogue, _, right) = over(link, left, right);
        assert!(right.joined().ends_with("| data 12"), "{right:?}");
    });
    Ok(())
}

#[test]
fn nothing_below_a_layer_that_nobody_stopped_is_delivered_when_the_connection_is_lost() {
    each(1..=3, |case| {
        let holds = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Ended => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, _, right) = dialogue(case, Recorder::new(), holds);
        dialogue.with_left(|_, transport| {
            transport.write(b"inside").unwrap();
            transport.stop_with(Stop::new().writes_at_once()).unwrap();
            transport.write(b"outside").unwrap();
        });
        dialogue.run();
        assert_eq!(right.joined(), "made | data inside | ended");
        let now = dialogue.pair.now();
        dialogue.pair.right.stack.handle_error(now, std::io::ErrorKind::ConnectionReset.into());
        dialogue.run();
        let log = right.joined();
        assert!(log.starts_with("made | data inside | ended | lost: the socket failed: connection reset"), "{log}");
    });
}

#[test]
fn a_layer_that_became_ready_and_left_in_one_read_is_told_as_ready_before_its_bytes() {
    each(1..=3, |case| {
        let link = Link::outer(case);
        let (client, server) = (link.client.clone(), link.server.clone());
        let left = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                transport.start_tls(client.to(NAME)?)?;
                transport.write(b"inside")?;
                transport.stop_tls()?;
                transport.write(b"outside")
            }
            _ => by_default(transport, callback, log),
        });
        let right = Recorder::reacting(move |transport, callback, log| match callback {
            Callback::Made => {
                let layer = server.accept()?.on_peer_close(OnPeerClose::Peel);
                transport.start_tls(layer).map(|_| ()).map_err(Into::into)
            }
            Callback::Ended => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (_dialogue, left, right) = over(link, left, right);
        let version = if case.version == onionskin::tls::Version::Tls13 { "TLSv1.3" } else { "TLSv1.2" };
        assert_eq!(left.joined(), format!("made | ready {version} | stopped CloseNotify"));
        let expected = format!("made | ready {version} | data inside | ended | stopped CloseNotify | data outside");
        assert_eq!(right.joined(), expected);
    });
}

#[test]
fn what_is_written_to_a_layer_that_has_answered_by_itself_is_dropped_and_never_leaves_below_it() {
    each(1..=3, |case| {
        let mut link = Link::outer(case);
        link.left_starts();
        let layer = link.server_layer().on_peer_close(OnPeerClose::Peel);
        link.right_splices(layer);
        link.run();
        let echo = Recorder::reacting(|transport, callback, log| match callback {
            Callback::Data => {
                let bytes = transport.take_all();
                transport.write(&bytes)
            }
            Callback::Ended => Ok(()),
            _ => by_default(transport, callback, log),
        });
        let (mut dialogue, left, right) = over(link, Recorder::new(), echo);
        dialogue.pair.right.hold(true);
        dialogue.with_left(|_, transport| {
            transport.write(b"inside").unwrap();
            transport.stop_tls().unwrap();
            transport.write(b" outside").unwrap();
        });
        dialogue.run();
        dialogue.pair.right.hold(false);
        dialogue.run();
        // How much was answered in time depends on how the stream was cut.
        let log = left.joined();
        let answered = log.trim_start_matches("made | ").split("stopped CloseNotify").next().unwrap();
        let answered = answered.trim_start_matches("data ").trim_end_matches(" | ");
        assert!("inside".starts_with(answered), "{log}");
        assert!(log.ends_with("stopped CloseNotify | data  outside"), "{log}");
        assert_eq!(right.joined(), "made | ended | stopped CloseNotify");
    });
}
