//! What is wrong with a certificate that was not accepted, as a class and as a sentence.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};

use super::algorithm::{MIN_RSA_BITS, key_name, signature_name};
use super::pin::Pin;
use super::words::spaced;
use super::x509::date;
use crate::printable::Printable;
use crate::stack::with_chain;

/// What is wrong with a certificate that was not accepted.
///
/// Its text is one sentence that says what to do about it, for the side that does not accept: "it expired on 2026-10-01, 60
/// days ago: renew it".
///
/// ```
/// use onionskin::rustls::CertificateError;
/// use onionskin::tls::CertificateFault;
///
/// let error = onionskin::rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
/// assert_eq!(CertificateFault::of(&error), Some(CertificateFault::UnknownIssuer));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Nobody who is trusted has issued it.
    UnknownIssuer,
    /// It is that of an authority (`CA:TRUE`), and no authority may speak for a host. One that was itself named as trusted is
    /// accepted; this is another one.
    IsAuthority,
    /// It stands for other names than the one that was asked for.
    WrongName {
        /// The name that was asked for, if it is known.
        expected: Option<String>,
        /// The names that it stands for.
        presented: Vec<String>,
    },
    /// It is not valid any more.
    Expired {
        /// Until when it was, if that is known.
        until: Option<UnixTime>,
        /// What time it is here.
        now: Option<UnixTime>,
    },
    /// It is not valid yet, or the clock is wrong.
    NotYetValid {
        /// From when on it is, if that is known.
        from: Option<UnixTime>,
        /// What time it is here.
        now: Option<UnixTime>,
    },
    /// It was revoked, or nobody can say that it was not.
    Revoked,
    /// Its key is none of those that were pinned.
    OtherKey {
        /// The pin of its key.
        presented: Pin,
    },
    /// An RSA key, its own or that of an authority above it, is too short.
    ShortKey {
        /// How long it is.
        bits: usize,
    },
    /// It, or one above it, is signed in a way that is not accepted.
    Signature {
        /// How: `SHA-1`.
        algorithm: String,
    },
    /// Its key, or that of an authority above it, is of a kind that is not accepted.
    Key {
        /// Which kind: `ECDSA on secp256k1`.
        algorithm: String,
    },
    /// It is for something else: a client's certificate that a server shows, or the other way round.
    Purpose {
        /// What it would have to be for.
        required: Option<String>,
    },
    /// A signature does not fit: it was not made by who it says, or was changed afterwards.
    BadSignature,
    /// It cannot be read.
    Malformed,
    /// Something else, in words.
    Other(String),
}

