//! Certificates and keys out of PEM (RFC 7468), and what to say of a text that does not hold them.
//!
//! The reader is that of `rustls_pki_types`. It says that nothing was found; somebody who was given a file wants to know
//! what it is instead, and what makes the right one of it.

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::algorithm::KeyKind;
use super::der::{INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, tagged};

/// The certificates of a text, the first one first.
///
/// # Errors
///
/// Why there is none that can be read: a phrase.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| damaged(&error, text))?;
    if chain.is_empty() { Err(Text(text).instead_of_certificates()) } else { Ok(chain) }
}

/// The first private key of a text.
///
/// # Errors
///
/// Why there is none that can be read: a phrase.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // Its header is no base64, and would be called damage.
    if Text(text).is_encrypted() {
        return Err(ENCRYPTED.to_owned());
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        Error::NoItemsFound => Text(text).instead_of_key(),
        error => damaged(&error, text),
    })
}

fn damaged(error: &Error, text: &[u8]) -> String {
    match error {
        Error::MissingSectionEnd { end_marker } => {
            let label = String::from_utf8_lossy(end_marker);
            format!("it breaks off before its line -----END {}-----", printable(&label))
        }
        Error::IllegalSectionStart { .. } => "a line that begins with -----BEGIN does not end with -----".to_owned(),
        Error::Base64Decode(_) if Text(text).is_encrypted() => ENCRYPTED.to_owned(),
        Error::Base64Decode(_) => "what stands between its lines BEGIN and END is damaged".to_owned(),
        _ => "it cannot be read as PEM".to_owned(),
    }
}

