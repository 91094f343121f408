//! A user and a password.

use std::fmt;
use std::fs;
use std::path::Path;

use subtle::ConstantTimeEq;

/// A user and a password, for a proxy that wants to know who asks.
///
/// Nothing prints it: not `Debug`, and no error, log or drawing of this crate. Whether two are equal takes as long wherever they
/// differ, but for their lengths.
///
/// ```
/// use onionskin::tunnel::Credentials;
///
/// let credentials = Credentials::new("onion", "peel")?;
/// assert_eq!(format!("{credentials:?}"), "Credentials");
/// # Ok::<_, onionskin::tunnel::CredentialsError>(())
/// ```
#[derive(Clone, Hash)]
#[allow(
    clippy::derived_hash_with_manual_eq,
    reason = "what is equal is what would be by itself; only the time differs"
)]
pub struct Credentials {
    user: String,
    password: Vec<u8>,
}

impl Credentials {
    /// A user and a password.
    ///
    /// # Errors
    ///
    /// When no proxy can be told so: a user that is empty or has a colon (RFC 7617, section 2), a control character in one of
    /// them, more than 255 bytes, which is as much as SOCKS5 has room for (RFC 1929, section 2).
    pub fn new(user: impl Into<String>, password: impl Into<Vec<u8>>) -> Result<Self, CredentialsError> {
        let (user, password) = (user.into(), password.into());
        let mistake = match (user.as_bytes(), &password[..]) {
            ([], _) => "the user has no name",
            (user, _) if user.contains(&b':') => "the name of a user has no colon",
            (user, password) if user.iter().chain(password).any(u8::is_ascii_control) => {
                "neither the name of a user nor a password has control characters"
            }
            (user, password) if user.len().max(password.len()) > MAX_LENGTH => {
                "the name of a user and a password have at most 255 bytes each"
            }
            _ => return Ok(Self { user, password }),
        };
        Err(CredentialsError(mistake.to_owned()))
    }

    /// For `user`, with the password that is the first line of the file. It blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as [`new`](Self::new).
    pub fn from_file(user: impl Into<String>, file: &Path) -> Result<Self, CredentialsError> {
        let shown = file.display();
        let text = fs::read(file)
            .map_err(|error| CredentialsError(format!("cannot read the password in {shown}: {error}")))?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let password = line.strip_suffix(b"\r").unwrap_or(line);
        Self::new(user, password)
            .map_err(|CredentialsError(mistake)| CredentialsError(format!("{mistake}: see {shown}")))
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &[u8] {
        &self.password
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let user = self.user.as_bytes().ct_eq(other.user.as_bytes());
        bool::from(user & self.password.ct_eq(&other.password))
    }
}

impl Eq for Credentials {}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Why a user and a password are none. Prints as one sentence, without them.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialsError(String);

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CredentialsError {}

const MAX_LENGTH: usize = 255;
