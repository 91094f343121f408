//! Bytes are counted where the counter stands.

use onionskin::layer::Counter;

use crate::common::link::{Link, each, each_in_pieces};

#[test]
fn a_counter_below_tls_sees_the_wire_and_one_above_sees_the_plaintext() {
    each(1..=2, |case| {
        let mut link = Link::new(case);
        let wire = Counter::new();
        let counts = wire.counts();
        link.left.splice(wire);
        link.start_to(case.depth);
        let plain = Counter::new();
        let plain_counts = plain.counts();
        link.left.splice(plain);
        link.talk();
        assert_eq!(counts.outbound(), link.left.sent().len() as u64);
        assert_eq!(counts.inbound(), link.right.sent().len() as u64);
        assert_eq!(plain_counts.outbound(), "from the left".len() as u64);
        assert_eq!(plain_counts.inbound(), "from the right".len() as u64);
    });
}

#[test]
fn a_counter_counts_what_has_passed_and_not_what_waits() {
    each_in_pieces(0..=0, |case| {
        let mut link = Link::new(case);
        let counter = Counter::new();
        let counts = counter.counts();
        link.right.splice(counter);
        let written = 400_000;
        for _ in 0..40 {
            link.left.write(&[b'x'; 10_000]);
            link.run();
        }
        let passed = counts.inbound() as usize;
        assert!(passed > 0 && passed < written, "{passed} of {written}");
        link.right_reads(written);
        assert_eq!(counts.inbound() as usize, written);
        assert!(link.right.stack.to_string().contains(&format!("counter {written} in 0 out")), "{}", link.right.stack);
    });
}

#[test]
fn counters_that_share_their_counts_show_the_sum() {
    each(0..=0, |case| {
        let mut link = Link::new(case);
        let first = Counter::new();
        let counts = first.counts();
        link.left.splice(first);
        link.right.splice(Counter::with_counts(counts.clone()));
        link.talk();
        let sum = "from the left".len() + "from the right".len();
        assert_eq!((counts.inbound(), counts.outbound()), (sum as u64, sum as u64));
    });
}
