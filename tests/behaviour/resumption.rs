//! Sessions that are resumed: for how long, by which server, and by which not.

use std::sync::Arc;

use onionskin::rustls::NamedGroup;
use onionskin::rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use onionskin::rustls::pki_types::ServerName;
use onionskin::tls::{Identity, Roots, TicketKeys, TlsClient, TlsServer, TlsServerBuilder, Version};

use crate::common::Authority;
use crate::common::client_hello::ClientHello;
use crate::common::link::{Case, Link, NAME, each_version, facts};

/// One conversation, with the tickets read. Whether it resumed a session, on which both sides agree; and how many certificates
/// the server knows of its client.
#[track_caller]
fn converse(case: Case, client: &TlsClient, server: &TlsServer) -> (bool, usize) {
    let mut link = Link::new(case);
    (link.client, link.server) = (client.clone(), server.clone());
    let (left, right) = link.start();
    link.talk();
    let (left, right) = (facts(&link.left, left), facts(&link.right, right));
    assert_eq!(left.resumed, right.resumed);
    assert_eq!(left.peer_certificates.len(), 1, "remembered");
    (right.resumed, right.peer_certificates.len())
}

/// The table that rustls keeps by itself.
fn with_a_table(server: &TlsServer) -> TlsServer {
    TlsServer::from_rustls(server.to_rustls()).unwrap()
}

#[test]
fn a_session_is_resumed_after_a_thousand_others() {
    each_version(1, |case| {
        let ca = Authority::new();
        let sessions = |server: &TlsServer, others| {
            let client = ca.client(&[case.version]);
            converse(case, &client, server);
            for _ in 0..others {
                let mut link = Link::new(case);
                (link.client, link.server) = (ca.client(&[case.version]), server.clone());
                link.start();
            }
            converse(case, &client, server).0
        };
        let server = ca.server(NAME, &[case.version]);
        assert!(sessions(&server, 1000));
        // The client keeps what it needs: it is the server that forgets.
        let forgetful = with_a_table(&server);
        assert!(sessions(&forgetful, 10));
        assert!(!sessions(&forgetful, 300));
    });
}

#[test]
fn a_ticket_of_one_layer_is_offered_in_no_other() {
    each_version(1, |case| {
        let ca = Authority::new();
        let (client, server) = (ca.client(&[case.version]), ca.server(NAME, &[case.version]));
        let link = || {
            let mut link = Link::new(case);
            (link.client, link.server) = (client.clone(), server.clone());
            link
        };
        // What the innermost of so many layers says first, as its peer reads it.
        let hello = |depth| {
            let mut link = link();
            link.start_to(depth - 1);
            link.left_starts();
            link.run();
            ClientHello::only(&link.right.read())
        };
        let mut offered = Vec::new();
        for depth in 1..=3 {
            assert_eq!(
                hello(depth).tickets,
                [[0; 0]; 0],
                "depth {depth}: all outside of it have sessions, for the same name"
            );
            let mut link = link();
            link.start_to(depth);
            link.talk();
            let tickets = hello(depth).tickets;
            assert_eq!(tickets.len(), 1, "depth {depth}: its own");
            offered.extend(tickets);
        }
        offered.sort_unstable();
        offered.dedup();
        assert_eq!(offered.len(), 3);
    });
}

#[test]
fn the_store_of_a_program_is_for_the_outermost_layer() {
    each_version(2, |case| {
        let ca = Authority::new();
        let client = TlsClient::from_rustls(ca.client(&[case.version]).to_rustls()).unwrap();
        let mut link = Link::new(case);
        (link.client, link.server) = (client, ca.server(NAME, &[case.version]));
        for expected in [false, true] {
            let (outer, _) = link.start();
            let (inner, _) = link.start();
            link.talk();
            assert_eq!(facts(&link.left, outer).resumed, expected);
            assert!(!facts(&link.left, inner).resumed);
            link.stop();
            link.stop();
        }
    });
}

struct World {
    ca: Authority,
    clients: Authority,
    own: Identity,
    other: Identity,
    version: Version,
}

impl World {
    fn new(version: Version) -> Self {
        let ca = Authority::new();
        let (own, other) = (ca.identity(NAME), ca.identity(NAME));
        Self { ca, clients: Authority::new(), own, other, version }
    }

    fn server(&self, change: impl FnOnce(TlsServerBuilder) -> TlsServerBuilder) -> TlsServer {
        change(TlsServer::builder(self.own.clone())).versions(&[self.version]).build().unwrap()
    }

    fn client(&self) -> TlsClient {
        let builder = TlsClient::builder(self.ca.roots()).identity(self.clients.identity("client.example"));
        builder.versions(&[self.version]).build().unwrap()
    }
}

/// As after a reload of files that are the same.
#[test]
fn a_server_that_is_made_anew_resumes_the_sessions_of_the_one_before() {
    each_version(1, |case| {
        let world = World::new(case.version);
        let roots = world.clients.roots();
        let make: [&dyn Fn() -> TlsServer; 4] = [
            &|| world.server(|server| server),
            &|| world.server(|server| server.name("other.example", world.other.clone())),
            &|| world.server(|server| server.ask_for_client_certificates(roots.clone())),
            &|| world.server(|server| server.require_client_certificates(roots.clone())),
        ];
        for (at, make) in make.into_iter().enumerate() {
            let client = world.client();
            let shown = usize::from(at >= 2);
            assert_eq!(converse(case, &client, &make()), (false, shown), "{at}");
            for _ in 0..3 {
                assert_eq!(converse(case, &client, &make()), (true, shown), "{at}");
            }
        }
    });
}

