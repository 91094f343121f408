//! One record, one answer: what the peer sends under the first application keys is answered alike, whether it came in one
//! segment with its Finished, behind it, or byte by byte.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use onionskin::rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use onionskin::rustls::crypto::tls13::OkmBlock;
use onionskin::rustls::{AlertDescription, CipherSuite, ContentType, Error, KeyLog, ProtocolVersion, Tls13CipherSuite};
use onionskin::tls::Role;

use crate::oracle::{ALERT, Audit, Configs, DATA, HANDSHAKE, Oracle, ROLES, give, providers, taken, tls13};

/// What came of it: what the peer was told, what became of the connection, and what could be read before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    alert: Alert,
    lost: Option<String>,
    read: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Arrival {
    WithTheFinished,
    Behind,
    BehindByteByByte,
    AllByteByByte,
}

const ARRIVALS: [Arrival; 4] =
    [Arrival::WithTheFinished, Arrival::Behind, Arrival::BehindByteByByte, Arrival::AllByteByByte];

/// Content type and content of each record that is sent.
type Sent = &'static [(u8, &'static [u8])];

type Alert = Option<AlertDescription>;

const UNEXPECTED: Alert = Some(AlertDescription::UnexpectedMessage);
const DECODE: Alert = Some(AlertDescription::DecodeError);
const ILLEGAL: Alert = Some(AlertDescription::IllegalParameter);

/// Records, the alert over them where the records are ours, and the one where they are left to rustls if that is another:
/// RFC 8446 section 6 leaves some of these open, and rustls is not always of one mind with section 5.
const TABLE: &[(&str, Sent, Alert, Option<Alert>)] = &[
    ("data", &[(DATA, b"data")], None, None),
    ("an empty record, and data", &[(DATA, b""), (DATA, b"data")], None, None),
    ("a key update", &[(HANDSHAKE, &[24, 0, 0, 1, 0])], None, None),
    ("a close_notify", &[(ALERT, &[1, 0])], None, None),
    ("data and a close_notify", &[(DATA, b"data"), (ALERT, &[1, 0])], None, None),
    ("a fatal alert", &[(ALERT, &[2, 40])], None, None),
    ("a user that cancels, and data", &[(ALERT, &[1, 90]), (DATA, b"data")], None, None),
    ("an empty alert", &[(ALERT, b"")], UNEXPECTED, Some(DECODE)),
    ("half an alert", &[(ALERT, &[1])], DECODE, None),
    ("two alerts in one record", &[(ALERT, &[1, 0, 1, 0])], DECODE, None),
    ("an empty handshake record", &[(HANDSHAKE, b"")], UNEXPECTED, Some(None)),
    ("nothing but padding", &[(0, b"")], UNEXPECTED, Some(DECODE)),
    ("a change_cipher_spec under keys", &[(20, &[1])], UNEXPECTED, None),
    ("a heartbeat", &[(24, &[1])], UNEXPECTED, Some(DECODE)),
    ("a type that does not exist", &[(99, &[1])], UNEXPECTED, Some(DECODE)),
    ("a key update that is none", &[(HANDSHAKE, &[24, 0, 0, 1, 2])], ILLEGAL, None),
    ("a key update without its byte", &[(HANDSHAKE, &[24, 0, 0, 0])], DECODE, None),
    ("a key update with a byte too many", &[(HANDSHAKE, &[24, 0, 0, 2, 0, 0])], DECODE, None),
    ("data between the parts of a message", &[(HANDSHAKE, &[24, 0, 0]), (DATA, b"data")], UNEXPECTED, Some(DECODE)),
    ("nothing between the parts of a message", &[(HANDSHAKE, &[24, 0, 0]), (DATA, b"")], UNEXPECTED, Some(DECODE)),
    (
        "an alert between the parts of a message",
        &[(HANDSHAKE, &[24, 0, 0]), (ALERT, &[1, 0])],
        UNEXPECTED,
        Some(DECODE),
    ),
    ("a key update with another behind it", &[(HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0])], UNEXPECTED, None),
    ("a hello request", &[(HANDSHAKE, &[0, 0, 0, 0])], UNEXPECTED, None),
    ("a Finished", &[(HANDSHAKE, &[20, 0, 0, 0])], UNEXPECTED, None),
    ("a message that is too long", &[(HANDSHAKE, &[4, 1, 0, 0])], DECODE, None),
];

