//! What a ClientHello offers (RFC 8446 section 4.1.2), read by nobody's library.

use std::ops::Range;

/// A ClientHello, as far as tests look at it. Numbers are those of IANA's registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// How long it is, with the header of its record.
    pub(crate) len: usize,
    pub(crate) suites: Vec<u16>,
    pub(crate) server_name: Option<String>,
    pub(crate) groups: Vec<u16>,
    /// Group, and length of the key.
    pub(crate) shares: Vec<(u16, usize)>,
    pub(crate) versions: Vec<u16>,
    pub(crate) alpn: Vec<String>,
    /// Tickets of TLS 1.3, in `pre_shared_key`, and the one of TLS 1.2, in `session_ticket`, if it is not empty.
    pub(crate) tickets: Vec<Vec<u8>>,
    /// Whether it would take a ticket (TLS 1.2).
    pub(crate) takes_ticket: bool,
}

impl ClientHello {
    /// All that stand in `bytes`, which begin with one and hold nothing but records in front of each further one. Not one that
    /// is spread over records.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut found = Vec::new();
        while let [content_type, 3, _, high, low, rest @ ..] = bytes {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(body) = rest.get(..len) else { break };
            if let (22, [1, ..]) = (*content_type, body) {
                found.push(Self { len: 5 + len, ..Self::read(&body[4..]) });
            }
            bytes = &rest[len..];
        }
        found
    }

    /// The only one in `bytes`.
    #[track_caller]
    pub(crate) fn only(bytes: &[u8]) -> Self {
        let [only] = <[Self; 1]>::try_from(Self::all(bytes)).expect("there is one ClientHello");
        only
    }

    fn read(mut body: &[u8]) -> Self {
        let mut hello = Self::default();
        // Version and random.
        take(&mut body, 2 + 32);
        vector(&mut body, 1);
        hello.suites = numbers(vector(&mut body, 2));
        vector(&mut body, 1);
        let mut extensions = vector(&mut body, 2);
        while !extensions.is_empty() {
            let kind = number(&mut extensions);
            let mut body = vector(&mut extensions, 2);
            match kind {
                0 => {
                    let mut names = vector(&mut body, 2);
                    take(&mut names, 1);
                    hello.server_name = Some(String::from_utf8(vector(&mut names, 2).to_vec()).unwrap());
                }
                10 => hello.groups = numbers(vector(&mut body, 2)),
                16 => {
                    let mut names = vector(&mut body, 2);
                    while !names.is_empty() {
                        hello.alpn.push(String::from_utf8(vector(&mut names, 1).to_vec()).unwrap());
                    }
                }
                35 => {
                    hello.takes_ticket = true;
                    hello.tickets.extend((!body.is_empty()).then(|| body.to_vec()));
                }
                41 => {
                    let mut identities = vector(&mut body, 2);
                    while !identities.is_empty() {
                        hello.tickets.push(vector(&mut identities, 2).to_vec());
                        take(&mut identities, 4);
                    }
                }
                43 => hello.versions = numbers(vector(&mut body, 1)),
                51 => {
                    let mut shares = vector(&mut body, 2);
                    while !shares.is_empty() {
                        hello.shares.push((number(&mut shares), vector(&mut shares, 2).len()));
                    }
                }
                _ => {}
            }
        }
        hello
    }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = from.split_at(count);
    *from = rest;
    taken
}

fn number(from: &mut &[u8]) -> u16 {
    let [high, low] = take(from, 2) else { unreachable!("two were taken") };
    u16::from_be_bytes([*high, *low])
}

fn numbers(from: &[u8]) -> Vec<u16> {
    from.chunks(2).map(|mut pair| number(&mut pair)).collect()
}

/// What stands behind a length of so many bytes.
fn vector<'a>(from: &mut &'a [u8], length: usize) -> &'a [u8] {
    let length = take(from, length).iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    take(from, length)
}

/// TLS 1.2 and 1.3, as `supported_versions` calls them.
pub(crate) const TLS12: u16 = 0x0303;
pub(crate) const TLS13: u16 = 0x0304;

/// Groups.
pub(crate) const X25519_ML_KEM_768: u16 = 0x11ec;
pub(crate) const X25519: u16 = 0x001d;
pub(crate) const SECP256R1: u16 = 0x0017;
pub(crate) const SECP384R1: u16 = 0x0018;

/// The suites of TLS 1.3.
pub(crate) const TLS13_SUITES: Range<u16> = 0x1301..0x1306;
