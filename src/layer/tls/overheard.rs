//! A TLS handshake, overheard by somebody who passes its bytes on: when all that follows is protected.
//!
//! What is looked for is no look of records but the handshake itself, followed from the first byte of both sides on:
//!
//! | version | protected are all bytes of both sides once there was | because |
//! |---|---|---|
//! | 1.3 | a ServerHello that says 1.3 and is no HelloRetryRequest, and a whole record of application data of the client | the server protects what follows its ServerHello, and a client protects nothing before it has verified the server's Finished (RFC 8446 section 2) |
//! | 1.2 | a ServerHello that says 1.2, and of both sides a ChangeCipherSpec with one more whole record of the handshake, the Finished | what follows it is protected (RFC 5246 section 7.1) |
//!
//! The rule about the client's first record fails where the client has offered early data, so such a handshake is none for us;
//! nor is one with an alert in it, one of an older version, and anything else that is not as it has to be.
//!
//! The answer is a function of what each side has said up to here, and of nothing else: not of how the bytes were cut, nor of how
//! the two sides took turns. And it is given once: what is [`Protected`](Overheard::Protected) or [`Never`](Overheard::Never)
//! remains so whatever is said next. Two who pass the same bytes on, one behind the other, therefore never say different things
//! of the same bytes.

use super::record::HEADER;

/// Both sides of a handshake that is passed on.
#[derive(Debug, Default)]
pub(crate) struct Eavesdropper {
    client: Speaker<Client>,
    server: Speaker<Server>,
}

/// What is known of a handshake that others have with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overheard {
    /// It is not far enough.
    Unfinished,
    /// It is TLS, and all that either side says from here on is protected.
    Protected,
    /// It is none, or one of which this cannot be said.
    Never,
}

impl Eavesdropper {
    pub(crate) fn client_says(&mut self, bytes: &[u8]) {
        self.client.say(bytes);
    }

    pub(crate) fn server_says(&mut self, bytes: &[u8]) {
        self.server.say(bytes);
    }

    /// The client says nothing more.
    pub(crate) fn client_ends(&mut self) {
        let Client { sealed, finished, .. } = self.client.facts;
        self.client.is_never |= !(sealed || finished);
    }

    /// The server says nothing more.
    pub(crate) fn server_ends(&mut self) {
        let Server { chosen, finished, .. } = self.server.facts;
        self.server.is_never |= !(chosen == Chosen::Tls13 || finished);
    }

    pub(crate) fn overheard(&self) -> Overheard {
        let (Client { sealed, finished, .. }, Server { chosen, finished: server_finished, .. }) =
            (self.client.facts, self.server.facts);
        let is_protected = match chosen {
            Chosen::Nothing | Chosen::Retry => false,
            Chosen::Tls13 => sealed,
            Chosen::Tls12 => finished && server_finished,
        };
        match (is_protected, self.client.is_never || self.server.is_never) {
            (true, _) => Overheard::Protected,
            (false, true) => Overheard::Never,
            (false, false) => Overheard::Unfinished,
        }
    }
}

/// One side: records, and the messages in those that are in clear.
#[derive(Debug, Default)]
struct Speaker<F> {
    header: Vec<u8>,
    /// How much of the record whose header is there is still to come.
    missing: usize,
    /// A message of the handshake of which not all has come.
    message: Vec<u8>,
    facts: F,
    is_never: bool,
}

/// What a side has said so far, as far as it matters.
trait Facts: Copy {
    /// Whether records of the handshake are in clear.
    fn is_in_clear(&self) -> bool;

    /// Whether nothing that comes can change anything.
    fn is_settled(&self) -> bool;

    /// A whole message of the handshake in clear. `None` if it has no place here.
    fn hear(&mut self, kind: u8, body: &[u8]) -> Option<()>;

    /// A whole record of another kind, or of the handshake and not in clear. `None` if it has no place here.
    fn pass(&mut self, kind: u8) -> Option<()>;
}

impl<F: Facts> Speaker<F> {
    fn say(&mut self, bytes: &[u8]) {
        if !self.is_never && !self.facts.is_settled() && self.follow(bytes).is_none() {
            self.is_never = true;
            (self.header, self.message) = (Vec::new(), Vec::new());
        }
    }

    fn follow(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() && !self.facts.is_settled() {
            if self.header.len() < HEADER {
                let (part, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
                self.header.extend(part);
                bytes = rest;
                if self.header.len() == HEADER {
                    self.missing = self.length_of_record()?;
                }
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.missing));
            self.missing -= part.len();
            bytes = rest;
            let kind = self.header[0];
            let is_heard = kind == HANDSHAKE && self.facts.is_in_clear();
            if is_heard {
                self.hear(part)?;
            }
            if self.missing == 0 {
                self.header.clear();
                if !is_heard {
                    // No other record stands between the parts of a message (RFC 8446 section 5.1).
                    self.message.is_empty().then_some(())?;
                    self.facts.pass(kind)?;
                }
            }
        }
        Some(())
    }

