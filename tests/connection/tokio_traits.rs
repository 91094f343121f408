//! The traits of tokio: the same connection for the crates that ask for these.

use std::future::poll_fn;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;

use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::Socket;
use onionskin::testing::Cut;
use onionskin::tls::Version;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::executor::{Task, alone, both, run};
use crate::peers::{CUTS, Conn, layered};
use crate::vectored::{all, slices};

async fn write_vectored(conn: &mut Conn, slices: &[IoSlice<'_>]) -> usize {
    poll_fn(|cx| Pin::new(&mut *conn).poll_write_vectored(cx, slices)).await.unwrap()
}

async fn flush(conn: &mut Conn) {
    poll_fn(|cx| AsyncWrite::poll_flush(Pin::new(&mut *conn), cx)).await.unwrap();
}

async fn shutdown(conn: &mut Conn) {
    poll_fn(|cx| Pin::new(&mut *conn).poll_shutdown(cx)).await.unwrap();
}

/// Reads up to 1,000 bytes into memory that nobody has set, behind some that is filled already.
async fn read(conn: &mut Conn) -> std::io::Result<Vec<u8>> {
    let mut space = [MaybeUninit::uninit(); 1003];
    let mut buffer = ReadBuf::uninit(&mut space);
    buffer.put_slice(b"old");
    poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut *conn), cx, &mut buffer)).await?;
    assert!(buffer.filled().starts_with(b"old"));
    Ok(buffer.filled()[3..].to_vec())
}

async fn read_to_end(conn: &mut Conn) -> std::io::Result<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        match read(conn).await?.as_slice() {
            [] => return Ok(received),
            bytes => received.extend(bytes),
        }
    }
}

#[test]
fn one_call_takes_all_slices_and_they_are_read_up_to_the_end() {
    let bytes = all();
    for cut in CUTS {
        for depth in 0..=3 {
            let versions = [Version::Tls13, Version::Tls12, Version::Tls13];
            let (mut left, mut right, _clock) = layered(cut, 100_000, &versions[..depth]);
            let write = async {
                let written = write_vectored(&mut left, &slices(&bytes)).await;
                flush(&mut left).await;
                shutdown(&mut left).await;
                written
            };
            let (written, received) = both(write, read_to_end(&mut right));
            assert_eq!(written, bytes.len(), "depth {depth}, {cut:?}");
            assert!(received.unwrap() == bytes, "depth {depth}, {cut:?}");
            // The other direction is open still.
            let answer = async {
                let written = poll_fn(|cx| AsyncWrite::poll_write(Pin::new(&mut right), cx, b"bye")).await;
                shutdown(&mut right).await;
                written.unwrap()
            };
            let (written, received) = both(answer, read_to_end(&mut left));
            assert_eq!((written, &received.unwrap()[..]), (3, &b"bye"[..]), "depth {depth}, {cut:?}");
        }
    }
}

#[test]
fn it_says_that_vectored_writes_are_worth_it() {
    let (left, _right, _clock) = layered(Cut::Whole, 1000, &[]);
    assert!(left.is_write_vectored());
}

#[test]
fn what_is_not_consumed_stays() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 1000, &[Version::Tls13]);
    alone(left.send_all(b"hello")).unwrap();
    let seen = alone(poll_fn(|cx| match AsyncBufRead::poll_fill_buf(Pin::new(&mut right), cx) {
        Poll::Ready(seen) => Poll::Ready(seen.map(<[u8]>::to_vec)),
        Poll::Pending => Poll::Pending,
    }));
    assert_eq!(seen.unwrap(), b"hello");
    AsyncBufRead::consume(Pin::new(&mut right), 2);
    assert_eq!(alone(read(&mut right)).unwrap(), b"llo");
}

#[test]
fn a_read_waits_and_a_loss_is_no_end() {
    let (mut left, mut right, _clock) = layered(Cut::Whole, 10_000, &[Version::Tls13, Version::Tls13]);
    alone(left.send_all(b"half of it")).unwrap();
    let mut reading = Task::new(read_to_end(&mut right));
    run(&mut [&mut reading]);
    assert!(reading.output().is_none(), "it waits for more");
    drop(left);
    let error = reading.run().expect("it was woken").unwrap_err();
    assert!(Error::of(&error).unwrap().is_truncated(), "{error}");
}

/// The types that others ask for.
#[test]
fn a_connection_is_a_stream_of_tokio() {
    fn stream<T: AsyncRead + AsyncBufRead + AsyncWrite + Send + Sync + Unpin + 'static>() {}
    stream::<Connection<Socket>>();
    stream::<Conn>();
}
