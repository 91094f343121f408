//! Through another proxy, which is ours too.

use std::io::{Read, Write};

use super::*;
use crate::onion::{Directory, run};

fn chained(route: &str, options: &[&str]) -> Relay {
    let options: Vec<_> = ["--via", route].into_iter().chain(options.iter().copied()).collect();
    proxy(&options)
}

#[test]
fn targets_are_reached_through_the_next_proxy_in_each_language() {
    let mut next = proxy(LOOPBACK);
    for step in ["connect", "socks5", "socks4a"] {
        let mut near = chained(&format!("{}+{step}", next.endpoint), LOOPBACK);
        let (listener, address) = target();
        let mut client = ask_http(&near, address, "\r\nthere");
        let mut far = accept(&listener);
        finds(&mut far, b"there");
        assert!(head(&mut client).starts_with("HTTP/1.1 200 "), "{step}");
        far.write_all(b"back").unwrap();
        finds(&mut client, b"back");
        drop((client, far));
        near.hears(&[&format!("to tcp {address} via tcp 127.0.0.1:"), "5 bytes there, 4 back"]);
        next.hears(&[&format!("to tcp {address} at tcp {address}"), "5 bytes there, 4 back"]);
    }
}

#[test]
fn rules_hold_for_names_that_nobody_here_resolves_and_for_addresses() {
    let next = proxy(LOOPBACK);
    let route = format!("{}+connect", next.endpoint);
    let (_listener, address) = target();
    let port = address.port();
    for (options, host, expected) in [
        (&["--allow", "*"][..], "localhost", 403),
        (&["--allow", "localhost"], "localhost", 200),
        (&["--allow", "*"], "127.0.0.1", 502),
        (&["--allow", "*"], "[::ffff:127.0.0.1]", 502),
        (LOOPBACK, "127.0.0.1", 200),
        (&["--deny", ".example", "--allow", "*"], "a.example", 403),
    ] {
        let near = chained(&route, options);
        let (_, answer) = answer_http(&near, format_args!("{host}:{port}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{options:?} {host} {answer}");
    }
}

#[test]
fn what_the_next_proxy_says_of_the_target_is_told_on() {
    let next = proxy(LOOPBACK);
    let near = chained(&format!("{}+connect", next.endpoint), LOOPBACK);
    let (_, answer) = answer_http(&near, closed_port());
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(answer.matches("error=connection_refused").count(), 2, "of the next and ours: {answer}");
    assert_eq!(reply(&mut ask_socks(&near, 1, closed_port())).0, 5);
    // Nobody is there who could refuse.
    let nobody = chained("tcp:127.0.0.1:1+socks5", LOOPBACK);
    assert!(answer_http(&nobody, closed_port()).1.starts_with("HTTP/1.1 502 "));
    let denied = proxy(&[]);
    let near = chained(&format!("{}+socks5", denied.endpoint), LOOPBACK);
    let (_, answer) = answer_http(&near, closed_port());
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("error=http_request_error"), "{answer}");
}

#[test]
fn a_next_proxy_that_says_nothing_is_waited_for_as_long_as_a_target() {
    let (silent, address) = target();
    let mut near = chained(&format!("tcp:{address}+connect"), &["--connect-timeout", "1", "--allow", "127.0.0.0/8"]);
    let mut client = ask_http(&near, closed_port(), "\r\n");
    let _asked = accept(&silent);
    assert!(head(&mut client).starts_with("HTTP/1.1 504 "));
    near.hears(&["not joined, CONNECT side", "nobody answered within 1s"]);
}

#[test]
fn a_route_with_a_target_is_a_mistake() {
    let error = run(["proxy", "tcp:127.0.0.1:0", "--via", "tcp:p.example:3128+connect:a.example:443"], "").failed(2);
    assert!(error.contains("no HOST and PORT here"), "{error}");
}

/// Two proxies that reach everybody through each other, in these languages.
fn circle(directory: &Directory, steps: [&str; 2], options: &[&str]) -> [Relay; 2] {
    let place = format!("unix:{}", directory.file("second"));
    let first = chained(&format!("{place}+{}", steps[0]), options);
    let via = format!("{}+{}", first.endpoint, steps[1]);
    let options: Vec<_> = ["--via", &via].into_iter().chain(options.iter().copied()).collect();
    let second = proxy_at(&place, &options);
    [first, second]
}