impl CertificateFault {
    /// The class of an error of rustls; `None` if it is not about the peer's certificate.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(error) => Some(Self::of_certificate(error)),
            Error::InvalidCertRevocationList(error) => {
                Some(Self::Other(format!("its revocation list cannot be used: {}", spaced(&format!("{error:?}")))))
            }
            Error::UnsupportedNameType => {
                Some(Self::Other("it was asked for by a kind of name that it cannot have".to_owned()))
            }
            _ => None,
        }
    }

    #[allow(deprecated, reason = "rustls still has the older errors, and verifiers of others may use them")]
    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::UnknownIssuer => Self::UnknownIssuer,
            E::NotValidForName => Self::WrongName { expected: None, presented: Vec::new() },
            E::NotValidForNameContext { expected, presented } => {
                Self::WrongName { expected: Some(expected.to_str().into_owned()), presented: names(presented) }
            }
            E::Expired => Self::Expired { until: None, now: None },
            E::ExpiredContext { time, not_after } => Self::Expired { until: Some(*not_after), now: Some(*time) },
            E::NotValidYet => Self::NotYetValid { from: None, now: None },
            E::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { from: Some(*not_before), now: Some(*time) }
            }
            E::Revoked | E::UnknownRevocationStatus => Self::Revoked,
            E::BadSignature => Self::BadSignature,
            E::BadEncoding => Self::Malformed,
            E::UnsupportedSignatureAlgorithm => Self::Signature { algorithm: "an algorithm".to_owned() },
            E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
                Self::Signature { algorithm: signature_name(signature_algorithm_id) }
            }
            E::UnsupportedSignatureAlgorithmForPublicKeyContext { public_key_algorithm_id, .. } => {
                Self::Key { algorithm: key_name(public_key_algorithm_id) }
            }
            E::InvalidPurpose => Self::Purpose { required: None },
            E::InvalidPurposeContext { required, .. } => Self::Purpose { required: Some(purpose(required)) },
            E::UnhandledCriticalExtension => Self::Other(CRITICAL_EXTENSION.to_owned()),
            E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
                Self::Other("the revocation list that it is looked up in is out of date: fetch a new one".to_owned())
            }
            E::InvalidOcspResponse => Self::Other("the OCSP response that came with it is not valid".to_owned()),
            E::ApplicationVerificationFailure => Self::Other("the application does not accept it".to_owned()),
            E::Other(OtherError(error)) => Self::of_other(error.as_ref()),
            other => Self::Other(spaced(&format!("{other:?}"))),
        }
    }

    /// What rustls has no name for: our own finding, or the library's that looks at certificates.
    fn of_other(error: &(dyn StdError + Send + Sync + 'static)) -> Self {
        if let Some(fault) = error.downcast_ref::<Found>() {
            return fault.0.clone();
        }
        let Some(error) = error.downcast_ref::<webpki::Error>() else { return Self::Other(error.to_string()) };
        use webpki::Error as E;
        let words = match error {
            E::CaUsedAsEndEntity => return Self::IsAuthority,
            E::EndEntityUsedAsCa => {
                "it was issued by one that may not issue any (CA:FALSE): have an authority issue it"
            }
            E::PathLenConstraintViolated => "more authorities stand above it than one of them allows (pathlen)",
            E::NameConstraintViolation => "an authority above it may not issue for this name (name constraints)",
            E::MaximumPathDepthExceeded | E::MaximumPathBuildCallsExceeded | E::MaximumSignatureChecksExceeded => {
                "its chain is too long or has too many branches: send only what is needed"
            }
            E::UnsupportedCertVersion => {
                "it is of X.509 version 1 or 2, which has no names of hosts: make one of version 3"
            }
            E::UnsupportedCriticalExtension => CRITICAL_EXTENSION,
            E::EmptyEkuExtension => "it has a list of purposes (extendedKeyUsage) that is empty",
            E::SignatureAlgorithmMismatch
            | E::ExtensionValueInvalid
            | E::MalformedExtensions
            | E::MalformedDnsIdentifier
            | E::MalformedNameConstraint
            | E::InvalidSerialNumber
            | E::InvalidNetworkMaskConstraint => return Self::Malformed,
            other => return Self::Other(spaced(&format!("{other:?}"))),
        };
        Self::Other(words.to_owned())
    }

    /// As an error of rustls, for verifiers.
    pub(super) fn into_error(self) -> Error {
        CertificateError::Other(OtherError(Arc::new(Found(self)))).into()
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => {
                f.write_str("its issuer is none of the trust anchors: trust that authority, or this very certificate")
            }
            Self::IsAuthority => f.write_str(
                "it is that of an authority (CA:TRUE), which may not speak for a host: \
                 trust this very certificate, or make one with basicConstraints=CA:FALSE",
            ),
            Self::WrongName { expected, presented } => {
                match expected {
                    Some(expected) => write!(f, "it does not stand for {}", Printable::new(expected).quoted())?,
                    None => f.write_str("it does not stand for the name that was asked for")?,
                }
                match &presented[..] {
                    [] => f.write_str(", nor for any other name (subjectAltName)"),
                    [last] => write!(f, ", only for {}", name(last)),
                    [names @ .., last] => {
                        let shown: Vec<String> =
                            names.iter().take(MAX_NAMES).map(|text| name(text).to_string()).collect();
                        let more = if names.len() > MAX_NAMES { ", ..." } else { "" };
                        write!(f, ", only for {}{more} and {}", shown.join(", "), name(last))
                    }
                }
            }
            Self::Expired { until: Some(until), now } => {
                write!(f, "it expired on {}", date(*until))?;
                if let Some(now) = now {
                    write!(f, ", {} ago", days(now.as_secs().saturating_sub(until.as_secs())))?;
                }
                f.write_str(": renew it")
            }
            Self::Expired { until: None, .. } => f.write_str("it has expired: renew it"),
            Self::NotYetValid { from: Some(from), now } => {
                write!(f, "it is valid from {} on", date(*from))?;
                if let Some(now) = now {
                    write!(f, ", in {}", days(from.as_secs().saturating_sub(now.as_secs())))?;
                }
                f.write_str(": look whether the clocks are right")
            }
            Self::NotYetValid { from: None, .. } => {
                f.write_str("it is not valid yet: look whether the clocks are right")
            }
            Self::Revoked => f.write_str("it was revoked, or nobody can say that it was not: get a new one"),
            Self::OtherKey { presented } => write!(f, "its key is none of those that are pinned, but {presented}"),
            Self::ShortKey { bits } => {
                write!(
                    f,
                    "an RSA key of {bits} bits is too short, {MIN_RSA_BITS} are needed: make one with a longer key"
                )
            }
            Self::Signature { algorithm } => {
                write!(f, "it is signed with {algorithm}, which is not accepted: have it issued with SHA-256 or better")
            }
            Self::Key { algorithm } => write!(
                f,
                "its key, or that of its issuer, is of a kind that is not accepted ({algorithm}): \
                 make one with RSA, or ECDSA on P-256 or P-384"
            ),
            Self::Purpose { required: Some(required) } => {
                write!(f, "it is not for {required}: have it issued for that (extendedKeyUsage)")
            }
            Self::Purpose { required: None } => f.write_str("it is for another purpose (extendedKeyUsage)"),
            Self::BadSignature => f.write_str("a signature does not fit: it is not by who it says, or was changed"),
            Self::Malformed => f.write_str("it cannot be read as a certificate: have it made anew"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl fmt::Debug for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_chain(self, f)
    }
}

impl StdError for CertificateFault {}

/// A fault on its way through rustls.
#[derive(Debug)]
struct Found(CertificateFault);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Found {}

/// The names as people write them, where the library writes `DnsName("a")` and `IpAddress(::1)`.
fn names(presented: &[String]) -> Vec<String> {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.strip_suffix(')').unwrap_or(rest));
        inner.trim_matches('"').to_owned()
    };
    presented.iter().map(bare).collect()
}

fn purpose(purpose: &ExtendedKeyPurpose) -> String {
    match purpose {
        ExtendedKeyPurpose::ServerAuth => "servers".to_owned(),
        ExtendedKeyPurpose::ClientAuth => "clients".to_owned(),
        other => format!("the purpose {other}"),
    }
}

/// A name of a certificate, which its owner has chosen.
fn name(name: &str) -> Printable<'_> {
    Printable::new(name).limit(MAX_NAME_LENGTH)
}

/// A span of time, in words.
fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

const CRITICAL_EXTENSION: &str = "it has a critical extension that is not known here";

/// As much of a name as is shown: as much as a name in the DNS has.
const MAX_NAME_LENGTH: usize = 255;

/// As many names of a certificate as are shown.
const MAX_NAMES: usize = 5;
