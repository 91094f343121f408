//! Certificates in files, for what is told where they lie.

use std::path::PathBuf;

use onionskin::tls::{TlsClient, TlsServer, Version};

use super::Authority;

/// An authority and those whom it has certified. The directory goes when this does.
pub(crate) struct Files {
    directory: PathBuf,
    /// That of the beginning.
    pub(crate) authority: Authority,
}

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("onionskin-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let files = Self { directory, authority: Authority::new() };
        files.write(&files.authority);
        files
    }

    /// Another authority for everybody, in the files of the one that was there.
    pub(crate) fn renew(&self) {
        self.write(&Authority::new());
    }

    fn write(&self, authority: &Authority) {
        std::fs::write(self.path("ca.pem"), authority.pem()).unwrap();
        for name in ["outer.example", "inner.example", "localhost"] {
            let (chain, key) = authority.pem_identity(name);
            std::fs::write(self.path(&format!("{name}.pem")), chain).unwrap();
            std::fs::write(self.path(&format!("{name}.key")), key).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub(crate) fn client(&self) -> TlsClient {
        self.authority.client(&[Version::Tls13])
    }

    pub(crate) fn server(&self, name: &str) -> TlsServer {
        self.authority.server(name, &[Version::Tls13])
    }

    /// The key of a step that trusts the authority.
    pub(crate) fn ca(&self) -> String {
        format!("ca={}", self.path("ca.pem"))
    }

    /// The keys of a step that shows this certificate.
    pub(crate) fn identity(&self, name: &str) -> String {
        format!("cert={}:key={}", self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }

    /// A step of a client.
    pub(crate) fn client_step(&self, name: &str) -> String {
        format!("+tls:sni={name}:{}", self.ca())
    }

    /// A step of a server.
    pub(crate) fn server_step(&self, name: &str) -> String {
        format!("+tls:{}", self.identity(name))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
