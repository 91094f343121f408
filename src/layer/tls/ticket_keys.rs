//! The keys of tickets where several processes are to resume each other's sessions: in a file that the operator makes.
//!
//! ```text
//!   # made 2026-12-01 by: openssl rand -hex 32
//!   5d0f…64 hexadecimal digits…a1      seals, and opens
//!   77c2…                              opens: what was sealed before the one above was put in front
//! ```
//!
//! The first key seals new tickets and all of them open old ones, so a key is exchanged in three steps that each process may take
//! at its own time: the new one comes behind the old in every file, then in front of it, then the old one goes. A ticket is sealed
//! with AES-256-GCM and a nonce at random, which is good for some four billion tickets with one key; a day's key is far from that.
//!
//! Whoever has a key reads what was resumed with it, and is taken for its clients. So the file is nobody else's to read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::config_error::{ConfigError, ConfigErrorKind};
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
use super::primitives::{aead, rand};

/// Keys that tickets of a server are sealed and opened with, for servers of several processes; those of one process share keys
/// of their own without.
///
/// They are held by the library of cryptography, and wiped as that does it: AWS-LC wipes, ring does not.
#[derive(Clone)]
pub struct TicketKeys {
    keys: Arc<[Sealer]>,
}

impl TicketKeys {
    /// Reads keys from a file: one to a line, in 64 hexadecimal digits, as `openssl rand -hex 32` prints them. The first one seals
    /// and all of them open. Empty lines, and what follows a `#`, are for people.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or others than its owner and its group can read it, or others than its owner can write it;
    /// when it holds no key, more than 16, or something else.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = read(path)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// These keys, the one that seals first.
    ///
    /// # Errors
    ///
    /// When there is none, or are more than 16, or no provider of cryptography was built in.
    pub fn new(keys: impl IntoIterator<Item = [u8; 32]>) -> Result<Self, ConfigError> {
        let mut list = Vec::with_capacity(MAX_KEYS + 1);
        list.extend(keys.into_iter().map(Zeroizing::new).take(MAX_KEYS + 1));
        Self::of(&list, "the list")
    }

    fn parse(text: &[u8], name: &str) -> Result<Self, ConfigError> {
        let mut keys = Vec::with_capacity(MAX_KEYS + 1);
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let written = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            // A list that grows would leave its keys where it was before.
            if !written.is_empty() && keys.len() <= MAX_KEYS {
                let number = at + 1;
                keys.push(
                    key(written).map_err(|why| bad(format!("line {number} of {name} is no key of tickets: {why}")))?,
                );
            }
        }
        Self::of(&keys, name)
    }

    fn of(keys: &[Zeroizing<[u8; 32]>], name: &str) -> Result<Self, ConfigError> {
        match keys.len() {
            0 => Err(bad(format!("there is no key of tickets in {name}: `openssl rand -hex 32` makes one"))),
            MAX_KEYS.. if keys.len() > MAX_KEYS => {
                Err(bad(format!("there are more than {MAX_KEYS} keys of tickets in {name}: take the oldest out")))
            }
            _ => Ok(Self { keys: keys.iter().map(|key| Sealer::new(key)).collect::<Result<_, _>>()? }),
        }
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.first()?.seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.keys.iter().find_map(|key| key.open(ticket))
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("count", &self.keys.len()).finish_non_exhaustive()
    }
}

/// One key: the nonce stands in front of what it has sealed, the tag behind.
struct Sealer {
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    key: aead::LessSafeKey,
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
impl Sealer {
    fn new(key: &[u8; 32]) -> Result<Self, ConfigError> {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key);
        let key = key.map_err(|_| bad("the key of tickets is not taken".to_owned()))?;
        Ok(Self { key: aead::LessSafeKey::new(key) })
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; aead::NONCE_LEN];
        rand::SecureRandom::fill(&rand::SystemRandom::new(), &mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let with = aead::Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(with, aead::Aad::from(PURPOSE), &mut sealed).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk()?;
        let mut opened = sealed.to_vec();
        let with = aead::Nonce::assume_unique_for_key(*nonce);
        let len = self.key.open_in_place(with, aead::Aad::from(PURPOSE), &mut opened).ok()?.len();
        opened.truncate(len);
        Some(opened)
    }
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
impl Sealer {
    fn new(_: &[u8; 32]) -> Result<Self, ConfigError> {
        let message = "keys of tickets need the feature `aws-lc-rs` or `ring`";
        Err(ConfigError::new(ConfigErrorKind::NoProvider, message))
    }

