//! Reading and writing in two tasks.

use std::cell::Cell;

use futures::channel::oneshot;
use futures::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use onionskin::stack::Stop;
use onionskin::testing::Cut;
use onionskin::tls::Version;

use crate::executor::{Task, alone, both, run};
use crate::peers::{Conn, VERSIONS, layered, pair, pattern};

async fn write_and_flush(writer: &mut WriteHalf<Conn>, bytes: &[u8]) {
    writer.write_all(bytes).await.unwrap();
    writer.flush().await.unwrap();
}

#[test]
fn megabytes_go_both_ways_at_once() {
    let bytes = pattern(3_000_000);
    let wires = [(Cut::Whole, 1000), (Cut::Whole, 70_000), (Cut::Random(6), 5000), (Cut::Coalesced, 5000)];
    for depth in [0, 2] {
        for (cut, capacity) in wires {
            let (left, right, _clock) = layered(cut, capacity, &[Version::Tls13, Version::Tls12][..depth]);
            let (mut left_reader, mut left_writer) = left.split();
            let (mut right_reader, mut right_writer) = right.split();
            let mut received = [vec![0; bytes.len()], vec![0; bytes.len()]];
            let [by_left, by_right] = &mut received;
            let mut left_reads = Task::new(async { left_reader.read_exact(by_left).await.unwrap() });
            let mut right_reads = Task::new(async { right_reader.read_exact(by_right).await.unwrap() });
            let mut left_writes = Task::new(write_and_flush(&mut left_writer, &bytes));
            let mut right_writes = Task::new(write_and_flush(&mut right_writer, &bytes));
            run(&mut [&mut left_reads, &mut left_writes, &mut right_writes, &mut right_reads]);
            for done in [left_reads.output(), right_reads.output(), left_writes.output(), right_writes.output()] {
                done.unwrap_or_else(|| panic!("stuck at depth {depth}, {cut:?}, {capacity}"));
            }
            drop((left_reads, right_reads));
            assert!(received.iter().all(|received| *received == bytes));
        }
    }
}

#[test]
fn a_reader_wakes_when_the_writer_brought_in_what_it_waits_for() {
    let (left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13]);
    let (mut reader, mut writer) = left.split();
    let mut read = Task::new(async {
        let mut line = [0; 5];
        reader.read_exact(&mut line).await.unwrap();
        line
    });
    assert!(read.run().is_none());
    alone(right.send_all(b"hello")).unwrap();
    // The writer is polled first and takes the bytes off the wire.
    alone(writer.write_all(b"x")).unwrap();
    assert_eq!(read.run().expect("the reader was woken"), *b"hello");
}

#[test]
fn a_writer_wakes_when_the_reader_brought_in_what_it_waits_for() {
    for version in VERSIONS {
        let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[version]);
        left.begin_stop(Stop::new()).unwrap();
        let (mut reader, mut writer) = left.split();
        let mut write = Task::new(async {
            writer.write_all(b"below").await.unwrap();
            writer.flush().await.unwrap();
        });
        assert!(write.run().is_none(), "it waits for the peer's close_notify");
        let mut answer = Task::new(async {
            right.send_all(b"late").await.unwrap();
            assert_eq!(right.read(&mut [0]).await.unwrap(), 0);
            right.stop_tls().await.unwrap();
        });
        assert!(answer.run().is_some());
        let mut late = Vec::new();
        alone(reader.read_to_end(&mut late)).unwrap();
        assert_eq!(late, b"late");
        write.run().expect("the writer was woken");
    }
}

#[test]
fn a_writer_goes_on_when_the_reader_has_made_room_and_reads_no_further() {
    let sent = pattern(300_000);
    let (mut left, mut right, _clock) = layered(Cut::Whole, 1_000_000, &[Version::Tls13]);
    left.begin_stop(Stop::new()).unwrap();
    alone(left.flush()).unwrap();
    alone(async {
        right.send_all(&sent).await.unwrap();
        right.stop_tls().await.unwrap();
    });
    let (mut reader, mut writer) = left.split();
    let (flushed, wait) = oneshot::channel();
    let write = async {
        writer.write_all(b"below").await.unwrap();
        writer.flush().await.unwrap();
        flushed.send(()).unwrap();
    };
    let read = async {
        // What is left then fits into the connection, but for that it must first be taken off the wire.
        let mut received = vec![0; 200_000];
        reader.read_exact(&mut received).await.unwrap();
        wait.await.unwrap();
        reader.read_to_end(&mut received).await.unwrap();
        received
    };
    let ((), received) = both(write, read);
    assert!(received == sent);
    let mut said = [0; 5];
    alone(right.read_exact(&mut said)).unwrap();
    assert_eq!(&said, b"below");
}

#[test]
fn a_peer_that_only_reads_follows_any_number_of_key_updates() {
    let (mut left, right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13; 2]);
    let ids: Vec<_> = left.layers().iter().map(|layer| layer.id).collect();
    let (mut reader, mut writer) = right.split();
    for n in 0..100_u8 {
        let mut read = Task::new(async {
            let mut said = [0];
            reader.read_exact(&mut said).await.unwrap();
            said
        });
        assert!(read.run().is_none());
        let mut update = Task::new(left.update_keys(ids[usize::from(n % 2)]));
        run(&mut [&mut update, &mut read]);
        update.output().unwrap().unwrap();
        drop(update);
        alone(left.send_all(&[n])).unwrap();
        assert_eq!(read.run().unwrap(), [n]);
    }
    // Not every request was answered by itself: so many without data would be too many for the peer.
    alone(write_and_flush(&mut writer, b"to you"));
    let mut said = [0; 6];
    alone(left.read_exact(&mut said)).unwrap();
    assert_eq!(&said, b"to you");
}

#[test]
fn a_reader_alone_sends_what_the_writer_left_behind() {
    let bytes = pattern(100_000);
    let (left, mut right, _clock) = pair(Cut::Whole, 1000);
    let (mut reader, mut writer) = left.split();
    // Taken by the connection at once; the wire holds only a little of it, and nobody flushes.
    assert_eq!(alone(writer.write(&bytes)).unwrap(), bytes.len());
    let read = async { reader.read(&mut [0; 8]).await.unwrap() };
    let answer = async {
        let mut received = vec![0; bytes.len()];
        right.read_exact(&mut received).await.unwrap();
        right.send_all(b"thanks").await.unwrap();
        received
    };
    let (count, received) = both(read, answer);
    assert_eq!(count, 6);
    assert!(received == bytes);
}

#[test]
fn a_writer_that_is_gone_does_not_take_the_readers_wakes_along() {
    let (left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    let (mut reader, mut writer) = left.split();
    let polled = Cell::new(0);
    let mut write = Task::new(async {
        polled.set(polled.get() + 1);
        writer.write_all(&pattern(500_000)).await.unwrap();
    });
    assert!(write.run().is_none());
    let mut read = Task::new(async {
        let mut line = [0; 5];
        reader.read_exact(&mut line).await.unwrap();
        line
    });
    assert!(read.run().is_none());
    drop(write); // cancelled while it waits
    assert_eq!(polled.get(), 1);
    alone(right.send_all(b"hello")).unwrap();
    assert_eq!(read.run().unwrap(), *b"hello");
}
