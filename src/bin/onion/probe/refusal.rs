//! Why there is no session although the server does TLS: what it wants of us, or we of it.

use std::fmt::{self, Display};

use onionskin::connection::Error;
use onionskin::rustls::{self, AlertDescription, CipherSuite, PeerIncompatible, ProtocolVersion};
use onionskin::tls::{CertificateFacts, CertificateKey, default_provider};
use serde::Serialize;

use super::flight::Flight;
use super::questions::cause;
use super::seen::Sight;

/// A refusal, of whichever side.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) wants: Wants,
    pub(super) detail: String,
}

/// What is missing. The names stand in the JSON, and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wants {
    /// A certificate of ours, or another one.
    Certificate,
    /// A name that the server has.
    Name,
    /// TLS 1.2 or 1.3.
    Version,
    /// A way to agree on keys that both have.
    KeyExchange,
    /// A cipher that both have.
    CipherSuite,
    /// A longer key in the server's certificate.
    KeyLength,
    /// An application protocol that both have (ALPN).
    Alpn,
}

impl Refusal {
    fn new(wants: Wants, detail: impl Display) -> Self {
        Self { wants, detail: detail.to_string() }
    }

    /// The server wants a certificate, and has left without a word.
    pub(super) fn without_certificate() -> Self {
        Self::new(Wants::Certificate, "the server asks for a client certificate, and hangs up behind the handshake")
    }

    /// What a handshake has failed for, as far as it shows itself.
    pub(super) fn of(error: &Error, sight: &Sight) -> Option<Self> {
        if let Some(refusal) = Self::by_version(&sight.flight) {
            return Some(refusal);
        }
        let said = || cause(error);
        let wants = match error.tls_error() {
            Some(rustls::Error::AlertReceived(alert)) => match alert {
                _ if error.is_client_certificate() => Wants::Certificate,
                AlertDescription::UnrecognisedName => Wants::Name,
                AlertDescription::NoApplicationProtocol => Wants::Alpn,
                AlertDescription::ProtocolVersion => Wants::Version,
                _ if sight.asks_for_certificate() => Wants::Certificate,
                AlertDescription::InsufficientSecurity => Wants::CipherSuite,
                _ => return None,
            },
            Some(rustls::Error::PeerIncompatible(incompatible)) => match incompatible {
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Wants::Version,
                PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NoEcPointFormatsInCommon => Wants::KeyExchange,
                PeerIncompatible::NoCipherSuitesInCommon => Wants::CipherSuite,
                _ => return None,
            },
            // It need not send an alert (RFC 5246 section 7.4.6), nor can we read every one of them.
            _ if sight.asks_for_certificate() && !error.is_timeout() && !error.is_certificate() => Wants::Certificate,
            _ => return None,
        };
        Some(Self::new(wants, said()))
    }

    /// What a server, asked with everything there is, has that we have not.
    pub(super) fn by_everything(flight: &Flight) -> Option<Self> {
        if let Some(refusal) = Self::by_version(flight) {
            return Some(refusal);
        }
        let (hello, provider) = (flight.hello?, default_provider().ok()?);
        let suite = hello.cipher_suite;
        let version = version_name(hello.version);
        if !provider.cipher_suites.iter().any(|known| known.suite() == suite) {
            let (wants, why) = match exchange(suite) {
                Exchange::Rsa => (Wants::KeyExchange, "whose key exchange by RSA has no forward secrecy"),
                Exchange::FiniteField => {
                    (Wants::KeyExchange, "whose Diffie-Hellman in a finite field is not taken here")
                }
                Exchange::Other => (Wants::CipherSuite, "which is not taken here"),
            };
            let suite = name(suite.as_str(), suite.into());
            return Some(Self::new(wants, format_args!("the server has {version} with {suite}, {why}")));
        }
        let group = flight.group.filter(|group| !provider.kx_groups.iter().any(|known| known.name() == *group))?;
        let group = name(group.as_str(), group.into());
        Some(Self::new(Wants::KeyExchange, format_args!("the server has {version} with the group {group} alone")))
    }

    /// That the server's own key is too short for its signature to be worth anything.
    pub(super) fn by_key(certificate: &CertificateFacts) -> Option<Self> {
        let Some(CertificateKey::Rsa(bits @ ..MIN_RSA_BITS)) = certificate.key else { return None };
        let detail = format_args!(
            "the server's RSA key has {bits} bits, which is too short: at least {MIN_RSA_BITS} are accepted"
        );
        Some(Self::new(Wants::KeyLength, detail))
    }

