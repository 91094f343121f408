//! What a certificate says of itself, for people and for programs. Nothing here is verified: whether it is true is for others to say.
//!
//! A certificate is what a stranger has written. What cannot be read is no error and no panic but nothing, and its owner's words are
//! shown through [`Printable`] only.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

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
        })
    }
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

/// More names are not read.
const MAX_NAMES: usize = 1_000;

/// More are not shown.
const MAX_NAMES_SHOWN: usize = 5;

/// As much of a name as is shown.
const MAX_SHOWN: usize = 200;