    /// Of a record that may stand here.
    fn length_of_record(&self) -> Option<usize> {
        let &[kind, 3, _, high, low] = &self.header[..] else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let known = [CHANGE_CIPHER_SPEC, HANDSHAKE, APPLICATION_DATA].contains(&kind);
        (known && (1..=MAX_RECORD).contains(&length)).then_some(length)
    }

    fn hear(&mut self, bytes: &[u8]) -> Option<()> {
        self.message.extend(bytes);
        while let Some((&[kind, a, b, c], body)) = self.message.split_first_chunk() {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if length > MAX_MESSAGE {
                return None;
            }
            let Some(body) = body.get(..length) else { return Some(()) };
            self.facts.hear(kind, body)?;
            self.message.drain(..4 + length);
        }
        Some(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    has_greeted: bool,
    has_changed_cipher: bool,
    /// It has sent application data, or what looks like that in TLS 1.3: whatever is sealed.
    sealed: bool,
    /// It has sent a record of the handshake behind a ChangeCipherSpec, which in TLS 1.2 is the Finished. In TLS 1.3 it may be
    /// a second ClientHello.
    finished: bool,
}

impl Facts for Client {
    fn is_in_clear(&self) -> bool {
        !self.has_changed_cipher
    }

    fn is_settled(&self) -> bool {
        self.sealed
    }

    fn hear(&mut self, kind: u8, body: &[u8]) -> Option<()> {
        match (self.has_greeted, kind) {
            (_, CLIENT_HELLO) => {
                self.has_greeted = true;
                (!offers_early_data(body)?).then_some(())
            }
            (false, _) => None,
            (true, _) => Some(()),
        }
    }

    fn pass(&mut self, kind: u8) -> Option<()> {
        match kind {
            _ if !self.has_greeted => return None,
            CHANGE_CIPHER_SPEC => self.has_changed_cipher = true,
            HANDSHAKE => self.finished = true,
            _ => self.sealed = true,
        }
        Some(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Server {
    chosen: Chosen,
    has_changed_cipher: bool,
    /// It has sent a record of the handshake behind a ChangeCipherSpec, which in TLS 1.2 is the Finished.
    finished: bool,
}

/// What the server has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chosen {
    #[default]
    Nothing,
    /// The client is to say hello once more, for TLS 1.3.
    Retry,
    Tls13,
    Tls12,
}

impl Facts for Server {
    fn is_in_clear(&self) -> bool {
        self.chosen != Chosen::Tls12 || !self.has_changed_cipher
    }

    fn is_settled(&self) -> bool {
        self.chosen == Chosen::Tls13 || self.finished
    }

    fn hear(&mut self, kind: u8, body: &[u8]) -> Option<()> {
        match (self.chosen, kind) {
            (Chosen::Nothing | Chosen::Retry, SERVER_HELLO) => self.chosen = chosen(body, self.chosen)?,
            (Chosen::Tls12, kind) if kind != SERVER_HELLO => {}
            _ => return None,
        }
        Some(())
    }

    fn pass(&mut self, kind: u8) -> Option<()> {
        match (self.chosen, kind) {
            (Chosen::Retry, CHANGE_CIPHER_SPEC) => {}
            (Chosen::Tls12, CHANGE_CIPHER_SPEC) if !self.has_changed_cipher => self.has_changed_cipher = true,
            (Chosen::Tls12, HANDSHAKE) => self.finished = true,
            _ => return None,
        }
        Some(())
    }
}

/// What a ServerHello decides.
fn chosen(hello: &[u8], before: Chosen) -> Option<Chosen> {
    let mut reader = Reader(hello);
    let (version, random) = (reader.take(2)?, reader.take(32)?);
    let _session = reader.vector(1)?;
    let _suite_and_compression = reader.take(3)?;
    let selected = reader.extension(SUPPORTED_VERSIONS)?;
    match (version, selected, random == RETRY) {
        ([3, 3], Some([3, 4]), true) if before == Chosen::Nothing => Some(Chosen::Retry),
        ([3, 3], Some([3, 4]), false) => Some(Chosen::Tls13),
        ([3, 3], None, false) if before == Chosen::Nothing => Some(Chosen::Tls12),
        _ => None,
    }
}

/// Whether a ClientHello offers early data.
fn offers_early_data(hello: &[u8]) -> Option<bool> {
    let mut reader = Reader(hello);
    let _version_and_random = reader.take(34)?;
    let _session = reader.vector(1)?;
    let _suites = reader.vector(2)?;
    let _compression = reader.vector(1)?;
    Some(reader.extension(EARLY_DATA)?.is_some())
}

/// Reads what has not been read yet of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// As many bytes as the first `width` bytes say.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.take(width)?.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        self.take(length)
    }

    /// The content of an extension among those that end the message, if it is there.
    fn extension(&mut self, wanted: [u8; 2]) -> Option<Option<&'a [u8]>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let mut extensions = Self(self.vector(2)?);
        let mut found = None;
        while !extensions.0.is_empty() {
            let kind = extensions.take(2)?;
            let content = extensions.vector(2)?;
            if kind == wanted {
                found = Some(content);
            }
        }
        self.0.is_empty().then_some(found)
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

const EARLY_DATA: [u8; 2] = [0, 42];
const SUPPORTED_VERSIONS: [u8; 2] = [0, 43];

/// The random of a HelloRetryRequest (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Of TLS 1.2, whose records may be larger than those of 1.3 (RFC 5246 section 6.2.3).
const MAX_RECORD: usize = (1 << 14) + 2048;

/// A chain of certificates, with room to spare.
const MAX_MESSAGE: usize = 1 << 17;

#[cfg(all(test, feature = "aws-lc-rs"))]
#[allow(clippy::unwrap_used, reason = "a handshake that cannot be made has failed its test")]
mod tests {
    use std::sync::Arc;

    use rcgen::generate_simple_self_signed;
    use rustls::client::Resumption;
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use rustls::pki_types::ServerName;
    use rustls::{
        ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, version,
    };

    use super::*;

    /// What each side of a handshake has said, in turns, and one more record of each behind it.
    struct Said {
        turns: Vec<(bool, Vec<u8>)>,
        kind: HandshakeKind,
    }

    fn configs(tls13: bool, groups_differ: bool) -> (ClientConfig, ServerConfig) {
        let made = generate_simple_self_signed(["server.example".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let versions = if tls13 { [&version::TLS13] } else { [&version::TLS12] };
        let provider = || aws_lc_rs::default_provider();
        let few = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::SECP384R1], ..provider() };
        let servers = if groups_differ { few } else { provider() };
        let client = ClientConfig::builder_with_provider(Arc::new(provider()));
        let client =
            client.with_protocol_versions(&versions).unwrap().with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(Arc::new(servers)).with_protocol_versions(&versions).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let mut server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        server.max_early_data_size = if tls13 { 1000 } else { 0 };
        (client, server)
    }

    fn handshake(client: &ClientConfig, server: &ServerConfig) -> Said {
        let name = ServerName::try_from("server.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server.clone())).unwrap();
        let mut turns = Vec::new();
        if let Some(mut early) = client.early_data() {
            std::io::Write::write_all(&mut early, b"early").unwrap();
        }
        for round in 0..6 {
            if round == 4 {
                std::io::Write::write_all(&mut client.writer(), b"request").unwrap();
                std::io::Write::write_all(&mut server.writer(), b"answer").unwrap();
            }
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).unwrap();
            }
            let mut rest = &said[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets().unwrap();
            }
            turns.push((true, said));
            let mut said = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut said).unwrap();
            }
            let mut rest = &said[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
            turns.push((false, said));
        }
        Said { turns, kind: server.handshake_kind().unwrap() }
    }

    impl Said {
        fn of(&self, client: bool) -> Vec<u8> {
            self.turns.iter().filter(|(by, _)| *by == client).flat_map(|(_, said)| said.clone()).collect()
        }

        /// In the order in which it was said, in pieces; after how many bytes of each side it was known.
        fn overhear(&self, piece: usize) -> (Overheard, [usize; 2]) {
            let mut ear = Eavesdropper::default();
            let mut counts = [0, 0];
            for (client, said) in &self.turns {
                for part in said.chunks(piece) {
                    if *client {
                        ear.client_says(part);
                    } else {
                        ear.server_says(part);
                    }
                    counts[usize::from(!client)] += part.len();
                    if ear.overheard() != Overheard::Unfinished {
                        return (ear.overheard(), counts);
                    }
                }
            }
            (ear.overheard(), counts)
        }
    }

    fn all_kinds() -> Vec<(&'static str, Said)> {
        let mut kinds = Vec::new();
        for (tls13, full, resumed) in [(false, "1.2", "1.2 resumed"), (true, "1.3", "1.3 resumed")] {
            let (client, mut server) = configs(tls13, false);
            server.max_early_data_size = 0;
            kinds.push((full, handshake(&client, &server)));
            let again = handshake(&client, &server);
            assert_eq!(again.kind, HandshakeKind::Resumed);
            kinds.push((resumed, again));
        }
        let (mut client, server) = configs(true, true);
        client.resumption = Resumption::disabled();
        let retried = handshake(&client, &server);
        assert_eq!(retried.kind, HandshakeKind::FullWithHelloRetryRequest);
        kinds.push(("1.3 with a HelloRetryRequest", retried));
        kinds
    }

    #[test]
    fn a_handshake_is_followed_to_the_byte_from_which_all_is_protected() {
        for (kind, said) in all_kinds() {
            let (overheard, [client, server]) = said.overhear(1);
            assert_eq!(overheard, Overheard::Protected, "{kind}");
            // Behind it each side has said no more than the record of data, the server its tickets too; and all of that is sealed.
            for (from, rest) in [(client, said.of(true)), (server, said.of(false))] {
                let mut rest = &rest[from..];
                while let Some((&[kind_of_record, 3, 3, high, low], body)) = rest.split_first_chunk() {
                    assert!(kind_of_record == APPLICATION_DATA, "{kind}: {kind_of_record}");
                    rest = &body[usize::from(u16::from_be_bytes([high, low]))..];
                }
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn neither_cuts_nor_turns_change_what_is_heard() {
        for (kind, said) in all_kinds() {
            let sides = [said.of(true), said.of(false)];
            // What is known after so many bytes of each side, whoever was heard first.
            for client in (0..=sides[0].len()).step_by(7) {
                for server in (0..=sides[1].len()).step_by(61) {
                    let heard = [false, true].map(|client_first| {
                        let mut ear = Eavesdropper::default();
                        for first in [true, false] {
                            if first == client_first {
                                ear.client_says(&sides[0][..client]);
                            } else {
                                sides[1][..server].chunks(5).for_each(|part| ear.server_says(part));
                            }
                        }
                        ear.overheard()
                    });
                    assert_eq!(heard[0], heard[1], "{kind}: {client}, {server}");
                    assert_ne!(heard[0], Overheard::Never, "{kind}");
                }
            }
        }
    }

    #[test]
    fn early_data_alerts_and_what_is_no_tls_are_never_protected() {
        let (mut client, server) = configs(true, false);
        client.enable_early_data = true;
        handshake(&client, &server);
        let early = handshake(&client, &server);
        assert_eq!(early.kind, HandshakeKind::Resumed);
        assert_eq!(early.overhear(3).0, Overheard::Never);

        let (client, server) = configs(true, false);
        let good = handshake(&client, &server).of(true);
        for (what, bytes) in [
            ("a line", &b"EHLO a.example\r\n"[..]),
            ("data", &[23, 3, 3, 0, 1, 1]),
            ("a change of the cipher", &[20, 3, 3, 0, 1, 1]),
            ("an alert", &[21, 3, 3, 0, 2, 2, 40]),
            ("an empty record", &[22, 3, 1, 0, 0]),
            ("a record that is too long", &[22, 3, 1, 0x48, 1]),
            ("SSL 2", &[0x80, 0x2e, 1, 3, 1]),
            ("another message", &[22, 3, 1, 0, 4, 2, 0, 0, 0]),
            ("a message that is too long", &[22, 3, 1, 0, 4, 1, 2, 0, 1]),
            ("a hello that is none", &[22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3]),
        ] {
            let mut ear = Eavesdropper::default();
            bytes.iter().for_each(|&byte| ear.client_says(&[byte]));
            assert_eq!(ear.overheard(), Overheard::Never, "{what}");
            ear.client_says(&good);
            assert_eq!(ear.overheard(), Overheard::Never, "{what}, and then a handshake");
        }
        // Who ends before it could come to that never comes to it.
        let mut ear = Eavesdropper::default();
        ear.client_says(&good[..200]);
        assert_eq!(ear.overheard(), Overheard::Unfinished);
        ear.client_ends();
        assert_eq!(ear.overheard(), Overheard::Never);
    }

    /// Nothing that is said makes it panic, or hold more than a message.
    #[test]
    fn bytes_that_were_changed_are_heard_as_well() {
        let (client, server) = configs(false, false);
        let said = handshake(&client, &server);
        for client in [true, false] {
            let good = said.of(client);
            for at in 0..good.len() {
                let mut changed = good.clone();
                changed[at] ^= 1 << (at % 8);
                let mut ear = Eavesdropper::default();
                if client {
                    ear.client_says(&changed);
                } else {
                    ear.server_says(&changed);
                }
                assert_ne!(ear.overheard(), Overheard::Protected);
                assert!(ear.client.message.len() + ear.server.message.len() <= MAX_MESSAGE + 4);
            }
        }
    }
}
