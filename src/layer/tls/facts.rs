//! What is known of a TLS layer.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, NamedGroup};

use super::Version;
use super::config::default_provider;
use super::pins::sha256;
use crate::printable::Printable;
use crate::stack::LayerId;

/// Facts of one TLS layer, as of when they were asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The layer.
    pub layer: LayerId,
    /// Which side of the handshake we are.
    pub role: Role,
    /// The protocol version; `None` before the handshake has settled it. So for the next four.
    pub version: Option<Version>,
    /// The cipher suite, by the name that IANA's registry has for it, as the group too.
    pub cipher_suite: Option<CipherSuite>,
    /// The group of the key exchange. A resumption of TLS 1.2 has none.
    pub key_exchange_group: Option<NamedGroup>,
    /// The application protocol that ALPN agreed on (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The peer's certificate chain, its own first. Empty if it sent none.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// The answer of OCSP that a server has stapled to its certificate (RFC 6066 section 8), in DER as it came: nobody has verified
    /// it. A resumption shows no certificate and has none; so has a layer of a configuration of rustls with a verifier of its own.
    pub ocsp_response: Option<Vec<u8>>,
    /// As a client, the name that the peer's certificate was verified for, unless [`Names`](super::Names) say otherwise; as a server,
    /// the name that the client asked for (SNI, RFC 6066 section 3).
    pub server_name: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// How long the handshake took; `None` before it is done.
    pub handshake_time: Option<Duration>,
    /// What has passed up and down through the layer.
    pub traffic: Traffic,
}

/// Which side of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that says hello first.
    Client,
    /// The side that answers.
    Server,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Counts of one TLS layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Plaintext bytes given to the neighbour above.
    pub bytes_in: u64,
    /// Plaintext bytes taken from the neighbour above.
    pub bytes_out: u64,
    /// Records of application data received.
    pub records_in: u64,
    /// Records of application data sent.
    pub records_out: u64,
    /// Bytes taken from below, the handshake's too.
    pub wire_bytes_in: u64,
    /// Bytes given below, the handshake's too.
    pub wire_bytes_out: u64,
}

impl TlsFacts {
    /// The version as RFCs and OpenSSL write it: `TLSv1.3`.
    #[must_use]
    pub fn version_name(&self) -> &'static str {
        version_name(self.version)
    }

    /// The SHA-256 of the peer's own certificate, as it came, by the [default provider](super::default_provider). `None` if it sent
    /// none, or there is no provider.
    #[must_use]
    pub fn leaf_sha256(&self) -> Option<[u8; 32]> {
        let leaf = self.peer_certificates.first()?;
        let sha256 = sha256(&*default_provider().ok()?).ok()?;
        sha256.hash(leaf).as_ref().try_into().ok()
    }
}

impl fmt::Display for TlsFacts {
    /// `tls1.3 AES_128_GCM client "mail.example"`; with `{:#}`, all the facts, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outline = Outline {
            role: self.role,
            server_name: self.server_name.as_deref(),
            version: self.version,
            version_name: self.version_name(),
            cipher_suite: self.cipher_suite,
            key_exchange_group: self.key_exchange_group,
            alpn: self.alpn.as_deref(),
            peer_certificates: self.peer_certificates.len(),
            resumed: self.resumed,
            handshake_time: self.handshake_time,
            traffic: self.traffic,
        };
        if f.alternate() { f.write_str(&outline.details().join("  ")) } else { outline.describe(f) }
    }
}

/// What is shown of a TLS layer: the facts, borrowed from wherever they are.
pub(super) struct Outline<'a> {
    pub(super) role: Role,
    pub(super) server_name: Option<&'a str>,
    pub(super) version: Option<Version>,
    /// Or why there is none.
    pub(super) version_name: &'static str,
    pub(super) cipher_suite: Option<CipherSuite>,
    pub(super) key_exchange_group: Option<NamedGroup>,
    pub(super) alpn: Option<&'a [u8]>,
    pub(super) peer_certificates: usize,
    pub(super) resumed: bool,
    pub(super) handshake_time: Option<Duration>,
    pub(super) traffic: Traffic,
}

impl Outline<'_> {
    /// One phrase.
    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(Version::Tls13) => f.write_str("tls1.3")?,
            Some(Version::Tls12) => f.write_str("tls1.2")?,
            None => f.write_str("tls")?,
        }
        if let Some(cipher) = self.cipher_suite.and_then(|suite| suite.as_str()).map(cipher_name) {
            write!(f, " {cipher}")?;
        }
        write!(f, " {}", self.party())
    }

    /// Everything, in facts of a few words.
    pub(super) fn details(&self) -> Vec<String> {
        let Traffic { bytes_in, bytes_out, .. } = self.traffic;
        let certificates = match self.peer_certificates {
            0 => None,
            1 => Some("1 certificate".to_owned()),
            count => Some(format!("{count} certificates")),
        };
        let facts = [
            Some(self.party()),
            Some(self.version_name.to_owned()),
            self.cipher_suite.map(|suite| format!("{suite:?}")),
            self.key_exchange_group.map(|group| format!("{group:?}")),
            self.alpn.map(|alpn| format!("alpn {}", Printable::new(alpn))),
            certificates,
            self.resumed.then(|| "resumed".to_owned()),
            self.handshake_time.map(|took| format!("handshake {:.1} ms", took.as_secs_f64() * 1000.0)),
            self.version.map(|_| format!("bytes {bytes_in} in, {bytes_out} out")),
        ];
        facts.into_iter().flatten().collect()
    }

    /// The role, and the name it is played under: `client "mail.example"`.
    fn party(&self) -> String {
        let role = self.role;
        match self.server_name {
            Some(name) => format!("{role} {}", Printable::new(name).quoted()),
            None => role.to_string(),
        }
    }
}

pub(super) fn version_name(version: Option<Version>) -> &'static str {
    match version {
        Some(Version::Tls13) => "TLSv1.3",
        Some(Version::Tls12) => "TLSv1.2",
        None => "handshaking",
    }
}

/// The cipher out of the name of a suite: `AES_128_GCM` of `TLS13_AES_128_GCM_SHA256`.
fn cipher_name(suite: &str) -> &str {
    let cipher = suite.split_once("_WITH_").map_or(suite, |(_, cipher)| cipher);
    let cipher = cipher.strip_prefix("TLS13_").unwrap_or(cipher);
    cipher.rsplit_once("_SHA").map_or(cipher, |(cipher, _)| cipher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cipher_is_cut_out_of_the_suite() {
        assert_eq!(cipher_name("TLS13_AES_128_GCM_SHA256"), "AES_128_GCM");
        assert_eq!(cipher_name("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"), "CHACHA20_POLY1305");
    }
}
