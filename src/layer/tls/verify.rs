//! Who verifies certificates: rustls, and beside it the one rule that it lacks.
//!
//! rustls builds a path from the peer's certificate to a trust anchor, and no authority may stand at its beginning. But the
//! certificate that everybody makes first (`openssl req -x509`) is its own authority, `CA:TRUE`, and is given to both sides:
//! to the server as its certificate, to the client as the one to trust. Every other library takes that. So, where rustls
//! finds no path, the peer's certificate is accepted if it is *itself* one of those that were named as trusted:
//!
//! - it is the same, byte for byte: not another one of the same key or the same subject;
//! - it was named, as a file or as DER: the stores of a system name nobody's server;
//! - its dates and its purposes are looked at, and for a client its names, as of any other;
//! - that the peer has its key is shown by the handshake's signature, which is verified as always.
//!
//! A chain plays no part then: whoever trusts the very certificate has no need of one.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ExtendedKeyPurpose, SignatureScheme};

use super::algorithm::{KeyKind, MIN_RSA_BITS};
use super::aside;
use super::config::Roots;
use super::config_error::{ConfigError, ConfigErrorKind};
use super::fault::CertificateFault;
use super::path::verify_path;
use super::pins::Pins;
use super::x509::{Certificate, Purpose};

/// As a client, verifies servers: what [`Verify`](super::Verify) says, and the signature of the handshake, so that the peer has
/// the key of the certificate that it shows.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// None where no chain is asked for.
    pub(super) roots: Option<Roots>,
    pub(super) names: NamesToVerify,
    pub(super) pins: Option<Pins>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// For whom a certificate must stand.
#[derive(Debug)]
pub(super) enum NamesToVerify {
    Sni,
    AnyOf(Vec<ServerName<'static>>),
    Skip,
}

impl ServerVerifier {
    fn verify_chain(
        &self,
        roots: &Roots,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        verify_path(roots, end_entity, intermediates, now, &self.algorithms).or_else(|error| {
            match roots.accept(end_entity, Purpose::Server, now, &error)? {
                true => Ok(()),
                false => Err(roots.explain(error, end_entity, intermediates)),
            }
        })
    }

