//! A key that is known beforehand: the SHA-256 of what a certificate says of it (SubjectPublicKeyInfo), as RFC 7469 section 2.4
//! takes it. It stays the same when a certificate is renewed for the same key.

use std::fmt::{self, Write};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::config_error::{ConfigError, ConfigErrorKind};
use crate::printable::Printable;

/// The SHA-256 of a public key, as a certificate holds it (SubjectPublicKeyInfo).
///
/// It is read from 64 hexadecimal digits, with colons between them or without, or from base64, with `sha256/` or `sha256//` in
/// front or without, as browsers and curl write it; and printed in hexadecimal digits.
///
/// ```
/// use onionskin::tls::Pin;
///
/// let pin: Pin = "sha256/n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=".parse()?;
/// assert_eq!(pin.to_string(), "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
/// assert!("sha256/n4bQ".parse::<Pin>().is_err());
/// # Ok::<(), onionskin::tls::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; LEN]);

impl Pin {
    /// This digest.
    #[must_use]
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Pin {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let refused = || {
            let message = format!(
                "{} is no pin: write the SHA-256 of a public key, 64 hexadecimal digits or base64",
                Printable::new(text).limit(80).quoted()
            );
            ConfigError::new(ConfigErrorKind::BadPin, message)
        };
        let bare = text.strip_prefix("sha256/").map_or(text, |rest| rest.strip_prefix('/').unwrap_or(rest));
        let digits: String = bare.chars().filter(|&c| c != ':').collect();
        let bytes = match digits.len() == 2 * LEN && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => {
                let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16);
                (0..2 * LEN).step_by(2).map(byte).collect::<Result<Vec<u8>, _>>().map_err(|_| refused())?
            }
            false => STANDARD.decode(bare).map_err(|_| refused())?,
        };
        bytes.try_into().map(Self).map_err(|_| refused())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(")?;
        fmt::Display::fmt(self, f)?;
        f.write_char(')')
    }
}

/// How long a digest is.
const LEN: usize = 32;
