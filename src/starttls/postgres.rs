//! PostgreSQL: SSLRequest (PostgreSQL documentation, "Message Flow", section "SSL Session Encryption").
//!
//! ```text
//! C: 00 00 00 08  04 d2 16 2f   SSLRequest: length, 80877103
//! S: 'S'                        'N': no
//!    ─── TLS ───
//! C: StartupMessage             nothing was said before
//! ```
//!
//! The same port serves clients that begin with TLS itself, and those that come to cancel a query: with a connection of its own
//! and in clear, whatever the first one has (section "Canceling Requests in Progress").
//!
//! ```text
//! C: 00 00 00 10  04 d2 16 2e  00 00 04 d2  1f 8e 02 77      CancelRequest: length, 80877102, process, key
//!    ─── the server closes ───
//! ```
//!
//! The answer to SSLRequest is one byte. What a server from before 7.0 says to a request that it does not know begins with an `E`. Its
//! words are not shown to anybody: whoever sits in between may have put them there.

use super::preamble::protocol;
use super::{Error, ErrorKind, Exchange, Machine, Progress};

protocol! {
    /// PostgreSQL.
    ///
    /// After TLS the client begins with its StartupMessage. A server answers GSSENCRequest with no, and everything else that
    /// comes in clear with FATAL 28000, but for a CancelRequest: see [`accept_cancel`](Self::accept_cancel).
    ///
    /// With `sslnegotiation=direct` a client of PostgreSQL 17 or later begins with TLS itself. A server takes that too, if the
    /// client offers the application protocol `postgresql` (ALPN) as it must; one that does not is refused with an alert, so that
    /// nobody is brought here who wanted to talk to another server.
    Postgres "postgres" greets Never;
    /// As a server, hands a CancelRequest on to the application.
    ///
    /// To cancel a query, a client comes with another connection, and in clear: psql up to 16 and `PQcancel` do so even where
    /// they demand TLS for the first one, and say that it was sent whatever becomes of it. Without this the connection is
    /// lost then, and the query runs on.
    ///
    /// With this the negotiation fails with [`ErrorKind::Cancel`], but the connection is not lost: TLS is left out, and the
    /// request is the first that is read. It begins with its length in four bytes, which is 16, or up to 268 with version 3.2
    /// of the protocol. Nothing is answered; the client waits until the connection is closed, which tells it that the request
    /// was carried out. Whoever reads along knows the key then, so it is as secret as the wire is.
    ///
    /// ```
    /// use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    /// use onionskin::Connection;
    /// use onionskin::starttls::{self, ErrorKind, Postgres};
    /// use onionskin::tls::TlsServer;
    ///
    /// async fn serve<IO>(mut conn: Connection<IO>, tls: &TlsServer) -> Result<(), Box<dyn std::error::Error>>
    /// where
    ///     IO: AsyncRead + AsyncWrite + Unpin,
    /// {
    ///     let Err(error) = conn.start_tls_as(Postgres::new().accept_cancel(), tls.accept()?).await else {
    ///         return Ok(()); // a session begins
    ///     };
    ///     if starttls::Error::of(&error).is_none_or(|error| error.kind() != ErrorKind::Cancel) {
    ///         return Err(error.into());
    ///     }
    ///     let mut request = [0; 16];
    ///     if conn.read_exact(&mut request).await.is_ok() {
    ///         // The process and its key, in four bytes each: request[8..12] and request[12..].
    ///     }
    ///     Ok(conn.close().await?)
    /// }
    /// ```
    option accept_cancel;
    client |_| Client::Silent;
    server |postgres| Server { accepts_cancel: postgres.accept_cancel, is_silent: true };
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Silent,
    Asked,
}

impl Machine for Client {
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
struct Server {
    accepts_cancel: bool,
    /// Whether the client has said nothing yet.
    is_silent: bool,
}

impl Machine for Server {
    fn advance(&mut self, exchange: &mut Exchange<'_>) -> Result<Progress, Error> {
        let Some(&announced) = exchange.peek(4)?.and_then(<[u8]>::first_chunk) else { return Ok(Progress::Waiting) };
        let len = u32::from_be_bytes(announced) as usize;
        if len < MIN_STARTUP {
            return Err(Error::malformed(self.awaits(), &announced));
        }
        if len > MAX_STARTUP {
            return Err(Error::too_long(MAX_STARTUP));
        }
        let Some(message) = exchange.peek(len)? else { return Ok(Progress::Waiting) };
        self.is_silent = false;
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
        if CANCEL.contains(&len) && message[4..8] == CANCEL_REQUEST.to_be_bytes() {
            // Nobody reads an answer.
            return Err(Error::cancel(self.accepts_cancel));
        }
        // A StartupMessage, or a CancelRequest that is none. That has a secret in it, so neither is quoted.
        if !exchange.is_optional() {
            exchange.send(&error_response("TLS is required: send SSLRequest first"));
        }
        Err(Error::new(ErrorKind::NotAsked, "the client goes on without SSLRequest"))
    }

    fn awaits(&self) -> &'static str {
        "SSLRequest"
    }

    /// Only in place of everything else, as in the server of PostgreSQL.
    fn direct_tls(&self) -> Option<&'static str> {
        self.is_silent.then_some(ALPN)
    }

    fn decline(&mut self, exchange: &mut Exchange<'_>) -> bool {
        exchange.refuse(b"N");
        true
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

/// What a client that begins with TLS must offer.
const ALPN: &str = "postgresql";

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// The length of a CancelRequest: the key has 4 bytes, and from version 3.2 of the protocol on up to 256.
const CANCEL: std::ops::RangeInclusive<usize> = 16..=268;

/// The length counts itself, and a code is always there.
const MIN_STARTUP: usize = 8;

/// No server of PostgreSQL takes a longer StartupMessage.
const MAX_STARTUP: usize = 10_000;
