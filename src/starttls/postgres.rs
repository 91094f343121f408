//! PostgreSQL: SSLRequest (PostgreSQL documentation, "Message Flow", section "SSL Session Encryption").
//!
//! ```text
//! C: 00 00 00 08  04 d2 16 2f   SSLRequest: length, 80877103
//! S: 'S'                        'N': no
//!    ─── TLS ───
//! C: StartupMessage             nothing was said before
//! ```
//!
//! The answer is one byte. What a server from before 7.0 says to a request that it does not know begins with an `E`. Its
//! words are not shown to anybody: whoever sits in between may have put them there.

use super::{Error, ErrorKind, Exchange, Greets, Negotiation, Progress, StartTls};

/// PostgreSQL.
///
/// After TLS the client begins with its StartupMessage. A server answers GSSENCRequest with no, and everything else that
/// comes in clear with FATAL 28000.
///
/// With `sslnegotiation=direct` a client of PostgreSQL 17 begins with TLS itself, which needs none of this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Postgres;

impl Postgres {
    /// Either side.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl StartTls for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn greets(&self) -> Greets {
        Greets::Never
    }

    fn client(&self) -> Box<dyn Negotiation> {
        Box::new(Client::Silent)
    }

    fn server(&self) -> Box<dyn Negotiation> {
        Box::new(Server)
    }
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Silent,
    Asked,
}

impl Negotiation for Client {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        if let Self::Silent = self {
            exchange.ask(&request(SSL_REQUEST))?;
            *self = Self::Asked;
            return Ok(Progress::Asked);
        }
        // Only what is one byte long is taken: an error is more, and is left whole.
        match exchange.peek(1)? {
            None => Ok(Progress::Waiting),
            Some(b"E") => Err(Error::new(ErrorKind::Refused, "the server answered SSLRequest with an error")),
            Some(answer) => match exchange.take(answer.len()) {
                b"S" => Ok(Progress::GoAhead),
                b"N" => Err(Error::new(ErrorKind::Refused, "the server does not do TLS here")),
                other => Err(Error::malformed(self.awaits(), other)),
            },
        }
    }

    fn awaits(&self) -> &'static str {
        "the answer to SSLRequest"
    }
}

#[derive(Debug)]
struct Server;

impl Negotiation for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(&announced) = exchange.peek(4)?.and_then(<[u8]>::first_chunk) else { return Ok(Progress::Waiting) };
        let len = u32::from_be_bytes(announced) as usize;
        if len < SHORTEST {
            return Err(Error::malformed(self.awaits(), &announced));
        }
        if len > LONGEST {
            return Err(Error::too_long(LONGEST));
        }
        let Some(message) = exchange.peek(len)? else { return Ok(Progress::Waiting) };
        if message == request(SSL_REQUEST) {
            exchange.take(len);
            exchange.send(b"S");
            return Ok(Progress::GoAhead);
        }
        if message == request(GSSENC_REQUEST) {
            exchange.take(len);
            exchange.refuse(b"N");
            return Ok(Progress::Going);
        }
        // A StartupMessage or a CancelRequest. That has a secret in it, so neither is quoted.
        if !exchange.allows_plaintext() {
            exchange.send(&error_response("TLS is required: send SSLRequest first"));
        }
        Err(Error::new(ErrorKind::NotAsked, "the client goes on without SSLRequest"))
    }

    fn awaits(&self) -> &'static str {
        "SSLRequest"
    }

    fn turn_away(&mut self, exchange: &mut Exchange<'_>) {
        exchange.send(&error_response("too many requests that are none for TLS"));
    }
}

fn request(code: u32) -> [u8; 8] {
    let mut message = [0, 0, 0, 8, 0, 0, 0, 0];
    message[4..].copy_from_slice(&code.to_be_bytes());
    message
}

/// As version 3 of the protocol has it. 28000 is invalid_authorization_specification.
fn error_response(message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C28000\0M{message}\0\0");
    let len = 4 + fields.len() as u32;
    [b"E", &len.to_be_bytes()[..], fields.as_bytes()].concat()
}

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// The length counts itself, and a code is always there.
const SHORTEST: usize = 8;

/// No server of PostgreSQL takes a longer StartupMessage.
const LONGEST: usize = 10_000;
