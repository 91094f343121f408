//! Who a peer is, by the certificate that it has shown: its subject, its other names, and its key.

use std::fmt::Write;
use std::net::IpAddr;

use super::TlsFacts;
use super::der::{OID, Reader, SEQUENCE, dotted};
use super::pin::Pin;
use super::x509::Certificate;

/// Who a peer is, by its certificate. [`TlsFacts::peer_identity`] has it, and says when it has been verified.
///
/// What is in it the peer, or its authority, has chosen: it is shown to people only with care for control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// The name of the subject as RFC 4514 writes it, the most particular part first: `CN=client,O=Example`. Empty if it has none.
    pub subject: String,
    /// The names of its subjectAltName (RFC 5280 section 4.2.1.6), without those of kinds that are seldom used.
    pub names: Vec<SubjectName>,
    /// The SHA-256 of its key; `None` where no provider of cryptography is there to take it.
    pub key: Option<Pin>,
}

/// A name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectName {
    /// A DNS name, perhaps with a `*`.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// An address of mail.
    Email(String),
    /// A URI, as that of SPIFFE.
    Uri(String),
}

impl TlsFacts {
    /// Who the peer is, by the certificate that it has shown. `None` if it has shown none, or one that cannot be read.
    ///
    /// A server that asks for certificates has verified what is here, before the layer was ready and before the first byte of the
    /// application. What a client has verified is what its [`Verify`](super::Verify) says. A session that was resumed has the
    /// certificate of its first handshake.
    #[must_use]
    pub fn peer_identity(&self) -> Option<PeerIdentity> {
        let shown = self.peer_certificates.first()?;
        let certificate = Certificate::read(shown)?;
        let names = certificate.alternative_names.map(alternative_names).unwrap_or_default();
        Some(PeerIdentity { subject: subject(certificate.subject)?, names, key: Pin::of(shown).ok() })
    }
}

/// A sequence of GeneralName, as far as it can be read.
fn alternative_names(names: &[u8]) -> Vec<SubjectName> {
    let mut reader = Reader::new(names);
    let mut read = Vec::new();
    while let Some((tag, content)) = reader.take_any() {
        let text = || String::from_utf8_lossy(content).into_owned();
        read.extend(match tag {
            EMAIL => Some(SubjectName::Email(text())),
            DNS => Some(SubjectName::Dns(text())),
            URI => Some(SubjectName::Uri(text())),
            IP => ip_address(content).map(SubjectName::Ip),
            _ => None,
        });
    }
    read
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// A distinguished name as RFC 4514 writes it.
fn subject(name: &[u8]) -> Option<String> {
    let mut reader = Reader::new(name);
    let mut parts = Vec::new();
    while !reader.is_empty() {
        let mut set = Reader::new(reader.take(SET)?);
        let mut together = Vec::new();
        while !set.is_empty() {
            let mut attribute = Reader::new(set.take(SEQUENCE)?);
            let kind = attribute.take(OID)?;
            let (tag, value) = attribute.take_any()?;
            together.push(format!("{}={}", attribute_name(kind), escaped(&value_text(tag, value))));
        }
        parts.push(together.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute_name(kind: &[u8]) -> String {
    let name = match kind {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        other => return dotted(other),
    };
    name.to_owned()
}

/// The text of a DirectoryString.
fn value_text(tag: u8, value: &[u8]) -> String {
    match tag {
        BMP_STRING => {
            let units: Vec<_> =
                value.chunks(2).map(|unit| unit.iter().fold(0, |all, &byte| all << 8 | u16::from(byte))).collect();
            String::from_utf16_lossy(&units)
        }
        // In practice Latin 1.
        TELETEX_STRING => value.iter().map(|&byte| char::from(byte)).collect(),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

/// RFC 4514 section 2.4, and control characters in hexadecimal digits too.
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut written = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let is_edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a string does not fail.
                let _ = write!(written, "\\{byte:02X}");
            }
            continue;
        }
        if is_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            written.push('\\');
        }
        written.push(c);
    }
    written
}

const SET: u8 = 0x31;
const TELETEX_STRING: u8 = 0x14;
const BMP_STRING: u8 = 0x1e;

/// The kinds of GeneralName.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_the_rfc_says() {
        assert_eq!(escaped("Sue, Grabbit+Runn \"x\" <a>;\\"), "Sue\\, Grabbit\\+Runn \\\"x\\\" \\<a\\>\\;\\\\");
        assert_eq!(escaped(" #a "), "\\ #a\\ ");
        assert_eq!(escaped("#"), "\\#");
        assert_eq!(escaped("a\nb\u{85}"), "a\\0Ab\\C2\\85");
        assert_eq!(escaped(""), "");
        // CN=a, O=b+OU=c, in the order of the certificate.
        let attribute = |kind: u8, text: &str| {
            let value = [&[0x0c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            let inner = [&[OID, 3, 0x55, 4, kind], &value[..]].concat();
            [&[SEQUENCE, u8::try_from(inner.len()).unwrap()], &inner[..]].concat()
        };
        let set = |content: Vec<u8>| [&[SET, u8::try_from(content.len()).unwrap()], &content[..]].concat();
        let name = [set([attribute(10, "b"), attribute(11, "c")].concat()), set(attribute(3, "a"))].concat();
        assert_eq!(subject(&name).as_deref(), Some("CN=a,O=b+OU=c"));
        for end in 1..name.len() {
            if let Some(cut) = subject(&name[..end]) {
                assert_eq!(cut, "O=b+OU=c", "whole sets only");
            }
        }
    }
}
