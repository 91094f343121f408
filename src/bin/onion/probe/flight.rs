//! What a server shows before anything is encrypted, whether or not the handshake comes to an end: which version its
//! ServerHello carries, its certificates up to TLS 1.2, whether it asks for ours, and its alert.
//!
//! A TLS library tells none of that once it has refused. Nothing here is verified: it is for saying what is there.

use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::{AlertDescription, CipherSuite, NamedGroup, ProtocolVersion};

/// The server's part of a handshake, as far as it is in clear. It keeps no more than [`MAX_FLIGHT`] bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    /// What was heard and is no whole record yet.
    records: Vec<u8>,
    /// What was heard and is no whole handshake message yet.
    messages: Vec<u8>,
    heard: usize,
    reading: Reading,
    pub(super) hello: Option<ServerHello>,
    /// Up to TLS 1.2, the server's own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The one that was agreed on, or asked for last.
    pub(super) group: Option<NamedGroup>,
    /// The group that a HelloRetryRequest has asked for.
    pub(super) retry_for: Option<NamedGroup>,
    pub(super) asks_for_certificate: bool,
    /// ServerHelloDone of TLS 1.2 has come.
    has_said_all: bool,
    pub(super) alert: Option<AlertDescription>,
}

/// A ServerHello, or the HelloRetryRequest that looks like one (RFC 8446 section 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) version: ProtocolVersion,
    pub(super) cipher_suite: CipherSuite,
    /// It is a HelloRetryRequest.
    is_retry: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Nothing,
    /// At least the front of one record has come.
    Records,
    /// What follows is encrypted, or of no interest.
    Done,
    /// It is no TLS.
    Other,
}

impl Flight {
    /// Takes what came next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        self.heard += bytes.len();
        self.records.extend_from_slice(bytes);
        while let Some((kind, payload, len)) = record(&self.records) {
            let payload = payload.to_vec();
            self.records.drain(..len);
            self.reading = Reading::Records;
            self.take(kind, &payload);
            if self.is_over() {
                break;
            }
        }
        if self.reading == Reading::Nothing && !may_be_record(&self.records) {
            self.reading = Reading::Other;
        }
        if self.heard > MAX_FLIGHT {
            self.reading = Reading::Done;
        }
        if self.is_over() {
            (self.records, self.messages) = (Vec::new(), Vec::new());
        }
    }

    /// How many bytes it has taken.
    pub(super) fn heard(&self) -> usize {
        self.heard
    }

    /// Whether the server speaks TLS, whatever it says in it.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.reading, Reading::Records | Reading::Done)
    }

    /// Whether nothing more can be learned from what follows.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.reading, Reading::Done | Reading::Other)
    }

    /// Whether the server, of TLS 1.2 or before, has shown its certificate and waits for us: whoever has answered then has
    /// taken it.
    pub(super) fn has_said_all(&self) -> bool {
        self.has_said_all
    }

    /// The group that was agreed on, once it was.
    pub(super) fn agreed_group(&self) -> Option<NamedGroup> {
        self.hello.filter(|hello| !hello.is_retry).and(self.group)
    }

    pub(super) fn is_retried(&self) -> bool {
        self.retry_for.is_some()
    }

    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        self.hello.map(|hello| hello.version)
    }

    fn take(&mut self, kind: u8, payload: &[u8]) {
        match kind {
            ALERT => {
                // A warning is followed by something (RFC 5246 section 7.2): an unknown name by a handshake all the same.
                if let [level, description] = payload
                    && (*level == FATAL || *description == CLOSE_NOTIFY)
                {
                    self.alert = Some(AlertDescription::from(*description));
                    self.reading = Reading::Done;
                }
            }
            HANDSHAKE => {
                self.messages.extend_from_slice(payload);
                while let Some((kind, body, len)) = message(&self.messages) {
                    let body = body.to_vec();
                    self.messages.drain(..len);
                    self.take_message(kind, &body);
                }
            }
            // Dummies of TLS 1.3 (RFC 8446 appendix D.4) come behind its ServerHello, where all is over but an alert.
            CHANGE_CIPHER_SPEC if self.version() == Some(ProtocolVersion::TLSv1_3) => {}
            _ => self.reading = Reading::Done,
        }
    }

    fn take_message(&mut self, kind: u8, body: &[u8]) {
        match kind {
            SERVER_HELLO => {
                let Some((hello, group)) = server_hello(body) else { return };
                self.hello = Some(hello);
                if hello.is_retry {
                    self.retry_for = group;
                }
                self.group = group.or(self.group);
            }
            CERTIFICATE if self.chain.is_empty() => self.chain = certificates(body).unwrap_or_default(),
            // Of a named curve (RFC 8422 section 5.4).
            SERVER_KEY_EXCHANGE => {
                if let [3, high, low, ..] = body {
                    self.group = Some(NamedGroup::from(u16::from_be_bytes([*high, *low])));
                }
            }
            CERTIFICATE_REQUEST => self.asks_for_certificate = true,
            SERVER_HELLO_DONE => self.has_said_all = true,
            _ => {}
        }
    }

    /// Whether the server has said all that it says before the client answers.
    pub(super) fn is_the_clients_turn(&self) -> bool {
        self.is_over() || self.has_said_all || self.version() == Some(ProtocolVersion::TLSv1_3)
    }
}

