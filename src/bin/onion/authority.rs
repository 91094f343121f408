//! A certificate authority that lives for one run: for the demo, and for `onion serve --self-signed`.
//!
//! Its own key is never written down, so it can issue nothing once the process is gone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use onionskin::tls::{Identity, Roots};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::failure::Failure;

/// A throwaway certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Result<Self, Failure> {
        make_authority().map(|issuer| Self { issuer }).map_err(|error| cannot_make(&error))
    }

    /// Its certificate, to be trusted.
    pub(crate) fn roots(&self) -> Result<Roots, Failure> {
        Ok(Roots::from_pem(self.issuer.pem().as_bytes())?)
    }

    /// A certificate for these names, and its key.
    pub(crate) fn identity(&self, names: &[&str]) -> Result<Identity, Failure> {
        let issued = self.issue(names)?;
        Ok(Identity::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes())?)
    }

    fn issue(&self, names: &[&str]) -> Result<Issued, Failure> {
        issue(&self.issuer, names).map_err(|error| cannot_make(&error))
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
        let issued = authority.issue(&SERVER_NAMES)?;
        fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
        write_new(&self.key, &issued.key, Readers::Owner)?;
        write_new(&self.certificate, &issued.certificate, Readers::Everyone)?;
        write_new(&self.authority, &authority.issuer.pem(), Readers::Everyone)
    }
}

/// A certificate and its key, as PEM.
struct Issued {
    certificate: String,
    key: String,
}

fn make_authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "onion throwaway authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn issue(issuer: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> Result<Issued, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone())?;
    params.distinguished_name.push(DnType::CommonName, names.into_iter().next().unwrap_or_default());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Both, so that the files also serve a client that has to show a certificate.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

#[derive(Clone, Copy)]
enum Readers {
    Owner,
    Everyone,
}

fn write_new(path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
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

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format_args!("--self-signed: cannot write {}: {error}", path.display()))
}

fn cannot_make(error: &rcgen::Error) -> Failure {
    Failure::new(format_args!("cannot make a certificate: {error}"))
}

/// Whom the certificate of `--self-signed` stands for: this machine, and two names to nest with.
const SERVER_NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", "outer.example", "inner.example"];
