//! Writes of many slices.

use std::io::IoSlice;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::layer::Counter;
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::executor::{alone, both};
use crate::peers::{CUTS, Conn, layered, pair, pattern, start};

/// A header, nothing, a body larger than a record, and an end: what a client of HTTP writes.
const LENGTHS: [usize; 5] = [150, 0, 40_000, 1, 2000];

pub(crate) fn slices(bytes: &[u8]) -> Vec<IoSlice<'_>> {
    let mut rest = bytes;
    let slices = LENGTHS.map(|length| {
        let (slice, behind) = rest.split_at(length);
        rest = behind;
        IoSlice::new(slice)
    });
    assert!(rest.is_empty());
    slices.into()
}

pub(crate) fn all() -> Vec<u8> {
    pattern(LENGTHS.iter().sum())
}

#[test]
fn one_call_takes_all_slices_and_they_arrive_in_order() {
    let bytes = all();
    for cut in CUTS {
        for depth in 0..=3 {
            let versions = [Version::Tls13, Version::Tls12, Version::Tls13];
            let (mut left, mut right, _clock) = layered(cut, 100_000, &versions[..depth]);
            let mut received = vec![0; bytes.len()];
            let write = async {
                let written = left.write_vectored(&slices(&bytes)).await.unwrap();
                left.flush().await.unwrap();
                written
            };
            let (written, read) = both(write, right.read_exact(&mut received));
            assert_eq!(written, bytes.len(), "depth {depth}, {cut:?}");
            read.unwrap();
            assert!(received == bytes, "depth {depth}, {cut:?}");
        }
    }
}

#[test]
fn many_slices_make_no_more_records_than_one() {
    let bytes = all();
    let on_the_wire = |depth: usize, write: &dyn Fn(&mut Conn) -> usize| {
        let (mut left, mut right, _clock) = pair(Cut::Whole, 1_000_000);
        let counter = Counter::new();
        let counts = counter.counts();
        left.splice(counter).unwrap();
        (0..depth).for_each(|_| start(&mut left, &mut right, Version::Tls13));
        let before = counts.outbound();
        assert_eq!(write(&mut left), bytes.len());
        alone(left.flush()).unwrap();
        counts.outbound() - before
    };
    for depth in 0..=3 {
        let in_one = on_the_wire(depth, &|conn| alone(conn.write(&bytes)).unwrap());
        let in_many = on_the_wire(depth, &|conn| alone(conn.write_vectored(&slices(&bytes))).unwrap());
        let singly = on_the_wire(depth, &|conn| {
            LENGTHS.iter().fold(0, |at, &length| at + alone(conn.write(&bytes[at..at + length])).unwrap())
        });
        assert_eq!(in_many, in_one, "depth {depth}");
        assert_eq!(singly > in_one, depth > 0, "depth {depth}: a record for each slice would show");
    }
}

#[test]
fn slices_beyond_the_room_wait_and_none_is_torn() {
    let bytes = pattern(1_000_000);
    for depth in [0, 2] {
        let (mut left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13; 2][..depth]);
        let parts: Vec<_> = bytes.chunks(30_000).map(IoSlice::new).collect();
        let first = alone(left.write_vectored(&parts)).unwrap();
        // More than one slice, and it ends in the middle of one: the room decides, and not where a slice ends.
        assert!(first > 2 * 30_000 && first < bytes.len() && first % 30_000 != 0, "depth {depth}: took {first}");
        let mut received = vec![0; bytes.len()];
        let write = async {
            let mut written = first;
            while written < bytes.len() {
                let rest: Vec<_> = bytes[written..].chunks(777).map(IoSlice::new).collect();
                written += left.write_vectored(&rest).await.unwrap();
            }
            left.flush().await.unwrap();
        };
        let ((), read) = both(write, right.read_exact(&mut received));
        read.unwrap();
        assert!(received == bytes, "depth {depth}");
    }
}

#[test]
fn nothing_but_empty_slices_is_no_wait() {
    let (mut left, _right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    let _ = alone(left.write(&pattern(1_000_000))).unwrap();
    assert_eq!(alone(left.write_vectored(&[])).unwrap(), 0);
    assert_eq!(alone(left.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"")])).unwrap(), 0);
}
