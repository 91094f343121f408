//! What the tests share: certificates made on the spot, the two kinds of peers, and two of them in conversation.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]

pub(crate) mod client_hello;
pub(crate) mod damage;
pub(crate) mod files;
pub(crate) mod layers;
pub(crate) mod link;

use std::sync::atomic::{AtomicUsize, Ordering};

use onionskin::tls::{Identity, Roots, TlsClient, TlsServer, Version};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList, CertificateRevocationListParams, CertifiedIssuer,
    DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, date_time_ymd,
};

/// A throwaway certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Names of their own, so that one authority is unknown to those who trust another, and no certificate has the
        // name of its issuer: OpenSSL would take it for self-signed.
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", SERIAL.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
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

    /// Its list of those that it has revoked, which is good until a year begins.
    pub(crate) fn revocation_list(&self, revoked: &[u64], until: i32) -> CertificateRevocationList {
        let revoked = revoked.iter().map(|&serial| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap()
    }

    /// A certificate for a key that is there.
    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> rcgen::Certificate {
        params.signed_by(key, &self.issuer).unwrap()
    }

    pub(crate) fn client(&self, versions: &[Version]) -> TlsClient {
        TlsClient::builder(self.roots()).versions(versions).build().unwrap()
    }

    pub(crate) fn server(&self, name: &str, versions: &[Version]) -> TlsServer {
        TlsServer::builder(self.identity(name)).versions(versions).build().unwrap()
    }
}

pub(crate) const BOTH: &[Version] = &[Version::Tls12, Version::Tls13];
