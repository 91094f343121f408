//! The wire is damaged, in both directions, before TLS and while it starts.

use onionskin::testing::Dice;

use crate::common::damage::arrive;
use crate::common::link::{Link, text};
use crate::subject::{SECRET, TOO_LONG, each_subject};

const SEEDS: u64 = 60;

#[test]
fn whatever_arrives_nobody_panics_or_tells_the_secret_to_anybody_else() {
    each_subject(|subject, case| {
        let (mut survived, mut lost) = (0, 0);
        for seed in 0..SEEDS {
            eprintln!("seed {seed}");
            let mut dice = Dice::new(seed);
            let mut link = Link::new(case);
            subject.left_asks(&mut link);
            subject.right_is_asked(&mut link);
            link.left.hold(true);
            link.right.hold(true);
            loop {
                let moved = link.pair.step();
                let arrived = [&mut link.pair.left, &mut link.pair.right].map(|peer| arrive(peer, &mut dice, 6));
                if !moved && arrived == [false; 2] {
                    break;
                }
            }
            link.pair.advance(TOO_LONG);
            assert!(!link.left.sent().windows(SECRET.len()).any(|said| said == SECRET));
            assert_eq!(text(&link.left.read()), "");
            let read = link.right.read();
            assert!(read.is_empty() || read == SECRET, "{}", text(&read));
            survived += usize::from(!read.is_empty());
            lost += usize::from(link.left.lost().is_some() || link.right.lost().is_some());
        }
        assert!(survived > 0 && lost > 0, "{survived} of {SEEDS} came to TLS, and {lost} did not");
    });
}
