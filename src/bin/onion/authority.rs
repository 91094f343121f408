//! A certificate authority: one that lives for one run, for the demo and for `onion serve --self-signed`, and the one of
//! `onion cert`.
//!
//! The key of the former is never written down, so it can issue nothing once the process is gone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onionskin::tls::{Identity, Roots};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::failure::Failure;

/// A certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    key: String,
}

impl Authority {
    /// A throwaway one, which never expires.
    pub(crate) fn new() -> Result<Self, Failure> {
        Self::named("onion throwaway authority", None)
    }

    /// One that is valid for so many days.
    pub(crate) fn named(name: &str, days: Option<u32>) -> Result<Self, Failure> {
        make_authority(name, days).map_err(|error| cannot_make(&error))
    }

    /// Its certificate, as PEM.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Its key, as PEM.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Its certificate, to be trusted.
    pub(crate) fn roots(&self) -> Result<Roots, Failure> {
        Ok(Roots::from_pem(self.issuer.pem().as_bytes())?)
    }

    /// A certificate for these names, and its key.
    pub(crate) fn identity(&self, names: &[&str]) -> Result<Identity, Failure> {
        let issued = self.issue(names, None)?;
        Ok(Identity::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes())?)
    }

    /// A certificate for these names and its key, valid for so many days, or for ever.
    pub(crate) fn issue(&self, names: &[&str], days: Option<u32>) -> Result<Issued, Failure> {
        issue(&self.issuer, names, days).map_err(|error| cannot_make(&error))
    }
}

/// The three files of `--self-signed`.
#[derive(Debug)]
pub(crate) struct SelfSigned {
    /// The authority, for clients to trust.
    pub(crate) authority: PathBuf,
    /// The server's certificate.
    pub(crate) certificate: PathBuf,
    /// The server's key.
    pub(crate) key: PathBuf,
}

impl SelfSigned {
    /// Takes the files in `directory`, or makes them if there are none, so that a client that trusts the authority
    /// can go on doing so when the server starts again.
    pub(crate) fn in_directory(directory: &Path) -> Result<Self, Failure> {
        let files = Self {
            authority: directory.join("ca.pem"),
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
        };
        let all = [&files.authority, &files.certificate, &files.key];
        match all.iter().filter(|file| file.exists()).count() {
            0 => files.make(directory)?,
            3 => {}
            _ => {
                let directory = directory.display();
                return Err(Failure::new(format_args!(
                    "--self-signed {directory}: some of ca.pem, cert.pem and key.pem are there and some are not: \
                     remove them, or name another directory"
                )));
            }
        }
        Ok(files)
    }

    fn make(&self, directory: &Path) -> Result<(), Failure> {
        let authority = Authority::new()?;
        let issued = authority.issue(&SERVER_NAMES, None)?;
        let written = || {
            fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
            write_new(&self.key, &issued.key, Readers::Owner)?;
            write_new(&self.certificate, &issued.certificate, Readers::Everyone)?;
            write_new(&self.authority, &authority.certificate(), Readers::Everyone)
        };
        written().map_err(|failure| failure.at("--self-signed"))
    }
}

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

fn make_authority(name: &str, days: Option<u32>) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    limit(&mut params, days);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let serialized = key.serialize_pem();
    Ok(Authority { issuer: CertifiedIssuer::self_signed(params, key)?, key: serialized })
}

fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    names: &[&str],
    days: Option<u32>,
) -> Result<Issued, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    limit(&mut params, days);
    // A subject has no room for more (RFC 5280, ub-common-name), and nobody looks for names there.
    let common = names.iter().copied().find(|name| name.len() <= 64).unwrap_or("onion");
    params.distinguished_name.push(DnType::CommonName, common);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Both, so that the files also serve a client that has to show a certificate.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Valid from an hour ago, as clocks differ, and for so many days from now on.
fn limit(params: &mut CertificateParams, days: Option<u32>) {
    let Some(days) = days else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(HOUR);
    params.not_after = epoch + now + DAY * days;
}

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    Owner,
    Everyone,
}

/// Writes a file that is not there yet.
pub(crate) fn write_new(path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match readers {
            Readers::Owner => 0o600,
            Readers::Everyone => 0o644,
        },
    );
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = options.open(path).map_err(|error| cannot_write(path, &error))?;
    file.write_all(text.as_bytes()).map_err(|error| cannot_write(path, &error))
}

pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format_args!("cannot write {}: {error}", path.display()))
}

fn cannot_make(error: &rcgen::Error) -> Failure {
    Failure::new(format_args!("cannot make a certificate: {error}"))
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Whom the certificate of `--self-signed` stands for: this machine, and two names to nest with.
const SERVER_NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", "outer.example", "inner.example"];