    fn verify_names(&self, end_entity: &CertificateDer<'_>, asked: &ServerName<'_>) -> Result<(), Error> {
        let names = match &self.names {
            NamesToVerify::Sni => std::slice::from_ref(asked),
            NamesToVerify::AnyOf(names) => names,
            NamesToVerify::Skip => return Ok(()),
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        // The first of them is the one to be told of, if it stands for none.
        let mut verified = names.iter().map(|name| verify_server_name(&certificate, name));
        let first = verified.next().unwrap_or(Err(Error::UnsupportedNameType));
        if first.is_err() && verified.any(|result| result.is_ok()) { Ok(()) } else { first }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        aside::stapled(ocsp_response);
        if let Some(roots) = &self.roots {
            self.verify_chain(roots, end_entity, intermediates, now)?;
        }
        self.verify_names(end_entity, server_name)?;
        if let Some(pins) = &self.pins {
            pins.verify(end_entity)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls12_signature(message, certificate, signature, &self.algorithms);
        verified.map_err(|error| explain_signature(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls13_signature(message, certificate, signature, &self.algorithms);
        verified.map_err(|error| explain_signature(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// As a server, verifies clients.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    rustls: Arc<dyn ClientCertVerifier>,
    roots: Roots,
}

impl ClientVerifier {
    /// Clients without a certificate are taken if it is `optional`.
    pub(super) fn new(roots: Roots, provider: &Arc<CryptoProvider>, optional: bool) -> Result<Self, ConfigError> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.store), Arc::clone(provider));
        let builder = if optional { builder.allow_unauthenticated() } else { builder };
        let builder = match &roots.revoked {
            None => builder,
            Some(lists) => {
                let builder = builder.with_crls(lists.der());
                let builder = if lists.accepts_unknown() { builder.allow_unknown_revocation_status() } else { builder };
                if lists.accepts_expired() { builder } else { builder.enforce_revocation_expiration() }
            }
        };
        let rustls = builder.build().map_err(|error| {
            let message = "clients cannot be verified: name at least one certificate to trust";
            ConfigError::new(ConfigErrorKind::NoRoots, message).caused_by(error)
        })?;
        Ok(Self { rustls, roots })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.rustls.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.rustls.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.rustls.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.rustls.verify_client_cert(end_entity, intermediates, now).or_else(|error| {
            if self.roots.accept(end_entity, Purpose::Client, now, &error)? {
                return Ok(ClientCertVerified::assertion());
            }
            Err(self.roots.explain(error, end_entity, intermediates))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.rustls.verify_tls12_signature(message, certificate, signature);
        verified.map_err(|error| explain_signature(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.rustls.verify_tls13_signature(message, certificate, signature);
        verified.map_err(|error| explain_signature(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rustls.supported_verify_schemes()
    }
}

impl Roots {
    /// Whether a certificate to which rustls finds no path is to be accepted all the same, because it was itself named.
    ///
    /// # Errors
    ///
    /// When it was named and cannot be accepted now, or for this purpose.
    fn accept(
        &self,
        end_entity: &CertificateDer<'_>,
        purpose: Purpose,
        now: UnixTime,
        error: &Error,
    ) -> Result<bool, Error> {
        let Error::InvalidCertificate(error) = error else { return Ok(false) };
        let no_path = match error {
            CertificateError::UnknownIssuer => true,
            // No list speaks for one that is its own authority.
            CertificateError::UnknownRevocationStatus => {
                Certificate::read(end_entity).is_some_and(|certificate| certificate.subject == certificate.issuer)
            }
            CertificateError::Other(_) => {
                CertificateFault::of(&error.clone().into()) == Some(CertificateFault::IsAuthority)
            }
            _ => false,
        };
        if !no_path || !self.named.iter().any(|named| named.as_ref() == end_entity.as_ref()) {
            return Ok(false);
        }
        let Some(certificate) = Certificate::read(end_entity) else { return Err(CertificateError::BadEncoding.into()) };
        let Certificate { not_before, not_after, .. } = certificate;
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        if !certificate.is_for(purpose) {
            let required = match purpose {
                Purpose::Server => ExtendedKeyPurpose::ServerAuth,
                Purpose::Client => ExtendedKeyPurpose::ClientAuth,
            };
            return Err(CertificateError::InvalidPurposeContext { required, presented: Vec::new() }.into());
        }
        Ok(true)
    }

    /// A signature that does not fit may have been made with a key that is too short to be looked at.
    fn explain(&self, error: Error, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Error {
        if error != Error::InvalidCertificate(CertificateError::BadSignature) {
            return error;
        }
        let above: Vec<_> = intermediates.iter().filter_map(|der| Certificate::read(der)).collect();
        let issuers = Certificate::read(end_entity).into_iter().map(|certificate| certificate.issuer);
        let issuers: Vec<_> = issuers.chain(above.iter().map(|certificate| certificate.issuer)).collect();
        let anchors = self.store.roots.iter().filter(|anchor| issuers.contains(&anchor.subject.as_ref()));
        let anchors = anchors.filter_map(|anchor| KeyKind::of_public(&anchor.subject_public_key_info));
        let keys = above.iter().filter_map(Certificate::key).chain(anchors);
        keys.filter_map(|key| short(&key)).next().map_or(error, CertificateFault::into_error)
    }
}

/// A signature of the handshake that does not fit may have been made with a key that is too short to be looked at.
fn explain_signature(error: Error, certificate: &CertificateDer<'_>) -> Error {
    if error != Error::InvalidCertificate(CertificateError::BadSignature) {
        return error;
    }
    let key = Certificate::read(certificate).and_then(|certificate| certificate.key());
    key.as_ref().and_then(short).map_or(error, CertificateFault::into_error)
}

fn short(key: &KeyKind) -> Option<CertificateFault> {
    match *key {
        KeyKind::Rsa { bits } if bits < MIN_RSA_BITS => Some(CertificateFault::ShortKey { bits }),
        _ => None,
    }
}

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "ring")))]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::RootCertStore;

    use super::super::config::default_provider;
    use super::*;

    /// The stores of a system and of Mozilla name authorities, and nobody's server.
    #[test]
    fn an_authority_in_a_store_that_nobody_has_named_speaks_for_no_host() {
        let mut params = CertificateParams::new(vec!["server.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certificate = issuer.der().clone();
        let mut store = RootCertStore::empty();
        store.add(certificate.clone()).unwrap();
        let (provider, name) = (default_provider().unwrap(), ServerName::try_from("server.example").unwrap());
        let verify = |roots: Roots| {
            let algorithms = provider.signature_verification_algorithms;
            let verifier = ServerVerifier { roots: Some(roots), names: NamesToVerify::Sni, pins: None, algorithms };
            verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).map(|_| ())
        };
        let error = verify(Roots::from_store(store)).unwrap_err();
        assert_eq!(CertificateFault::of(&error), Some(CertificateFault::IsAuthority));
        verify(Roots::from_certificates([certificate.clone()]).unwrap()).unwrap();
    }

    /// Whatever rustls has looked at before it found no path.
    #[test]
    fn the_days_of_a_certificate_that_was_named_are_looked_at_here_too() {
        let mut params = CertificateParams::new(vec!["server.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2030, 1, 1));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let roots = Roots::from_certificates([issuer.der().clone()]).unwrap();
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        for error in [CertificateFault::IsAuthority.into_error(), CertificateError::UnknownIssuer.into()] {
            let accept = |seconds| roots.accept(issuer.der(), Purpose::Server, at(seconds), &error);
            let fault = |seconds| CertificateFault::of(&accept(seconds).unwrap_err()).unwrap();
            assert!(matches!(fault(1_577_836_799), CertificateFault::NotYetValid { .. }));
            assert_eq!(accept(1_577_836_800), Ok(true), "its first second");
            assert_eq!(accept(1_893_456_000), Ok(true), "its last second");
            assert!(matches!(fault(1_893_456_001), CertificateFault::Expired { .. }));
        }
        // No other error is made good.
        for error in [CertificateError::BadSignature, CertificateError::Revoked, CertificateError::BadEncoding] {
            assert_eq!(roots.accept(issuer.der(), Purpose::Server, at(1_700_000_000), &error.into()), Ok(false));
        }
    }
}
