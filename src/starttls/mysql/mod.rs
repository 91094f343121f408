//! MySQL and MariaDB: SSLRequest (MySQL Internals, "Connection Phase", section "SSL Handshake").
//!
//! ```text
//! S: greeting                   packet 0: version, scramble, and that it does TLS
//! C: SSLRequest                 packet 1: the front of a HandshakeResponse, and then
//!    ─── TLS ───                at once: there is no go-ahead
//! C: HandshakeResponse          packet 2, inside TLS, computed from the greeting
//! ```
//!
//! What was said before TLS is not forgotten in this protocol: the server does not greet again, and the password is proved
//! with the scramble of its greeting. Whoever sits in between can have changed the greeting, so nothing in it is to be
//! believed beyond that: see [`MysqlGreeting`].

mod greeting;

use std::sync::{Arc, Mutex, PoisonError};

pub use self::greeting::MysqlGreeting;
use super::{Error, ErrorKind, Exchange, Machine, Progress, StartTls};

/// MySQL and MariaDB.
///
/// After TLS the client goes on with its HandshakeResponse, which is packet 2, and which claims
/// [`capabilities`](Self::capabilities) again, with CLIENT_SSL. What it needs of the server's greeting is found with
/// [`seen`](Self::seen); a server finds there what it has said itself.
#[derive(Clone, Debug)]
pub struct Mysql {
    greeting: MysqlGreeting,
    scramble: Option<[u8; SCRAMBLE]>,
    capabilities: u32,
    said: MysqlSeen,
}

/// The greeting of a start, once it has been said. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MysqlSeen(Arc<Mutex<Option<MysqlGreeting>>>);

impl MysqlSeen {
    /// The greeting, if it has been said. Of several starts with one [`Mysql`], the latest.
    #[must_use]
    pub fn greeting(&self) -> Option<MysqlGreeting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, greeting: MysqlGreeting) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(greeting);
    }
}

impl Mysql {
    /// A client that claims what every server of today can do; a server of version 8.0.0, with connection 1 and a scramble
    /// drawn anew for each start.
    #[must_use]
    pub fn new() -> Self {
        Self {
            greeting: MysqlGreeting::default(),
            scramble: None,
            capabilities: CAPABILITIES,
            said: MysqlSeen::default(),
        }
    }

    /// The version that a server claims to be of: up to the first zero byte.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.greeting.version = version.bytes().take_while(|&byte| byte != 0).collect();
        self
    }

    /// The number that a server gives the connection, to be named in KILL.
    #[must_use]
    pub fn connection_id(mut self, id: u32) -> Self {
        self.greeting.connection_id = id;
        self
    }

    /// What a server has the client prove its password with. It is for one start: to use one twice lets an answer that was
    /// overheard be used twice. No byte may be zero, because clients of old take that for the end.
    ///
    /// # Panics
    ///
    /// If a byte is zero.
    #[must_use]
    pub fn scramble(mut self, scramble: [u8; SCRAMBLE]) -> Self {
        assert!(!scramble.contains(&0), "a scramble has no zero bytes");
        self.scramble = Some(scramble);
        self
    }

    /// How a server wants the password proved: `caching_sha2_password` unless set. Up to the first zero byte.
    #[must_use]
    pub fn auth_plugin(mut self, plugin: &str) -> Self {
        self.greeting.auth_plugin = plugin.bytes().take_while(|&byte| byte != 0).collect();
        self
    }

    /// The capability flags, of either side. Those for TLS, for version 4.1 and for its passwords are always among them. A
    /// client claims those of them that the server has, and in its HandshakeResponse has to claim the same.
    #[must_use]
    pub fn capabilities(mut self, flags: u32) -> Self {
        self.capabilities = flags | ALWAYS;
        self
    }

    /// Where the greeting will be found: for a client that of the server, for a server its own. A value for each
    /// connection, as clones of a value share the place.
    #[must_use]
    pub fn seen(&self) -> MysqlSeen {
        self.said.clone()
    }
}

impl Default for Mysql {
    fn default() -> Self {
        Self::new()
    }
}

impl StartTls for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn client(&self) -> Box<dyn Machine> {
        Box::new(Client { capabilities: self.capabilities, said: self.said.clone(), state: Asking::Greeting })
    }

    fn server(&self) -> Box<dyn Machine> {
        let greeting = MysqlGreeting { capabilities: self.capabilities, ..self.greeting.clone() };
        Box::new(Server { greeting, scramble: self.scramble, said: self.said.clone(), state: Asked::Silent })
    }
}

#[derive(Debug)]
struct Client {
    capabilities: u32,
    said: MysqlSeen,
    state: Asking,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Greeting,
    Greeted { capabilities: u32, character_set: u8 },
    Asked,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        match self.state {
            Asking::Greeting => {
                let Some(packet) = Packet::take(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
                let greeting = read_greeting(&packet, self.awaits())?;
                let (capabilities, character_set) = (greeting.capabilities, greeting.character_set);
                self.state = Asking::Greeted { capabilities, character_set };
                self.said.set(greeting);
                Ok(Progress::Greeted)
            }
            Asking::Greeted { capabilities, character_set } => {
                let claimed = self.capabilities & capabilities;
                exchange.ask(&packet(1, &ssl_request(claimed, character_set)))?;
                self.state = Asking::Asked;
                Ok(Progress::Asked)
            }
            Asking::Asked => Ok(Progress::GoAhead),
        }
    }

