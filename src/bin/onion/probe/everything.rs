//! A ClientHello that offers everything there ever was, to hear what a server has that this program does not take: TLS 1.0,
//! key exchange without forward secrecy, curves that nobody else has. It is only ever answered, never gone on with.

use onionskin::tls::{Version, default_provider};

use crate::failure::Failure;

/// What is offered, beside every cipher suite and signature there ever was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    /// No other version than this; all of them unless set.
    pub(super) version: Option<Version>,
    /// Groups of the key exchange by their numbers, the preferred first. No key of any is sent.
    pub(super) groups: &'a [u16],
}

impl Offer<'_> {
    /// Everything there ever was.
    pub(super) const EVERYTHING: Offer<'static> = Offer { version: None, groups: &GROUPS };
}

/// The record with the ClientHello. `name` is asked for if it is a DNS name.
pub(super) fn client_hello(name: &str, alpn: &[String], offer: &Offer<'_>) -> Result<Vec<u8>, Failure> {
    let only = offer.version;
    let mut random = [0; 64];
    let provider = default_provider()?;
    provider.secure_random.fill(&mut random).map_err(|_| Failure::new("no random numbers are available"))?;
    let (random, session) = random.split_at(32);

    let versions: &[u16] = match only {
        Some(Version::Tls13) => &[0x0304],
        Some(_) => &[0x0303],
        None => &[0x0304, 0x0303, 0x0302, 0x0301],
    };
    let mut extensions = Vec::new();
    let mut extension =
        |kind: u16, value: Vec<u8>| extensions.extend([&kind.to_be_bytes()[..], &counted(&value)].concat());
    if name.parse::<std::net::IpAddr>().is_err() {
        extension(SERVER_NAME, counted(&[&[0], &counted(name.as_bytes())[..]].concat()));
    }
    extension(SUPPORTED_GROUPS, counted(&numbers(offer.groups.iter().copied())));
    extension(EC_POINT_FORMATS, vec![3, 0, 1, 2]);
    extension(SIGNATURE_ALGORITHMS, counted(&numbers(SIGNATURES.iter().copied())));
    if !alpn.is_empty() {
        let names: Vec<u8> = alpn.iter().filter_map(|name| short(name.as_bytes())).flatten().collect();
        extension(ALPN, counted(&names));
    }
    extension(EXTENDED_MASTER_SECRET, Vec::new());
    if only != Some(Version::Tls12) {
        extension(SUPPORTED_VERSIONS, short(&numbers(versions.iter().copied())).unwrap_or_default());
        // None at all: the server is to say which group it wants (RFC 8446 section 4.2.8).
        extension(KEY_SHARE, counted(&[]));
    }

    let mut body = vec![3, 3];
    body.extend(random);
    body.extend(short(session).unwrap_or_default());
    body.extend(counted(&numbers(cipher_suites(only))));
    body.extend([1, 0]);
    body.extend(counted(&extensions));
    let mut message = vec![1, 0];
    message.extend(counted(&body));
    Ok([&[22, 3, 1][..], &counted(&message)].concat())
}

fn cipher_suites(only: Option<Version>) -> impl Iterator<Item = u16> {
    let new = (0x1301..=0x1305).filter(move |_| only != Some(Version::Tls12));
    let old = OLD.iter().flat_map(|&(first, last)| first..=last).filter(move |_| only != Some(Version::Tls13));
    new.chain(old).chain([RENEGOTIATION_INFO])
}

fn numbers(numbers: impl Iterator<Item = u16>) -> Vec<u8> {
    numbers.flat_map(u16::to_be_bytes).collect()
}

/// With two bytes of length before it.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&len.to_be_bytes(), bytes].concat()
}

/// With one byte of length before it, if it is not too long for that.
fn short(bytes: &[u8]) -> Option<Vec<u8>> {
    Some([&[u8::try_from(bytes.len()).ok()?], bytes].concat())
}

/// From, and up to: RSA, DHE, anonymous and static Diffie-Hellman, Camellia, SEED, AES-GCM, and all of elliptic curves.
const OLD: [(u16, u16); 12] = [
    (0xc02b, 0xc032),
    (0xcca8, 0xccaa),
    (0xc001, 0xc019),
    (0xc023, 0xc02a),
    (0xc09c, 0xc0af),
    (0x009c, 0x00a7),
    (0x0067, 0x006d),
    (0x002f, 0x0046),
    (0x0084, 0x0089),
    (0x0096, 0x009b),
    (0x00ba, 0x00c5),
    (0x0004, 0x001b),
];

/// That renegotiation is secure (RFC 5746), without which some servers refuse.
const RENEGOTIATION_INFO: u16 = 0x00ff;

/// The curves of TLS in the order of their strength as most like it, those of brainpool, the finite fields of RFC 7919, the
/// hybrids with ML-KEM, and what was there before all of these.
const GROUPS: [u16; 27] = [
    29, 23, 24, 25, 30, 26, 27, 28, 31, 32, 33, 256, 257, 258, 259, 260, 4587, 4588, 4589, 22, 21, 20, 19, 14, 13, 10,
    9,
];

/// With MD5 and SHA-1 and DSA too.
const SIGNATURES: [u16; 27] = [
    0x0403, 0x0503, 0x0807, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501, 0x0601, 0x081a, 0x081b,
    0x081c, 0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602, 0x0203, 0x0201, 0x0202, 0x0101, 0x0603, 0x0808,
];

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
