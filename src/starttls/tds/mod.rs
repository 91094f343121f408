//! TDS, the protocol of SQL Server: PRELOGIN (MS-TDS section 2.2.6.5).
//!
//! ```text
//! C: PRELOGIN, ENCRYPTION on
//! S: PRELOGIN, ENCRYPTION on
//!    ─── TLS ───                its handshake inside of packets: see `framing`
//! C: Login
//! ```
//!
//! Each side says what it wants, and the server's answer decides:
//!
//! | client \ server | only the login     | everything         | no TLS              |
//! |-----------------|--------------------|--------------------|---------------------|
//! | OFF             | OFF: the login     | REQ: everything    | NOT_SUP: nothing    |
//! | ON              | ON: everything     | ON: everything     | NOT_SUP: nothing    |
//! | NOT_SUP         | no connection here | REQ: no connection | NOT_SUP: nothing    |
//!
//! OFF means that only the login is encrypted: what follows is in clear, in both directions, and TLS ends without a
//! close_notify. Whoever sits in between can then say what he likes as soon as the password has passed. So it must be asked
//! for by name, on either side.

mod framing;
mod packet;
mod prelogin;

use std::sync::{Arc, Mutex, PoisonError};

use self::framing::HandshakeFraming;
use self::packet::{HEADER, Header, PRELOGIN, REPLY, packet};
use self::prelogin::Prelogin;
use super::{Error, ErrorKind, Exchange, Greets, Machine, Progress, StartTls};
use crate::stack::Layer;

/// TDS, the protocol of SQL Server, up to TLS 1.2.
///
/// After TLS the client sends its login. TLS 1.3 cannot be had: give both sides TLS 1.2 alone
/// ([`versions`](crate::tls::TlsClientBuilder::versions)). TDS 8.0 begins with TLS and needs none of this.
///
/// Both sides require that all of the connection is encrypted. If only the login is, which [`login_only`](Self::login_only)
/// allows and [`agreed`](Self::agreed) tells, both sides drop TLS right behind it, with
/// [`Stop::abandon`](crate::stack::Stop::abandon): the client when it has written the login, the server when it has read it.
#[derive(Clone, Debug)]
pub struct Tds {
    login_only: bool,
    version: [u8; 6],
    instance: Vec<u8>,
    agreed: TdsAgreed,
}

/// What is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TdsEncryption {
    /// The login, and nothing behind it.
    LoginOnly,
    /// The whole connection.
    Everything,
}

/// What a start has agreed on, once it has. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct TdsAgreed(Arc<Mutex<Option<TdsEncryption>>>);

impl TdsAgreed {
    /// What is encrypted, once both sides agree. Of several starts with one [`Tds`], the latest.
    #[must_use]
    pub fn encryption(&self) -> Option<TdsEncryption> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, encryption: TdsEncryption) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(encryption);
    }
}

impl Tds {
    /// Requires that all of the connection is encrypted. Claims version 15.0.0 and no instance.
    #[must_use]
    pub fn new() -> Self {
        Self { login_only: false, version: [15, 0, 0, 0, 0, 0], instance: Vec::new(), agreed: TdsAgreed::default() }
    }

    /// Also goes on if only the login is encrypted. A client then asks for no more than that, and gets more if the server
    /// requires it; a server gives each client what it asks for.
    #[must_use]
    pub fn login_only(mut self) -> Self {
        self.login_only = true;
        self
    }

    /// The version to claim: major, minor, two bytes of build, two of sub-build.
    #[must_use]
    pub fn version(mut self, version: [u8; 6]) -> Self {
        self.version = version;
        self
    }

    /// The instance that a client wants to talk to: up to the first zero byte, and no more than 255 bytes. A server here
    /// does not look at it.
    #[must_use]
    pub fn instance(mut self, name: &str) -> Self {
        self.instance = name.bytes().take_while(|&byte| byte != 0).take(255).collect();
        self
    }

    /// Where it will be found what was agreed. A value for each connection, as clones of a value share the place.
    #[must_use]
    pub fn agreed(&self) -> TdsAgreed {
        self.agreed.clone()
    }
}

impl Default for Tds {
    fn default() -> Self {
        Self::new()
    }
}

impl StartTls for Tds {
    fn name(&self) -> &'static str {
        "tds"
    }

    fn greets(&self) -> Greets {
        Greets::Never
    }

    fn client(&self) -> Box<dyn Machine> {
        Box::new(Client { tds: self.clone(), state: Asking::Silent })
    }

    fn server(&self) -> Box<dyn Machine> {
        Box::new(Server { tds: self.clone() })
    }
}

#[derive(Debug)]
struct Client {
    tds: Tds,
    state: Asking,
}

#[derive(Clone, Copy, Debug)]
enum Asking {
    Silent,
    Asked,
}

