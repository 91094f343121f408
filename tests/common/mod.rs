//! What the tests share: certificates made on the spot, and the two kinds of peers.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(dead_code, reason = "each test binary uses its part")]

use onionskin::tls::{Identity, Roots, TlsClient, TlsServer, Version};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A throwaway certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // A name of its own: OpenSSL takes a certificate whose subject is its issuer's for self-signed.
        params.distinguished_name.push(DnType::CommonName, "Onionskin test authority");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::from_pem(self.issuer.pem().as_bytes()).unwrap()
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let (chain, key) = self.pem_identity(name);
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    pub(crate) fn pem_identity(&self, name: &str) -> (String, String) {
        self.issue(&CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    pub(crate) fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn client(&self, versions: &[Version]) -> TlsClient {
        TlsClient::builder(self.roots()).versions(versions).build().unwrap()
    }

    pub(crate) fn server(&self, name: &str, versions: &[Version]) -> TlsServer {
        TlsServer::builder(self.identity(name)).versions(versions).build().unwrap()
    }
}

pub(crate) const BOTH: &[Version] = &[Version::Tls12, Version::Tls13];
