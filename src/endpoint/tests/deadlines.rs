//! Each phase of opening has its own deadline, on a clock that moves when everybody waits.

use std::time::Duration;

use super::happy_eyeballs::Network;
use crate::endpoint::{Connector, Endpoint};
use crate::peer::{ClassKind, ConnectFault, ResolveFault};
use crate::runtime::Timer;

const ADDRESS: &str = "192.0.2.1:25";

/// By what a client gives up, and after how many milliseconds, where a name takes so long, and the connection to its address.
fn gives_up(keys: &str, resolving: u64, connecting: Option<u64>) -> (ClassKind, u128, String) {
    let mut network = Network::new(&[ADDRESS]);
    network.resolving = Duration::from_millis(resolving);
    if let Some(after) = connecting {
        network = network.answers(ADDRESS, after);
    }
    let network: &'static Network = Box::leak(Box::new(network));
    let endpoint: Endpoint = format!("tcp:a.test:25{keys}").parse().unwrap();
    let connector = Connector::new(network, &endpoint).unwrap();
    let error = network.run(connector.connect(), Duration::from_secs(3600)).expect("it ends").unwrap_err();
    let took = (network.clock.now() - network.start).as_millis();
    (error.class().kind().clone(), took, error.to_string())
}

fn is_connecting(kind: &ClassKind) -> bool {
    matches!(kind, ClassKind::Connect { fault: ConnectFault::TimedOut, .. })
}

fn is_resolving(kind: &ClassKind) -> bool {
    matches!(kind, ClassKind::Resolve(ResolveFault::TimedOut))
}

#[test]
fn p6_a_name_that_takes_too_long_is_told_from_an_address_that_does() {
    let keys = ":resolve-timeout=2:connect-timeout=3";
    let (kind, took, text) = gives_up(keys, 60_000, None);
    assert!(is_resolving(&kind) && took == 2_000, "{kind:?} {took}");
    assert!(
        text.contains("cannot resolve the name") && text.ends_with("no answer within 2s (resolve-timeout)"),
        "{text}"
    );
    // The three seconds count from when the address is known.
    let (kind, took, text) = gives_up(keys, 1_500, None);
    assert!(is_connecting(&kind) && took == 4_500, "{kind:?} {took}");
    assert!(text.contains("cannot connect to") && text.ends_with("no answer within 3s (connect-timeout)"), "{text}");
}

#[test]
fn p6_the_timeout_of_the_transport_covers_both_and_says_where_it_was() {
    let (kind, took, _) = gives_up(":timeout=5", 60_000, None);
    assert!(is_resolving(&kind) && took == 5_000, "{kind:?} {took}");
    let (kind, took, text) = gives_up(":timeout=5", 2_000, None);
    assert!(is_connecting(&kind) && took == 5_000, "not counted anew: {kind:?} {took}");
    assert!(text.ends_with("no answer within 5s"), "{text}");
    // What ends first counts.
    let (kind, took, text) = gives_up(":timeout=5:connect-timeout=9", 0, None);
    assert!(is_connecting(&kind) && took == 5_000 && !text.contains("connect-timeout"), "{kind:?} {took} {text}");
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[test]
fn p6_a_handshake_has_a_deadline_of_its_own_and_no_time_counts_twice() {
    let tls = "+tls:insecure=yes:handshake-timeout=4";
    let (kind, took, _) = gives_up(&format!(":timeout=7{tls}"), 0, Some(6_000));
    assert!(matches!(kind, ClassKind::HandshakeTimeout) && took == 10_000, "6 and 4, not 7 and 7: {kind:?} {took}");
    let (kind, took, _) = gives_up(&format!(":timeout=7{tls}"), 0, None);
    assert!(is_connecting(&kind) && took == 7_000, "{kind:?} {took}");
    let (kind, took, _) = gives_up("+tls:insecure=yes", 0, Some(1_000));
    assert!(matches!(kind, ClassKind::HandshakeTimeout) && took == 11_000, "ten seconds unless set: {kind:?} {took}");
    let (kind, took, text) = gives_up(":total-timeout=90+tls:insecure=yes:handshake-timeout=none", 0, Some(1_000));
    assert!(
        matches!(kind, ClassKind::WholeTimeout) && took == 90_000,
        "for ever, but for the whole: {kind:?} {took} {text}"
    );
}

#[test]
fn p6_a_proxy_has_a_deadline_of_its_own() {
    let (kind, took, text) = gives_up("+socks5:b.test:1:timeout=3", 500, Some(500));
    assert!(matches!(kind, ClassKind::Tunnel(_)) && took == 4_000, "{kind:?} {took}");
    assert!(text.starts_with("hop 1 of the route") && text.contains("no answer in time"), "{text}");
}

#[test]
fn p8_how_long_each_phase_took_is_known() {
    let mut network = Network::new(&[ADDRESS]).answers(ADDRESS, 300);
    network.resolving = Duration::from_millis(70);
    let network: &'static Network = Box::leak(Box::new(network));
    let connector = Connector::new(network, &"tcp:a.test:25".parse().unwrap()).unwrap();
    let conn = network.run(connector.connect(), Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!(conn.timing().to_string(), "resolved 70.0 ms  connected 300.0 ms");
}

#[test]
fn p6_the_whole_caps_every_phase_and_says_which_it_was() {
    the_whole_ends_it("", 60_000, None, "resolving");
    the_whole_ends_it("", 1_000, None, "connecting");
    the_whole_ends_it("+socks5:b.test:1:timeout=9", 1_000, Some(1_000), "step 1 (socks5)");
    // One that is longer than the phases changes nothing.
    let (kind, took, _) = gives_up(":resolve-timeout=2:total-timeout=50", 60_000, None);
    assert!(is_resolving(&kind) && took == 2_000, "{kind:?} {took}");
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[test]
fn p6_the_whole_caps_a_handshake_too() {
    the_whole_ends_it("+tls:insecure=yes:handshake-timeout=9", 1_000, Some(1_000), "step 1 (tls)");
    the_whole_ends_it("+socks5:b.test:1:timeout=9+tls", 1_000, Some(1_000), "step 1 (socks5)");
}

/// Every phase has nine seconds, the whole has five.
fn the_whole_ends_it(steps: &str, resolving: u64, connecting: Option<u64>, during: &str) {
    let keys = ":timeout=9:resolve-timeout=9:connect-timeout=9:total-timeout=5";
    let (kind, took, text) = gives_up(&format!("{keys}{steps}"), resolving, connecting);
    assert!(matches!(kind, ClassKind::WholeTimeout) && took == 5_000, "{steps}: {kind:?} {took} {text}");
    assert_eq!(text, format!("not done within 5s, all in all (total-timeout): {during} was under way"));
}
