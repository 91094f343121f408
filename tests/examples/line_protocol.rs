//! The store of keys and values.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use futures::io::AsyncWriteExt;
use onionskin::stack::{Event, Limits, Output, Readable, Stack};
use onionskin::tls::TlsClient;

use crate::process::{Example, ask, block_on, hear};

#[test]
fn keys_and_values_are_shared_by_clients_at_any_depth() {
    let (example, tls) = Example::self_signed("line_protocol");
    block_on(async {
        let (mut plain, mut nested) = (example.connect().await, example.connect().await);
        assert_eq!(ask(&mut plain, "SET colour dark red").await, "NEW");
        for depth in 1..=3 {
            assert_eq!(ask(&mut nested, "STARTTLS").await, format!("OK STARTTLS {depth}"));
            nested.start_tls(tls.to("localhost").unwrap()).await.unwrap();
            assert_eq!(ask(&mut nested, "GET colour").await, "VALUE dark red");
        }
        assert_eq!(ask(&mut nested, "SET colour blue").await, "CHANGED");
        assert_eq!(ask(&mut plain, "GET colour").await, "VALUE blue");
        for depth in (0..3).rev() {
            assert_eq!(ask(&mut nested, "STOPTLS").await, format!("OK STOPTLS {depth}"));
            nested.stop_tls().await.unwrap();
            assert_eq!(ask(&mut nested, "LIST").await, "KEYS colour");
        }
        assert_eq!(ask(&mut nested, "STOPTLS").await, "ERR unknown");
        assert_eq!(ask(&mut nested, "DEL colour").await, "DELETED");
        assert_eq!(ask(&mut plain, "GET colour").await, "ERR unknown");
        assert_eq!(ask(&mut nested, "QUIT").await, "BYE");
        assert_eq!(nested.read_line().await.unwrap(), None);
    });
}

#[test]
fn a_value_that_looks_like_a_command_is_a_value() {
    let (example, _) = Example::self_signed("line_protocol");
    block_on(async {
        let mut conn = example.connect().await;
        assert_eq!(ask(&mut conn, "SET trap STARTTLS").await, "NEW");
        assert_eq!(ask(&mut conn, "GET trap").await, "VALUE STARTTLS");
        assert_eq!(ask(&mut conn, "LIST").await, "KEYS trap");
    });
}

#[test]
fn a_client_hello_may_come_in_the_segment_of_its_starttls() {
    let (example, tls) = Example::self_signed("line_protocol");
    let mut socket = TcpStream::connect(example.endpoint.strip_prefix("tcp:").unwrap()).unwrap();
    let mut client = Client::new(&tls);
    let mut segment = b"SET colour red\r\nSTARTTLS\r\n".to_vec();
    client.send(&mut segment);
    socket.write_all(&segment).unwrap();

    let mut answers = [0; b"NEW\r\nOK STARTTLS 1\r\n".len()];
    socket.read_exact(&mut answers).unwrap();
    assert_eq!(&answers, b"NEW\r\nOK STARTTLS 1\r\n");
    client.stack.write(Instant::now(), b"GET colour\r\n").unwrap();
    assert_eq!(client.await_bytes(&mut socket, 11), b"VALUE red\r\n");
    assert!(client.is_ready());
}

#[test]
fn a_command_behind_starttls_is_never_carried_out_in_clear() {
    let (example, tls) = Example::self_signed("line_protocol");
    block_on(async {
        let mut attacked = example.connect().await;
        attacked.queue(b"STARTTLS\r\nSET colour evil\r\n").unwrap();
        attacked.flush().await.unwrap();
        assert_eq!(hear(&mut attacked).await, "OK STARTTLS 1");
        attacked.start_tls(tls.to("localhost").unwrap()).await.unwrap_err();

        let mut other = example.connect().await;
        assert_eq!(ask(&mut other, "GET colour").await, "ERR unknown");
        other.queue(b"SET shape round\r\nSET colour good\r\n").unwrap();
        assert_eq!(ask(&mut other, "GET colour").await, "NEW"); // in one segment, but no command in between
        assert_eq!((hear(&mut other).await, hear(&mut other).await), ("NEW".to_owned(), "VALUE good".to_owned()));
    });
}

#[test]
fn the_readme_shows_all_of_the_example() {
    let (readme, example) = (include_str!("../../README.md"), include_str!("../../examples/line_protocol.rs"));
    let (_, program) = example.split_once("\n\n").unwrap();
    assert!(program.contains("fn main()"));
    assert!(readme.contains(&format!("```rust,no_run\n{program}```")), "copy it over");
}

/// A TLS client on a stack that is driven by hand, so that its ClientHello can be held in the hand.
struct Client {
    stack: Stack,
}

impl Client {
    fn new(tls: &TlsClient) -> Self {
        let mut stack = Stack::new(Limits::default());
        stack.splice(Instant::now(), Box::new(tls.to("localhost").unwrap())).unwrap();
        Self { stack }
    }

    fn send(&mut self, to: &mut impl Write) {
        while let Output::Bytes(bytes) = self.stack.poll_output() {
            let count = bytes.len();
            to.write_all(bytes).unwrap();
            self.stack.handle_sent(Instant::now(), count);
        }
    }

    /// Talks until so many bytes can be read.
    fn await_bytes(&mut self, socket: &mut TcpStream, count: usize) -> Vec<u8> {
        loop {
            self.send(socket);
            if let Readable::Bytes(bytes) = self.stack.readable()
                && bytes.len() >= count
            {
                return bytes.to_vec();
            }
            let mut received = [0; 4096];
            let count = socket.read(&mut received).unwrap();
            assert!(count > 0, "the server has gone: {:?}", self.stack.lost());
            assert_eq!(self.stack.handle_input(Instant::now(), &received[..count]), count);
        }
    }

    fn is_ready(&mut self) -> bool {
        matches!(self.stack.poll_event(), Some(Event::Ready(_)))
    }
}
