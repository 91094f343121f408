//! What a handshake agrees on. It is taken out of rustls once, when the handshake is done, since the connection that knows it is
//! gone soon after.

use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, CommonState, HandshakeKind, NamedGroup};

use super::Version;

/// What the handshake agreed on; by default nothing yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    pub(super) version: Option<Version>,
    pub(super) cipher_suite: Option<CipherSuite>,
    pub(super) key_exchange_group: Option<NamedGroup>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) peer_certificates: Vec<CertificateDer<'static>>,
    pub(super) resumed: bool,
    /// What the server has stapled to its certificate.
    pub(super) ocsp_response: Option<Vec<u8>>,
}

impl Agreed {
    /// What `connection` has agreed on, whose handshake is done, beside what only the verifier was shown.
    pub(super) fn of(connection: &CommonState, ocsp_response: Option<Vec<u8>>) -> Self {
        Self {
            version: connection.protocol_version().and_then(Version::known),
            cipher_suite: connection.negotiated_cipher_suite().map(|suite| suite.suite()),
            key_exchange_group: connection.negotiated_key_exchange_group().map(SupportedKxGroup::name),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: connection.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            ocsp_response,
        }
    }
}