/// What a client may do, and whom it is to take the server for, are not what they were: neither is taken from a ticket.
#[test]
fn no_server_resumes_a_session_of_another_world() {
    each_version(1, |case| {
        let world = World::new(case.version);
        let (roots, others) = (world.clients.roots(), Authority::new());
        // Whoever has issued the client is known to both.
        let both = [world.clients.pem(), others.pem()].concat();
        let both = Roots::from_pem(both.as_bytes()).unwrap();
        let servers = [
            world.server(|server| server),
            world.server(|server| server.ask_for_client_certificates(roots.clone())),
            world.server(|server| server.require_client_certificates(roots.clone())),
            world.server(|server| server.require_client_certificates(both)),
            world.server(|server| server.name(NAME, world.other.clone())),
            world.server(|server| server.name("third.example", world.other.clone())),
            TlsServer::builder(world.other.clone()).versions(&[case.version]).build().unwrap(),
        ];
        for (issued, first) in servers.iter().enumerate() {
            for (shown, second) in servers.iter().enumerate() {
                let client = world.client();
                converse(case, &client, first);
                assert_eq!(converse(case, &client, second).0, issued == shown, "{issued} to {shown}");
            }
        }
    });
}

/// A client that was issued under roots that are trusted no longer is refused, ticket or not.
#[test]
fn a_client_is_refused_when_its_issuer_is_trusted_no_longer() {
    each_version(1, |case| {
        let world = World::new(case.version);
        let before = world.server(|server| server.require_client_certificates(world.clients.roots()));
        let after = world.server(|server| server.require_client_certificates(Authority::new().roots()));
        let client = world.client();
        converse(case, &client, &before);
        assert_eq!(converse(case, &client, &before), (true, 1));
        let mut link = Link::new(case);
        link.left.splice(client.to(NAME).unwrap());
        link.right.splice(after.accept().unwrap());
        link.run();
        assert!(link.right.lost().unwrap().layer_error().unwrap().is_certificate(), "{:?}", link.right.lost());
    });
}

/// Two servers that share nothing but a file of keys stand for two processes: with keys of its own a server uses none of those that a
/// process has.
#[test]
fn p5_servers_resume_what_was_sealed_with_a_key_that_they_have() {
    each_version(1, |case| {
        let world = World::new(case.version);
        let [old, new, other] = [[1; 32], [2; 32], [3; 32]];
        let server = |keys: &[[u8; 32]]| {
            let keys = TicketKeys::new(keys.iter().copied()).unwrap();
            world.server(|server| server.ticket_keys(keys))
        };
        let converse_with = |first: &TlsServer, second: &TlsServer| {
            let client = world.client();
            converse(case, &client, first);
            converse(case, &client, second).0
        };
        assert!(converse_with(&server(&[old]), &server(&[old])));
        // A rotation, at no time the same one in both.
        assert!(converse_with(&server(&[old]), &server(&[old, new])));
        assert!(converse_with(&server(&[new, old]), &server(&[old, new])));
        assert!(converse_with(&server(&[old, new]), &server(&[new, old])));
        assert!(converse_with(&server(&[new, old]), &server(&[new])));
        assert!(!converse_with(&server(&[old, new]), &server(&[new])));
        assert!(!converse_with(&server(&[old]), &server(&[other])));
        // Keys of the process are no keys of the file, and the other way round.
        let without = world.server(|server| server);
        assert!(!converse_with(&without, &server(&[old])) && !converse_with(&server(&[old]), &without));
        // A key makes no server another's equal.
        let keys = TicketKeys::new([old]).unwrap();
        let stricter =
            world.server(|server| server.ticket_keys(keys).require_client_certificates(world.clients.roots()));
        assert!(!converse_with(&server(&[old]), &stricter) && converse_with(&stricter, &stricter));
    });
}

/// A session belongs to the name for which the client has verified the server (RFC 6066 section 3).
#[test]
fn a_session_of_one_name_is_none_of_another() {
    each_version(1, |case| {
        let ca = Authority::new();
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned(), "second.example".to_owned()]).unwrap();
        let (chain, key) = ca.issue(&params);
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let server = TlsServer::builder(identity).versions(&[case.version]).build().unwrap();
        let client = ca.client(&[case.version]);
        // A client that confuses its names: it keeps the sessions of all under one.
        let mut confused = (*client.to_rustls()).clone();
        confused.resumption = Resumption::store(Arc::new(OneName::default()));
        let client = TlsClient::from_rustls(Arc::new(confused)).unwrap();
        let mut resumed = |name: &str| {
            let mut link = Link::new(case);
            link.left.splice(client.to(name).unwrap());
            let right = link.right.splice(server.accept().unwrap());
            link.run();
            link.talk();
            facts(&link.right, right).resumed
        };
        assert_eq!([NAME, NAME, "second.example", "second.example"].map(&mut resumed), [false, true, false, true]);
    });
}

/// Where a client keeps all its sessions as if there were one server.
#[derive(Debug)]
struct OneName {
    sessions: ClientSessionMemoryCache,
    name: ServerName<'static>,
}

impl Default for OneName {
    fn default() -> Self {
        Self { sessions: ClientSessionMemoryCache::new(8), name: ServerName::try_from(NAME).unwrap() }
    }
}

impl ClientSessionStore for OneName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(self.name.clone(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(&self.name)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions.set_tls12_session(self.name.clone(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.tls12_session(&self.name)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.sessions.remove_tls12_session(&self.name);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.sessions.insert_tls13_ticket(self.name.clone(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions.take_tls13_ticket(&self.name)
    }
}