/// The record at the front: its type, what is in it, and how long it is (RFC 8446 section 5.1).
fn record(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [kind, MAJOR, _, high, low, rest @ ..] = bytes else { return None };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    Some((*kind, rest.get(..len)?, HEADER + len)).filter(|_| RECORDS.contains(kind))
}

/// Whether a record can begin like this.
fn may_be_record(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| RECORDS.contains(first)) && bytes.get(1).is_none_or(|major| *major == MAJOR)
}

/// The handshake message at the front (RFC 8446 section 4).
fn message(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [kind, high, middle, low, rest @ ..] = bytes else { return None };
    let len = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    Some((*kind, rest.get(..len)?, 4 + len))
}

/// RFC 8446 section 4.1.3, and the same place in RFC 5246.
fn server_hello(body: &[u8]) -> Option<(ServerHello, Option<NamedGroup>)> {
    let mut reader = Reader(body);
    let mut version = reader.number()?;
    let is_retry = reader.bytes(32)? == RETRY;
    let session = reader.byte()?;
    reader.bytes(session.into())?;
    let cipher_suite = CipherSuite::from(reader.number()?);
    reader.byte()?;
    let mut group = None;
    // Servers of old have no extensions.
    if let Some(len) = reader.number() {
        let mut extensions = Reader(reader.bytes(len.into())?);
        while let Some(kind) = extensions.number() {
            let len = extensions.number()?;
            let mut value = Reader(extensions.bytes(len.into())?);
            match kind {
                SUPPORTED_VERSIONS => version = value.number()?,
                KEY_SHARE => group = value.number().map(NamedGroup::from),
                _ => {}
            }
        }
    }
    Some((ServerHello { version: ProtocolVersion::from(version), cipher_suite, is_retry }, group))
}

/// RFC 5246 section 7.4.2.
fn certificates(body: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut list = Reader(body);
    let len = list.long()?;
    let mut list = Reader(list.bytes(len)?);
    let mut chain = Vec::new();
    while let Some(len) = list.long() {
        chain.push(CertificateDer::from(list.bytes(len)?.to_vec()));
    }
    Some(chain)
}

/// Reads from the front, and nothing that is not there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self) -> Option<usize> {
        self.bytes(3).map(|bytes| bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }
}

/// More than a server has to say before the client's next words, with the longest chains there are.
const MAX_FLIGHT: usize = 256 * 1024;

/// The types of records.
const RECORDS: std::ops::RangeInclusive<u8> = CHANGE_CIPHER_SPEC..=24;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The first byte of the version in a record, and what stands before what is in it.
const MAJOR: u8 = 3;
const HEADER: usize = 5;

const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;

