//! What a server says first: Protocol::HandshakeV10.

use super::{CLIENT_PLUGIN_AUTH, Error, SCRAMBLE};
use crate::starttls::ErrorKind;
use crate::tls::default_provider;

/// The greeting of a server of MySQL or MariaDB.
///
/// It came in clear, and nothing that follows inside TLS says it again, so none of it is authenticated. The scramble may be
/// used for what it is for: inside TLS a wrong one makes the login fail and tells nobody anything. What the version or the
/// flags say is a hint. A client that would send a password in clear inside TLS because the greeting asks for that relies on
/// TLS alone, which is sound if it knows the server by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlGreeting {
    pub(super) version: Vec<u8>,
    pub(super) connection_id: u32,
    pub(super) scramble: Vec<u8>,
    pub(super) capabilities: u32,
    pub(super) character_set: u8,
    pub(super) status: u16,
    pub(super) auth_plugin: Vec<u8>,
}

impl MysqlGreeting {
    /// The version of the server: `8.0.36`.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        &self.version
    }

    /// The number of the connection.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// What the password is proved with: 20 bytes in nearly all cases, without the zero byte behind them.
    #[must_use]
    pub fn scramble(&self) -> &[u8] {
        &self.scramble
    }

    /// The capability flags of the server.
    #[must_use]
    pub fn capabilities(&self) -> u32 {
        self.capabilities
    }

    /// The number of the server's collation, or its lowest byte.
    #[must_use]
    pub fn character_set(&self) -> u8 {
        self.character_set
    }

    /// The status flags of the server.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How the password is to be proved; empty if the server does not say.
    #[must_use]
    pub fn auth_plugin(&self) -> &[u8] {
        &self.auth_plugin
    }

    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&[PROTOCOL])?;
        let (version, rest) = text(rest)?;
        let (&connection_id, rest) = rest.split_first_chunk()?;
        let (scramble, rest) = rest.split_at_checked(FIRST_PART)?;
        let (_, rest) = rest.split_first()?;
        let (&low, rest) = rest.split_first_chunk()?;
        let mut greeting = Self {
            version: version.to_vec(),
            connection_id: u32::from_le_bytes(connection_id),
            scramble: scramble.to_vec(),
            capabilities: u32::from(u16::from_le_bytes(low)),
            character_set: 0,
            status: 0,
            auth_plugin: Vec::new(),
        };
        // A server from before 4.1 stops here.
        let Some((&[character_set, status_low, status_high, high_low, high_high, scramble_len], rest)) =
            rest.split_first_chunk()
        else {
            return Some(greeting);
        };
        greeting.character_set = character_set;
        greeting.status = u16::from_le_bytes([status_low, status_high]);
        greeting.capabilities |= u32::from(u16::from_le_bytes([high_low, high_high])) << 16;
        let (_, rest) = rest.split_at_checked(RESERVED)?;
        let second = usize::from(scramble_len).saturating_sub(FIRST_PART).max(MIN_SECOND_PART);
        let (scramble, rest) = rest.split_at_checked(second)?;
        greeting.scramble.extend(scramble.strip_suffix(&[0]).unwrap_or(scramble));
        if greeting.capabilities & CLIENT_PLUGIN_AUTH != 0 {
            // Some servers left the zero byte out.
            greeting.auth_plugin = text(rest).map_or(rest, |(name, _)| name).to_vec();
        }
        Some(greeting)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let (first, second) = self.scramble.split_at(FIRST_PART);
        let [low, more, high, highest] = self.capabilities.to_le_bytes();
        let [status_low, status_high] = self.status.to_le_bytes();
        let mut payload = vec![PROTOCOL];
        payload.extend(&self.version);
        payload.push(0);
        payload.extend(self.connection_id.to_le_bytes());
        payload.extend(first);
        payload.extend([0, low, more, self.character_set, status_low, status_high, high, highest]);
        payload.push(self.scramble.len() as u8 + 1);
        payload.extend([0; RESERVED]);
        payload.extend(second);
        payload.push(0);
        if self.capabilities & CLIENT_PLUGIN_AUTH != 0 {
            payload.extend(&self.auth_plugin);
            payload.push(0);
        }
        payload
    }
}

impl Default for MysqlGreeting {
    /// What a server says unless told otherwise, without a scramble.
    fn default() -> Self {
        Self {
            version: b"8.0.0".to_vec(),
            connection_id: 1,
            scramble: Vec::new(),
            capabilities: 0,
            character_set: UTF8MB4_GENERAL_CI,
            status: AUTOCOMMIT,
            auth_plugin: b"caching_sha2_password".to_vec(),
        }
    }
}

/// Random, printable in all its bytes, and without the `$` at which some clients stop.
pub(super) fn draw_scramble() -> Result<[u8; SCRAMBLE], Error> {
    let mut scramble = [0; SCRAMBLE];
    let drawn = default_provider().ok().and_then(|provider| provider.secure_random.fill(&mut scramble).ok());
    if drawn.is_none() {
        let message = "there is no randomness for a scramble: give one";
        return Err(Error::new(ErrorKind::Refused, message));
    }
    // 64 values, all as likely: 120 bits.
    Ok(scramble.map(|byte| b'0' + byte % 64))
}

/// What stands before the first zero byte, and behind it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

const PROTOCOL: u8 = 10;

/// The scramble comes in two parts.
const FIRST_PART: usize = 8;
/// With the zero byte behind it.
const MIN_SECOND_PART: usize = 13;
const RESERVED: usize = 10;

const UTF8MB4_GENERAL_CI: u8 = 45;
const AUTOCOMMIT: u16 = 2;