    fn awaits(&self) -> &'static str {
        "the greeting"
    }
}

fn read_greeting(packet: &Packet<'_>, awaited: &str) -> Result<MysqlGreeting, Error> {
    let malformed = || Error::malformed(awaited, packet.payload);
    if let [ERROR, low, high, words @ ..] = packet.payload {
        let number = u16::from_le_bytes([*low, *high]);
        return Err(Error::refused_with(&format!("error {number}"), words));
    }
    if packet.number != 0 {
        return Err(malformed());
    }
    let greeting = MysqlGreeting::parse(packet.payload).ok_or_else(malformed)?;
    if greeting.capabilities & ALWAYS != ALWAYS {
        return Err(Error::not_offered());
    }
    Ok(greeting)
}

#[derive(Debug)]
struct Server {
    greeting: MysqlGreeting,
    scramble: Option<[u8; SCRAMBLE]>,
    said: MysqlSeen,
    state: Asked,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Silent,
    Greeted,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Asked::Silent = self.state {
            self.greeting.scramble = self.scramble.map_or_else(greeting::draw_scramble, Ok)?.to_vec();
            exchange.send(&packet(0, &self.greeting.write()));
            self.said.set(self.greeting.clone());
            self.state = Asked::Greeted;
            return Ok(Progress::Going);
        }
        let Some(Packet { number, payload }) = Packet::peek(exchange, self.awaits())? else {
            return Ok(Progress::Waiting);
        };
        // It can have a password in it, or what comes near to one.
        let malformed = || Error::new(ErrorKind::Malformed, "the client was to send SSLRequest");
        let &flags = payload.first_chunk().filter(|_| number == 1).ok_or_else(malformed)?;
        let asks = u32::from_le_bytes(flags) & CLIENT_SSL != 0;
        if asks && payload.len() == SSL_REQUEST {
            exchange.take(HEADER + payload.len());
            return Ok(Progress::GoAhead);
        }
        if asks {
            return Err(malformed());
        }
        if !exchange.is_optional() {
            exchange.send(&packet(2, SECURE_TRANSPORT_REQUIRED));
        }
        Err(Error::new(ErrorKind::NotAsked, "the client goes on without SSLRequest"))
    }

    fn awaits(&self) -> &'static str {
        "SSLRequest"
    }
}

/// A packet: three bytes of length, the number in its exchange, the payload.
#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    number: u8,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn take(exchange: &mut Exchange<'a>, awaited: &str) -> Result<Option<Self>, Error> {
        let packet = Self::peek(exchange, awaited)?;
        exchange.take(packet.map_or(0, |packet| HEADER + packet.payload.len()));
        Ok(packet)
    }

    fn peek(exchange: &Exchange<'a>, awaited: &str) -> Result<Option<Self>, Error> {
        let Some(header) = exchange.peek(HEADER)? else { return Ok(None) };
        let len = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        if len == 0 {
            return Err(Error::malformed(awaited, header));
        }
        if len > MAX_PACKET {
            return Err(Error::too_long(MAX_PACKET));
        }
        let whole = exchange.peek(HEADER + len)?;
        Ok(whole.map(|whole| Self { number: header[3], payload: &whole[HEADER..] }))
    }
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = (payload.len() as u32).to_le_bytes();
    [&[low, middle, high, number], payload].concat()
}

fn ssl_request(capabilities: u32, character_set: u8) -> [u8; SSL_REQUEST] {
    let mut request = [0; SSL_REQUEST];
    request[..4].copy_from_slice(&capabilities.to_le_bytes());
    request[4..8].copy_from_slice(&MAX_PACKET_OF_CLIENT.to_le_bytes());
    request[8] = character_set;
    request
}

/// ER_SECURE_TRANSPORT_REQUIRED, 3159.
const SECURE_TRANSPORT_REQUIRED: &[u8] = b"\xff\x57\x0c#HY000TLS is required";

/// What a packet begins with that says what is wrong.
const ERROR: u8 = 0xff;

const HEADER: usize = 4;
const SSL_REQUEST: usize = 32;

/// The length of a scramble.
const SCRAMBLE: usize = 20;

/// Nothing that is said before TLS comes near.
const MAX_PACKET: usize = 16 * 1024;

/// The most that a client takes in one packet: what those of MySQL say.
const MAX_PACKET_OF_CLIENT: u32 = 1 << 24;

const CLIENT_PROTOCOL_41: u32 = 1 << 9;
const CLIENT_SSL: u32 = 1 << 11;
const CLIENT_SECURE_CONNECTION: u32 = 1 << 15;
const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;

const ALWAYS: u32 = CLIENT_PROTOCOL_41 | CLIENT_SSL | CLIENT_SECURE_CONNECTION;

/// With CLIENT_LONG_PASSWORD, CLIENT_LONG_FLAG, CLIENT_CONNECT_WITH_DB and CLIENT_TRANSACTIONS.
const CAPABILITIES: u32 = ALWAYS | CLIENT_PLUGIN_AUTH | 1 | 1 << 2 | 1 << 3 | 1 << 13;
