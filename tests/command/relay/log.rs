//! `--log-format json`: what is known of a connection is there as fields.

use serde_json::Value;

use futures::future::join;
use futures::io::AsyncWriteExt;

use crate::onion::run;

use super::{Files, Layers, NOBODY, Path, Relay, block_on, dial, expect_reset, greet, read_all};

/// Every line of the log as an object: a line that is none fails the test.
fn objects(log: &[String]) -> Vec<Value> {
    log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn ends(log: &[String]) -> Vec<Value> {
    objects(log).into_iter().filter(|line| line.get("outcome").is_some()).collect()
}

#[test]
fn the_end_of_a_connection_is_an_object_with_all_that_is_known() {
    let files = Files::new();
    let path = Path::new(&files, Layers::Tls, Layers::TlsInTls, &["--log-format", "json"]);
    let local = block_on(async {
        let (mut client, mut server) = path.join().await;
        greet(&mut client, &mut server).await;
        server.write_all(b"twelve bytes").await.unwrap();
        let (ended, closed) = join(client.close(), server.close()).await;
        ended.and(closed).unwrap();
        read_all(&mut client).await.1.unwrap();
        read_all(&mut server).await.1.unwrap();
        client.get_ref().local_address().to_string()
    });
    path.relay.signal("TERM");
    let (status, log) = path.relay.finish();
    assert_eq!(status, Some(0));
    let [line] = &ends(&log)[..] else { panic!("not one end: {log:#?}") };
    let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no text {key}: {line}"));
    assert_eq!((text("level"), text("outcome"), text("peer")), ("info", "ended", local.as_str()));
    assert!(text("target").starts_with("onion::relay"), "{line}");
    assert!(text("time").ends_with('Z') && text("target").ends_with("passage"), "{line}");
    assert!(text("message").starts_with(&format!("#1 from {local}: ended")), "{line}");
    assert!(text("listen").starts_with("tcp:127.0.0.1:0+tls:cert="), "{line}");
    assert!(text("connect").contains("+tls:sni=localhost:ca="), "{line}");
    assert_eq!((&line["connection"], &line["bytes_there"], &line["bytes_back"]), (&1.into(), &1.into(), &12.into()));
    assert!(line["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{line}");
    assert!(line["side"].is_null() && line["class"].is_null() && line["cause"].is_null(), "{line}");
    let layers = |key: &str| line[key].as_array().unwrap_or_else(|| panic!("no list {key}: {line}")).len();
    assert_eq!((layers("listen_layers"), layers("connect_layers")), (1, 2), "{line}");
    assert!(line["listen_layers"][0].as_str().unwrap().starts_with("tls1.3 "), "{line}");
}

#[test]
fn a_failure_names_side_class_and_cause() {
    let relay = Relay::start("tcp:127.0.0.1:0", NOBODY, &["--log-format", "json"]);
    expect_reset(&relay, || {});
    relay.signal("TERM");
    let (_, log) = relay.finish();
    let [line] = &ends(&log)[..] else { panic!("not one end: {log:#?}") };
    assert_eq!(
        (&line["level"], &line["outcome"], &line["side"]),
        (&"warn".into(), &"not joined".into(), &"connect".into())
    );
    assert_eq!(line["class"], "unreachable");
    assert!(line["cause"].as_str().unwrap().contains("cannot connect to tcp:127.0.0.1:1"), "{line}");
    // The summary, and what the process was asked for, are objects too.
    assert!(objects(&log).iter().any(|line| line["message"].as_str().unwrap().starts_with("1 accepted: ")), "{log:#?}");
}

/// A peer that is not who it should be, and one that does not speak TLS.
#[test]
fn classes_tell_causes_apart() {
    let files = Files::new();
    let path = Path::new(&files, Layers::Tls, Layers::None, &["--log-format", "json"]);
    let clear = path.relay.endpoint.clone();
    block_on(async {
        let mut plain = dial(&clear).await.unwrap();
        plain.write_all(b"EHLO here\r\n").await.unwrap();
        read_all(&mut plain).await.0
    });
    let stranger = Files::new();
    block_on(dial(&format!("{clear}{}", stranger.client(Layers::Tls)))).unwrap_err();
    path.relay.signal("TERM");
    let (_, log) = path.relay.finish();
    let classes: Vec<_> = ends(&log).iter().map(|line| line["class"].as_str().unwrap().to_owned()).collect();
    assert_eq!(classes, ["not spoken", "refused"], "{log:#?}");
}

#[test]
fn a_failure_of_the_command_is_an_object_too() {
    // An address for documentation, which no machine has.
    let outcome = run(["relay", "tcp:192.0.2.1:1", NOBODY, "--log-format", "json"], "");
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    let line: Value = serde_json::from_str(outcome.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["message"].as_str().unwrap().contains("cannot listen at tcp:192.0.2.1:1"), "{line}");
}
