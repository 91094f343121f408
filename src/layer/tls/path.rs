//! The path from a server's certificate to a trust anchor, with revocation lists or without.
//!
//! rustls looks for one apart from names, but not with lists in hand. With lists its library is asked itself, and its errors are
//! named as rustls names them.

use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertRevocationListError, CertificateError, Error, ExtendedKeyPurpose, OtherError};
use webpki::{EndEntityCert, KeyUsage};

use super::config::Roots;

/// Looks for a path from the certificate of a server to one of `roots`, on which nothing has ended, is for another purpose, or was
/// revoked.
pub(super) fn verify_path(
    roots: &Roots,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let Some(lists) = &roots.revoked else {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        return verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &roots.store,
            intermediates,
            now,
            algorithms.all,
        );
    };
    let certificate = EndEntityCert::try_from(end_entity).map_err(named)?;
    let (anchors, usage) = (&roots.store.roots, KeyUsage::server_auth());
    let found = lists.with_options(|lists| {
        let path = certificate.verify_for_usage(algorithms.all, anchors, intermediates, now, usage, lists, None);
        path.map(drop)
    });
    found.map_err(named)
}

/// The error as rustls has it, which knows an alert for each.
fn named(error: webpki::Error) -> Error {
    use CertRevocationListError as List;
    use CertificateError as Certificate;
    use webpki::Error as E;
    match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => Certificate::BadEncoding.into(),
        E::CertNotValidYet { time, not_before } => Certificate::NotValidYetContext { time, not_before }.into(),
        E::CertExpired { time, not_after } => Certificate::ExpiredContext { time, not_after }.into(),
        E::InvalidCertValidity => Certificate::Expired.into(),
        E::UnknownIssuer => Certificate::UnknownIssuer.into(),
        E::CertRevoked => Certificate::Revoked.into(),
        E::UnknownRevocationStatus => Certificate::UnknownRevocationStatus.into(),
        E::CrlExpired { time, next_update } => Certificate::ExpiredRevocationListContext { time, next_update }.into(),
        E::IssuerNotCrlSigner => List::IssuerInvalidForCrl.into(),
        E::InvalidCrlSignatureForPublicKey => List::BadSignature.into(),
        E::InvalidSignatureForPublicKey => Certificate::BadSignature.into(),
        E::UnsupportedSignatureAlgorithmContext(context) => Certificate::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: context.signature_algorithm_id,
            supported_algorithms: context.supported_algorithms,
        }
        .into(),
        E::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: context.signature_algorithm_id,
                public_key_algorithm_id: context.public_key_algorithm_id,
            }
            .into()
        }
        E::RequiredEkuNotFoundContext(_) => {
            let required = ExtendedKeyPurpose::ServerAuth;
            Certificate::InvalidPurposeContext { required, presented: Vec::new() }.into()
        }
        other => Certificate::Other(OtherError(Arc::new(other))).into(),
    }
}
