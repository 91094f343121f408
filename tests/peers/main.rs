//! Thirty-seven servers of ours and what a client says of each: the table is in `tests/common/peer_cases/`.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/peer_cases/mod.rs"]
mod peer_cases;

mod peer;

use onionskin::runtime;

use crate::peer::Peer;
use crate::peer_cases::{TABLE, Way, World};

#[test]
fn p2_the_thirty_seven_cases_alone() {
    the_same(Way::Inside(0));
}

#[test]
fn p2_the_thirty_seven_cases_inside_a_layer_of_tls() {
    the_same(Way::Inside(1));
}

#[test]
fn p2_the_thirty_seven_cases_inside_two_layers_of_tls() {
    the_same(Way::Inside(2));
}

#[test]
fn p2_the_thirty_seven_cases_behind_socks5() {
    the_same(Way::Socks5);
}

#[test]
fn p2_the_thirty_seven_cases_behind_connect() {
    the_same(Way::Connect);
}

fn the_same(way: Way) {
    let Some(runtime) = runtime::preferred() else { return };
    let world = World::new(&format!("{way:?}").replace(['(', ')'], "-"));
    peer_cases::the_same(runtime, way, &world, "hello", async |name, outer| {
        Peer::open(runtime, &world, name, outer).await
    });
}

/// The page has a row for each case, with what is said of it here.
#[test]
fn the_page_on_peers_has_the_table() {
    let page = include_str!("../../docs/peers.md");
    let row = |line: &str| {
        let [name, _, keys, openssl, rustls, ours] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        format!("| {name} | `{keys}` | {openssl} | {rustls} | {ours} |")
    };
    let expected: Vec<_> = TABLE.lines().skip(1).map(row).collect();
    let (_, table) = page.split_once("| case | keys of `tls` |").unwrap();
    let found: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(found, expected);
}
