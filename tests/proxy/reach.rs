//! From a target to a connection, over loopback, with a resolver that is not to be believed.

use std::net::TcpListener;
use std::time::Duration;

use onionskin::proxy::{Reach, Resolve, Rules};
use onionskin::runtime::{self, Address, Runtime};
use onionskin::tunnel::{Reason, Refusal};

use crate::{Fickle, system};

fn reach(rules: &str) -> Reach {
    Reach::new(system()).rules(Rules::parse(rules).unwrap())
}

fn connect(reach: &Reach, host: &str, port: u16) -> Result<(), Reason> {
    let target = Address::to_host(host, port).unwrap();
    let connected = runtime::block_on(system(), reach.connect(&target));
    connected.map(drop).map_err(|unreached| unreached.reason())
}

/// Somebody at this address, who notices whoever connects.
fn somebody(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn s6_an_answer_that_changes_opens_nothing() {
    let (allowed, port) = somebody("127.0.0.1");
    let denied = TcpListener::bind(("127.0.0.2", port)).unwrap();
    denied.set_nonblocking(true).unwrap();
    let resolver = Fickle::new(&["127.0.0.1"], &["127.0.0.2"]);
    let reach = reach("allow 127.0.0.1").resolver(resolver.clone());
    assert_eq!(connect(&reach, "a.example", port), Ok(()));
    assert_eq!(resolver.asked(), 1, "one look-up for each connection");
    allowed.accept().unwrap();
    assert!(denied.accept().is_err(), "nobody came");
    // The next one hears the other answer, and is denied.
    assert_eq!(connect(&reach, "a.example", port), Err(Reason::ProhibitedAddress));
    assert!(denied.accept().is_err(), "nobody came");
}

#[test]
fn s6_of_several_addresses_only_those_that_are_allowed_are_tried() {
    let (denied, port) = somebody("127.0.0.2");
    let resolver = Fickle::always(&["127.0.0.2", "127.0.0.1"]);
    let closed = reach("allow 127.0.0.1").resolver(resolver.clone());
    assert_eq!(connect(&closed, "a.example", port), Err(Reason::ConnectionRefused), "not by the other address");
    assert!(denied.accept().is_err(), "nobody came");
    let open = reach("allow 127.0.0.0/8").resolver(resolver);
    assert_eq!(connect(&open, "a.example", port), Ok(()));
    denied.accept().unwrap();
}

#[test]
fn s6_a_system_that_takes_numbers_for_names_opens_nothing() {
    let (listener, port) = somebody("127.0.0.1");
    // Some resolvers take it for 127.0.0.1.
    let spelled = "0x7f000001";
    let found = runtime::block_on(system(), Runtime::resolve(system(), spelled, port));
    if found.is_err() {
        println!("skipped: the resolver of this system takes {spelled} for a name");
        return;
    }
    assert_eq!(connect(&reach("allow *"), spelled, port), Err(Reason::ProhibitedAddress));
    assert!(listener.accept().is_err(), "nobody came");
    assert_eq!(connect(&reach("allow 127.0.0.0/8"), spelled, port), Ok(()));
    listener.accept().unwrap();
}

#[test]
fn s6_addresses_of_this_host_are_denied() {
    // The address from which packets would leave, if the machine has a network at all.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = socket.connect("9.9.9.9:9").and_then(|()| socket.local_addr()).map(|address| address.ip());
    let Some(own) = own.ok().filter(|own| !own.is_loopback()) else {
        println!("skipped: this machine has no network");
        return;
    };
    let (listener, port) = somebody(&own.to_string());
    assert_eq!(connect(&reach("allow *"), &own.to_string(), port), Err(Reason::ProhibitedAddress));
    assert!(listener.accept().is_err(), "nobody came");
    assert_eq!(connect(&reach(&format!("allow {own}")), &own.to_string(), port), Ok(()));
    listener.accept().unwrap();
}

#[test]
fn s7_a_proxy_does_not_ask_itself() {
    let (listener, port) = somebody("0.0.0.0");
    let open = reach("allow 0.0.0.0/0\nallow ::/0");
    let everywhere = open.clone().listening_at(listener.local_addr().unwrap());
    for host in ["127.0.0.1", "127.1.2.3", "0.0.0.0", "::ffff:127.0.0.1", "localhost"] {
        assert_eq!(connect(&everywhere, host, port), Err(Reason::Loop), "{host}");
    }
    assert!(listener.accept().is_err(), "nobody came");
    // Somebody else is at another address, at the same port.
    let (listener, port) = somebody("127.0.0.1");
    let one = open.clone().listening_at(format!("127.0.0.2:{port}").parse().unwrap());
    assert_eq!(connect(&one, "127.0.0.2", port), Err(Reason::Loop));
    assert_eq!(connect(&one, "127.0.0.1", port), Ok(()));
    listener.accept().unwrap();
    assert_eq!(Refusal::from(Reason::Loop).reason.status(), 502);
}

#[test]
fn what_the_system_says_becomes_a_reason() {
    let (listener, port) = somebody("127.0.0.1");
    drop(listener);
    let open = reach("allow 0.0.0.0/0\nallow *");
    assert_eq!(connect(&open, "127.0.0.1", port), Err(Reason::ConnectionRefused));
    assert_eq!(connect(&open, "no-such-name.invalid", 443), Err(Reason::DnsError));
}

#[test]
fn only_hosts_can_be_asked_for() {
    let error = runtime::block_on(system(), reach("allow *").connect(&Address::Stdio)).unwrap_err();
    assert_eq!(error.reason(), Reason::Denied);
}

/// Never says anything; its caller is out of patience at once.
#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
        _: u16,
    ) -> futures::future::BoxFuture<'a, std::io::Result<Vec<std::net::SocketAddr>>> {
        Box::pin(futures::future::pending())
    }
}

#[test]
fn a_resolver_that_says_nothing_is_given_up() {
    let reach = reach("allow *").resolver(Silent).timeouts(Duration::ZERO, Duration::ZERO);
    let target = Address::to_host("a.example", 443).unwrap();
    let unreached = runtime::block_on(system(), reach.connect(&target)).unwrap_err();
    assert_eq!((unreached.reason(), unreached.reason().status()), (Reason::DnsTimeout, 504));
}
