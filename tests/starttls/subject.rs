//! What the tests know of a protocol, and how they talk to one side of it.

use std::time::Duration;

use onionskin::starttls::{Error, ErrorKind, Negotiate, StartTls};
use onionskin::testing::{Cut, Peer};
use onionskin::tls::Version;

use crate::SUBJECTS;
use crate::common::link::{Case, Link, text};

/// A protocol, and peers of it that are not to be believed.
pub(crate) struct Subject {
    pub(crate) peer: fn() -> Box<dyn StartTls>,
    /// The versions of TLS that the protocol can have.
    pub(crate) versions: &'static [Version],
    pub(crate) servers: &'static [Server],
    pub(crate) clients: &'static [Client],
    /// Why the server cannot answer too early, if it cannot.
    pub(crate) never_early: Option<&'static str>,
}

/// What a server says, one turn after the other, and why a client that requires TLS has nothing to do with it.
pub(crate) struct Server {
    pub(crate) what: &'static str,
    pub(crate) says: &'static [&'static [u8]],
    pub(crate) error: ErrorKind,
}

/// What a client says, one turn after the other, what the last answer begins with, and why the server is done with the
/// client, if it is.
pub(crate) struct Client {
    pub(crate) what: &'static str,
    pub(crate) says: &'static [&'static [u8]],
    pub(crate) hears: &'static [u8],
    pub(crate) error: Option<ErrorKind>,
}

impl Client {
    /// Says all of it to the right side, and returns how much that side had sent before the last turn.
    pub(crate) fn speak(&self, link: &mut Link) -> usize {
        let mut before = 0;
        for turn in self.says {
            link.run();
            before = link.right.sent().len();
            link.right.inject(turn);
        }
        link.run();
        before
    }
}

/// Runs a test for each protocol, in the first of its versions, with reads as they were sent. A panic is followed by the
/// name of the protocol.
pub(crate) fn each_subject(test: impl Fn(&Subject, Case)) {
    for subject in SUBJECTS {
        let _named = Named(subject);
        test(subject, Case { cut: Cut::Whole, version: subject.versions[0], depth: 1, padded: false });
    }
}

pub(crate) struct Named<'a>(pub(crate) &'a Subject);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was with {}", (self.0.peer)().name());
        }
    }
}

impl Subject {
    /// The side that asks, on the left. It has a secret to tell as soon as there is TLS.
    pub(crate) fn left_asks(&self, link: &mut Link) {
        let negotiate = Negotiate::new(&*(self.peer)(), link.client_layer());
        link.left.splice(negotiate);
        link.left.write(SECRET);
    }

    /// The side that is asked, on the right.
    pub(crate) fn right_is_asked(&self, link: &mut Link) {
        let negotiate = Negotiate::new(&*(self.peer)(), link.server_layer());
        link.right.splice(negotiate);
    }

    /// What each side says before TLS, when both are honest: the client and the server.
    pub(crate) fn transcript(&self, case: Case) -> (Vec<u8>, Vec<u8>) {
        let mut link = Link::new(case);
        let peer = (self.peer)();
        link.left.splice(Negotiate::without_tls(&*peer));
        let negotiate = Negotiate::new(&*peer, link.server_layer());
        link.right.splice(negotiate);
        link.run();
        assert_eq!(link.left.stack.depth(), 0, "the go-ahead has come");
        (link.left.sent().to_vec(), link.right.sent().to_vec())
    }
}

/// Nothing of the secret was said in clear, and nothing was read.
#[track_caller]
pub(crate) fn assert_discreet(peer: &mut Peer) {
    assert!(!peer.sent().windows(SECRET.len()).any(|said| said == SECRET), "{}", text(peer.sent()));
    assert_eq!(text(&peer.read()), "", "nothing reaches the application");
}

/// The connection is lost for this reason.
#[track_caller]
pub(crate) fn assert_failed(peer: &mut Peer, kind: ErrorKind) {
    assert_discreet(peer);
    let reason = peer.lost().expect("the connection is lost").clone();
    let error = Error::of(&reason).unwrap_or_else(|| panic!("the negotiation is the reason, not: {reason}"));
    assert_eq!(error.kind(), kind, "{reason}");
}

/// More than a negotiation may take, and a handshake behind it.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(60);

pub(crate) const SECRET: &[u8] = b"AUTH PLAIN AG9uaW9uAHBlZWw=\r\n";
