//! Streams of WebSocket against servers that are made by hand, so that they can do what no library does.

mod ends;
mod frames;
mod handshake;
mod hostile;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use futures::executor::block_on;
use onionskin::streams::{Error, Event, Message};

use crate::world::World;

/// Where a client of WebSocket is expected.
pub(super) struct Server {
    listener: TcpListener,
}

impl Server {
    pub(super) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// A stream that leads to it, with a table of delays and more keys.
    pub(super) fn world(&self, retry: &str, keys: &str) -> World {
        World::new(retry, &format!(r#""endpoint": "127.0.0.1", "port": {}, "protocol": "ws"{keys}"#, self.port()))
    }

    /// The next client, once the head of its request is here.
    pub(super) fn accept(&self) -> Client {
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Client { socket, head: String::new() };
        let mut byte = [0];
        while !client.head.ends_with("\r\n\r\n") {
            client.socket.read_exact(&mut byte).unwrap();
            client.head.push(byte[0].into());
        }
        client
    }

    /// The same, upgraded.
    pub(super) fn upgrade(&self) -> Client {
        let mut client = self.accept();
        client.upgrade("");
        client
    }
}

/// A client, as its server sees it.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) head: String,
}

impl Client {
    pub(super) fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.fields(name);
        assert!(fields.len() <= 1, "{name} is there twice: {}", self.head);
        fields.first().copied()
    }

    pub(super) fn accept_key(&self) -> String {
        derive_accept_key(self.field("sec-websocket-key").unwrap().as_bytes())
    }

    /// The answer that upgrades, with more fields (each with its line break).
    pub(super) fn accepting(&self, fields: &str) -> String {
        let key = self.accept_key();
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n{fields}\r\n"
        )
    }

    pub(super) fn upgrade(&mut self, fields: &str) {
        let answer = self.accepting(fields);
        self.say(answer);
    }

    pub(super) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    pub(super) fn frame(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.say(frame(first, payload));
    }

    /// The next frame, which has to be masked, as all of a client are (RFC 6455, section 5.1).
    pub(super) fn read(&mut self) -> Frame {
        self.try_read().unwrap()
    }

    pub(super) fn try_read(&mut self) -> io::Result<Frame> {
        Frame::read(&mut self.socket)
    }

    /// Reads until the client ends the connection, and says what came before. A reset is an end.
    pub(super) fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = self.socket.read_to_end(&mut all);
        all
    }

    /// Nothing more is written.
    pub(super) fn end(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

/// A frame of a client, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first: u8,
    pub(super) payload: Vec<u8>,
    pub(super) mask: [u8; 4],
}

impl Frame {
    /// The next of a client.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 2];
        from.read_exact(&mut head)?;
        assert_eq!(head[1] & 0x80, 0x80, "a client masks what it sends");
        let len = match head[1] & 0x7f {
            126 => {
                let mut len = [0; 2];
                from.read_exact(&mut len)?;
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                from.read_exact(&mut len)?;
                u64::from_be_bytes(len)
            }
            len => len.into(),
        };
        let mut mask = [0; 4];
        from.read_exact(&mut mask)?;
        let mut payload = vec![0; len.try_into().unwrap()];
        from.read_exact(&mut payload)?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Ok(Self { first: head[0], payload, mask })
    }

    #[track_caller]
    pub(super) fn is(&self, first: u8, payload: impl AsRef<[u8]>) {
        assert_eq!((self.first, self.payload.as_slice()), (first, payload.as_ref()));
    }
}

/// A frame of a server, its length as short as can be.
pub(super) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(len as u8),
        len @ ..65536 => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// The payload of a Close frame.
pub(super) fn reason(code: u16, text: &str) -> Vec<u8> {
    [&code.to_be_bytes(), text.as_bytes()].concat()
}

/// The next message that arrives.
#[track_caller]
pub(super) fn receive(world: &World) -> Message {
    block_on(world.stream.receive()).expect("the stream is open").unwrap_or_else(|error| panic!("{error}"))
}

/// Why the stream stands no more, or never did: the next event.
#[track_caller]
pub(super) fn failure(world: &mut World) -> Error {
    match world.event() {
        Some(Event::Disconnected(Some(error)) | Event::Unreachable(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;
pub(super) const PONG: u8 = 0x8a;
/// Takes away the bit that says that a message ends.
pub(super) const MORE: u8 = 0x7f;
pub(super) const CONTINUED: u8 = 0x80;

pub(super) const ONCE: &str = r#""conceal": 0"#;
