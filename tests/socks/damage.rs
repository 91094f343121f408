//! The wire is damaged in both directions, and whatever comes first is read by both parsers.

use std::time::Duration;

use onionskin::layer::opening::Opening;
use onionskin::testing::{Cut, Dice, Pair};
use onionskin::tunnel::Grant;
use onionskin::tunnel::socks::SocksServer;

use crate::common::damage::arrive;
use crate::conversations::each_conversation;
use crate::{SECRET, question};

const SEEDS: u64 = 200;

#[test]
fn whatever_arrives_nobody_panics_or_tells_the_secret_before_there_is_a_tunnel() {
    each_conversation(|conversation| {
        let (mut opened, mut lost) = (0, 0);
        for seed in 0..SEEDS {
            eprintln!("seed {seed}");
            let mut dice = Dice::new(seed);
            let mut pair = Pair::new(Cut::Whole);
            conversation.splice_client(&mut pair.left);
            let layer = conversation.splice_server(&mut pair.right);
            pair.left.hold(true);
            pair.right.hold(true);
            loop {
                let moved = pair.step();
                let arrived = [&mut pair.left, &mut pair.right].map(|peer| arrive(peer, &mut dice, 5));
                let asks = question(&pair.right, layer).is_some();
                if asks {
                    let now = pair.right.now();
                    let grant = |opening: &mut Opening<SocksServer>| opening.grant(Grant::default());
                    assert!(pair.right.stack.with_layer(now, layer, grant).unwrap());
                }
                if !moved && arrived == [false; 2] && !asks {
                    break;
                }
            }
            pair.advance(Duration::from_secs(60));
            let is_through = pair.left.stack.depth() == 0 && pair.left.stack.lost().is_none();
            let has_told = pair.left.sent().windows(SECRET.len()).any(|said| said == SECRET);
            assert_eq!(has_told, is_through);
            // A byte too many makes the last one the target's; without a tunnel nothing is.
            assert!(is_through || pair.left.read().is_empty());
            opened += usize::from(is_through);
            lost += usize::from(pair.left.stack.lost().is_some() || pair.right.stack.lost().is_some());
        }
        assert!(opened > 0 && lost > 0, "{opened} of {SEEDS} were opened, {lost} lost");
    });
}

#[test]
fn a_server_that_is_fed_for_ever_holds_little() {
    for front in [&b"\x04\x01\0\x50\xc0\0\x02\x01"[..], b"\x05\x01\0\x05\x01\0\x03\xff", b"\x05\xff", b"G"] {
        let mut pair = Pair::new(Cut::Whole);
        pair.right.splice(Opening::of(SocksServer::new()));
        let now = pair.right.now();
        pair.right.stack.handle_input(now, front);
        let mut taken = 0;
        for _ in 0..10_000 {
            taken += pair.right.stack.handle_input(now, &[b'a'; 100]);
        }
        assert!(pair.right.stack.lost().is_some(), "{front:?}: {taken}");
        assert!(pair.right.stack.inbound_len() < 160 * 1024);
    }
}