#[test]
fn s7_a_request_that_comes_back_is_refused() {
    for steps in [["connect", "connect"], ["connect:version=2", "connect"], ["connect:version=2", "connect:version=2"]]
    {
        let directory = Directory::new();
        let [mut first, mut second] = circle(&directory, steps, LOOPBACK);
        let (_, answer) = answer_http(&first, closed_port());
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        // Of the first, which has seen it, of the second, and of the first again.
        assert_eq!(answer.matches("error=proxy_loop_detected").count(), 3, "{answer}");
        first.hears(&["#2", "the request has come through this proxy before"]);
        first.hears(&["#1 from", "the way leads back to this proxy"]);
        second.hears(&["#1", "the way leads back to this proxy"]);
        assert_eq!(reply(&mut ask_socks(&first, 1, closed_port())).0, 1, "so is one that has begun in SOCKS");
    }
}

#[test]
fn s7_a_circle_in_socks_ends_with_the_time_for_connecting_and_holds_nothing() {
    let directory = Directory::new();
    let options = ["--max-connections", "3", "--connect-timeout", "1", "--allow", "127.0.0.0/8"];
    let [mut first, _second] = circle(&directory, ["socks5", "socks5"], &options);
    assert_ne!(reply(&mut ask_socks(&first, 1, closed_port())).0, 0);
    first.hears(&["3 connections, as many as there may be"]);
    // All of them are free again.
    let asking: Vec<_> = (0..3).map(|_| ask_http(&first, "127.0.0.1:x", "\r\n")).collect();
    for mut client in asking {
        assert!(head(&mut client).starts_with("HTTP/1.1 400 "));
    }
}

/// A proxy through one that listens at this path and is asked by HTTP/2.
fn through_http2(place: &str, options: &[&str]) -> Relay {
    let options: Vec<_> = options.iter().copied().chain(["--allow", "127.0.0.0/8"]).collect();
    chained(&format!("{place}+connect:version=2"), &options)
}

#[track_caller]
fn passes_both_ways((client, far): &mut (TcpStream, TcpStream)) {
    client.write_all(b"there").unwrap();
    finds(far, b"there");
    far.write_all(b"back").unwrap();
    finds(client, b"back");
}

#[test]
fn tunnels_through_a_next_proxy_of_http2_share_its_connections_as_far_as_these_have_room() {
    let mut next = proxy(LOOPBACK);
    let near = through_http2(&next.endpoint, &[]);
    let mut tunnels: Vec<_> = (0..MOST).map(|_| tunnel(&near)).collect();
    tunnels.iter_mut().for_each(passes_both_ways);
    // All of it is full, so another is opened. A target that is not reached is nothing to the others.
    let (_, answer) = answer_http(&near, closed_port());
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("error=connection_refused"), "{answer}");
    next.hears(&["#2.1 from", "refused"]);
    drop(tunnels.pop());
    next.hears(&["#1.100 from", "5 bytes there, 4 back"]);
    tunnels.push(tunnel(&near));
    let mut further = tunnel(&near);
    passes_both_ways(&mut further);
    drop(further);
    next.hears(&["#2.2 from", "5 bytes there, 4 back"]);
    tunnels.iter_mut().skip(MOST - 1).for_each(passes_both_ways);
    drop(tunnels);
    next.hears(&["#1.101 from", "5 bytes there, 4 back"]);
}

/// So many tunnels our own proxy takes in a connection.
const MOST: usize = 100;

#[test]
fn t14_a_next_proxy_that_goes_away_is_asked_for_no_more_and_keeps_its_tunnels() {
    let directory = Directory::new();
    let place = format!("unix:{}", directory.file("next"));
    let mut first = proxy_at(&place, LOOPBACK);
    let near = through_http2(&place, &[]);
    let mut old = tunnel(&near);
    first.signal("TERM");
    first.hears(&["asked to end"]);
    let mut second = proxy_at(&place, LOOPBACK);
    let mut new = tunnel(&near);
    passes_both_ways(&mut new);
    passes_both_ways(&mut old);
    drop(new);
    second.hears(&["#1.1 from", "5 bytes there, 4 back"]);
    drop(old);
    assert_eq!(first.finish().0, Some(0));
    // One that is gone without a word takes its tunnels with it, and no other.
    let (mut lost, _far) = tunnel(&near);
    second.signal("KILL");
    assert_eq!(lost.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let _third = proxy_at(&place, LOOPBACK);
    passes_both_ways(&mut tunnel(&near));
}

#[test]
fn a_connection_to_the_next_proxy_without_a_tunnel_is_given_up() {
    let next = proxy(&["--max-connections", "1", "--allow", "127.0.0.0/8"]);
    let near = through_http2(&next.endpoint, &["--idle-carrier", "1"]);
    passes_both_ways(&mut tunnel(&near));
    // Its place is free.
    passes_both_ways(&mut tunnel(&next));
}