/// What stands in place of the random number in a HelloRetryRequest: the SHA-256 of that word.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with one handshake message in it.
    fn said(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind, 0, (body.len() >> 8) as u8, body.len() as u8];
        message.extend(body);
        let mut record = vec![HANDSHAKE, 3, 3, (message.len() >> 8) as u8, message.len() as u8];
        record.extend(message);
        record
    }

    fn hello(version: u16, cipher_suite: u16, extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend([0, (cipher_suite >> 8) as u8, cipher_suite as u8, 0]);
        if !extensions.is_empty() {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        said(SERVER_HELLO, &body)
    }

    /// A server of TLS 1.0 to 1.2 that asks for a certificate.
    fn old(version: u16) -> Vec<u8> {
        let certificate = said(CERTIFICATE, &[0, 0, 9, 0, 0, 2, 0xaa, 0xbb, 0, 0, 1, 0xcc]);
        let exchange = said(SERVER_KEY_EXCHANGE, &[3, 0, 29, 1, 0]);
        [hello(version, 0xc013, &[]), certificate, exchange, said(CERTIFICATE_REQUEST, &[0]), said(14, &[])].concat()
    }

    #[test]
    fn what_a_server_says_in_clear_is_found_however_it_is_cut() {
        for (version, expected) in [(0x0301, ProtocolVersion::TLSv1_0), (0x0303, ProtocolVersion::TLSv1_2)] {
            for size in [1, 2, 5, 1000] {
                let mut flight = Flight::default();
                old(version).chunks(size).for_each(|piece| flight.push(piece));
                assert_eq!(flight.version(), Some(expected));
                assert_eq!(
                    flight.chain.iter().map(|der| der.to_vec()).collect::<Vec<_>>(),
                    [vec![0xaa, 0xbb], vec![0xcc]]
                );
                assert_eq!(flight.group, Some(NamedGroup::X25519));
                assert!(flight.asks_for_certificate && flight.is_tls() && !flight.is_over());
                assert!(flight.is_the_clients_turn());
                flight.push(&[21, 3, 3, 0, 2, 2, 40]);
                assert_eq!(flight.alert, Some(AlertDescription::HandshakeFailure));
                assert!(flight.is_over());
            }
        }
    }

    #[test]
    fn a_retry_of_tls_1_3_tells_version_and_group_and_a_warning_ends_nothing() {
        let mut flight = Flight::default();
        flight.push(&[21, 3, 3, 0, 2, 1, 112]);
        assert!(flight.is_tls() && !flight.is_over());
        flight.push(&hello(0x0303, 0x1302, &[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 25]));
        assert_eq!(flight.version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(flight.group, Some(NamedGroup::secp521r1));
        assert!(flight.is_the_clients_turn());
    }

    #[test]
    fn what_a_retry_asks_for_is_told_from_what_is_agreed_on() {
        let mut flight = Flight::default();
        let mut retry = hello(0x0303, 0x1302, &[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 24]);
        retry[HEADER + 6..][..32].copy_from_slice(&RETRY);
        flight.push(&retry);
        assert!(flight.is_retried() && flight.agreed_group().is_none());
        flight.push(&[20, 3, 3, 0, 1, 1]);
        flight.push(&hello(0x0303, 0x1302, &[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 23]));
        assert_eq!(
            (flight.retry_for, flight.agreed_group()),
            (Some(NamedGroup::secp384r1), Some(NamedGroup::secp256r1))
        );
        let mut flight = Flight::default();
        flight.push(&hello(0x0303, 0x1302, &[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 24]));
        assert!(!flight.is_retried() && flight.agreed_group() == Some(NamedGroup::secp384r1));
    }

    #[test]
    fn what_is_no_tls_is_none_and_nonsense_is_only_nonsense() {
        let mut flight = Flight::default();
        flight.push(b"220 hello\r\n");
        assert!(!flight.is_tls() && flight.is_over());
        assert!(!Flight::default().is_tls());
        let mut flight = Flight::default();
        flight.push(&[22, b'x']);
        assert!(!flight.is_tls() && flight.is_over());

        // Every front of it, and every byte of it changed: nothing panics, nothing is kept for ever.
        let sound = old(0x0303);
        for at in 0..sound.len() {
            Flight::default().push(&sound[..at]);
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = sound.clone();
                damaged[at] = byte;
                Flight::default().push(&damaged);
            }
        }
        let mut flight = Flight::default();
        for _ in 0..MAX_FLIGHT {
            flight.push(&[22, 3, 3, 0, 4, 11, 0xff, 0xff, 0xff]);
        }
        assert!(flight.is_over() && flight.messages.is_empty() && flight.records.is_empty());
    }
}
