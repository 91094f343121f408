//! TLS for the login alone, a handshake that is resumed, and TLS 1.3.

use onionskin::stack::{LayerError, LayerErrorKind, LayerId, PeerAnswer, Stop};
use onionskin::starttls::{Negotiate, Tds, TdsEncryption};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::Version;

use crate::common::link::{Case, Link, assert_stopped, each, facts, text};

const LOGIN: &[u8] = b"the login, with a password in it";

#[test]
fn the_login_alone_is_encrypted_if_both_sides_want_no_more() {
    each_cut(|case| {
        let mut link = Link::new(case);
        let (client, server) = (Tds::new().login_only(), Tds::new().login_only());
        start(&mut link, &client, &server);
        link.left.write(LOGIN);
        link.run();
        assert_eq!(text(&link.right.read()), text(LOGIN));
        for tds in [client, server] {
            assert_eq!(tds.agreed().encryption(), Some(TdsEncryption::LoginOnly));
        }
        let before = link.left.sent().len();
        drop_tls(&mut link);
        link.talk();
        assert_eq!(text(&link.left.sent()[before..]), "from the left", "in clear");
    });
}

#[test]
fn what_the_server_says_behind_the_login_comes_in_one_read_with_whatever_else() {
    each_cut(|case| {
        let mut link = Link::new(case);
        let (client, server) = (Tds::new().login_only(), Tds::new().login_only());
        start(&mut link, &client, &server);
        link.left.hold(true);
        link.left.write(LOGIN);
        // The client is done with TLS when the login has left, whenever the server's answer comes.
        let left = link.left.stop(Stop::new().abandon()).unwrap();
        link.left.write(b"a query");
        link.right.hold(true);
        link.run();
        let sent = link.right.intercept();
        let query = sent.len() - b"a query".len();
        link.right.hold(false);
        link.right.inject(&sent[..query]);
        link.run();
        assert_eq!(text(&link.right.read()), text(LOGIN));
        let right = link.right.stop(Stop::new().abandon()).unwrap();
        link.right.write(b"welcome");
        link.right.inject(&sent[query..]);
        link.run();
        link.left.hold(false);
        link.run();
        assert_eq!(link.left.pass_end().unwrap(), left);
        assert_eq!(link.right.pass_end().unwrap(), right);
        assert_eq!((text(&link.left.read()), text(&link.right.read())), ("welcome".to_owned(), "a query".to_owned()));
    });
}

#[test]
fn clear_bytes_that_come_before_the_server_has_dropped_tls_are_never_taken() {
    each_cut(|case| {
        let mut link = Link::new(case);
        let tds = Tds::new().login_only();
        start(&mut link, &tds, &tds);
        link.left.write(LOGIN);
        link.left.stop(Stop::new().abandon()).unwrap();
        link.left.write(b"a query that did not wait for the answer to the login");
        link.run();
        assert_eq!(text(&link.right.read()), text(LOGIN));
        let reason = link.right.lost().expect("it is no TLS").clone();
        assert!(reason.layer_error().is_some_and(LayerError::is_not_spoken), "{reason}");
    });
}

#[test]
fn everything_is_encrypted_if_one_side_requires_it() {
    let tds = |login_only| if login_only { Tds::new().login_only() } else { Tds::new() };
    for (client, server) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls12, depth: 1, padded: false });
        let both = client && server;
        let (client, server) = (tds(client), tds(server));
        start(&mut link, &client, &server);
        link.talk();
        let expected = if both { TdsEncryption::LoginOnly } else { TdsEncryption::Everything };
        assert_eq!([client, server].map(|tds| tds.agreed().encryption()), [Some(expected); 2]);
    }
}

/// A server that resumes says its Finished first. The client's is in a packet then, and its login in the same write, bare.
#[test]
fn the_directions_stop_to_be_wrapped_each_in_its_time() {
    each_cut(|case| {
        let mut link = Link::new(case);
        let tds = Tds::new();
        let (left, right) = start(&mut link, &tds, &tds);
        assert_eq!([facts(&link.left, left).resumed, facts(&link.right, right).resumed], [false; 2]);
        link.talk();
        link.pair = Pair::new(case.cut);
        let (left, right) = splice(&mut link, &tds, &tds);
        link.left.write(LOGIN);
        link.run();
        assert_eq!([facts(&link.left, left).resumed, facts(&link.right, right).resumed], [true; 2]);
        assert_eq!(facts(&link.left, left).version_name(), "TLSv1.2");
        assert_eq!(text(&link.right.read()), text(LOGIN));
        assert_eq!((link.left.stack.depth(), link.right.stack.depth()), (1, 1));
        link.talk();
    });
}

#[test]
fn a_handshake_of_tls_1_3_is_named_when_it_is_tried() {
    let mut link = Link::new(Case { cut: Cut::Whole, version: Version::Tls13, depth: 1, padded: false });
    splice(&mut link, &Tds::new(), &Tds::new());
    link.run();
    let reason = link.right.lost().expect("the server has no place for its Finished").clone();
    let error = reason.layer_error().expect("it is a layer's");
    assert_eq!(error.kind(), LayerErrorKind::Protocol);
    assert!(error.to_string().contains("up to TLS 1.2"), "{error}");
    assert!(link.left.lost().is_some());
}

fn each_cut(test: impl Fn(Case)) {
    each(1..=1, |case| {
        if case.version == Version::Tls12 {
            test(case);
        }
    });
}

fn splice(link: &mut Link, client: &Tds, server: &Tds) -> (LayerId, LayerId) {
    let (left, right) = (link.client_layer(), link.server_layer());
    (link.left.splice(Negotiate::new(client, left)), link.right.splice(Negotiate::new(server, right)))
}

/// Both sides are ready, and nothing is below TLS.
fn start(link: &mut Link, client: &Tds, server: &Tds) -> (LayerId, LayerId) {
    let ids = splice(link, client, server);
    link.run();
    assert_eq!((link.left.stack.depth(), link.right.stack.depth()), (1, 1), "{:?}", link.pair);
    link.left.events();
    link.right.events();
    ids
}

fn drop_tls(link: &mut Link) {
    let stop = Stop::new().abandon();
    let (left, right) = (link.left.stop(stop).unwrap(), link.right.stop(stop).unwrap());
    assert_stopped(&mut link.left, left, PeerAnswer::Abandoned);
    assert_stopped(&mut link.right, right, PeerAnswer::Abandoned);
    link.left.pass_end().unwrap();
    link.right.pass_end().unwrap();
}