/// A text that was looked through in vain.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn instead_of_certificates(&self) -> String {
        let has = |label| self.has(label);
        let words = match () {
            () if has("TRUSTED CERTIFICATE") => {
                "it is of OpenSSL's own format (TRUSTED CERTIFICATE): convert it, with `openssl x509 -in FILE -out NEW`"
            }
            () if has("CERTIFICATE REQUEST") || has("NEW CERTIFICATE REQUEST") => {
                "it holds a request for a certificate, which an authority has to sign first"
            }
            () if has("PKCS7") || has("CMS") => {
                "it is PKCS#7: take them out, with `openssl pkcs7 -print_certs -in FILE -out NEW`"
            }
            () if has("X509 CRL") => "it holds a revocation list",
            () if self.labels().any(|label| label.ends_with("PRIVATE KEY")) => {
                "it holds a private key: name the file with the certificate"
            }
            () if self.labels().any(|label| label.ends_with("PUBLIC KEY")) => "it holds a public key alone",
            () => return self.instead_of_pem(Wanted::Certificates),
        };
        words.to_owned()
    }

    fn instead_of_key(&self) -> String {
        let has = |label| self.has(label);
        let words = match () {
            () if has("OPENSSH PRIVATE KEY") => {
                "it is a key in OpenSSH's own format: convert a copy, with `ssh-keygen -p -m pkcs8 -f COPY`"
            }
            () if has("DSA PRIVATE KEY") => {
                "a DSA key is not supported: make one with RSA of 2048 bits or more, or ECDSA on P-256 or P-384"
            }
            () if self.labels().any(|label| label.ends_with("PUBLIC KEY")) => {
                "it holds the public key alone: name the file with the private one"
            }
            () if self.labels().any(|label| label.contains("CERTIFICATE")) => {
                "it holds a certificate and no key: name the file with the key"
            }
            () if self.labels().any(|label| label.ends_with("PARAMETERS")) => "it holds parameters and no key",
            () => return self.instead_of_pem(Wanted::Key),
        };
        words.to_owned()
    }

    /// There is no section of any kind.
    fn instead_of_pem(&self, wanted: Wanted) -> String {
        let text = self.0;
        let words = match (self.binary(), wanted) {
            _ if text.iter().all(u8::is_ascii_whitespace) => "it is empty",
            _ if text.starts_with(b"\xef\xbb\xbf") => {
                "it begins with a byte order mark (BOM): save it as plain text without"
            }
            _ if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") => {
                "it is UTF-16: save it as plain text, ASCII or UTF-8"
            }
            _ if text.starts_with(b"PuTTY-User-Key-File") => {
                "it is a key of PuTTY: export it as one of OpenSSL from there"
            }
            _ if self.labels().any(|label| label.starts_with("PGP")) => "it is of PGP, which TLS does not use",
            (Some(Binary::Pkcs12), Wanted::Certificates) => {
                "it is PKCS#12: take them out, with `openssl pkcs12 -in FILE -nokeys -out NEW`"
            }
            (Some(Binary::Pkcs12), Wanted::Key) => {
                "it is PKCS#12: take the key out, with `openssl pkcs12 -in FILE -nocerts -nodes -out NEW`"
            }
            (Some(Binary::Key), Wanted::Key) => {
                "it is DER: convert it to PEM, with `openssl pkey -inform DER -in FILE -out NEW`"
            }
            (Some(Binary::EncryptedKey), Wanted::Key) => {
                "it is DER and encrypted: convert it, with `openssl pkcs8 -inform DER -in FILE -out NEW`"
            }
            (Some(Binary::Certificate), Wanted::Certificates) => {
                "it is DER: convert it to PEM, with `openssl x509 -inform DER -in FILE -out NEW`"
            }
            (Some(Binary::Certificate), Wanted::Key) => {
                "it holds a certificate (DER) and no key: name the file with the key"
            }
            (Some(Binary::Key | Binary::EncryptedKey), Wanted::Certificates) => {
                "it holds a private key (DER): name the file with the certificate"
            }
            _ if memchr::memmem::find(text, b"-----BEGIN ").is_some() => {
                "its lines -----BEGIN and -----END must begin at the left edge"
            }
            (None, Wanted::Certificates) => "it has no line -----BEGIN CERTIFICATE-----, and is no PEM",
            (None, Wanted::Key) => "it has no line -----BEGIN PRIVATE KEY-----, and is no PEM",
        };
        words.to_owned()
    }

    /// Of PKCS#8, or of OpenSSL's older form, which says so in a header. A key that is not encrypted may stand first.
    fn is_encrypted(&self) -> bool {
        let first = self.labels().find(|label| label.ends_with("PRIVATE KEY"));
        match first {
            Some("ENCRYPTED PRIVATE KEY") => true,
            Some(_) => self.lines().any(|line| line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED")),
            None => false,
        }
    }

    fn has(&self, label: &str) -> bool {
        self.labels().any(|found| found == label)
    }

    /// What the lines say that begin a section.
    fn labels(&self) -> impl Iterator<Item = &str> {
        self.lines().filter_map(|line| {
            let label = line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
            std::str::from_utf8(label).ok()
        })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end)
    }

    /// What it is, if it is DER.
    fn binary(&self) -> Option<Binary> {
        let mut reader = Reader::new(Reader::only(self.0, SEQUENCE)?);
        match reader.take_any()? {
            (INTEGER, [3]) => Some(Binary::Pkcs12),
            (INTEGER, _) => KeyKind::of_private(self.0).map(|_| Binary::Key),
            (SEQUENCE, first) => {
                let (tag, _) = reader.take_any()?;
                match (tag, first.first()) {
                    (OCTET_STRING, Some(&OID)) => Some(Binary::EncryptedKey),
                    (SEQUENCE, Some(&(INTEGER | VERSION))) => Some(Binary::Certificate),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    Certificates,
    Key,
}

enum Binary {
    Certificate,
    Key,
    EncryptedKey,
    Pkcs12,
}

fn printable(text: &str) -> crate::printable::Printable<'_> {
    crate::printable::Printable::new(text).limit(64)
}

const ENCRYPTED: &str = "it is encrypted: decrypt it, with `openssl pkey -in FILE -out NEW`";

/// The version of a certificate.
const VERSION: u8 = tagged(0);
