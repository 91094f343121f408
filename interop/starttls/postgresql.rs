//! psql and a real PostgreSQL with `onion relay` between them, and what is bound to something other than the connection: the
//! log-in to the server's certificate, and the order to cancel to another connection.

use std::process::Command;

use crate::Case;
use crate::bench::{Bench, Peer};
use crate::clients::{psql, psql_command, psql_with};
use crate::servers::NAME;
use crate::servers::postgresql::POSTGRESQL;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, run: fn(&Bench)| Case::new(name, run).uses("psql").talks_to(&[&POSTGRESQL]);
    vec![
        case("psql to postgresql: channel binding, a relay with a certificate of its own", |bench| {
            let (_relay, address) = relay(bench, OWN);
            let own = "sslmode=verify-ca channel_binding=";
            let refused = psql_with(bench, &address, &format!("{own}prefer"), QUERY);
            assert!(!refused.is_content() && refused.said.contains(NOT_BOUND), "{}", refused.said);
            let refused = psql_with(bench, &address, &format!("{own}require"), QUERY);
            assert!(!refused.is_content() && refused.said.contains(NOT_BOUND), "{}", refused.said);
            psql_with(bench, &address, &format!("{own}disable"), QUERY).with("42");
        }),
        case("psql to postgresql: channel binding, a relay with the server's own certificate", |bench| {
            let (_relay, address) = relay(bench, NAME);
            for binding in ["prefer", "require", "disable"] {
                psql_with(bench, &address, &format!("channel_binding={binding}"), QUERY).with("42");
            }
        }),
        case("psql to postgresql: channel binding, TLS in front of the relay alone", |bench| {
            let listen = in_front(bench, OWN);
            let (_relay, address) = relay_between(bench, &listen, "");
            let own = "sslmode=verify-ca dbname=template1 channel_binding=";
            psql_with(bench, &address, &format!("{own}prefer"), QUERY).with("42");
            let refused = psql_with(bench, &address, &format!("{own}require"), QUERY);
            assert!(!refused.is_content() && refused.said.contains("channel binding"), "{}", refused.said);
        }),
        case("psql to postgresql: channel binding, TLS behind the relay alone", |bench| {
            let (_relay, address) = relay_between(bench, "", &behind(bench));
            for binding in ["prefer", "require", "disable"] {
                let refused = psql_with(bench, &address, &format!("sslmode=disable channel_binding={binding}"), QUERY);
                let expected = if binding == "require" { "channel binding required" } else { IN_CLEAR };
                assert!(!refused.is_content() && refused.said.contains(expected), "{binding}: {}", refused.said);
            }
        }),
        case("psql to postgresql: a query is cancelled through the relay", |bench| {
            let (mut relay, address) = relay(bench, NAME);
            let mut asleep = Peer::start(&mut psql_command(bench, &address, "", "SELECT pg_sleep(600) AS onion"));
            let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AS onion' AND state = 'active'";
            // Asked until it is there; the case has a limit of its own.
            while psql(bench, &address, running).with("").trim() != "1" {}
            asleep.signal("INT");
            asleep.expect("canceling statement due to user request");
            relay.expect("cancel request passed on; 16 bytes there, 0 back");
        }),
    ]
}

/// A relay with TLS on both sides, which shows clients the certificate of this name.
fn relay(bench: &Bench, own: &str) -> (Peer, String) {
    relay_between(bench, &in_front(bench, own), &behind(bench))
}

fn relay_between(bench: &Bench, near: &str, far: &str) -> (Peer, String) {
    let connect = format!("tcp:{}{far}", bench.server(&POSTGRESQL).address("postgresql"));
    let listen = format!("tcp:127.0.0.1:0{near}");
    let mut relay = Peer::start(Command::new(env!("CARGO_BIN_EXE_onion")).args(["relay", &listen, &connect]));
    let address = relay.expect("listening on tcp:").replace("listening on tcp:", "");
    (relay, address)
}

fn in_front(bench: &Bench, own: &str) -> String {
    let (chain, key) = (bench.certificate(own), bench.key(own));
    format!("+starttls:postgres:cert={}:key={}", chain.display(), key.display())
}

fn behind(bench: &Bench) -> String {
    format!("+starttls:postgres:sni={NAME}:ca={}", bench.ca().display())
}

/// The certificate of a relay that has not the server's.
const OWN: &str = "localhost";
const QUERY: &str = "SELECT 6 * 7";
const NOT_BOUND: &str = "SCRAM channel binding check failed";
/// What psql says to a server that offers it binding where it has no TLS.
const IN_CLEAR: &str = "server offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection";