    fn seal(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn open(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// A key from its digits. The error tells nothing of them.
fn key(written: &[u8]) -> Result<Zeroizing<[u8; 32]>, String> {
    let remedy = "`openssl rand -hex 32` prints one of 32 bytes in 64 hexadecimal digits";
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if written.iter().any(|&byte| digit(byte).is_none()) {
        return Err(format!("it has something else than hexadecimal digits; {remedy}"));
    }
    if written.len() != 64 {
        let length = written.len();
        return Err(format!("it has {length} hexadecimal digits, and must have 64; {remedy}"));
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, digits) in key.iter_mut().zip(written.chunks(2)) {
        *byte = digits.iter().fold(0, |byte, &written| byte << 4 | digit(written).unwrap_or_default());
    }
    Ok(key)
}

/// The file, if nobody else may read it.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    use std::io::Read;
    let failed = |error: std::io::Error| {
        ConfigError::new(ConfigErrorKind::Io, format!("cannot read {}: {error}", path.display())).quoting(error)
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o027 != 0 {
            let path = path.display();
            let message = format!(
                "the keys of tickets in {path} are not only its owner's (mode {mode:03o}): whoever has them can be taken for a \
                 client, so write `chmod 600 {path}`, or 640 for processes of one group"
            );
            return Err(ConfigError::new(ConfigErrorKind::BadKey, message));
        }
    }
    // With room for all of it, so that no piece stays behind where it was.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > MAX_FILE {
        return Err(bad(format!("{} is too long for a file of keys of tickets", path.display())));
    }
    Ok(text)
}

fn bad(message: String) -> ConfigError {
    ConfigError::new(ConfigErrorKind::BadKey, message)
}

/// More than anybody needs, so that a ticket of nobody's is soon refused.
const MAX_KEYS: usize = 16;

const MAX_FILE: usize = 64 * 1024;

/// In seconds, what clients are told. The operator may take the key away sooner.
const LIFETIME: u32 = 24 * 60 * 60;

/// What is sealed with such a key is a ticket, and nothing else is taken for one.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
const PURPOSE: &[u8] = b"onionskin ticket 1";

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "ring")))]
#[allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]
mod tests {
    use super::*;

    const ONE: [u8; 32] = [1; 32];
    const TWO: [u8; 32] = [2; 32];

    fn keys(keys: &[[u8; 32]]) -> TicketKeys {
        TicketKeys::new(keys.iter().copied()).unwrap()
    }

    #[test]
    fn the_first_seals_and_all_open() {
        let (old, both, new) = (keys(&[ONE]), keys(&[TWO, ONE]), keys(&[TWO]));
        let (before, after) = (old.encrypt(b"session").unwrap(), both.encrypt(b"session").unwrap());
        assert_ne!(old.encrypt(b"session").unwrap(), before, "a nonce of its own");
        for (keys, opens) in [(&old, [true, false]), (&both, [true, true]), (&new, [false, true])] {
            assert_eq!([&before, &after].map(|ticket| keys.decrypt(ticket).as_deref() == Some(b"session")), opens);
        }
        for at in 0..before.len() {
            let mut touched = before.clone();
            touched[at] ^= 1;
            assert_eq!(old.decrypt(&touched), None, "byte {at}");
            assert_eq!(old.decrypt(&before[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_file_is_read_line_by_line_and_tells_nothing_when_it_is_wrong() {
        let (one, two) = ("01".repeat(32), "02".repeat(32));
        let text = format!("# of today\n{two}\r\n\n  {} # of yesterday\n", one.to_uppercase());
        let read = TicketKeys::parse(text.as_bytes(), "FILE").unwrap();
        assert!(read.decrypt(&keys(&[ONE]).encrypt(b"a").unwrap()).is_some());
        assert!(keys(&[TWO]).decrypt(&read.encrypt(b"a").unwrap()).is_some());
        assert!(!format!("{read:?}").contains("01"), "{read:?}");
        for (text, expected) in [
            (
                format!("{one}\n{}\n", &two[2..]),
                "line 2 of FILE is no key of tickets: it has 62 hexadecimal digits, and must have 64",
            ),
            (format!("{}g\n", &one[1..]), "line 1 of FILE is no key of tickets: it has something else"),
            ("\n# none\n".to_owned(), "there is no key of tickets in FILE"),
            (format!("{one}\n").repeat(17), "there are more than 16 keys of tickets in FILE: take the oldest out"),
        ] {
            let error = TicketKeys::parse(text.as_bytes(), "FILE").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("0101"), "{error}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("onionskin-ticket-keys-{}", std::process::id()));
        std::fs::write(&path, "01".repeat(32)).unwrap();
        for (mode, taken) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = TicketKeys::from_file(&path);
            assert_eq!(read.is_ok(), taken, "{mode:o}");
            if let Err(error) = read {
                assert!(error.to_string().contains(&format!("(mode {mode:o})")), "{error}");
                assert_eq!(error.kind(), ConfigErrorKind::BadKey);
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert!(TicketKeys::from_file(&path).unwrap_err().is_io());
    }
}
