//! Certificates and trust from the files that the command line names.

use std::path::{Path, PathBuf};

use clap::Args;
use onionskin::tls::{Identity, Roots, TlsClient, TlsClientBuilder, TlsServer, Verify};

use crate::failure::Failure;

/// Who we are.
#[derive(Debug, Args)]
pub(crate) struct IdentityFiles {
    /// Our certificate chain, the end entity first
    #[arg(long, value_name = "PEM")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of our certificate
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Option<PathBuf>,
}

impl IdentityFiles {
    /// Reads the files, if they are named.
    pub(crate) fn read(&self) -> Result<Option<Identity>, Failure> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => read_identity(cert, key).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Failure::usage("--cert needs --key: name the file with its private key")),
            (None, Some(_)) => Err(Failure::usage("--key needs --cert: name the file with its certificate chain")),
        }
    }
}

/// A chain and a key that belong together.
pub(crate) fn read_identity(cert: &Path, key: &Path) -> Result<Identity, Failure> {
    let identity = Identity::from_pem_files(cert, key)?;
    // Whether they belong together shows only when something is built from them.
    TlsServer::new(identity.clone())?;
    Ok(identity)
}

/// The certificates in `file`, to be trusted.
pub(crate) fn read_roots(option: &str, file: &Path) -> Result<Roots, Failure> {
    Roots::from_pem_file(file).map_err(|error| Failure::from(error).at(option))
}

/// Whom to trust as a TLS client.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    Roots(Roots),
    /// Read when they are needed: a connection without TLS does not need them.
    System,
    /// No certificate is verified.
    Everyone,
}

impl Trust {
    /// A client to be configured further.
    pub(crate) fn client(&self) -> Result<TlsClientBuilder, Failure> {
        let roots = match self {
            Self::Everyone => return Ok(TlsClient::builder(Verify::nothing())),
            Self::Roots(roots) => roots.clone(),
            Self::System => Roots::system()?,
        };
        Ok(TlsClient::builder(roots))
    }
}