impl Machine for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Asking::Silent = self.state {
            let wanted = if self.tds.login_only { OFF } else { ON };
            let options = prelogin::request(self.tds.version, wanted, &self.tds.instance);
            exchange.ask(&packet(PRELOGIN, &options))?;
            self.state = Asking::Asked;
            return Ok(Progress::Asked);
        }
        let Some((header, payload)) = read_packet(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        let malformed = || Error::malformed(self.awaits(), payload);
        if !header.is_reply() {
            return Err(malformed());
        }
        exchange.take(HEADER + payload.len());
        if let [ERROR_TOKEN, error @ ..] = payload {
            return Err(refusal(error));
        }
        let encryption = match (Prelogin::parse(payload).ok_or_else(malformed)?.encryption, self.tds.login_only) {
            (None | Some(NOT_SUP), _) => return Err(Error::not_offered()),
            (Some(ON | REQ), _) => TdsEncryption::Everything,
            (Some(OFF), true) => TdsEncryption::LoginOnly,
            (Some(OFF), false) => {
                return Err(Error::new(ErrorKind::Refused, "the server encrypts nothing but the login"));
            }
            _ => return Err(malformed()),
        };
        self.tds.agreed.set(encryption);
        Ok(Progress::GoAhead)
    }

    fn awaits(&self) -> &'static str {
        "the answer to PRELOGIN"
    }

    fn layer_below_tls(&mut self) -> Option<Box<dyn Layer>> {
        Some(Box::new(HandshakeFraming::new()))
    }
}

#[derive(Debug)]
struct Server {
    tds: Tds,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let first = exchange.peek(1)?.and_then(<[u8]>::first);
        if first.is_some_and(|kind| LOGINS.contains(kind)) {
            return Err(Error::new(ErrorKind::NotAsked, "the client goes on without PRELOGIN"));
        }
        let Some((header, payload)) = read_packet(exchange, self.awaits())? else { return Ok(Progress::Waiting) };
        let malformed = || Error::malformed(self.awaits(), payload);
        if header.is_reply() {
            return Err(malformed());
        }
        let (answer, agreed) = match Prelogin::parse(payload).ok_or_else(malformed)?.encryption {
            Some(OFF) if self.tds.login_only => (OFF, TdsEncryption::LoginOnly),
            Some(OFF) => (REQ, TdsEncryption::Everything),
            Some(ON | REQ) => (ON, TdsEncryption::Everything),
            None | Some(NOT_SUP) => {
                if !exchange.is_optional() {
                    self.answer(REQ, exchange);
                }
                return Err(Error::new(ErrorKind::NotAsked, "the client does not do TLS"));
            }
            _ => return Err(malformed()),
        };
        exchange.take(HEADER + payload.len());
        self.answer(answer, exchange);
        self.tds.agreed.set(agreed);
        Ok(Progress::GoAhead)
    }

    fn awaits(&self) -> &'static str {
        "PRELOGIN"
    }

    fn layer_below_tls(&mut self) -> Option<Box<dyn Layer>> {
        Some(Box::new(HandshakeFraming::new()))
    }
}

impl Server {
    fn answer(&self, encryption: u8, exchange: &mut Exchange<'_>) {
        exchange.send(&packet(REPLY, &prelogin::answer(self.tds.version, encryption)));
    }
}

/// What the server says in place of an answer: behind the length, the number, state and class of the error, the message in
/// UTF-16 with its length in front (MS-TDS section 2.2.7.10).
fn refusal(error: &[u8]) -> Error {
    let number = error.get(2..).and_then(<[u8]>::first_chunk).map(|number| u32::from_le_bytes(*number));
    let text = error.get(8..).and_then(<[u8]>::split_first_chunk).map(|(len, text)| {
        let units = text.chunks_exact(2).take(u16::from_le_bytes(*len).into());
        let units: Vec<u16> = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        String::from_utf16_lossy(&units)
    });
    match (number, text) {
        (Some(number), Some(text)) => Error::refused_with(&format!("error {number}"), text.as_bytes()),
        _ => Error::new(ErrorKind::Refused, "the server answered PRELOGIN with an error"),
    }
}

/// The packet at the front, if all of it is there: one of PRELOGIN, or one of an answer to it.
fn read_packet<'a>(exchange: &Exchange<'a>, awaited: &str) -> Result<Option<(Header, &'a [u8])>, Error> {
    let malformed = |bytes| Error::malformed(awaited, bytes);
    if let Some([kind]) = exchange.peek(1)?
        && ![PRELOGIN, REPLY].contains(kind)
    {
        return Err(malformed(exchange.input()));
    }
    let Some(header) = exchange.peek(HEADER)? else { return Ok(None) };
    let parsed = header.first_chunk().and_then(Header::parse).ok_or_else(|| malformed(header))?;
    if parsed.payload_len > MAX_OPTIONS {
        return Err(Error::too_long(MAX_OPTIONS));
    }
    let Some(whole) = exchange.peek(HEADER + parsed.payload_len)? else { return Ok(None) };
    if !parsed.last {
        return Err(malformed(whole));
    }
    Ok(Some((parsed, &whole[HEADER..])))
}

/// Values of ENCRYPTION.
const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUP: u8 = 2;
const REQ: u8 = 3;

/// What an error in a reply begins with (MS-TDS section 2.2.7.10).
const ERROR_TOKEN: u8 = 0xaa;

/// Types of packets with which clients of old begin: a login of before 7.0, and one of since.
const LOGINS: [u8; 2] = [0x02, 0x10];

/// What one packet holds before its size has been negotiated.
const MAX_OPTIONS: usize = packet::DEFAULT_SIZE - HEADER;