#[test]
fn one_record_has_one_answer_however_it_arrives() {
    let open = Audit::new(&providers()[0].1, SUITE, None, false);
    let configs = Configs::new(&open.provider);
    for role in ROLES {
        for &(name, sent, alert, _) in TABLE {
            let answers = ARRIVALS.map(|arrival| answer(role, &configs, &configs, sent, b"", arrival));
            for (answer, arrival) in answers.iter().zip(ARRIVALS) {
                assert_eq!(answer.alert, alert, "{name}, {arrival:?}, the stack as {role}: {answer:?}");
                assert_eq!(answer, &answers[0], "{name}, {arrival:?}, the stack as {role}");
            }
        }
    }
}

/// So it is where the provider gives no keys out and rustls does the records. Nothing is refused without an alert.
#[test]
fn one_record_has_one_answer_where_rustls_reads_it() {
    let provider = &providers()[0].1;
    let closed = Audit::new(provider, SUITE, None, true);
    let open = Audit::new(provider, SUITE, None, false);
    let (ours, theirs) = Configs::pair(&closed.provider, &open.provider);
    let mut wrong = Vec::new();
    for role in ROLES {
        for &(name, sent, alert, other) in TABLE {
            let answers = ARRIVALS.map(|arrival| answer(role, &ours, &theirs, sent, b"", arrival));
            for (answer, arrival) in answers.iter().zip(ARRIVALS) {
                if *answer != answers[0] || answer.alert != other.unwrap_or(alert) {
                    wrong.push(format!("{name}, {arrival:?}, the stack as {role}: {answer:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not encrypted, and what is no record at all.
#[test]
fn what_is_in_clear_has_one_answer_however_it_arrives() {
    let open = Audit::new(&providers()[0].1, SUITE, None, false);
    let configs = Configs::new(&open.provider);
    for role in ROLES {
        for (clear, alert) in [
            (&[20, 3, 3, 0, 1, 1][..], UNEXPECTED),
            (&[21, 3, 3, 0, 2, 1, 0], UNEXPECTED),
            (&[22, 3, 3, 0, 5, 24, 0, 0, 1, 0], UNEXPECTED),
            (&[24, 3, 3, 0, 1, 1], UNEXPECTED),
            (&[23, 3, 3, 0, 0], Some(AlertDescription::BadRecordMac)),
            (&[23, 3, 3, 0xff, 0xff], Some(AlertDescription::RecordOverflow)),
            (&[23, 9, 9, 0, 1, 1], DECODE),
            (b"250 in clear\r\n", DECODE),
        ] {
            const BEFORE: [Sent; 2] = [&[], &[(DATA, b"data")]];
            for sent in BEFORE {
                let answers = ARRIVALS.map(|arrival| answer(role, &configs, &configs, sent, clear, arrival));
                for (answer, arrival) in answers.iter().zip(ARRIVALS) {
                    assert_eq!(answer.alert, alert, "{clear:?}, {arrival:?}, the stack as {role}: {answer:?}");
                    assert!(answer.lost.is_some());
                    assert_eq!(answer.read, answers[0].read, "{clear:?}, {arrival:?}, the stack as {role}");
                }
            }
        }
    }
}

#[test]
fn in_clear_too_nothing_is_refused_without_an_alert() {
    let hello: &[u8] = &[22, 3, 1, 0, 6, 1, 0, 1, 0, 3, 3];
    for (behind, alert) in
        [(&[23, 3, 3, 0, 1, 7][..], 10), (&[21, 3, 3, 0, 2, 1, 90], 10), (&[20, 3, 3, 0, 1, 1], 10), (b"EHLO", 50)]
    {
        let configs = Configs::new(&providers()[0].1);
        let mut oracle = Oracle::new(Role::Server, &configs, &configs);
        give(&mut oracle.stack, hello);
        give(&mut oracle.stack, behind);
        let reason = oracle.stack.stack.lost().expect("it is refused").to_string();
        assert_eq!(taken(&mut oracle.stack), [21, 3, 3, 0, 2, 2, alert], "{behind:?}: {reason}");
    }
}

/// What comes of these records, with something in clear behind them.
fn answer(role: Role, ours: &Configs, theirs: &Configs, sent: Sent, clear: &[u8], arrival: Arrival) -> Answer {
    let secrets = Arc::new(Secrets::default());
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    (ours.server.send_tls13_tickets, theirs.server.send_tls13_tickets) = (0, 0);
    theirs.client.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
    theirs.server.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
    let mut oracle = Oracle::new(role, &ours, &theirs);
    // Up to the flight that ends with the peer's Finished.
    let label = match role {
        Role::Client => "SERVER_TRAFFIC_SECRET_0",
        Role::Server => {
            oracle.rustls_sends(usize::MAX);
            "CLIENT_TRAFFIC_SECRET_0"
        }
    };
    oracle.stack_sends(usize::MAX);
    let mut flight = Vec::new();
    while oracle.rustls.wants_write() {
        oracle.rustls.write_tls(&mut flight).unwrap();
    }
    let mut sealer = secrets.sealer(label, tls13(theirs.client.crypto_provider(), SUITE));
    let mut forged: Vec<u8> = sent
        .iter()
        .enumerate()
        .flat_map(|(number, &(content_type, content))| seal(sealer.as_mut(), number as u64, content_type, content))
        .collect();
    forged.extend(clear);
    let singly = |bytes: &[u8]| bytes.iter().map(|&byte| vec![byte]).collect::<Vec<_>>();
    let pieces = match arrival {
        Arrival::WithTheFinished => vec![[flight, forged].concat()],
        Arrival::Behind => vec![flight, forged],
        Arrival::BehindByteByByte => [vec![flight], singly(&forged)].concat(),
        Arrival::AllByteByByte => singly(&[flight, forged].concat()),
    };
    let (mut alert, mut read) = (None, Vec::new());
    for piece in &pieces {
        let now = oracle.stack.now();
        // What comes behind a refusal is not taken.
        oracle.stack.stack.handle_input(now, piece);
        read.extend(oracle.stack.read());
        alert = alert.or(heard(&mut oracle));
    }
    Answer { alert, lost: oracle.stack.stack.lost().map(ToString::to_string), read }
}

/// Lets the peer have what the stack has sent. The alert in it, if there is one.
fn heard(oracle: &mut Oracle) -> Option<AlertDescription> {
    let sent = taken(&mut oracle.stack);
    let mut rest = Cursor::new(&sent);
    while (rest.position() as usize) < sent.len() && oracle.rustls.read_tls(&mut rest).unwrap() > 0 {
        match oracle.rustls.process_new_packets() {
            Ok(_) => {}
            Err(Error::AlertReceived(alert)) => return Some(alert),
            Err(other) => panic!("the peer hears no alert but {other}"),
        }
    }
    None
}

fn seal(sealer: &mut dyn MessageEncrypter, number: u64, content_type: u8, content: &[u8]) -> Vec<u8> {
    let message = OutboundPlainMessage {
        typ: ContentType::from(content_type),
        version: ProtocolVersion::TLSv1_3,
        payload: OutboundChunks::Single(content),
    };
    sealer.encrypt(message, number).unwrap().encode()
}

/// The secrets of a connection by their labels.
#[derive(Debug, Default)]
struct Secrets(Mutex<Vec<(String, Vec<u8>)>>);

impl Secrets {
    /// What seals with the key of this secret (RFC 8446 section 7.3).
    fn sealer(&self, label: &str, suite: &Tls13CipherSuite) -> Box<dyn MessageEncrypter> {
        let secrets = self.0.lock().unwrap();
        let (_, secret) = secrets.iter().find(|(found, _)| found == label).expect("the secret was logged");
        let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
        let expand = |label: &[u8], output: &mut [u8]| {
            let lengths = [0, output.len() as u8, 6 + label.len() as u8];
            expander.expand_slice(&[&lengths, b"tls13 ", label, &[0]], output).unwrap();
        };
        let (mut key, mut iv) = ([0; 32], [0; 12]);
        expand(b"key", &mut key);
        expand(b"iv", &mut iv);
        suite.aead_alg.encrypter(AeadKey::from(key), Iv::from(iv))
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), secret.to_vec()));
    }
}

/// One whose keys are as long as keys can be.
const SUITE: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
