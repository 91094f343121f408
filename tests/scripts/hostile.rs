//! Bytes from a peer that does not play by the rules: before there are keys, and where they are not needed.

use onionskin::stack::{LayerErrorKind, Stop};
use onionskin::testing::{Cut, Pair};
use onionskin::tls::Version;

use crate::world::{NAME, World};

/// rustls would panic here in debug builds, and in others send an alert behind our close_notify, which is to say
/// among the bytes of the layer below.
#[test]
fn what_comes_instead_of_an_answer_to_our_close_notify_is_refused_in_silence() {
    let world = World::shared();
    let forged_record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
    let empty_record = [22, 3, 3, 0, 0];
    let long_record = [23, 3, 3, 0xff, 0xff];
    for version in [Version::Tls12, Version::Tls13] {
        for junk in [b"250 no\r\n", &forged_record[..], &empty_record, &long_record] {
            let mut pair = Pair::new(Cut::Whole);
            let id = pair.left.splice(world.client(version).to(NAME).unwrap());
            pair.right.splice(world.server().accept().unwrap());
            pair.run();
            pair.left.stop(Stop::new()).unwrap();
            pair.left.hold(true);
            pair.run();
            let sent = pair.left.sent().len();
            pair.left.hold(false);
            pair.left.inject(junk);
            pair.run();
            let reason = pair.left.lost().unwrap();
            let [loss] = reason.layers() else { panic!("{reason}") };
            assert_eq!(loss.layer, id);
            let expected = if junk[0] == b'2' { LayerErrorKind::NotSpoken } else { LayerErrorKind::Protocol };
            assert_eq!(loss.error.kind(), expected, "{reason}");
            assert_eq!(pair.left.sent().len(), sent, "something followed the close_notify");
        }
    }
}
