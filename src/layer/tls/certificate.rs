//! What a certificate says of itself, for people and for programs. Nothing here is verified: whether it is true is for others to say.
//!
//! A certificate is what a stranger has written. What cannot be read is no error and no panic but nothing, and its owner's words are
//! shown through [`Printable`] only.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::printable::Printable;

/// What a certificate says of itself (RFC 5280). With the feature `x509`.
///
/// Nothing of it is verified here: who has shown the certificate in a handshake that failed, or was not to be verified, can have
/// written anything into it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// Whose it is, as `C=.., O=.., CN=..`; may be empty.
    pub subject: String,
    /// Who has issued it.
    pub issuer: String,
    /// Its serial number, as hexadecimal digits of bytes with colons between them.
    pub serial: String,
    /// The names of hosts, addresses and mailboxes that it stands for (subjectAltName): 1,000 at most.
    pub names: Vec<String>,
    /// From when on it is valid, in seconds since 1970-01-01 in UTC; below zero before that.
    pub not_before: i64,
    /// Until when it is.
    pub not_after: i64,
    /// Its key; `None` for one of another kind, as those of Ed25519.
    pub key: Option<CertificateKey>,
}

/// The key of a certificate: its kind, and how long it is. Shown as `RSA 2048`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateKey {
    /// RSA, with a modulus of so many bits.
    Rsa(usize),
    /// On an elliptic curve, whose field has so many bits: 528 where it is 521, as whole bytes are counted.
    Ec(usize),
}

impl CertificateFacts {
    /// Reads a certificate; `None` if it is none, or has something behind its end.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let names = match certificate.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(name).take(MAX_NAMES).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: certificate.raw_serial_as_string(),
            names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key: key(&certificate),
        })
    }

    /// Whether it names itself as its issuer, as one does that was never given to an authority.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whole days from `now` until it is valid no more; below zero when that has passed.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> i64 {
        self.not_after.saturating_sub(seconds(now)).div_euclid(DAY)
    }

    /// Whether it is not valid before a time that is later than `now`.
    #[must_use]
    pub fn is_not_yet_valid(&self, now: SystemTime) -> bool {
        seconds(now) < self.not_before
    }

    /// Whether it was valid up to a time that has passed.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        seconds(now) > self.not_after
    }

    /// The days in UTC on which it begins and ends to be valid, as in `2026-11-30`.
    #[must_use]
    pub fn days(&self) -> [String; 2] {
        [self.not_before, self.not_after].map(day)
    }
}

fn key(certificate: &X509Certificate<'_>) -> Option<CertificateKey> {
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(CertificateKey::Rsa(bits(key.modulus))),
        PublicKey::EC(point) => Some(CertificateKey::Ec(point.key_size())),
        _ => None,
    }
}

/// How long a number is.
fn bits(number: &[u8]) -> usize {
    let leading = number.iter().take_while(|&&byte| byte == 0).count();
    let number = &number[leading..];
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// Seconds since 1970, below zero before that.
fn seconds(time: SystemTime) -> i64 {
    let whole = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -whole(before.duration()), whole)
}

fn day(seconds: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(seconds) else { return String::new() };
    let date = time.to_datetime();
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| Ipv4Addr::from(octets).to_string());
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|octets| Ipv6Addr::from(octets).to_string());
            v4.or_else(|_| v6()).ok()
        }
        _ => None,
    }
}

impl fmt::Display for CertificateFacts {
    /// One line: the subject, the names, the issuer and the serial number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| Printable::new(text).limit(MAX_SHOWN).quoted().to_string();
        write!(f, "subject {}", shown(&self.subject))?;
        if !self.names.is_empty() {
            let names: Vec<_> = self.names.iter().take(MAX_NAMES_SHOWN).map(|name| shown(name)).collect();
            let more = if self.names.len() > MAX_NAMES_SHOWN { ", ..." } else { "" };
            write!(f, "  for {}{more}", names.join(", "))?;
        }
        write!(f, "  issuer {}  serial {}", shown(&self.issuer), Printable::new(&self.serial).limit(MAX_SHOWN))
    }
}

impl fmt::Display for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ec(bits) => write!(f, "EC {bits}"),
        }
    }
}

const DAY: i64 = 24 * 60 * 60;

/// More names are not read.
const MAX_NAMES: usize = 1_000;

/// More are not shown.
const MAX_NAMES_SHOWN: usize = 5;

/// As much of a name as is shown.
const MAX_SHOWN: usize = 200;
