//! Certificates as people want to see them. Whether one is trusted is not for this file to say.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use onionskin::rustls::pki_types::CertificateDer;
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

/// What stands in a certificate. Everything but `validity` is empty if it cannot be read.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Certificate {
    pub(super) subject: Option<String>,
    pub(super) issuer: Option<String>,
    /// As hexadecimal digits, with colons between the bytes.
    pub(super) serial: Option<String>,
    /// SHA-256 of the certificate as it came, in hexadecimal digits.
    pub(super) sha256: String,
    /// The subject alternative names (RFC 5280 section 4.2.1.6).
    pub(super) names: Vec<String>,
    /// Days, as in 2026-11-30, in UTC.
    pub(super) not_before: Option<String>,
    pub(super) not_after: Option<String>,
    /// Whole days up to `not_after`; below zero when that has passed.
    pub(super) days_left: Option<i64>,
    pub(super) validity: Validity,
    /// The kind of its key, and how long that is: `RSA 2048`.
    pub(super) key: Option<String>,
    #[serde(skip)]
    rsa_bits: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Validity {
    Valid,
    Expired,
    NotYetValid,
    Unreadable,
}

impl Certificate {
    pub(super) fn read(der: &CertificateDer<'_>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Self { sha256: sha256(der), ..Self::of(&certificate, now) },
            Err(_) => Self {
                subject: None,
                issuer: None,
                serial: None,
                sha256: sha256(der),
                names: Vec::new(),
                not_before: None,
                not_after: None,
                days_left: None,
                validity: Validity::Unreadable,
                key: None,
                rsa_bits: None,
            },
        }
    }

    /// Whether it names itself as its issuer, as one does that was never given to an authority.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject.is_some() && self.subject == self.issuer
    }

    /// How long its key is, if that is one of RSA.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        self.rsa_bits
    }

    fn of(certificate: &X509Certificate<'_>, now: i64) -> Self {
        let (key, rsa_bits) = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => {
                let bits = bits(key.modulus);
                (Some(format!("RSA {bits}")), Some(bits))
            }
            Ok(PublicKey::EC(point)) => (Some(format!("EC {}", point.key_size())), None),
            _ => (None, None),
        };
        let validity = certificate.validity();
        let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let names = match certificate.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(name).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Self {
            subject: Some(certificate.subject().to_string()),
            issuer: Some(certificate.issuer().to_string()),
            serial: Some(certificate.raw_serial_as_string()),
            sha256: String::new(),
            names,
            not_before: Some(day(validity.not_before)),
            not_after: Some(day(validity.not_after)),
            days_left: Some(end.saturating_sub(now).div_euclid(DAY)),
            validity: match () {
                () if now < begin => Validity::NotYetValid,
                () if now > end => Validity::Expired,
                () => Validity::Valid,
            },
            key,
            rsa_bits,
        }
    }
}

fn sha256(der: &CertificateDer<'_>) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many days there are until the first of them expires that counts: a root is trusted for being known, not for its dates.
pub(super) fn days_left(chain: &[Certificate]) -> Option<i64> {
    let counts = chain.iter().enumerate().filter(|(index, certificate)| *index == 0 || !certificate.is_self_issued());
    counts.filter_map(|(_, certificate)| certificate.days_left).min()
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

/// How long a number is.
fn bits(number: &[u8]) -> usize {
    let leading = number.iter().take_while(|&&byte| byte == 0).count();
    let number = &number[leading..];
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn day(time: ASN1Time) -> String {
    let date = time.to_datetime();
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

const DAY: i64 = 24 * 60 * 60;