    fn by_version(flight: &Flight) -> Option<Self> {
        let version = flight.version().filter(|&version| is_too_old(version))?;
        let detail =
            format_args!("the server has no more than {}, and at least TLS 1.2 is accepted", version_name(version));
        Some(Self::new(Wants::Version, detail))
    }
}

impl Wants {
    /// What is to be done about it.
    pub(super) fn hint(self, we_have_a_certificate: bool) -> &'static str {
        match self {
            Self::Certificate if we_have_a_certificate => {
                "the server does not take the certificate of --cert: it must come from an authority that the server trusts"
            }
            Self::Certificate => {
                "present a certificate with --cert and --key, from an authority that the server trusts"
            }
            Self::Name => "ask for a name that the server has: sni=NAME in the endpoint",
            Self::Version => "the server must be taught TLS 1.2 or 1.3: what came before is forbidden (RFC 8996)",
            Self::KeyExchange => "the server must offer ECDHE with X25519, secp256r1 or secp384r1",
            Self::CipherSuite => "the server must offer AES-GCM or ChaCha20-Poly1305",
            Self::KeyLength => "the server needs a certificate with a longer key: RSA of 2048 bits, or ECDSA",
            Self::Alpn => "offer the application protocol of the server: alpn=NAME in the endpoint",
        }
    }
}

impl Display for Wants {
    /// Behind "for want of".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a client certificate",
            Self::Name => "a name that it has",
            Self::Version => "a version in common",
            Self::KeyExchange => "a key exchange in common",
            Self::CipherSuite => "a cipher suite in common",
            Self::KeyLength => "a longer key",
            Self::Alpn => "an application protocol in common",
        })
    }
}

pub(super) fn version_name(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::SSLv2 => "SSL 2".to_owned(),
        ProtocolVersion::SSLv3 => "SSL 3".to_owned(),
        ProtocolVersion::TLSv1_0 => "TLS 1.0".to_owned(),
        ProtocolVersion::TLSv1_1 => "TLS 1.1".to_owned(),
        ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        other => format!("version {:#06x}", u16::from(other)),
    }
}

fn is_too_old(version: ProtocolVersion) -> bool {
    u16::from(version) < u16::from(ProtocolVersion::TLSv1_2)
}

/// How a cipher suite up to TLS 1.2 has keys agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    Rsa,
    FiniteField,
    Other,
}

/// By the numbers of IANA's registry: many of these have no name in the TLS library.
fn exchange(suite: CipherSuite) -> Exchange {
    let is_in = |ranges: &[(u16, u16)]| ranges.iter().any(|&(first, last)| (first..=last).contains(&suite.into()));
    match () {
        () if is_in(&RSA) => Exchange::Rsa,
        () if is_in(&FINITE_FIELD) => Exchange::FiniteField,
        () => Exchange::Other,
    }
}

/// The name, or the number in the registry.
fn name(name: Option<&str>, number: u16) -> String {
    name.map_or_else(|| format!("{number:#06x}"), str::to_owned)
}

/// As the providers have it, and everybody else.
const MIN_RSA_BITS: usize = 2048;

/// From, and up to.
const RSA: [(u16, u16); 12] = [
    (0x0001, 0x000a),
    (0x002f, 0x002f),
    (0x0035, 0x0035),
    (0x003b, 0x003d),
    (0x0041, 0x0041),
    (0x0084, 0x0084),
    (0x0096, 0x0096),
    (0x009c, 0x009d),
    (0x00ba, 0x00ba),
    (0x00c0, 0x00c0),
    (0xc09c, 0xc09d),
    (0xc0a0, 0xc0a1),
];
const FINITE_FIELD: [(u16, u16); 14] = [
    (0x000b, 0x001b),
    (0x0030, 0x0034),
    (0x0036, 0x003a),
    (0x003e, 0x0040),
    (0x0042, 0x0046),
    (0x0067, 0x006d),
    (0x0085, 0x0089),
    (0x0097, 0x009b),
    (0x009e, 0x00a7),
    (0x00bb, 0x00bf),
    (0x00c1, 0x00c5),
    (0xc09e, 0xc09f),
    (0xc0a2, 0xc0a3),
    (0xccaa, 0xccaa),
];
