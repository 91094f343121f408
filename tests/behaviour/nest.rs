//! TLS inside TLS.

use crate::common::{Authority, BOTH};
use onionskin::stack::{Event, Stop};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::Version;

#[test]
fn layers_start_nest_and_stop() {
    for version in [Version::Tls12, Version::Tls13] {
        for cut in [Cut::Whole, Cut::Bytes, Cut::Coalesced, Cut::Random(1)] {
            let ca = Authority::new();
            let (client, server) = (ca.client(&[version]), ca.server("a", BOTH));
            let mut pair = Pair::new(cut);
            pair.left.write(b"plain");
            for depth in 0..5 {
                let c = pair.left.splice(client.to("a").unwrap());
                pair.run();
                if depth == 0 {
                    assert_eq!(pair.right.read_some(5), b"plain");
                }
                pair.right.splice(server.accept().unwrap());
                pair.run();
                let ev = pair.left.events();
                assert!(matches!(&ev[..], [Event::Ready(id)] if *id == c), "{ev:?} {:?}", pair.left.stack.lost());
                pair.left.write(b"hello");
                pair.right.write(b"olleh");
                pair.run();
                assert_eq!(pair.left.read(), b"olleh");
                assert_eq!(pair.right.read(), b"hello");
            }
            for _ in 0..5 {
                pair.left.stop(Stop::new()).unwrap();
                pair.left.write(b"below");
                pair.run();
                assert!(pair.right.ended().is_some());
                pair.right.stop(Stop::new()).unwrap();
                pair.run();
                pair.right.pass_end().unwrap();
                pair.left.pass_end().unwrap();
                pair.run();
                assert_eq!(pair.right.read(), b"below");
            }
            assert_eq!(pair.left.stack.depth(), 0);
        }
    }
}
